# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that says one thing and does another, and answers that get lost."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu_api.api import result_of
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import Error
from ansible_collections.anyvirt.compute.plugins.module_utils._http import Answer
from ansible_collections.anyvirt.compute.tests.servers.qemu_api import QemuApiServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
from ansible_collections.anyvirt.compute.tests.unit.qemu_api.conftest import Ask
from ansible_collections.anyvirt.compute.tests.unit.qemu_api.manager import CUT, connection_to

WRITES = [
    ("vm", {"name": "new"}, "POST /api/vms$"),
    ("vm", {"name": "halted", "state": "absent"}, "DELETE"),
    ("vm", {"name": "alive", "state": "absent", "force": True}, "stop"),
    ("vm_power", {"name": "halted", "state": "started"}, "start"),
    ("vm_power", {"name": "alive", "state": "stopped", **CUT}, "stop"),
    ("vm_power", {"name": "alive", "state": "restarted", **CUT}, "restart"),
    ("vm_config", {"name": "halted", "memory": "512"}, "config"),
    ("vm_config", {"name": "halted", "cdrom": {"image": ""}}, "toggleMountIso"),
    ("vm_console", {"name": "alive"}, "novnc"),
]
EVERY_WRITE = pytest.mark.parametrize(("module", "options", "endpoint"), WRITES)


@pytest.fixture
def vms(server: QemuApiServer) -> None:
    server.add_vm("alive", running=True)
    mounted = {"isMountIso": True} if server.dialect == "documented" else {}
    server.add_vm("halted", isoPath="/iso/tools.iso", **mounted)
    server.forget()


@pytest.mark.usefixtures("vms")
@EVERY_WRITE
def test_a_success_that_is_none(
    module: str, options: dict[str, Any], endpoint: str, ask: Ask, server: QemuApiServer
) -> None:
    """The answer says yes, and the list no."""
    server.fail_next("ignored", endpoint=endpoint)
    told = ask(module, **options)
    assert told.failed
    assert told.result["kind"] in ("task_failed", "backend_error")
    assert len([one for one in server.writes if one.status == 200]) >= 1


@pytest.mark.usefixtures("vms")
@EVERY_WRITE
def test_an_answer_lost_before_anything_was_done(
    module: str, options: dict[str, Any], endpoint: str, ask: Ask, server: QemuApiServer
) -> None:
    server.fail_next("dropped", endpoint=endpoint)
    told = ask(module, **options)
    assert (told.failed, told.result["kind"]) == (True, "transport_error")
    assert len([one for one in server.writes if one.status == 0]) == 1
    again = ask(module, **options)
    assert (again.failed, again.changed) == (False, True), again.result


@pytest.mark.usefixtures("vms")
@pytest.mark.parametrize(
    ("module", "options", "endpoint"), [one for one in WRITES if one[2] not in ("novnc", "toggleMountIso")]
)
def test_an_answer_lost_after_it_was_done(
    module: str, options: dict[str, Any], endpoint: str, ask: Ask, server: QemuApiServer
) -> None:
    """The list tells that it was, and nothing is sent twice."""
    server.fail_next("lost", endpoint=endpoint)
    told = ask(module, **options)
    assert (told.failed, told.changed) == (False, True), told.result
    assert len([one for one in server.writes if one.status == 0]) == 1
    assert len({(one.endpoint, one.status) for one in server.writes}) == len(server.writes)


@pytest.mark.usefixtures("vms")
def test_reads_are_repeated(ask: Ask, server: QemuApiServer) -> None:
    for kind in ("dropped", 502, 503):
        server.fail_next(kind, method="GET")
    assert [vm["name"] for vm in ask("vm_info").result["vms"]] == ["alive", "halted"]
    assert [one.status for one in server.requests] == [0, 502, 503, 200]


def test_nobody_is_there_to_be_asked_after_a_lost_answer(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web")
    server.fail_next("lost", endpoint="start", then=server.http.listeners["manager"].stop)
    told = ask("vm_power", name="web", state="started")
    assert (told.failed, told.result["kind"]) == (True, "transport_error")
    assert "not known whether" in told.result["msg"]


def test_nobody_there() -> None:
    with QemuApiServer() as server:
        options = connection_to(server)
    told = run("vm_info", options)
    assert (told.failed, told.result["kind"]) == (True, "transport_error")


@pytest.mark.parametrize("shape", ["flat", "nested"])
def test_errors_in_either_shape(shape: str) -> None:
    with QemuApiServer("documented", error_shape=shape) as server:
        server.add_vm("web", vncPort=5901)
        server.world.taken.add(5901)
        told = run("vm_power", {**connection_to(server), "name": "web", "state": "started"})
        assert (told.failed, told.result["kind"]) == (True, "conflict")
        assert "Failed to bind port 5901" in told.result["msg"]
        server.documented.vms["web"].update(isMountIso=True, isoPath="/iso/gone.iso")
        told = run("vm_power", {**connection_to(server), "name": "web", "state": "started"})
        assert told.result["kind"] == "invalid_request"
        assert "INVALID_REQUEST_PARAMS: ISO /iso/gone.iso not found" in told.result["msg"]


@pytest.mark.parametrize(
    ("status", "text", "kind", "words"),
    [
        (200, "false", "backend_error", "answered false"),
        (200, "<html><body><pre>Cannot GET /x</pre></body></html>", "backend_error", "Cannot GET /x"),
        (200, '{"success": false}', "backend_error", '{"success": false}'),
        (201, '{"vmName": "a", "error": "VM directory already exists"}', "conflict", "already exists"),
        (400, '{"success": false, "error": {"code": "VM_NOT_RUNNING", "message": "no"}}', "conflict", "no"),
        (404, '{"success": false, "code": "VM_NOT_FOUND", "message": "gone"}', "not_found", "gone"),
        (400, '{"message": "what?"}', "backend_error", "what?"),
        (400, '{"code": "NOVNC_START_FAILED"}', "backend_error", "NOVNC_START_FAILED"),
        (404, '{"error": "Command failed: qemu -m 1\\nAddress already in use"}', "conflict", "in use"),
        (503, '{"success": true}', "transport_error", "503"),
        (500, '{"success": true}', "backend_error", "500"),
    ],
)
def test_what_counts_as_a_failure(status: int, text: str, kind: str, words: str) -> None:
    with pytest.raises(Error) as caught:
        result_of(Answer("GET /api/vms", status, text))
    assert caught.value.kind == kind
    assert words in str(caught.value)
    assert "qemu -m" not in str(caught.value)


@pytest.mark.parametrize(("paths", "sent"), [("literal", 2), ("api", 1), ("both", 1)])
def test_the_path_of_the_configuration_is_found_once(paths: str, sent: int) -> None:
    with QemuApiServer("documented", config_paths=paths) as server:
        for name in ("web", "db"):
            server.add_vm(name)
        told = run("vm_config", {**connection_to(server), "vms": ["web", "db"], "memory": "512", "max_parallel": 1})
        assert not told.failed, told.result
        assert len(server.writes) == sent + 1
        assert [server.vm(name)["memory"] for name in ("web", "db")] == [512, 512]


def test_only_what_changes_is_sent(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", memory=512, cpuCores=1)
    assert ask("vm_config", name="web", memory="512", cores=2).changed
    assert [one.body for one in server.writes if one.status == 200] == [{"cpuCores": 2}]


def test_a_vm_that_goes_between_reading_and_writing(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web")
    vms = server.voidvm.folders if server.dialect == "voidvm" else server.documented.vms
    server.fail_next("none", endpoint="GET /api/vms", then=lambda: vms.pop("web"))
    told = ask("vm_power", name="web", state="started")
    assert (told.failed, told.result["kind"]) == (True, "not_found")
    assert server.writes == []


def test_a_vm_that_is_made_by_others_meanwhile(ask: Ask, server: QemuApiServer) -> None:
    server.fail_next("none", endpoint="GET /api/vms", then=lambda: server.add_vm("web"))
    told = ask("vm", name="web")
    assert (told.failed, told.result["kind"]) == (True, "conflict")
    assert server.writes == []
