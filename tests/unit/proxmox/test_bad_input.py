# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a user reads when something is not as it should be. Nothing is changed in any of these tasks."""

from __future__ import annotations

import pathlib
import socket
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils import _http
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import Answer
from ansible_collections.anyvirt.compute.tests.unit.proxmox.conftest import Ask

DISK = {"slot": "scsi0", "size": "1GiB", "storage": "shared", "format": "qcow2"}
CHANGE: dict[str, Any] = {"name": "web", "memory": "1GiB"}

Refused = Callable[..., Answer]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "PATIENCE", 1.0)
    monkeypatch.setattr(_http, "FIRST_PATIENCE", 1.0)


@pytest.fixture(autouse=True)
def vms(server: ProxmoxServer) -> None:
    server.add_vm(200, "web", memory="512", scsi0="shared:1,format=qcow2")
    server.add_vm(201, "away", "pve2", memory="512")
    server.add_vm(202, "twin", memory="512")
    server.add_vm(203, "twin", "pve2", memory="512")


@pytest.fixture
def refused(ask: Ask, server: ProxmoxServer) -> Refused:
    """A task that fails, with all of these texts in what is told, and changes nothing.

    ``written``: it is the server that refuses, and not the module.
    """

    def refused(module: str, kind: str, *texts: str, written: bool = False, **options: Any) -> Answer:
        server.forget()
        before = state_of(server)
        told = ask(module, **options)
        assert (told.failed, told.changed) == (True, False), told.result
        assert told.result["kind"] == kind, told.result
        for text in texts:
            assert text in told.result["msg"], (text, told.result["msg"])
        assert bool(server.writes) == written, server.writes
        assert state_of(server) == before
        return told

    return refused


def state_of(server: ProxmoxServer) -> dict[int, Any]:
    return {
        vmid: (guest.node, guest.running, dict(guest.config), list(guest.snapshots))
        for vmid, guest in server.state.guests.items()
    }


# --- who asks


def test_a_wrong_token(refused: Refused) -> None:
    told = refused("vm_config", "authentication_failed", "401", "token_secret", token_secret="HUSH", **CHANGE)
    assert "HUSH" not in told.text


def test_an_expired_token(refused: Refused, server: ProxmoxServer) -> None:
    secret = server.state.access.add_token("root@pam", "old", privsep=False, expire=1.0)
    old = {"token_id": "root@pam!old", "token_secret": secret}
    told = refused("vm_config", "authentication_failed", "401", "expired", **old, **CHANGE)
    assert secret not in told.text


MISSING: dict[str, tuple[str, dict[str, Any], str]] = {
    "config": ("vm_config", CHANGE, "/vms/200, VM.Config"),
    "description": ("vm_config", {"name": "web", "description": "new"}, "/vms/200, VM.Config"),
    "start": ("vm_power", {"name": "web", "state": "started"}, "/vms/200, VM.PowerMgmt"),
    "snapshot": ("vm_snapshot", {"name": "web", "snapshot": "first"}, "/vms/200, VM.Snapshot"),
    "clone": ("vm_clone", {"source": "web", "name": "copy"}, "/vms/200, VM.Clone"),
    "migrate": ("vm_migrate", {"name": "web", "node": "pve2"}, "/vms/200, VM.Migrate"),
    "delete": ("vm", {"name": "web", "state": "absent"}, "/vms/200, VM.Allocate"),
    "create": ("vm", {"name": "new", "disks": [DISK]}, "VM.Allocate on /vms/{id}, or on the pool"),
    "node": ("node_info", {"gather": ["status"]}, "/nodes/pve1, Sys.Audit"),
    "cluster": ("cluster_info", {}, "/, Sys.Audit"),
}


@pytest.mark.parametrize("which", MISSING)
def test_a_missing_privilege_is_named_and_where(which: str, refused: Refused, server: ProxmoxServer) -> None:
    module, options, named = MISSING[which]
    token_id, secret = server.add_user("low@pve", "VM.Audit")
    reads_only = which in ("migrate", "node", "cluster")
    low = {"token_id": token_id, "token_secret": secret}
    refused(module, "permission_denied", "403", named, written=not reads_only, **low, **options)


def test_a_vm_that_is_hidden_and_one_that_is_absent(refused: Refused, server: ProxmoxServer) -> None:
    """By id the cluster tells them apart; by name it cannot, and the message says so."""
    token_id, secret = server.add_user("blind@pve")
    blind = {"token_id": token_id, "token_secret": secret}
    refused("vm_power", "permission_denied", "VM 200 exists", "VM.Audit", id="200", state="started", **blind)
    by_id = refused("vm_power", "not_found", "id 999", id="999", state="started", **blind)
    assert "VM.Audit" not in by_id.result["msg"]
    for name in ("web", "nobody"):
        refused("vm_power", "not_found", f"'{name}'", "may not see (VM.Audit)", name=name, state="started", **blind)


# --- where to


def test_another_ca(refused: Refused, tmp_path: pathlib.Path) -> None:
    other = tmp_path / "other.pem"
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-keyout", "/dev/null"]
    subprocess.run([*new, "-out", str(other)], check=True, capture_output=True)
    refused("vm_config", "backend_error", "certificate of https://127.0.0.1", "ca_path", ca_path=str(other), **CHANGE)


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_a_ca_path_without_a_certificate(content: str | None, refused: Refused, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    refused("vm_config", "invalid_request", f"ca_path: there is no certificate in {path}", ca_path=str(path), **CHANGE)


def test_a_host_that_is_down(refused: Refused) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"https://127.0.0.1:{unused.getsockname()[1]}"
    refused("vm_config", "transport_error", f"{url} does not answer", "Connection refused", url=[url], **CHANGE)


@pytest.mark.parametrize("url", ["https://pve1:port", "https://", ""])
def test_a_url_that_cannot_be_read(url: str, refused: Refused) -> None:
    refused("vm_config", "invalid_request", f"'{url}'", "https://pve1.example.com:8006", url=[url], **CHANGE)


def test_a_server_that_is_no_proxmox(refused: Refused, server: ProxmoxServer) -> None:
    server.fail_next(200, method="GET", message="OK")
    refused("vm_config", "backend_error", "no JSON", "url", **CHANGE)


def test_a_node_that_is_down(refused: Refused, server: ProxmoxServer) -> None:
    server.node_down("pve2", quorum=True)
    refused("vm_config", "transport_error", "595", "Connection refused", "node", id="201", memory="1GiB")
    refused("task_info", "transport_error", "595", node="pve2")
    for check in (True, False):
        refused("vm", "not_found", "Node pve2", "pve1", check=check, name="new", node="pve2")


@pytest.mark.parametrize(("module", "options"), [("vm", {"name": "new"}), ("vm_clone", {"source": "web", "name": "c"})])
def test_a_node_that_there_is_not(module: str, options: dict[str, Any], refused: Refused) -> None:
    for check in (True, False):
        refused(module, "not_found", "Node pve9", "pve1, pve2", check=check, node="pve9", **options)


NO_QUORUM: dict[str, tuple[str, dict[str, Any], str]] = {
    "config": ("vm_config", CHANGE, "task_failed"),
    "description": ("vm_config", {"name": "web", "description": "new"}, "backend_error"),
    "start": ("vm_power", {"name": "web", "state": "started"}, "backend_error"),
    "create": ("vm", {"name": "new", "disks": [DISK]}, "backend_error"),
    "snapshot": ("vm_snapshot", {"name": "web", "snapshot": "first"}, "task_failed"),
    "clone": ("vm_clone", {"source": "web", "name": "copy"}, "backend_error"),
    "migrate": ("vm_migrate", {"name": "web", "node": "pve2"}, "backend_error"),
    "delete": ("vm", {"name": "web", "state": "absent"}, "task_failed"),
}


@pytest.mark.parametrize("which", NO_QUORUM)
def test_a_cluster_without_quorum(which: str, refused: Refused, server: ProxmoxServer) -> None:
    module, options, kind = NO_QUORUM[which]
    server.set_quorum(False)
    refused(module, kind, "The cluster has no quorum", "pvecm status", written=True, **options)


# --- what


@pytest.mark.parametrize(
    ("module", "options"),
    [("vm_config", {"memory": "1GiB"}), ("vm_power", {"state": "started"}), ("vm", {"state": "absent"})],
)
def test_a_name_of_several(module: str, options: dict[str, Any], refused: Refused) -> None:
    told = refused(module, "ambiguous", "202 on pve1", "203 on pve2", "by id", name="twin", **options)
    assert told.result["candidates"] == [{"id": "202", "node": "pve1"}, {"id": "203", "node": "pve2"}]


PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "vga": ({"native": {"vga": "nonsense"}}, "vga.type: value 'nonsense' does not have a value in the enumeration"),
    "onboot": ({"native": {"onboot": "often"}}, "onboot: type check ('boolean') failed - got 'often'"),
    "unknown": ({"native": {"nope": "1"}}, "nope: property is not defined in schema"),
    "memory": ({"memory": "1MiB"}, "memory.current: value must have a minimum value of 16"),
    "model": ({"nics": [{"slot": "net0", "network": "vmbr0", "model": "nope"}]}, "net0.model: value 'nope'"),
    "storage": ({"disks": [{**DISK, "slot": "scsi1", "storage": "nope"}]}, "storage 'nope' does not exist"),
}


@pytest.mark.parametrize("which", PARAMETERS)
def test_the_field_and_the_server_s_own_words(which: str, refused: Refused) -> None:
    options, words = PARAMETERS[which]
    kind = "not_found" if which == "storage" else "invalid_request"
    told = refused("vm_config", kind, words, "/nodes/pve1/qemu/200/config", written=True, name="web", **options)
    assert "\n" not in told.result["msg"]


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"id": "7"}, "invalid_request", "vmid: invalid format"),
        ({"id": "abc"}, "invalid_request", "vmid: type check ('integer') failed"),
        ({"pool": "nope"}, "not_found", "pool 'nope' does not exist"),
    ],
)
def test_a_new_vm_that_cannot_be(options: dict[str, Any], kind: str, words: str, refused: Refused) -> None:
    refused("vm", kind, words, written=True, name="new", **options)


@pytest.mark.parametrize("name", ["current", "pending", "a", "1st", "a b", "x" * 41, "schön"])
def test_a_name_that_no_snapshot_can_have(name: str, refused: Refused) -> None:
    for check in (True, False):
        refused(
            "vm_snapshot", "invalid_request", f"'{name}'", "2 to 40 letters", check=check, name="web", snapshot=name
        )


def test_a_snapshot_of_a_disk_that_cannot(refused: Refused, server: ProxmoxServer) -> None:
    server.add_vm(204, "raw", memory="512", scsi0="local:1,format=raw")
    text = "snapshot feature is not available"
    told = refused("vm_snapshot", "task_failed", text, written=True, name="raw", snapshot="first")
    assert told.result["task"]["state"] == "failed"


def test_a_migration_that_cannot_be(refused: Refused, server: ProxmoxServer) -> None:
    server.add_vm(204, "wired", running=True, memory="512", hostpci0="0000:01:00.0")
    server.add_storage("far", shared=True, nodes=("pve1",))
    server.add_vm(205, "stuck", memory="512", scsi0="far:1,format=qcow2")
    for check in (True, False):
        refused("vm_migrate", "conflict", "local resources hostpci0", check=check, name="wired", node="pve2")
        refused("vm_migrate", "conflict", "Stop it first", check=check, name="wired", node="pve2", online=False)
        refused("vm_migrate", "conflict", "unavailable_storages", "far", check=check, name="stuck", node="pve2")
    server.lock_vm(200, "backup")
    refused("vm_migrate", "conflict", "held by lock backup", name="web", node="pve2", timeout=1)
    server.unlock_vm(200)
    server.node_down("pve2", quorum=True)
    refused("vm_migrate", "not_found", "pve2 is not in the cluster or offline", name="web", node="pve2")


def test_a_task_that_there_is_not(refused: Refused) -> None:
    upid = "UPID:pve1:00004200:00000000:00000001:qmstart:1:root@pam:"
    refused("task_wait", "not_found", "no such task", "forgotten", tasks=[upid])
    refused("task_info", "not_found", "no such task", tasks=[upid])
    refused("task_wait", "not_found", "'hello' is no task of Proxmox VE", tasks=["hello"])


def test_a_filter_that_there_is_not(refused: Refused) -> None:
    refused("node_info", "invalid_request", "type: value 'nope'", gather=["network"], network_type="nope")
    refused("node_info", "not_found", "no node nope", node="nope")
    refused("cluster_info", "invalid_request", "vmid: invalid format", id="5")
