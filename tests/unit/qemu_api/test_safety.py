# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dangers of the open-source server: wrong processes, wrong folders, states that are not true."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.qemu_api import QemuApiServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import Answer
from ansible_collections.anyvirt.compute.tests.unit.qemu_api.conftest import Ask
from ansible_collections.anyvirt.compute.tests.unit.qemu_api.manager import CUT


@pytest.fixture
def dialect() -> str:
    return "voidvm"


def refused(answer: Answer, kind: str, words: str) -> bool:
    assert (answer.failed, answer.result.get("kind"), answer.changed) == (True, kind, False), answer.result
    assert words in answer.result["msg"]
    return True


@pytest.mark.parametrize(
    ("there", "new"),
    [("test-ab", "test-a"), ("test-a", "test-ab"), ("web", "qcow2"), ("qcow2", "web"), ("web", "m"), ("web", "vm-sto")],
)
def test_no_vm_is_made_whose_name_is_in_anothers_command_line(
    there: str, new: str, ask: Ask, server: QemuApiServer
) -> None:
    server.add_vm(there)
    for check in (True, False):
        assert refused(ask("vm", check=check, name=new), "conflict", "tells processes apart")
    assert server.writes == []
    assert ask("vm", name="other").changed is (there != "qcow2")


def test_no_vm_is_started_that_would_get_anothers_process(ask: Ask, server: QemuApiServer) -> None:
    """Others have made them."""
    server.add_vm("test-ab", running=True)
    server.add_vm("test-a")
    assert refused(ask("vm_power", name="test-a", state="started"), "conflict", "test-ab")
    assert ask("vm_power", name="test-ab", state="stopped", **CUT).changed
    assert ask("vm_power", name="test-a", state="started").changed


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("vm_power", {"state": "stopped", **CUT}),
        ("vm_power", {"state": "restarted", **CUT}),
        ("vm", {"state": "absent", "force": True}),
    ],
)
def test_no_process_is_ended_that_two_vms_have(
    module: str, options: dict[str, Any], ask: Ask, server: QemuApiServer
) -> None:
    server.add_vm("test-ab", running=True)
    server.add_vm("test-a", running=True)
    server.forget()
    for check in (True, False):
        assert refused(ask(module, check=check, name="test-a", **options), "conflict", "")
    assert (server.writes, len(server.commands())) == ([], 2)


@pytest.mark.parametrize("state", ["stopped", "restarted"])
def test_no_vm_is_stopped_of_which_no_process_is_known(state: str, ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", running=True)["metadata"]["lastPid"] = None
    for check in (True, False):
        assert refused(ask("vm_power", check=check, name="web", state=state, **CUT), "conflict", "no process")
    assert (server.writes, len(server.commands())) == ([], 1)


@pytest.mark.parametrize("state", ["absent", "started"])
def test_a_name_with_a_dot_is_refused(state: str, ask: Ask, server: QemuApiServer) -> None:
    """Its delete would take the folder of the VM that is named like what stands before the dot."""
    server.add_vm("a")
    server.add_vm("a.b")
    for addressed in ({"name": "a.b"}, {"id": "a.b"}):
        assert refused(ask("vm", **addressed, state=state, force=True), "invalid_request", "dot")
    assert server.names() == ["a", "a.b"]
    assert server.writes == []


def test_a_vm_that_died_is_told_as_running_until_it_is_stopped(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", running=True)
    server.kill_process("web")
    assert not ask("vm_power", name="web", state="started").changed
    assert refused(ask("vm_power", name="web", state="stopped", **CUT), "backend_error", "found no process")
    assert ask("vm_power", name="web", state="started").changed


def test_a_restart_brings_a_vm_that_died_back(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", running=True)
    server.kill_process("web")
    assert ask("vm_power", name="web", state="restarted", **CUT).changed
    assert len(server.commands()) == 1


def test_a_vm_that_runs_on_unlisted_is_not_started_twice(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", running=True)
    server.voidvm.stop("web", {"metadata": {"lastPid": 1}})
    assert refused(ask("vm_power", name="web", state="started"), "conflict", "in use")
    assert len(server.commands()) == 1


def test_what_a_failed_create_left_behind(ask: Ask, server: QemuApiServer) -> None:
    server.add_leftover("web")
    (row,) = ask("vm_info").result["vms"]
    assert (row["state"], row["memory"]) == ("unknown", None)
    assert refused(ask("vm", name="web", memory="512"), "conflict", "failed create")
    assert refused(ask("vm_power", name="web", state="stopped", **CUT), "conflict", "failed create")
    assert refused(ask("vm", name="web", state="absent"), "conflict", "unknown")
    assert server.writes == []
    assert ask("vm", name="web", state="absent", force=True).changed
    assert server.names() == []


def test_a_start_is_that_of_the_vm_in_the_path(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("db")
    server.add_vm("web")["config"]["name"] = "db"
    assert ask("vm_power", name="web", state="started").changed
    assert (server.vm("web")["status"], server.vm("db")["status"]) == ("running", "created")


def test_a_failed_restart_can_be_put_right(ask: Ask, server: QemuApiServer) -> None:
    folder = server.add_vm("web", running=True)
    folder["config"]["isoPath"] = "/iso/gone.iso"
    told = ask("vm_power", name="web", state="restarted", **CUT)
    assert (told.failed, "Cannot access ISO image" in told.result["msg"]) == (True, True)
    (row,) = ask("vm_info").result["vms"]
    assert (row["state"], row["native_state"]) == ("unknown", "error")
    assert not ask("vm_config", name="web", cdrom={"image": ""}).failed
    ask("vm_power", name="web", state="stopped", **CUT)
    assert ask("vm_power", name="web", state="started").changed


def test_parallel_creates_leave_one_with_what_was_asked(ask: Ask, server: QemuApiServer) -> None:
    """The server tells success to all; the one whose settings are not there is told."""
    server.fail_next(
        "none",
        endpoint="POST /api/vms$",
        then=lambda: server.voidvm.folders["web"]["config"].update(memory=4096),
    )
    told = ask("vm", name="web", memory="512")
    assert (told.failed, told.result["kind"]) == (True, "task_failed")


def test_internals_of_the_server_are_in_no_result(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", running=True)
    told = ask("vm_info", gather=["config", "pending", "snapshots", "agent"])
    for word in ("qemu-system", "vmDir", "diskPath", "lastPid", "/srv/"):
        assert word not in told.text
