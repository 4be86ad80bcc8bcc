# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules reach each of the documented endpoints, as the request log of the server tells."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.qemu_api import QemuApiServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
from ansible_collections.anyvirt.compute.tests.unit.qemu_api.manager import CUT, connection_to

MOUNTED = {"name": "web", "cdrom": {"image": "/iso/debian.iso"}}

DOCUMENTED: dict[str, tuple[str, dict[str, Any]]] = {
    "GET /api/vms": ("vm_info", {}),
    "POST /api/vms": ("vm", {"name": "new", "memory": "512", "cores": 1, "disks": [{"size": "10GiB"}]}),
    "POST /api/vms/{name}/start": ("vm_power", {"name": "halted", "state": "started"}),
    "POST /api/vms/{name}/stop": ("vm_power", {"name": "web", "state": "stopped", **CUT}),
    "POST /api/vms/{name}/restart": ("vm_power", {"name": "web", "state": "restarted", **CUT}),
    "DELETE /api/vms/{name}": ("vm", {"name": "halted", "state": "absent"}),
    "PUT /vms/{name}/config": ("vm_config", {"name": "web", "memory": "4GiB"}),
    "POST /api/vms/{name}/toggleMountIso": ("vm_config", MOUNTED),
    "POST /api/novnc": ("vm_console", {"vnc_port": 5900}),
    "POST /api/novnc/{name}": ("vm_console", {"name": "web"}),
}
"""The ten endpoints as the document writes them, and a task that needs each."""

SNAPSHOT = {"name": "web", "snapshot": "first"}
SNAPSHOTS: dict[str, tuple[str, dict[str, Any]]] = {
    "POST /api/snapshots/create": ("vm_snapshot", {**SNAPSHOT, "memory": True}),
    "GET /api/snapshots/{vm}": ("vm_snapshot_info", {"name": "web"}),
    "POST /api/snapshots/load": ("vm_snapshot", {**SNAPSHOT, "state": "reverted", "force": True}),
    "DELETE /api/snapshots/{vm}/{name}": ("vm_snapshot", {**SNAPSHOT, "state": "absent"}),
}


def vms(server: QemuApiServer) -> dict[str, Any]:
    server.add_vm("web", running=True)
    server.add_vm("halted")
    server.forget()
    return connection_to(server)


def test_the_document_has_ten_endpoints() -> None:
    with QemuApiServer("documented") as server:
        assert set(DOCUMENTED) == set(server.front.app.routes)
    assert len(DOCUMENTED) == 10


@pytest.mark.parametrize("endpoint", DOCUMENTED)
def test_a_module_reaches_each_endpoint(endpoint: str) -> None:
    module, options = DOCUMENTED[endpoint]
    with QemuApiServer("documented") as server:
        connection = vms(server)
        foretold = run(module, {**connection, **options}, check=True)
        assert not foretold.failed, foretold.result
        assert server.writes == []
        told = run(module, {**connection, **options})
        assert not told.failed, told.result
        assert endpoint in server.reached
        assert told.changed is (endpoint != "GET /api/vms")
        # nothing else is written on the way, but where the path of the configuration has to be found
        written = {one.endpoint for one in server.writes if one.endpoint}
        if options is not MOUNTED:
            assert written <= {endpoint}


@pytest.mark.parametrize("endpoint", DOCUMENTED)
def test_the_same_on_the_open_source_server(endpoint: str) -> None:
    module, options = DOCUMENTED[endpoint]
    if options is MOUNTED:
        options = {"name": "web", "cdrom": {"image": ""}}
    with QemuApiServer("voidvm") as server:
        connection = vms(server)
        server.voidvm.folders["web"]["config"]["isoPath"] = "/iso/debian.iso"
        told = run(module, {**connection, **options})
        assert not told.failed, told.result
        assert endpoint.replace("PUT /vms", "PUT /api/vms") in server.reached


@pytest.mark.parametrize("endpoint", SNAPSHOTS)
def test_snapshots_of_the_open_source_server(endpoint: str) -> None:
    module, options = SNAPSHOTS[endpoint]
    with QemuApiServer("voidvm") as server:
        connection = vms(server)
        if "create" not in endpoint:
            module_before, options_before = SNAPSHOTS["POST /api/snapshots/create"]
            assert run(module_before, {**connection, **options_before}).changed
            server.forget()
        told = run(module, {**connection, **options})
        assert not told.failed, told.result
        assert endpoint in server.reached


def test_no_header_tells_who_asks() -> None:
    """The API has no authentication; what stands in the environment for other backends is not sent there."""
    with QemuApiServer("documented") as server:
        seen: list[dict[str, str]] = []
        handle = server.http.handle
        server.http.handle = lambda request: (seen.append(request.headers), handle(request))[1]
        run("vm_info", {**connection_to(server), "username": "me", "password": "secret", "token_secret": "secret"})
        assert seen
        assert not [headers for headers in seen if "authorization" in headers or "secret" in str(headers)]
