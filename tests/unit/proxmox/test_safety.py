# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong around a task: lost answers, locks, others at work, nodes and rights that are not there."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox.api import Api
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox.driver import ProxmoxBackend
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import Conflict, InvalidRequest, TransportError
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import Op, Step
from ansible_collections.anyvirt.compute.plugins.module_utils._task import Deadline, wait_all
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import Answer
from ansible_collections.anyvirt.compute.tests.unit.proxmox.conftest import Ask

DISK = {"slot": "scsi0", "size": "1GiB", "storage": "shared", "format": "qcow2"}


@pytest.fixture
def vm(server: ProxmoxServer) -> str:
    server.add_vm(200, "web", memory="512", scsi0="shared:1,format=qcow2")
    return "200"


def assert_refused(answer: Answer, kind: str, *texts: str) -> None:
    assert answer.failed, answer.result
    assert answer.result["kind"] == kind, answer.result
    for text in texts:
        assert text in answer.result["msg"]


# --- answers that are lost

WRITES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "create": ("vm", {"name": "new", "disks": [DISK]}, "POST", r"/qemu$"),
    "start": ("vm_power", {"name": "web", "state": "started"}, "POST", r"/status/start$"),
    "clone": ("vm_clone", {"source": "web", "name": "copy"}, "POST", r"/clone$"),
    "config": ("vm_config", {"name": "web", "memory": "1GiB"}, "POST", r"/config$"),
    "resize": ("vm_config", {"name": "web", "disks": [{"slot": "scsi0", "size": "2GiB"}]}, "PUT", r"/resize$"),
    "snapshot": ("vm_snapshot", {"name": "web", "snapshot": "first"}, "POST", r"/snapshot$"),
    "migrate": ("vm_migrate", {"name": "web", "node": "pve2"}, "POST", r"/migrate$"),
    "template": ("vm_config", {"name": "web", "template": True}, "POST", r"/template$"),
    "delete": ("vm", {"name": "web", "state": "absent"}, "DELETE", r"/qemu/200$"),
}


@pytest.mark.parametrize("which", WRITES)
def test_a_write_whose_answer_is_lost_is_not_sent_twice(which: str, ask: Ask, server: ProxmoxServer, vm: str) -> None:
    module, options, method, path = WRITES[which]
    server.fail_next("lost", method=method, path=path)
    done = ask(module, **options)
    assert not done.failed, done.result
    assert done.changed
    assert len([one for one in server.writes if one.method == method]) == 1
    assert not ask(module, **options).changed


@pytest.mark.parametrize("which", WRITES)
def test_a_write_that_was_never_done_is_told_so(which: str, ask: Ask, server: ProxmoxServer, vm: str) -> None:
    module, options, method, path = WRITES[which]
    guests = set(server.state.guests)
    server.fail_next("dropped", method=method, path=path)
    assert_refused(ask(module, **options), "transport_error", "nothing was done")
    assert set(server.state.guests) == guests
    assert ask(module, **options).changed


def test_an_earlier_task_is_not_taken_for_the_one_that_was_lost(
    connection: dict[str, Any], server: ProxmoxServer, ask: Ask, vm: str
) -> None:
    assert ask("vm_config", id=vm, memory="1GiB").changed
    backend = ProxmoxBackend({**connection, "validate_certs": True})
    row = backend.list()[0]
    assert row["id"] == vm
    step = Step(Op.START, row)
    first = backend.perform(step, Deadline(5))
    wait_all([first], backend.poll, Deadline(5), (0.01, 0.1))
    second = Step(Op.STOP, row)
    wait_all([backend.perform(second, Deadline(5))], backend.poll, Deadline(5), (0.01, 0.1))
    server.fail_next("dropped", method="POST", path=r"/status/start$")
    with pytest.raises(TransportError):
        backend.perform(step, Deadline(5))


def test_a_server_whose_clock_is_wrong() -> None:
    """The time of the answers counts, not ours."""
    api = Api({"url": ["https://localhost"]})

    api._note_answer(SimpleNamespace(headers={"Date": "Fri, 01 Jan 2100 00:00:00 GMT"}))
    assert api.clock_ahead > 3600


def test_some_reads_are_lost(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    server.fail_some(0.05, 596, method="GET")
    for number in range(5):
        done = ask("vm_config", name="web", memory=f"{600 + number}MiB")
        assert not done.failed, done.result
    server.stop_failing()


# --- others at work


def test_creates_at_the_same_time_share_nothing(server: ProxmoxServer, connection: dict[str, Any]) -> None:
    def create(number: int) -> str:
        backend = ProxmoxBackend({**connection, "validate_certs": True})
        settings = {"name": f"new{number}", "memory": 128 + number, "disks": {}, "nics": {}}
        step = Step(Op.CREATE, {"name": f"new{number}"}, {"settings": settings, "id": None})
        task = backend.perform(step, Deadline(30))
        wait_all([task], backend.poll, Deadline(30), (0.02, 0.1))[0].require_success()
        return step.vm["id"]

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(create, range(16)))
    assert len(set(ids)) == 16
    for number, vmid in enumerate(ids):
        config = server.vm(int(vmid)).config
        assert (config["name"], config["memory"]) == (f"new{number}", str(128 + number))


def test_an_id_that_is_taken_is_not_touched(connection: dict[str, Any], server: ProxmoxServer, vm: str) -> None:
    backend = ProxmoxBackend({**connection, "validate_certs": True})
    settings = {"name": "new", "memory": 64, "disks": {}, "nics": {}}
    with pytest.raises(Conflict, match="already exists"):
        backend.perform(Step(Op.CREATE, {"name": "new"}, {"settings": settings, "id": vm}), Deadline(5))
    assert server.vm(200).config["name"] == "web"


def test_a_lock_is_waited_for(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    server.lock_vm(200, "backup", seconds=0.5)
    done = ask("vm_config", name="web", memory="1GiB")
    assert not done.failed, done.result
    assert server.vm(200).config["memory"] == "1024"


def test_a_lock_that_stays_is_named(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    server.lock_vm(200, "backup")
    assert_refused(ask("vm_config", name="web", memory="1GiB", timeout=1), "conflict", "backup")
    assert not server.writes


def test_a_change_by_others_is_read_once_more(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    text = "checksum mismatch (file change by other user?)"
    server.fail_next(500, method="POST", path=r"/config$", message=text)
    assert ask("vm_config", name="web", memory="1GiB").changed
    server.fail_next(500, method="POST", path=r"/config$", message=text, times=2)
    assert_refused(ask("vm_config", name="web", memory="2GiB"), "conflict", "checksum")


def test_a_task_that_fails_inside_tells_why(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    server.plan_task("qmstart", 200, exitstatus="start failed: no such thing")
    assert_refused(ask("vm_power", name="web", state="started"), "task_failed", "start failed: no such thing")


def test_warnings_are_success(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    server.plan_task("qmstart", 200, warning="something is odd")
    done = ask("vm_power", name="web", state="started")
    assert not done.failed, done.result
    assert any("odd" in text or "WARNINGS" in text for text in done.warnings)


def test_a_vm_that_moved_is_found_again(connection: dict[str, Any], server: ProxmoxServer, vm: str) -> None:
    from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import Identity

    backend = ProxmoxBackend({**connection, "validate_certs": True})
    assert (backend.find(Identity(id=vm)) or {})["node"] == "pve1"
    server.move_vm(200, "pve2")
    assert (backend.find(Identity(id=vm)) or {})["node"] == "pve2"


@pytest.mark.parametrize("address", [{"name": "high"}, {"id": "201"}])
def test_ha_acts_on_its_own_time(address: dict[str, str], ask: Ask, server: ProxmoxServer) -> None:
    server.add_vm(201, "high", memory="512", ha={"state": "stopped"}, ha_seconds=0.5)
    assert ask("vm_power", **address, state="started").vm["state"] == "running"
    assert ask("vm_power", **address, state="stopped").vm["state"] == "stopped"


def test_a_stale_list_is_not_believed(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    assert ask("vm", name="web", state="absent").changed
    made = ask("vm", name="other", id="200", memory="128")
    assert made.changed
    rows = ask("vm_info", name="web").result["vms"]
    assert rows == []
    assert ask("vm_power", name="web", state="started").result["kind"] == "not_found"
    assert server.vm(200).running is False
    assert ask("vm_power", name="other", state="started").changed


# --- nodes


def test_a_node_that_is_down(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    server.add_vm(201, "away", "pve2", memory="128")
    server.node_down("pve2", quorum=True)
    assert ask("vm_config", name="web", memory="1GiB").changed
    assert_refused(ask("vm_config", id="201", memory="1GiB"), "transport_error", "595")


def test_a_vm_on_a_node_that_is_down_is_not_gone(ask: Ask, server: ProxmoxServer) -> None:
    """By name neither: it would be made a second time."""
    server.add_vm(201, "away", "pve2", memory="128")
    server.refresh_resources()
    server.node_down("pve2", quorum=True)
    assert_refused(ask("vm", name="away", memory="1GiB"), "transport_error", "595")
    assert_refused(ask("vm_power", name="away", state="started"), "conflict", "unknown")
    assert [(row["name"], row["state"]) for row in ask("vm_info").result["vms"]] == [("away", "unknown")]
    assert not server.writes


def test_one_dead_node_does_not_keep_the_others_from_their_work(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    server.add_vm(201, "away", "pve2", memory="128")
    server.refresh_resources()
    server.node_down("pve2", quorum=True)
    done = ask("vm_power", vms=["web", "away"], state="started")
    assert_refused(done, "some_failed", "away")
    assert [one.get("failed", False) for one in done.result["results"]] == [False, True]
    assert server.vm(200).running


def test_the_name_of_several_is_ambiguous_in_a_list_too(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    server.add_vm(201, "web", "pve2", memory="128")
    done = ask("vm_power", vms=["200", "web"], state="started")
    assert done.failed
    assert "201" in str(done.result)
    assert server.vm(201).running is False


def test_the_next_url_is_used(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    server.node_down("pve1", quorum=True)
    server.add_vm(201, "there", "pve2", memory="128")
    assert ask("vm_config", url=server.urls, id="201", memory="256MiB").changed


# --- who we are


def test_a_wrong_token_and_a_wrong_password(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    hush = "HUSH-SECRET"
    by_password = {"token_id": None, "token_secret": None, "username": server.username}
    for options in ({"token_secret": hush}, {**by_password, "password": hush}):
        told = ask("vm_config", name="web", memory="1GiB", **options)
        assert_refused(told, "authentication_failed")
        assert hush not in told.text


def test_a_password_and_both_forms_of_a_token_id(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    by_password = {"token_id": None, "token_secret": None, "username": server.username, "password": server.password}
    assert ask("vm_config", name="web", memory="600MiB", **by_password).changed
    assert ask("vm_config", name="web", memory="700MiB", token_id="api", username="root@pam").changed


def test_a_certificate_that_nobody_knows(ask: Ask, vm: str) -> None:
    assert_refused(ask("vm_info", ca_path=None), "backend_error", "certificate")
    assert not ask("vm_info", ca_path=None, validate_certs=False).failed


def test_what_is_missing_to_connect(ask: Ask) -> None:
    assert_refused(ask("vm_info", url=None), "invalid_request", "url")
    assert_refused(ask("vm_info", token_id=None), "invalid_request", "token_id")


def test_rights_that_are_missing_are_named(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    token_id, secret = server.add_user("low@pve", "VM.Audit")
    low = {"token_id": token_id, "token_secret": secret}
    assert_refused(ask("vm_power", name="web", state="started", **low), "permission_denied", "VM.PowerMgmt")
    assert_refused(ask("vm_config", name="web", memory="1GiB", **low), "permission_denied", "VM.Config")


def test_a_vm_that_is_hidden_is_not_said_to_be_absent(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    token_id, secret = server.add_user("blind@pve")
    told = ask("vm_config", id=vm, memory="1GiB", token_id=token_id, token_secret=secret)
    assert_refused(told, "permission_denied", "VM.Audit")
    assert_refused(ask("vm_config", id="999", memory="1GiB"), "not_found")


def test_on_a_node_itself_no_network_library_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "requests", None)
    assert Api({"transport": "local"})._connected() is not None


def test_credentials_must_be_whole() -> None:
    with pytest.raises(InvalidRequest, match="credentials"):
        Api({"token_id": "name", "token_secret": "x"})._credentials()
