# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots: the open-source server has them, the document has not."""

from __future__ import annotations

import pytest

from ansible_collections.anyvirt.compute.tests.servers.qemu_api import QemuApiServer
from ansible_collections.anyvirt.compute.tests.unit.qemu_api.conftest import Ask
from ansible_collections.anyvirt.compute.tests.unit.qemu_api.manager import CUT


@pytest.fixture
def dialect() -> str:
    return "voidvm"


def test_taken_listed_reverted_and_deleted(do: Ask, ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", running=True)
    taken = do("vm_snapshot", name="web", snapshot="first", description="why", memory=True)
    assert taken.result["snapshot"]["description"] == "why"
    (listed,) = ask("vm_snapshot_info", name="web").result["snapshots"]
    assert (listed["name"], listed["memory"], listed["complete"], listed["time"] > 0) == ("first", True, True, True)
    refused = ask("vm_snapshot", name="web", snapshot="first", state="reverted")
    assert (refused.failed, refused.result["kind"]) == (True, "conflict")
    do("vm_snapshot", again=False, name="web", snapshot="first", state="reverted", force=True)
    assert server.voidvm.snapshots["web"][0]["lastLoadTime"]
    do("vm_snapshot", name="web", snapshot="first", state="absent")
    assert server.voidvm.snapshots["web"] == []


def test_many_snapshots_are_all_read(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", running=True)
    for number in range(45):
        server.front.app.routes["POST /api/snapshots/create"][1](None, {"vmName": "web", "snapshotName": f"s{number}"})
    assert len(ask("vm_snapshot_info", name="web").result["snapshots"]) == 45


def test_only_of_running_vms_and_with_memory(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("on", running=True)
    server.add_vm("off")
    server.forget()
    for name, options, kind in (
        ("on", {"snapshot": "a"}, "unsupported"),
        ("on", {"snapshot": "a.b", "memory": True}, "invalid_request"),
        ("off", {"snapshot": "a", "memory": True}, "conflict"),
    ):
        for check in (True, False):
            refused = ask("vm_snapshot", check=check, name=name, **options)
            assert (refused.failed, refused.result["kind"]) == (True, kind), refused.result
    assert server.writes == []


def test_a_vm_that_this_server_has_not_started(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", running=True)
    assert ask("vm_power", name="web", state="restarted", **CUT).changed
    told = ask("vm_snapshot", name="web", snapshot="first", memory=True)
    assert (told.failed, told.result["kind"]) == (True, "conflict")
    assert "stop it and start it" in told.result["msg"]
    ask("vm_power", name="web", state="stopped", **CUT)
    ask("vm_power", name="web", state="started")
    assert ask("vm_snapshot", name="web", snapshot="first", memory=True).changed


def test_the_snapshot_of_an_earlier_vm_is_not_complete(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", running=True)
    assert ask("vm_snapshot", name="web", snapshot="old", memory=True).changed
    assert ask("vm", name="web", state="absent", force=True).changed
    folder = server.add_vm("web", running=True)
    folder["config"]["created"] = "2099-01-01T00:00:00.000Z"
    assert [one["complete"] for one in ask("vm_snapshot_info", name="web").result["snapshots"]] == [False]
    again = ask("vm_snapshot", name="web", snapshot="old", memory=True)
    assert [one.endpoint for one in server.writes[-2:]] == [
        "DELETE /api/snapshots/{vm}/{name}",
        "POST /api/snapshots/create",
    ]
    assert again.changed


def test_the_document_has_none() -> None:
    from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
    from ansible_collections.anyvirt.compute.tests.unit.qemu_api.manager import connection_to

    with QemuApiServer("documented") as server:
        server.add_vm("web", running=True)
        server.forget()
        options = {**connection_to(server), "name": "web"}
        assert run("vm_snapshot_info", options).result["snapshots"] == []
        for check in (True, False):
            refused = run("vm_snapshot", {**options, "snapshot": "first", "memory": True}, check=check)
            assert (refused.failed, refused.result["kind"]) == (True, "unsupported")
            assert "open-source server" in refused.result["msg"]
        assert server.writes == []
