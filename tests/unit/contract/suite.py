# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a user of any backend may rely on. A backend's test class inherits this and says how to reach the backend.

Modules are run for real, through their main(); nothing between the task and the backend is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import Apply, Backend, Capabilities
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.connect import connect
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import Op
from ansible_collections.anyvirt.compute.tests.unit.contract.cases import (
    BASE,
    CASES,
    CUT,
    INQUIRIES,
    NEW_PASSWORD,
    PASSWORD,
    SECRETS,
    USER_DATA,
    Case,
)
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import Answer, run
from ansible_collections.anyvirt.compute.tests.unit.contract.site import UNKNOWN_ID, Site

IN_STATE: dict[str, tuple[str, ...]] = {
    "stopped": (),
    "running": ("started",),
    "paused": ("started", "paused"),
    "suspended": ("started", "suspended"),
}
STATE_NEEDS: dict[str, set[Op]] = {
    "stopped": set(),
    "running": {Op.START},
    "paused": {Op.START, Op.PAUSE},
    "suspended": {Op.START, Op.SUSPEND},
}

OPERATIONS = {
    op: next(one for one, case in CASES.items() if op in case.needs)
    for op in Op
    if op not in (Op.RESTART, *INQUIRIES.values())
}
"""For each operation a case that needs it. A restart of its own no backend must have."""

SETTINGS = {
    setting: next(one for one, case in CASES.items() if setting in case.settings)
    for case in CASES.values()
    for setting in case.settings
}


def agrees(foretold: Any, real: Any) -> bool:
    """Whether everything that was foretold came true; more may be known afterwards, such as a MAC address."""
    if isinstance(foretold, dict) and isinstance(real, dict):
        return all(name in real and agrees(value, real[name]) for name, value in foretold.items())
    if isinstance(foretold, list) and isinstance(real, list) and foretold and isinstance(foretold[0], dict):
        key = next((name for name in ("slot", "name", "nic") if name in foretold[0]), None)
        if key is None:
            return foretold == real
        known = {entry[key]: entry for entry in real}
        return set(known) == {entry[key] for entry in foretold} and all(
            agrees(one, known[one[key]]) for one in foretold
        )
    return foretold == real


class BackendContract:
    """Inherit it as ``Test...``, with the fixture ``connection``, the three methods below, and the backend's ``site``.

    ``connection`` gives the options that reach a place with the base VM of the cases and no other, new for each test:
    stopped, 64 MiB of memory, one core, a disk of 16 MiB in virtio0, a network card in net0, and no system in it.
    """

    bad_names: ClassVar[tuple[str, ...]] = ("a/b", "../a", "..", "a,b", "a\nb", "a" * 300, "", " ", "-a")
    names_are_unique: ClassVar[bool]
    site: ClassVar[Site] = Site()
    refuses: ClassVar[Mapping[str, str]] = {}
    """Cases that a rule of this backend's own forbids, with the kind of the failure."""
    console: Mapping[str, Any] = {}
    """What a task about a console has to say here."""

    def fingerprint(self, connection: Mapping[str, Any]) -> Any:
        """Everything that a task which only asks must leave as it is: state, processes, requests that write."""
        raise NotImplementedError

    def make_twin(self, connection: Mapping[str, Any]) -> None:
        """Another VM with the name of the base VM, where names may be given twice."""
        raise NotImplementedError

    def backend_class(self) -> type[Backend]:
        raise NotImplementedError

    def declared(self) -> Capabilities:
        """What is declared; where the servers of a backend differ, what the one at hand can do of it."""
        return self.backend_class().capabilities

    # --- helpers

    @pytest.fixture(autouse=True)
    def _no_settings_from_outside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import os

        for name in [*os.environ]:
            if name.startswith("ANYVIRT_"):
                monkeypatch.delenv(name)

    @pytest.fixture
    def ask(self, connection: Mapping[str, Any]) -> Any:
        def ask(module: str, check: bool = False, **options: Any) -> Answer:
            more = self.console if module == "vm_console" else {}
            return run(module, {**connection, **more, **self.site.fit(options)}, check=check)

        return ask

    @pytest.fixture
    def secrets(self, connection: Mapping[str, Any]) -> Sequence[str]:
        """What no result may hold: those of the cases, and those that open the backend."""
        return [*SECRETS, *(connection[name] for name in ("password", "token_secret") if name in connection)]

    def require(self, operations: set[Op] | frozenset[Op], settings: frozenset[str] = frozenset()) -> None:
        declared = self.declared()
        lacking = [op.value for op in operations - declared.operations] + sorted(settings - set(declared.fields))
        if lacking:
            pytest.skip(f"{self.backend_class().name} does not declare {', '.join(lacking)}")

    def prepare(self, case: Case, ask: Any) -> None:
        self.require(STATE_NEEDS[case.state])
        for state in IN_STATE[case.state]:
            done = ask("vm_power", name=BASE, state=state)
            assert not done.failed, done.result
        for module, options in case.first:
            if module == "vm_console" and Op.CONSOLE not in self.declared().operations:
                continue
            done = ask(module, **options)
            assert not done.failed, done.result

    def refusal_of(self, which: str) -> str:
        """The kind of failure with which this backend refuses a case; empty where it does what is asked."""
        case, declared = CASES[which], self.declared()
        if case.needs <= declared.operations and case.settings <= set(declared.fields):
            return self.refuses.get(which, "")
        return "unsupported"

    def kind_of(self, module: str, options: Mapping[str, Any], kind: str) -> str:
        """The kind of a failure: what is not supported is told before anything else."""
        declared = self.backend_class().capabilities
        is_asked = {
            Op.CLONE: module == "vm_clone" or "clone_from" in options,
            Op.CLONE_SNAPSHOT: module == "vm_clone" and "snapshot" in options,
            Op.PAUSE: options.get("state") == "paused",
            Op.SNAPSHOT_MEMORY: "memory" in options and module == "vm_snapshot",
        }
        settings = {name for name in ("tags", "disks", "nics") if name in options}
        settings.update(f"nics.{part}" for device in options.get("nics", ()) for part in device)
        is_possible = settings <= declared.fields.keys() and all(
            op in declared.operations for op, asked in is_asked.items() if asked
        )
        return kind if is_possible else "unsupported"

    def assert_refused(self, case: Case, ask: Any, connection: Mapping[str, Any], kind: str = "unsupported") -> None:
        """In check mode and for real, and the backend is not touched."""
        before = self.fingerprint(connection)
        for check in (True, False):
            answer = ask(case.module, check=check, **case.options)
            assert answer.failed
            assert (answer.result["kind"], answer.changed) == (kind, False)
        assert self.fingerprint(connection) == before

    # --- predicted equals real, and once is enough

    @pytest.mark.parametrize("which", CASES)
    def test_check_mode_foretells_the_real_run_and_changes_nothing(
        self, which: str, ask: Any, connection: Mapping[str, Any], secrets: Sequence[str]
    ) -> None:
        case = CASES[which]
        self.prepare(case, ask)
        if self.refusal_of(which):
            self.assert_refused(case, ask, connection, self.refusal_of(which))
            return
        before = self.fingerprint(connection)
        foretold = ask(case.module, check=True, **case.options)
        assert self.fingerprint(connection) == before
        real = ask(case.module, **case.options)
        for answer in (foretold, real):
            assert not answer.failed, answer.result
            assert answer.changed is True
            assert not any(secret in answer.text for secret in secrets)
        # a reset leaves no trace
        assert self.fingerprint(connection) != before or Op.RESET in case.needs
        self.assert_same(foretold, real)
        if case.again:
            self.assert_nothing_left(case, ask, connection, real)

    def assert_same(self, foretold: Answer, real: Answer) -> None:
        for name in ("pending", "restart_required"):
            assert foretold.result.get(name) == real.result.get(name), name
        assert foretold.result["diff"] == {**real.result["diff"], "before": foretold.result["diff"]["before"]}
        assert agrees(foretold.vm, real.vm), (foretold.vm, real.vm)
        assert foretold.result.get("snapshot") is None or agrees(foretold.result["snapshot"], real.result["snapshot"])

    def assert_nothing_left(self, case: Case, ask: Any, connection: Mapping[str, Any], real: Answer) -> None:
        before = self.fingerprint(connection)
        for check in (False, True):
            again = ask(case.module, check=check, **case.options)
            assert not again.failed, again.result
            assert again.changed is False, again.result["diff"]
            assert again.result["diff"]["before"] == again.result["diff"]["after"]
            assert (again.result.get("pending") or []) == (real.result.get("pending") or [])
            assert again.vm == real.vm or (again.vm["name"], again.vm["state"]) == (real.vm["name"], "absent")
        assert self.fingerprint(connection) == before

    @pytest.mark.parametrize("which", [one for one, case in CASES.items() if not case.first and "delete" not in one])
    def test_the_result_is_what_is_read_afterwards(self, which: str, ask: Any, connection: Mapping[str, Any]) -> None:
        case = CASES[which]
        self.prepare(case, ask)
        if self.refusal_of(which):
            self.assert_refused(case, ask, connection, self.refusal_of(which))
            return
        told = ask(case.module, **case.options)
        (read,) = ask("vm_info", name=told.vm["name"], gather=["config", "snapshots", "pending"]).result["vms"]
        assert {name: read[name] for name in told.vm} == told.vm
        if "pending" in told.result:
            assert [one["setting"] for one in read["pending"]] == told.result["pending"]

    # --- what is not declared

    @pytest.mark.parametrize("op", OPERATIONS)
    def test_an_operation_that_is_not_declared_is_refused_unasked(
        self, op: Op, ask: Any, connection: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        case = CASES[OPERATIONS[op]]
        self.prepare(case, ask)
        declared = self.declared()
        less = Capabilities(declared.operations - {op}, declared.fields)
        monkeypatch.setattr(self.backend_class(), "capabilities", less)
        self.assert_refused(case, ask, connection)
        told = ask(case.module, check=True, **case.options).result
        if "setting" in told:
            assert told["setting"] not in declared.fields
        else:
            assert told["operation"] == op.value or Op(told["operation"]) not in declared.operations

    @pytest.mark.parametrize("setting", sorted(SETTINGS))
    def test_a_setting_that_is_not_declared_is_refused_unasked(
        self, setting: str, ask: Any, connection: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        case = CASES[SETTINGS[setting]]
        self.prepare(case, ask)
        declared = self.declared()
        fields = {name: apply for name, apply in declared.fields.items() if name != setting}
        monkeypatch.setattr(self.backend_class(), "capabilities", Capabilities(declared.operations, fields))
        self.assert_refused(case, ask, connection)
        if setting in declared.fields:
            told = ask(case.module, check=True, **case.options).result["setting"]
            assert told == setting or told not in declared.fields

    @pytest.mark.parametrize("module", INQUIRIES)
    def test_what_is_asked_beside_vms_is_told_or_refused(
        self, module: str, ask: Any, connection: Mapping[str, Any]
    ) -> None:
        before = self.fingerprint(connection)
        for check in (True, False):
            answer = ask(module, check=check)
            if INQUIRIES[module] in self.declared().operations:
                assert (answer.failed, answer.changed) == (False, False)
            else:
                assert (answer.failed, answer.result["kind"]) == (True, "unsupported")
        assert self.fingerprint(connection) == before

    def test_capabilities_are_told_as_they_are_declared(self, ask: Any) -> None:
        told = ask("vm_info", name="nobody", gather=["capabilities"]).result
        assert told["capabilities"] == self.declared().to_result()
        assert told["vms"] == []

    # --- those that only ask

    @pytest.mark.parametrize("state", IN_STATE)
    @pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
    def test_info_is_the_same_in_check_mode_and_changes_nothing(
        self, state: str, check: bool, ask: Any, connection: Mapping[str, Any]
    ) -> None:
        self.prepare(Case("vm_info", {}, frozenset(), state), ask)
        before = self.fingerprint(connection)
        (row,) = ask("vm_info", check=check).result["vms"]
        assert (row["name"], row["state"], row["backend"]) == (BASE, state, self.backend_class().name)
        for key in ("id", "node", "template", "tags", "pool", "memory", "cores"):
            assert key in row
        assert isinstance(row["id"], str)
        for address in ({"name": BASE}, {"id": row["id"]}, {"vms": [BASE, row["id"]]}, {"select": {"status": state}}):
            answer = ask("vm_info", check=check, gather=["config", "snapshots", "pending"], **address)
            assert answer.changed is False
            for vm in answer.result["vms"]:
                assert {**row, **vm} == vm
                assert {"disks", "nics", "snapshots", "pending"} <= set(vm)
            assert len(answer.result["vms"]) == (len({BASE, row["id"]}) if "vms" in address else 1)
        told = ask("vm_snapshot_info", check=check, name=BASE)
        assert (told.changed, told.result["snapshots"]) == (False, [])
        assert self.fingerprint(connection) == before

    @pytest.mark.parametrize("state", ["stopped", "running"])
    def test_a_guest_without_an_agent_tells_nothing(self, state: str, ask: Any, connection: Mapping[str, Any]) -> None:
        self.prepare(Case("vm_info", {}, frozenset(), state), ask)
        before = self.fingerprint(connection)
        (vm,) = ask("vm_info", name=BASE, gather=["agent"]).result["vms"]
        assert vm["agent"]["running"] is False
        assert vm["addresses"] == []
        assert self.fingerprint(connection) == before

    def test_a_selector_finds_what_fits(self, ask: Any) -> None:
        for select, found in (
            ({"name": "b*"}, [BASE]),
            ({"name": "x*"}, []),
            ({"status": "running"}, []),
            ({"template": False, "status": "stopped"}, [BASE]),
            ({"tags": ["nobody-has-this"]}, []),
        ):
            assert [vm["name"] for vm in ask("vm_info", select=select).result["vms"]] == found

    def test_a_vm_is_found_by_its_id(self, ask: Any) -> None:
        self.require({Op.UPDATE}, frozenset({"tags"}))
        (row,) = ask("vm_info").result["vms"]
        done = ask("vm_config", id=row["id"], tags=["by-id"])
        assert done.changed
        assert done.vm["name"] == BASE
        assert ask("vm_info", vms=[row["id"]]).result["vms"][0]["tags"] == ["by-id"]

    # --- secrets

    def test_secrets_are_in_no_result(self, ask: Any, secrets: Sequence[str]) -> None:
        self.require({Op.CREATE, Op.UPDATE, Op.START}, frozenset({"cloud_init", "cloud_init.password"}))
        declared = self.declared().fields
        data, more = ({"user_data": text} for text in (USER_DATA, USER_DATA + "# more\n"))
        has_data = "cloud_init.user_data" in declared
        seed = {"user": "me", "password": PASSWORD, **(data if has_data else {})}
        other = {"user": "you", "password": NEW_PASSWORD, **(more if has_data else {})}
        everything = ["config", "snapshots", "pending"]
        answers = [
            ask("vm", check=True, name="new", disks=[{"size": "8MiB"}], cloud_init=seed, state="started"),
            ask("vm", name="new", disks=[{"size": "8MiB"}], cloud_init=seed, state="started"),
            ask("vm_config", check=True, name="new", cloud_init=other),
            ask("vm_config", name="new", cloud_init=other),
            ask("vm_info", name="new", gather=everything),
            ask("vm_config", vms=["new", "nobody"], cloud_init={"user": "them", "password": PASSWORD}),
            ask("vm_config", name="new", absent=["cloud_init"]),
            ask("vm_info", gather=everything),
            ask("vm_config", name="new", cloud_init=seed, memory="nonsense"),
            ask("vm_config", name="new", cloud_init={**seed, "user": "a\nb"}),
            ask("vm_config", name="new", cloud_init=seed, apply="fail", description="x"),
        ]
        assert [answer.failed for answer in answers] == [False] * 5 + [True] + [False] * 2 + [True] * 2 + [False]
        waits = declared["cloud_init.user"] is Apply.RESTART
        assert (bool(answers[3].result["pending"]), bool(answers[4].result["vms"][0]["pending"])) == (waits, waits)
        for answer in answers:
            assert not [secret for secret in secrets if secret in answer.text], answer.result

    def test_what_is_empty_can_be_emptied_again(self, ask: Any, connection: Mapping[str, Any]) -> None:
        before = self.fingerprint(connection)
        for check in (True, False):
            for options in (
                {"description": "", "tags": []},
                {"absent": ["description", "tags", "cdrom", "cloud_init", "net7"]},
            ):
                answer = ask("vm_config", check=check, name=BASE, **options)
                assert (answer.failed, answer.changed) == (False, False), answer.result
        assert self.fingerprint(connection) == before

    def test_a_secret_that_is_kept_changes_nothing(self, ask: Any) -> None:
        self.require({Op.UPDATE}, frozenset({"cloud_init", "cloud_init.password"}))
        seed = {"user": "me", "password": PASSWORD}
        assert ask("vm_config", name=BASE, cloud_init=seed).changed
        assert not ask("vm_config", name=BASE, cloud_init=seed).changed

    # --- without waiting

    def test_work_that_is_not_waited_for_can_be_waited_for_later(self, ask: Any) -> None:
        self.require(CASES["stop asked"].needs)
        self.prepare(CASES["stop asked"], ask)
        begun = ask("vm_power", name=BASE, state="stopped", force=True, shutdown_timeout=1, wait=False)
        assert begun.changed
        assert begun.result["task"]["state"] in ("pending", "running")
        assert begun.vm["state"] == "stopped"
        done = ask("task_wait", tasks=[begun.result["task"]["id"]])
        assert not done.failed, done.result
        assert done.changed is False
        assert [task["state"] for task in done.result["tasks"]] == ["succeeded"]
        (vm,) = ask("vm_info", name=BASE).result["vms"]
        assert vm["state"] == "stopped"

    def test_what_needs_no_waiting_is_done_at_once(self, ask: Any) -> None:
        self.require({Op.UPDATE}, frozenset({"description"}))
        done = ask("vm_config", name=BASE, description="new", wait=False)
        assert done.changed
        assert done.vm["description"] == "new"

    def test_a_task_that_nobody_knows(self, ask: Any) -> None:
        answer = ask("task_wait", tasks=["nonsense"])
        assert answer.failed
        assert answer.result["kind"] == "not_found"

    def test_waiting_for_nothing_is_over(self, ask: Any) -> None:
        assert ask("task_wait", unlocked=[BASE]).result["tasks"] == []

    # --- several at once

    @pytest.fixture
    def two(self, ask: Any) -> tuple[str, str]:
        self.require({Op.CREATE, Op.START})
        assert ask("vm", name="other", memory="64", disks=[{"size": "8MiB"}]).changed
        return BASE, "other"

    def test_one_that_fails_does_not_keep_the_others_from_their_work(
        self, two: tuple[str, str], ask: Any, connection: Mapping[str, Any]
    ) -> None:
        before = self.fingerprint(connection)
        foretold = ask("vm_config", check=True, vms=[BASE, "nobody", "other"], memory="128")
        assert self.fingerprint(connection) == before
        real = ask("vm_config", vms=[BASE, "nobody", "other"], memory="128")
        for answer in (foretold, real):
            assert answer.failed
            assert answer.result["kind"] == "some_failed"
            assert answer.changed is True
            assert "nobody" in answer.result["msg"]
            results = answer.result["results"]
            assert [one["name"] for one in results] == [BASE, "nobody", "other"]
            assert [one.get("failed", False) for one in results] == [False, True, False]
            assert [one["changed"] for one in results] == [True, False, True]
            assert results[1]["kind"] == "not_found"
            assert all(one["id"] for one in results)
            assert [diff["after_header"] for diff in answer.result["diff"]] == [BASE, "other"]
        assert [vm["memory"] for vm in ask("vm_info").result["vms"]] == [128, 128]

    def test_all_that_a_selector_finds(self, two: tuple[str, str], ask: Any) -> None:
        for changed in (True, False):
            answer = ask("vm_power", select={"name": "*"}, state="started")
            assert not answer.failed, answer.result
            assert answer.changed is changed
            assert [(one["name"], one["changed"]) for one in answer.result["results"]] == [
                (BASE, changed),
                ("other", changed),
            ]
        assert [vm["state"] for vm in ask("vm_info").result["vms"]] == ["running", "running"]

    def test_with_fail_fast_the_rest_is_skipped(self, two: tuple[str, str], ask: Any) -> None:
        names = ["nobody", BASE, "other"]
        for several in ({"vms": names}, {"each": [{"name": name} for name in names]}):
            answer = ask("vm_config", **several, memory="128", fail_fast=True, max_parallel=1)
            assert answer.failed
            assert [one.get("skipped", False) for one in answer.result["results"]] == [False, True, True]
        assert [vm["memory"] for vm in ask("vm_info").result["vms"]] == [64, 64]

    def test_a_selector_that_finds_nobody_changes_nothing(self, ask: Any) -> None:
        answer = ask("vm_power", select={"name": "nobody*"}, state="started")
        assert (answer.failed, answer.changed, answer.result["results"]) == (False, False, [])

    def test_many_clones_in_one_task(self, ask: Any, connection: Mapping[str, Any]) -> None:
        self.require({Op.CLONE, Op.UPDATE})
        clones = [{"name": "one"}, {"name": "two", "memory": "128"}]
        before = self.fingerprint(connection)
        foretold = ask("vm_clone", check=True, source=BASE, clones=clones)
        assert self.fingerprint(connection) == before
        real = ask("vm_clone", source=BASE, clones=clones)
        for answer in (foretold, real):
            assert not answer.failed, answer.result
            assert [(one["name"], one["changed"]) for one in answer.result["results"]] == [("one", True), ("two", True)]
            assert [one["vm"]["memory"] for one in answer.result["results"]] == [64, 128]
        again = ask("vm_clone", source=BASE, clones=clones)
        assert not again.changed
        read = ask("vm_info", vms=[BASE, "one", "two"], gather=["config"]).result["vms"]
        assert len({vm["id"] for vm in read}) == 3
        assert len({nic["mac"] for vm in read for nic in vm["nics"]}) == 3

    def test_a_wrong_value_of_one_vm_is_told_before_any_is_changed(
        self, two: tuple[str, str], ask: Any, connection: Mapping[str, Any]
    ) -> None:
        self.require({Op.UPDATE})
        before = self.fingerprint(connection)
        answer = ask("vm_config", each=[{"name": BASE, "memory": "128"}, {"name": "other", "memory": "1Gig"}])
        assert (answer.result["kind"], answer.changed) == ("invalid_request", False)
        assert answer.result["msg"].startswith("other: memory: ")
        assert self.fingerprint(connection) == before

    def test_each_vm_of_a_task_gets_settings_of_its_own(
        self, two: tuple[str, str], ask: Any, connection: Mapping[str, Any]
    ) -> None:
        self.require({Op.UPDATE}, frozenset({"tags", "description"}))
        (row,) = ask("vm_info", name="other").result["vms"]
        each = [{"name": BASE, "memory": "128"}, {"name": "nobody"}, {"id": row["id"], "tags": ["own"], "absent": []}]
        options = {"each": each, "tags": ["all"], "cores": 2, "absent": ["description"]}
        before = self.fingerprint(connection)
        foretold = ask("vm_config", check=True, **options)
        assert self.fingerprint(connection) == before
        real, again = ask("vm_config", **options), ask("vm_config", **options)
        for answer, changed in ((foretold, True), (real, True), (again, False)):
            results = answer.result["results"]
            assert (answer.result["kind"], answer.changed) == ("some_failed", changed), answer.result
            assert [one["name"] for one in results] == [BASE, "nobody", "other"]
            assert [one["changed"] for one in results] == [changed, False, changed]
            assert results[1]["kind"] == "not_found"
            told = [results[0]["vm"], results[2]["vm"]]
            assert [(vm["memory"], vm["cores"], vm["tags"]) for vm in told] == [(128, 2, ["all"]), (64, 2, ["own"])]
            assert [diff["after_header"] for diff in answer.result["diff"]] == ([BASE, "other"] if changed else [])

    def test_a_vm_that_is_given_by_name_and_by_id_is_given_twice(self, ask: Any) -> None:
        self.require({Op.UPDATE})
        (row,) = ask("vm_info", name=BASE).result["vms"]
        each = [{"name": BASE, "memory": "128"}, {"id": row["id"], "memory": "256"}]
        for check in (True, False):
            answer = ask("vm_config", check=check, each=each)
            ends = [one.get("kind") or one["vm"]["memory"] for one in answer.result["results"]]
            assert ends in ([128, "invalid_request"], ["invalid_request", 256]), answer.result
            assert "is given twice" in answer.result["msg"]

    def test_vms_are_made_started_and_removed_in_one_task(self, ask: Any, connection: Mapping[str, Any]) -> None:
        self.require({Op.CREATE, Op.START, Op.DELETE})
        one = {"name": "one", "state": "started", "disks": [{"size": "1GiB"}]}
        two = {"name": "two", "memory": "128", "disks": [{"size": "1GiB"}]}
        made = {"each": [{"name": BASE, "state": "absent"}, one, two], "memory": "64"}
        self.assert_done(made, [("absent", None), ("running", 64), ("stopped", 128)], ask, connection)
        gone = {"each": [{"name": "one"}, {"name": "two", "state": "stopped"}], "state": "absent", "force": True}
        self.assert_done(gone, [("absent", None), ("stopped", 128)], ask, connection, changed=[True, False])

    def assert_done(
        self,
        options: Mapping[str, Any],
        ends: Sequence[tuple[str, int | None]],
        ask: Any,
        connection: Mapping[str, Any],
        changed: Sequence[bool] = (True, True, True),
    ) -> None:
        """Several VMs by one task of vm: as foretold, and once is enough."""
        before = self.fingerprint(connection)
        foretold = ask("vm", check=True, **options)
        assert self.fingerprint(connection) == before
        real = ask("vm", **options)
        for answer in (foretold, real):
            assert not answer.failed, answer.result
            results = answer.result["results"]
            assert [one["name"] for one in results] == [one["name"] for one in options["each"]]
            assert [(one["vm"]["state"], one["vm"].get("memory")) for one in results] == [*ends]
            assert [one["changed"] for one in results] == [*changed]
        again = ask("vm", **options)
        assert (again.failed, again.changed) == (False, False), again.result

    def test_vms_with_secrets_of_their_own_tell_none(self, two: tuple[str, str], ask: Any) -> None:
        self.require({Op.UPDATE}, frozenset({"cloud_init", "cloud_init.password"}))
        each = [
            {"name": BASE, "cloud_init": {"user": "me", "password": PASSWORD}},
            {"name": "other", "cloud_init": {"password": NEW_PASSWORD}, "memory": "nonsense"},
            {"name": "nobody", "cloud_init": {"password": NEW_PASSWORD}},
        ]
        for module in ("vm_config", "vm"):
            for check in (True, False):
                answer = ask(module, check=check, each=each[: 3 if module == "vm_config" else 2])
                assert answer.failed
                assert not [secret for secret in SECRETS if secret in answer.text], answer.result
        assert [vm["memory"] for vm in ask("vm_info").result["vms"]] == [64, 64]

    # --- not there, not clear, not possible

    @pytest.mark.parametrize(
        ("module", "options"),
        [
            ("vm_config", {"name": "nobody", "memory": "64"}),
            ("vm_config", {"id": UNKNOWN_ID, "memory": "64"}),
            ("vm_power", {"name": "nobody", "state": "started"}),
            ("vm_snapshot", {"name": "nobody", "snapshot": "first"}),
            ("vm_snapshot", {"name": BASE, "snapshot": "gone", "state": "reverted"}),
            ("vm_snapshot_info", {"name": "nobody"}),
            ("vm_clone", {"source": "nobody", "name": "new"}),
            ("vm_clone", {"source": BASE, "name": "new", "snapshot": "gone"}),
            ("vm", {"name": "new", "clone_from": {"name": "nobody"}}),
            ("vm", {"id": UNKNOWN_ID, "memory": "64"}),
            ("vm_config", {"name": BASE, "absent": ["nonsense"]}),
            ("task_wait", {"unlocked": ["nobody"]}),
        ],
    )
    @pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
    def test_what_is_not_there_is_told(
        self, module: str, options: Mapping[str, Any], check: bool, ask: Any, connection: Mapping[str, Any]
    ) -> None:
        before = self.fingerprint(connection)
        answer = ask(module, check=check, **options)
        assert answer.failed
        assert answer.result["kind"] == self.kind_of(module, options, "not_found")
        assert answer.changed is False
        assert self.fingerprint(connection) == before

    def test_nobody_is_absent_already(self, ask: Any) -> None:
        for check in (True, False):
            answer = ask("vm", check=check, name="nobody", state="absent")
            assert (answer.failed, answer.changed) == (False, False)
            assert (answer.result["pending"], answer.result["restart_required"]) == ([], False)
        for name in (BASE, BASE):
            gone = ask("vm", name=name, state="absent")
            assert (gone.result["pending"], gone.result["restart_required"]) == ([], False)

    def test_a_name_that_fits_several_is_never_guessed_at(self, ask: Any, connection: Mapping[str, Any]) -> None:
        if self.names_are_unique:
            self.require({Op.CREATE, Op.CLONE})
            assert not ask("vm", name=BASE).changed
            assert not ask("vm_clone", source=BASE, clones=[{"name": BASE}]).changed
            assert len(ask("vm_info").result["vms"]) == 1
            return
        self.make_twin(connection)
        before = self.fingerprint(connection)
        for module, options in (
            ("vm_power", {"state": "started"}),
            ("vm_config", {"memory": "128"}),
            ("vm", {"state": "absent"}),
            ("vm_info", {}),
        ):
            answer = ask(module, name=BASE, **options)
            assert answer.failed
            assert answer.result["kind"] == "ambiguous"
            assert len(answer.result["candidates"]) == 2
        assert self.fingerprint(connection) == before

    @pytest.mark.parametrize(
        ("state", "module", "options", "kind"),
        [
            ("running", "vm", {"name": BASE, "state": "absent"}, "conflict"),
            ("paused", "vm", {"name": BASE, "state": "absent"}, "conflict"),
            ("stopped", "vm_power", {"name": BASE, "state": "paused"}, "conflict"),
            ("suspended", "vm_power", {"name": BASE, "state": "stopped"}, "conflict"),
            ("stopped", "vm_snapshot", {"name": BASE, "snapshot": "first", "memory": True}, "conflict"),
            ("running", "vm_config", {"name": BASE, "memory": "128", "apply": "fail"}, "conflict"),
            ("stopped", "vm_config", {"name": BASE, "disks": [{"slot": "virtio0", "size": "1MiB"}]}, "invalid_request"),
            ("stopped", "vm_config", {"name": BASE, "memory": "128MB"}, "invalid_request"),
            ("stopped", "vm_config", {"name": BASE, "memory": "-128"}, "invalid_request"),
            ("stopped", "vm_config", {"name": BASE, "cores": 0}, "invalid_request"),
            ("stopped", "vm_config", {"name": BASE, "nics": [{"slot": "net0"}, {"slot": "net0"}]}, "invalid_request"),
            ("stopped", "vm_config", {"name": BASE, "nics": [{"mac": "01:00:00:00:00:00"}]}, "invalid_request"),
            ("stopped", "vm_config", {"name": BASE, "tags": ["a b"]}, "invalid_request"),
            ("stopped", "vm_config", {"name": BASE, "memory": "128", "timeout": 0}, "invalid_request"),
            ("stopped", "vm", {"name": "new", "disks": [{"slot": "virtio1"}]}, "invalid_request"),
            ("stopped", "vm_clone", {"source": BASE, "name": BASE}, None),
            ("stopped", "vm_clone", {"source": BASE, "clones": [{"name": "a"}, {"name": "a"}]}, "invalid_request"),
            ("stopped", "vm", {"each": [{"name": BASE}, {"name": BASE, "state": "absent"}]}, "invalid_request"),
            ("stopped", "vm", {"each": [{"name": BASE, "wait_for": {"port": 0}}]}, "invalid_request"),
            ("stopped", "vm_config", {"each": [{"name": BASE, "cores": 2}, {"name": BASE}]}, "invalid_request"),
        ],
    )
    @pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
    def test_what_cannot_be_is_refused_before_anything_changes(
        self,
        state: str,
        module: str,
        options: Mapping[str, Any],
        kind: str | None,
        check: bool,
        ask: Any,
        connection: Mapping[str, Any],
    ) -> None:
        self.prepare(Case(module, options, frozenset(), state), ask)
        before = self.fingerprint(connection)
        answer = ask(module, check=check, **options)
        if kind is None:
            assert answer.changed is False
        else:
            assert answer.failed, answer.result
            makes = module == "vm" and options.get("name", BASE) != BASE
            is_possible = not makes or Op.CREATE in self.declared().operations
            kind = self.kind_of(module, options, kind) if is_possible else "unsupported"
            assert (answer.result["kind"], answer.changed) == (kind, False)
        assert self.fingerprint(connection) == before

    @pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
    def test_what_no_vm_can_be_called_is_refused_before_anything_changes(
        self, check: bool, ask: Any, connection: Mapping[str, Any]
    ) -> None:
        before = self.fingerprint(connection)
        for name in self.bad_names:
            for module, options in (
                ("vm", {"name": name}),
                ("vm", {"name": name, "state": "absent"}),
                ("vm_power", {"name": name, "state": "started"}),
                ("vm_clone", {"source": BASE, "name": name}),
                ("vm_clone", {"source": BASE, "clones": [{"name": name}]}),
                ("vm", {"each": [{"name": BASE, "state": "absent"}, {"name": name}]}),
            ):
                answer = ask(module, check=check, **options)
                assert answer.failed, (module, name)
                assert answer.result["kind"] == self.kind_of(module, options, "invalid_request")
        assert self.fingerprint(connection) == before

    # --- the driver itself

    def test_the_driver_implements_the_whole_interface(self, connection: Mapping[str, Any]) -> None:
        backend = connect(connection)
        assert isinstance(backend, self.backend_class())
        assert backend.name == connection["backend"]
        assert backend.name_rule
        backend.close()

    def test_a_stopped_vm_can_be_stopped_again(self, ask: Any) -> None:
        assert not ask("vm_power", name=BASE, state="stopped", **CUT).changed
