# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each documented endpoint, and a task that uses it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.vsd import VsdServer
from ansible_collections.anyvirt.compute.tests.unit.vsd.conftest import Ask

SNAPSHOT = "/v1/compute/vsd/snapshot"
REVERT = {"name": "web", "snapshot": "first", "state": "reverted"}

DOCUMENTED: dict[str, tuple[str, dict[str, Any]]] = {
    f"GET {SNAPSHOT}/list": ("vm_snapshot_info", {"name": "web"}),
    f"GET {SNAPSHOT}/tree": ("vm_snapshot_info", {"name": "web"}),
    f"GET {SNAPSHOT}/get": ("vm_snapshot", REVERT),
    f"GET {SNAPSHOT}/head": ("vm_snapshot", REVERT),
    f"POST {SNAPSHOT}/create": ("vm_snapshot", {"name": "web", "snapshot": "second"}),
    f"POST {SNAPSHOT}/modify": ("vm_snapshot", {"name": "web", "snapshot": "first", "description": "new"}),
    f"POST {SNAPSHOT}/rollback": ("vm_snapshot", REVERT),
    f"POST {SNAPSHOT}/delete": ("vm_snapshot", {"name": "web", "snapshot": "first", "state": "absent"}),
    "POST /v1/compute/volume/snapshot/rollback": ("vm_snapshot", {**REVERT, "disks": ["virtio0"]}),
}
"""The nine that the collection was asked to cover."""

OF_2021: dict[str, tuple[str, dict[str, Any]]] = {
    "POST /v1/authentication/login": ("vm_info", {}),
    "GET /v1/cluster/list": ("vm_info", {"cluster": "cluster"}),
    "GET /v1/compute/list": ("vm_info", {}),
    "GET /v1/compute/inspect": ("vm_info", {"name": "web", "gather": ["config"]}),
    "GET /v1/host/list/overview": ("vm_info", {}),
    "POST /v1/compute/start": ("vm_power", {"name": "web", "state": "started"}),
    "POST /v1/compute/shutdown": ("vm_power", {"name": "busy", "state": "stopped"}),
    "POST /v1/compute/shutoff": (
        "vm_power",
        {"name": "busy", "state": "stopped", "force": True, "shutdown_timeout": 0},
    ),
    "POST /v1/compute/reset": ("vm_power", {"name": "busy", "state": "reset"}),
    "POST /v1/compute/suspend": ("vm_power", {"name": "busy", "state": "paused"}),
    "POST /v1/compute/resume": ("vm_power", {"name": "halted", "state": "resumed"}),
    "POST /v1/compute/vcpu/set": ("vm_config", {"name": "web", "cores": 2}),
    "POST /v1/compute/vmemory/set": ("vm_config", {"name": "web", "memory": "2GiB"}),
    "POST /v1/compute/clone": ("vm_clone", {"source": "web", "name": "copy"}),
    "POST /v1/compute/clone/progress": ("vm_clone", {"source": "web", "name": "copy"}),
    "POST /v1/compute/migrate": ("vm_migrate", {"name": "busy", "node": "host-2"}),
    "POST /v1/compute/delete": ("vm", {"name": "web", "state": "absent"}),
    "GET /v1/trash/list": ("vm", {"name": "web", "state": "absent", "purge": True}),
}
"""What else the driver uses, from documents that are public."""

ENDPOINTS = {**DOCUMENTED, **OF_2021}


@pytest.fixture
def manners() -> dict[str, Any]:
    return {"polls": 2}


@pytest.fixture
def vms(server: VsdServer) -> None:
    server.add_vm("web")
    server.add_vm("busy", state="running")
    server.add_vm("halted", state="paused")


def test_there_are_nine() -> None:
    assert len(DOCUMENTED) == 9


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_task_uses_it(endpoint: str, ask: Ask, server: VsdServer, vms: None) -> None:
    module, options = ENDPOINTS[endpoint]
    if module.startswith("vm_snapshot"):
        assert ask("vm_snapshot", name="web", snapshot="first").changed
    server.forget()
    done = ask(module, **options)
    assert not done.failed, done.result
    assert endpoint in server.reached


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if one.startswith("POST") and "log" not in one])
def test_check_mode_sends_no_change(endpoint: str, ask: Ask, server: VsdServer, vms: None) -> None:
    module, options = ENDPOINTS[endpoint]
    if module == "vm_snapshot":
        assert ask("vm_snapshot", name="web", snapshot="first").changed
    server.forget()
    told = ask(module, check=True, **options)
    assert (told.failed, told.changed) == (False, True), told.result
    assert server.writes == []


def test_the_id_decides_and_the_names_go_along(ask: Ask, server: VsdServer, vms: None) -> None:
    assert ask("vm_snapshot", name="web", snapshot="first", description="why").changed
    (sent,) = server.writes
    uuid = next(vm.uuid for vm in server.state.vms.values() if vm.name == "web")
    assert sent.params == {
        "cluster_uuid": server.cluster,
        # users of the platform itself work on the VMs of all tenants
        "tenant": "",
        "compute_uuid": uuid,
        "compute_name": "web",
        "name": "first",
        "description": "why",
        "domain_memory": False,
    }
