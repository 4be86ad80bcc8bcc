# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each documented part of the API, and a task that uses it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.proxmox.conftest import Ask

VM = "/nodes/{node}/qemu/{vmid}"
DISK = {"slot": "scsi0", "size": "1GiB", "storage": "shared", "format": "qcow2"}
FILTERS = {
    "node": "pve1",
    "vm": "200",
    "user": "root",
    "type": "qmsnapshot",
    "status": ["ok", "warning"],
    "errors": True,
    "since": 1,
    "until": 4000000000,
    "start": 0,
    "limit": 7,
    "source": "all",
}
REVERT = {"name": "web", "snapshot": "first", "state": "reverted", "force": True}

ENDPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "GET /version": ("cluster_info", {}),
    "GET /nodes": ("node_info", {}),
    "GET /nodes/{node}/status": ("node_info", {"gather": ["status"]}),
    "GET /nodes/{node}/network type": ("node_info", {"gather": ["network"], "network_type": "bridge"}),
    "GET /cluster/status": ("cluster_info", {}),
    "GET /cluster/resources": ("cluster_info", {"gather": ["resources"]}),
    "GET /cluster/nextid": ("cluster_info", {"gather": ["next_id"]}),
    "GET /cluster/nextid vmid": ("cluster_info", {"id": "321"}),
    "GET /nodes/{node}/tasks errors limit since source start statusfilter typefilter until userfilter vmid": (
        "task_info",
        FILTERS,
    ),
    "GET /nodes/{node}/tasks/{upid}/status": ("vm_power", {"name": "web", "state": "started"}),
    "GET /nodes/{node}/tasks/{upid}/log": ("task_info", {"log": True}),
    "GET /nodes/{node}/qemu full": ("vm_info", {}),
    "POST /nodes/{node}/qemu": ("vm", {"name": "new", "disks": [DISK]}),
    f"GET {VM}/status/current": ("vm_info", {"id": "200"}),
    f"GET {VM}/pending": ("vm_info", {"id": "200", "gather": ["config", "pending"]}),
    f"GET {VM}/config snapshot": ("vm_snapshot", REVERT),
    f"PUT {VM}/config": ("vm_config", {"name": "web", "description": "new"}),
    f"POST {VM}/config": ("vm_config", {"name": "web", "memory": "1GiB"}),
    f"PUT {VM}/resize": ("vm_config", {"name": "web", "disks": [{"slot": "scsi0", "size": "2GiB"}]}),
    f"POST {VM}/template": ("vm_config", {"name": "web", "template": True}),
    f"DELETE {VM}": ("vm", {"name": "web", "state": "absent"}),
    f"POST {VM}/status/start": ("vm_power", {"name": "web", "state": "started"}),
    f"POST {VM}/status/shutdown": ("vm_power", {"name": "busy", "state": "stopped"}),
    f"POST {VM}/status/stop": ("vm_power", {"name": "busy", "state": "stopped", "force": True, "shutdown_timeout": 0}),
    f"POST {VM}/status/reboot": ("vm_power", {"name": "busy", "state": "restarted"}),
    f"POST {VM}/status/reset": ("vm_power", {"name": "busy", "state": "reset"}),
    f"POST {VM}/status/suspend": ("vm_power", {"name": "busy", "state": "paused"}),
    f"POST {VM}/status/suspend todisk": ("vm_power", {"name": "busy", "state": "suspended"}),
    f"POST {VM}/status/resume": ("vm_power", {"name": "halted", "state": "resumed"}),
    f"GET {VM}/snapshot": ("vm_snapshot_info", {"name": "web"}),
    f"POST {VM}/snapshot": ("vm_snapshot", {"name": "web", "snapshot": "second"}),
    f"PUT {VM}/snapshot/{{snapname}}/config description": (
        "vm_snapshot",
        {"name": "web", "snapshot": "first", "description": "new"},
    ),
    f"POST {VM}/snapshot/{{snapname}}/rollback": ("vm_snapshot", REVERT),
    f"DELETE {VM}/snapshot/{{snapname}}": ("vm_snapshot", {"name": "web", "snapshot": "first", "state": "absent"}),
    f"POST {VM}/clone": ("vm_clone", {"source": "web", "name": "copy"}),
    f"GET {VM}/migrate target": ("vm_migrate", {"name": "web", "node": "pve2"}),
    f"POST {VM}/migrate": ("vm_migrate", {"name": "web", "node": "pve2"}),
    f"GET {VM}/agent/network-get-interfaces": ("vm_info", {"name": "busy", "gather": ["agent"]}),
    f"POST {VM}/vncproxy websocket": ("vm_console", {"name": "busy", "websocket": True}),
    f"PUT {VM}/cloudinit": ("vm_config", {"name": "busy", "cloud_init": {"user": "you"}}),
}


@pytest.fixture
def vms(server: ProxmoxServer, ask: Ask) -> None:
    server.add_vm(200, "web", memory="512", scsi0="shared:1,format=qcow2")
    server.add_vm(201, "busy", running=True, memory="512", agent_state="running", agent="1", ide2="shared:cloudinit")
    server.add_vm(202, "halted", running=True, paused=True, memory="512")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_task_uses_it(endpoint: str, ask: Ask, server: ProxmoxServer, vms: None) -> None:
    module, options = ENDPOINTS[endpoint]
    if "first" in options.values() or "log" in options:
        assert ask("vm_snapshot", name="web", snapshot="first").changed
    server.forget()
    done = ask(module, **options)
    assert not done.failed, done.result
    verb, path, *parameters = endpoint.split()
    assert f"{verb} {path}" in server.reached
    assert any(set(parameters) <= set(one.params) for one in asked(server, verb, path))


def test_a_create_whose_answer_is_lost_looks_at_the_present_configuration(ask: Ask, server: ProxmoxServer) -> None:
    server.fail_next("lost", method="POST", path=r"/qemu$")
    assert ask("vm", name="new", disks=[DISK]).changed
    assert f"GET {VM}/config" in server.reached


def asked(server: ProxmoxServer, verb: str, path: str) -> list[Any]:
    """The requests for one part of the API that were answered well."""
    return [
        one
        for one in server.requests
        if one.status == 200 and one.method == verb and server.state.contract.find(one.method, one.path)[0].path == path
    ]
