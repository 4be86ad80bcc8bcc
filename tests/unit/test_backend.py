# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every backend inherits: addressing, refusing what is not declared, foreseeing what will be pending; clones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import (
    Apply,
    Backend,
    Capabilities,
    Identity,
)
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.connect import connect
from ansible_collections.anyvirt.compute.plugins.module_utils._clone import plan_clone
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import (
    Ambiguous,
    InvalidRequest,
    NotFound,
    Unsupported,
)
from ansible_collections.anyvirt.compute.plugins.module_utils._fields import normalised
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import (
    Op,
    Plan,
    Step,
    plan_create,
    plan_settings,
)
from ansible_collections.anyvirt.compute.plugins.module_utils._task import Deadline, Task


class Small(Backend):
    """A backend that can do little."""

    name: ClassVar[str] = "small"
    capabilities: ClassVar[Capabilities] = Capabilities(
        operations=frozenset({Op.CREATE, Op.UPDATE, Op.START, Op.SHUTDOWN, Op.CLONE, Op.REVERT}),
        fields={
            "name": Apply.NEVER,
            "memory": Apply.RESTART,
            "cores": Apply.RESTART,
            "tags": Apply.LIVE,
            "firmware": Apply.NEVER,
            "nics": Apply.LIVE,
            "nics.slot": Apply.LIVE,
            "nics.model": Apply.RESTART,
            "cloud_init": Apply.NEVER,
            "cloud_init.user_data": Apply.NEVER,
        },
    )
    name_pattern: ClassVar[re.Pattern[str]] = re.compile("[a-z]{1,8}")
    name_rule: ClassVar[str] = "It has up to 8 small letters."

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.looked_at: list[Op] = []

    def list(self) -> list[dict[str, Any]]:
        return []

    def find(self, identity: Identity, gather: Sequence[str] = ()) -> dict[str, Any] | None:
        return None

    def perform(self, step: Step, deadline: Deadline) -> Task:
        raise AssertionError("nothing may be done here")

    def poll(self, tasks: Sequence[Task]) -> Sequence[Task]:
        return tasks

    def preflight(self, step: Step) -> None:
        self.looked_at.append(step.op)


@pytest.fixture
def small() -> Small:
    return Small({})


def vm(state: str = "stopped", **settings: Any) -> dict[str, Any]:
    return {"id": "1", "name": "web", "state": state, "template": False, "memory": 512, "cores": 1, **settings}


# --- addressing


ROWS = [{"id": "1", "name": "web"}, {"id": "2", "name": "web"}, {"id": "web", "name": "db"}, {"id": "4", "name": "x"}]


@pytest.mark.parametrize(
    ("identity", "found"),
    [
        (Identity(id="2"), "2"),
        (Identity(name="x"), "4"),
        (Identity(name="nobody"), None),
        (Identity(id="x"), None),
        (Identity(name="web", id="2"), "2"),
        (Identity.either("x"), "4"),
        (Identity.either("web"), "web"),
    ],
)
def test_the_row_that_is_meant(identity: Identity, found: str | None) -> None:
    picked = identity.pick(ROWS)
    assert (picked and picked["id"]) == found


def test_a_name_that_fits_several_is_ambiguous_and_the_ids_are_told() -> None:
    with pytest.raises(Ambiguous, match="2 VMs are named 'web'") as caught:
        Identity(name="web").pick(ROWS)
    assert [one["id"] for one in caught.value.facts["candidates"]] == ["1", "2"]


@pytest.mark.parametrize(("identity", "text"), [(Identity(name="a"), "'a'"), (Identity(id="1"), "with id 1")])
def test_an_identity_in_words(identity: Identity, text: str) -> None:
    assert str(identity) == text


# --- what is not declared


def test_names_are_checked_by_the_backends_rule(small: Small) -> None:
    small.check_name("web")
    for name in ("Web", "", "web\n", "../web", "x" * 300):
        with pytest.raises(InvalidRequest, match="cannot be the name of a VM on backend small") as caught:
            small.check_name(name)
        assert "It has up to 8 small letters." in str(caught.value)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "step", [Step(Op.SUSPEND, vm()), Step(Op.START, vm(), needs=(Op.SNAPSHOT_MEMORY,)), Step(Op.DELETE, vm())]
)
def test_an_operation_that_is_not_declared_is_unsupported(small: Small, step: Step) -> None:
    with pytest.raises(Unsupported, match="is not supported by backend small") as caught:
        small.check(Plan(vm(), vm(), (), (Step(Op.START, vm()), step)))
    assert caught.value.facts["operation"] in ("suspend", "snapshot_memory", "delete")
    assert small.looked_at == []


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"cpu_type": "max"}, "cpu_type"),
        ({"nics": [{"slot": "net0", "mac": "52:54:00:00:00:01"}]}, "nics.mac"),
        ({"nics": [{"slot": "net9", "vlan": 2}]}, "nics.vlan"),
        ({"disks": [{"size": "1"}]}, "disks"),
        ({"cloud_init": {"user": "me"}}, "cloud_init.user"),
    ],
)
def test_a_setting_that_is_not_declared_is_unsupported(small: Small, options: dict[str, Any], setting: str) -> None:
    current = vm(nics={"net0": {"slot": "net0", "model": "virtio"}})
    for plan in (plan_settings(current, normalised(options)), plan_create("web", normalised(options))):
        with pytest.raises(Unsupported, match=f"Setting '{setting}' is not supported by backend small"):
            small.check(plan)
    assert small.looked_at == []


def test_what_never_changes_can_be_chosen_for_a_new_vm_only(small: Small) -> None:
    small.check(plan_create("web", {"firmware": "uefi"}))
    with pytest.raises(Unsupported, match="cannot change 'firmware' of VM web from 'bios' to 'uefi'"):
        small.check(plan_settings(vm(firmware="bios"), {"firmware": "uefi"}))
    clone = plan_clone(small, vm(firmware="bios"), "copy", {"firmware": "uefi"}, snapshot=None, full=True)
    with pytest.raises(Unsupported, match="cannot change 'firmware' of VM copy"):
        small.check(clone)
    assert small.looked_at == [Op.CREATE]


def test_a_refusal_tells_no_secret(small: Small) -> None:
    current = vm(cloud_init={"user_data": "OLD-SECRET"})
    with pytest.raises(Unsupported) as caught:
        small.check(plan_settings(current, normalised({"cloud_init": {"user_data": "NEW-SECRET"}})))
    assert "SECRET" not in str(caught.value.to_failure())
    assert "sha256:" in str(caught.value)


def test_a_plan_that_passes_is_looked_at_step_by_step(small: Small) -> None:
    small.check(Plan(vm(), vm(), (), (Step(Op.START, vm()), Step(Op.SHUTDOWN, vm()))))
    assert small.looked_at == [Op.START, Op.SHUTDOWN]


# --- what will be pending


@pytest.mark.parametrize(
    ("state", "wanted", "apply", "pending"),
    [
        ("running", {"memory": 1024}, "live", ["memory"]),
        ("paused", {"memory": 1024}, "live", ["memory"]),
        ("stopped", {"memory": 1024}, "live", []),
        ("running", {"tags": ["a"]}, "live", []),
        ("running", {"tags": ["a"]}, "next_boot", ["tags"]),
        ("running", {"memory": 512}, "live", []),
        ("running", {"memory": 1, "cores": 2, "tags": ["a"]}, "live", ["cores", "memory"]),
    ],
)
def test_what_will_be_pending(small: Small, state: str, wanted: dict[str, Any], apply: str, pending: list[str]) -> None:
    assert small.pending_after(plan_settings(vm(state), wanted, apply=apply)) == pending


def test_a_part_of_a_device_is_pending_by_its_path(small: Small) -> None:
    current = vm("running", nics={"net0": {"slot": "net0", "model": "virtio"}})
    plan = plan_settings(current, normalised({"nics": [{"slot": "net0", "model": "e1000e"}, {"slot": "net1"}]}))
    assert small.pending_after(plan) == ["nics.net0.model"]


def test_what_was_pending_stays_so_until_it_is_taken_back(small: Small) -> None:
    current = vm("running", memory=1024, pending={"memory": 512})
    assert small.pending_after(plan_settings(current, {"memory": 1024})) == ["memory"]
    assert small.pending_after(plan_settings(current, {"memory": 2048})) == ["memory"]
    assert small.pending_after(plan_settings(current, {"cores": 2})) == ["cores", "memory"]
    assert small.pending_after(plan_settings(current, {"memory": 512})) == []


@pytest.mark.parametrize("op", [Op.START, Op.RESTART, Op.REVERT])
def test_a_start_and_a_revert_leave_nothing_pending(small: Small, op: Op) -> None:
    current = vm("running", memory=1024, pending={"memory": 512})
    assert small.pending_after(Plan(current, vm("running"), (), (Step(op, current),))) == []


def test_a_vm_that_is_off_has_nothing_pending(small: Small) -> None:
    current = vm("running", pending={"memory": 1})
    assert small.pending_after(Plan(current, {**current, "state": "stopped"}, (), (Step(Op.SHUTDOWN, current),))) == []


# --- clones


def source(**settings: Any) -> dict[str, Any]:
    nics = {"net0": {"slot": "net0", "mac": "52:54:00:00:00:01", "model": "virtio", "forwards": [1]}}
    return vm("running", nics=nics, snapshots={}, native_state="running", pending={"memory": 1}, **settings)


def clone(small: Small, of: dict[str, Any], name: str = "copy", **options: Any) -> Plan:
    wanted = options.pop("wanted", {})
    return plan_clone(small, of, name, wanted, **{"snapshot": None, "full": None, **options})


def test_a_clone_is_stopped_with_an_identity_and_addresses_of_its_own(small: Small) -> None:
    of = source()
    plan = clone(small, of)
    assert plan.before == {}
    assert plan.after == {
        "name": "copy",
        "state": "stopped",
        "memory": 512,
        "cores": 1,
        "nics": {"net0": {"slot": "net0", "model": "virtio"}},
    }
    (step,) = plan.steps
    assert (step.op, step.vm, step.source, step.needs) == (Op.CLONE, {"name": "copy"}, of, ())


@pytest.mark.parametrize(
    ("template", "full", "snapshot", "linked"),
    [
        (False, None, None, False),
        (True, None, None, True),
        (True, True, None, False),
        (False, False, None, True),
        (True, None, "old", False),
        (False, True, "old", False),
    ],
)
def test_a_template_is_linked_to_unless_a_copy_is_wanted(
    small: Small, template: bool, full: bool | None, snapshot: str | None, linked: bool
) -> None:
    of = {**source(), "template": template, "snapshots": {"old": {"config": {"memory": 64}}}}
    step = clone(small, of, full=full, snapshot=snapshot).steps[0]
    assert (step.arguments["snapshot"], step.arguments["linked"]) == (snapshot, linked)
    assert (Op.CLONE_LINKED in step.needs) is linked
    assert (Op.CLONE_SNAPSHOT in step.needs) is bool(snapshot)


def test_a_clone_of_a_snapshot_has_the_settings_of_then(small: Small) -> None:
    of = {**source(), "tags": ["new"], "boot_order": ["net0"], "snapshots": {"old": {"config": {"memory": 64}}}}
    assert clone(small, of, snapshot="old").after == {
        "name": "copy",
        "state": "stopped",
        "memory": 64,
        "tags": [],
        "nics": {},
    }


def test_a_clone_is_then_changed_to_what_is_wanted(small: Small) -> None:
    plan = clone(small, source(), wanted={"memory": 1024})
    assert [step.op for step in plan.steps] == [Op.CLONE, Op.UPDATE]
    assert plan.after["memory"] == 1024
    assert [change.path for change in plan.changes] == [("memory",)]
    assert [step.op for step in clone(small, source(), wanted={"memory": 512}).steps] == [Op.CLONE]


def test_a_clone_needs_a_snapshot_that_is_there_and_another_name(small: Small) -> None:
    with pytest.raises(NotFound, match=r"VM web has no snapshot gone\. It has: none"):
        clone(small, source(), snapshot="gone")
    with pytest.raises(InvalidRequest, match="cannot be cloned to its own name"):
        clone(small, source(), name="web")


# --- connecting


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="There is no backend 'none'"):
        connect({"backend": "none"})


def test_connecting_sends_nothing(tmp_path: Any) -> None:
    backend = connect({"backend": "qemu", "state_dir": str(tmp_path / "none")})
    assert backend.name == "qemu"
    assert backend.list() == []
    assert backend.find(Identity.either("web")) is None
    assert not (tmp_path / "none").exists()
