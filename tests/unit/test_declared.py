# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a backend has no operation or setting for is refused where there is no server that could be asked."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils import _http
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.connect import connect
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import Op
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run

NOWHERE = {"url": ["https://127.0.0.1:1"], "username": "user", "password": "secret", "validate_certs": False}
BACKENDS = ("proxmox", "zstack", "vsd", "qemu_api")

VM, CLONE = {"name": "web"}, {"source": "web", "name": "copy"}
SNAPSHOT = {**VM, "snapshot": "before"}
TASKS: dict[Op, tuple[str, dict[str, Any]]] = {
    Op.DELETE: ("vm", {**VM, "state": "absent"}),
    Op.RESET: ("vm_power", {**VM, "state": "reset"}),
    Op.PAUSE: ("vm_power", {**VM, "state": "paused"}),
    Op.RESUME: ("vm_power", {**VM, "state": "resumed"}),
    Op.SUSPEND: ("vm_power", {**VM, "state": "suspended"}),
    Op.CLONE: ("vm_clone", CLONE),
    Op.CLONE_LINKED: ("vm_clone", {**CLONE, "linked": True}),
    Op.CLONE_SNAPSHOT: ("vm_clone", {**CLONE, "snapshot": "before"}),
    Op.CLONE_STORAGE: ("vm", {**VM, "clone_from": {"name": "base", "storage": "other"}}),
    Op.SNAPSHOT: ("vm_snapshot", SNAPSHOT),
    Op.SNAPSHOT_MEMORY: ("vm_snapshot", {**SNAPSHOT, "memory": True}),
    Op.SNAPSHOT_DELETE: ("vm_snapshot", {**SNAPSHOT, "state": "absent"}),
    Op.REVERT: ("vm_snapshot", {**SNAPSHOT, "state": "reverted"}),
    Op.REVERT_DISKS: ("vm_snapshot", {**SNAPSHOT, "state": "reverted", "disks": ["virtio0"]}),
    Op.MIGRATE: ("vm_migrate", {**VM, "node": "other"}),
    Op.MIGRATE_ONLINE: ("vm_migrate", {**VM, "node": "other", "online": True}),
    Op.MIGRATE_LOCAL_DISKS: ("vm_migrate", {**VM, "node": "other", "with_local_disks": True}),
    Op.CLUSTER_INFO: ("cluster_info", {}),
    Op.NODE_INFO: ("node_info", {}),
    Op.TASK_INFO: ("task_info", {}),
    Op.CONSOLE: ("vm_console", VM),
    Op.CLOSE_CONSOLE: ("vm_console", {**VM, "state": "absent"}),
}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "description": ("vm_config", {**VM, "description": "x"}),
    "tags": ("vm", {**VM, "tags": ["a"]}),
    "sockets": ("vm_clone", {**CLONE, "sockets": 2}),
    "cpu_type": ("vm_config", {**VM, "cpu_type": "host"}),
    "firmware": ("vm_config", {"vms": ["web", "db"], "firmware": "uefi"}),
    "guest_agent": ("vm", {"each": [{**VM, "guest_agent": True}]}),
    "template": ("vm_clone", {"source": "web", "clones": [{"name": "copy", "template": True}]}),
    "boot_order": ("vm_config", {"each": [{**VM, "boot_order": ["virtio0"]}]}),
    "disks": ("vm_config", {**VM, "disks": [{"slot": "virtio1", "size": "1GiB"}]}),
    "nics.vlan": ("vm_config", {**VM, "nics": [{"slot": "net0", "vlan": 7}]}),
    "cloud_init.user": ("vm", {**VM, "cloud_init": {"user": "me"}}),
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "FIRST_PATIENCE", 0.0)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("op", TASKS)
@pytest.mark.parametrize("name", BACKENDS)
def test_operations(name: str, op: Op, check: bool) -> None:
    module, options = TASKS[op]
    told = run(module, {"backend": name, **NOWHERE, **options}, check=check)
    assert told.failed
    is_declared = op in connect({"backend": name, **NOWHERE}).capabilities.operations
    assert told.result["kind"] == ("transport_error" if is_declared else "unsupported")
    assert (f"is not supported by backend {name}." in told.result["msg"]) is not is_declared


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", BACKENDS)
def test_settings(name: str, setting: str) -> None:
    module, options = SETTINGS[setting]
    told = run(module, {"backend": name, **NOWHERE, **options})
    assert told.failed
    can = connect({"backend": name, **NOWHERE}).capabilities
    is_declared = setting in can.fields and not (module == "vm_clone" and Op.CLONE not in can.operations)
    assert told.result["kind"] in (("transport_error", "some_failed") if is_declared else ("unsupported",))
    assert (f"is not supported by backend {name}." in told.result["msg"]) is not is_declared


def test_each_is_tried_by_a_backend_that_can_and_one_that_cannot() -> None:
    declared = [connect({"backend": name, **NOWHERE}).capabilities for name in BACKENDS]
    assert all(not all(setting in one.fields for one in declared) for setting in SETTINGS)
