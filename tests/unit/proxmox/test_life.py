# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of a VM through the modules. Each step by ``do``: foretold, done, and nothing left to do."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.servers.pve.state import Pool
from ansible_collections.anyvirt.compute.tests.unit.proxmox.conftest import Ask

DISK = {"slot": "scsi0", "size": "2GiB", "storage": "shared", "format": "qcow2"}
NIC = {"slot": "net0", "network": "vmbr0"}


@pytest.fixture(params=["8.4", "9.2"])
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def vm(server: ProxmoxServer) -> int:
    server.add_vm(
        200,
        "web",
        memory="512",
        cores=1,
        scsihw="virtio-scsi-single",
        scsi0="shared:2,format=qcow2,iothread=1",
        net0="virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1",
    )
    return 200


@pytest.fixture
def running(server: ProxmoxServer, vm: int, ask: Ask) -> int:
    assert not ask("vm_power", id=str(vm), state="started").failed
    return vm


def test_a_vm_is_made_with_all_that_is_asked(do: Ask, server: ProxmoxServer) -> None:
    made = do(
        "vm",
        name="new",
        id="321",
        node="pve2",
        memory="1GiB",
        cores=2,
        sockets=1,
        cpu_type="host",
        guest_agent=True,
        description="made by a test, with a comma",
        tags=["Web", "a"],
        disks=[DISK, {"slot": "scsi1", "size": "1GiB", "storage": "local", "format": "raw"}],
        nics=[NIC, {"slot": "net1", "network": "vmbr0", "vlan": 12, "connected": False, "mac": "bc:24:11:aa:bb:cc"}],
        boot_order=["scsi0", "net0"],
        cloud_init={
            "user": "me",
            "ssh_keys": ["ssh-ed25519 AAAA+/== me@example.com"],
            "nameservers": ["192.0.2.53"],
            "ip_config": [{"nic": "net0", "ip": "192.0.2.10/24", "gateway": "192.0.2.1"}],
        },
        native={"onboot": 1, "scsihw": "virtio-scsi-single", "vga": "std,memory=32", "startup": "order=1,up=30"},
    )
    assert (made.vm["id"], made.vm["node"], made.vm["tags"]) == ("321", "pve2", ["a", "web"])
    assert [disk["size"] for disk in made.vm["disks"]] == [2, 1]
    assert [nic["connected"] for nic in made.vm["nics"]] == [True, False]
    assert made.vm["nics"][1]["mac"] == "BC:24:11:AA:BB:CC"
    config = server.vm(321).config
    assert config["ide2"].endswith("media=cdrom") or "cloudinit" in config["ide2"]
    assert config["vga"] == "std,memory=32"


def test_a_vm_gets_a_free_id_and_starts(do: Ask, server: ProxmoxServer, vm: int) -> None:
    made = do("vm", name="new", memory="512", disks=[DISK], state="started")
    assert made.vm["state"] == "running"
    assert int(made.vm["id"]) != vm


def test_one_with_uefi(do: Ask, server: ProxmoxServer) -> None:
    made = do("vm", name="new", firmware="uefi", disks=[DISK])
    assert "efidisk0" in server.vm(int(made.vm["id"])).config


def test_a_disk_without_a_storage_is_refused(ask: Ask, server: ProxmoxServer) -> None:
    for check in (True, False):
        told = ask("vm", check=check, name="new", disks=[{"slot": "scsi0", "size": "1GiB"}])
        assert told.failed
        assert told.result["kind"] == "invalid_request"
    assert not server.writes


CHANGES: dict[str, dict[str, Any]] = {
    "plain": {"memory": "1GiB", "cores": 2, "description": "new", "tags": ["b", "A"]},
    "native": {"native": {"onboot": 1, "vga": "std,memory=16", "scsi0": {"ssd": "1"}, "net0": {"rate": "5.0"}}},
    "agent": {"guest_agent": True, "cpu_type": "host"},
    "grow": {"disks": [{"slot": "scsi0", "size": "3GiB"}]},
    "add": {"disks": [{"slot": "scsi1", "size": "1GiB", "storage": "local"}], "nics": [{"slot": "net1", **{}}]},
    "nic": {"nics": [{"slot": "net0", "model": "e1000", "vlan": 7, "connected": False}]},
    "remove": {"absent": ["net0", "scsi0", "boot_order"]},
    "cd": {"cdrom": {"slot": "ide2", "image": ""}},
    "template": {"template": True},
}


@pytest.mark.parametrize("which", CHANGES)
def test_a_stopped_vm_changes(which: str, do: Ask, server: ProxmoxServer, vm: int) -> None:
    changes = dict(CHANGES[which])
    if which == "add":
        changes["nics"] = [{"slot": "net1", "network": "vmbr0"}]
    done = do("vm_config", vague=("native",) if which == "remove" else (), id=str(vm), **changes)
    assert done.result["pending"] == []
    config = server.vm(vm).config
    if which not in ("remove", "nic"):
        assert config["net0"].startswith("virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1")
    if which not in ("remove", "template"):
        assert "vm-200-disk-0.qcow2" in config["scsi0"]
        assert "iothread=1" in config["scsi0"]
    if which == "nic":
        assert config["net0"] == "e1000=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,link_down=1,tag=7"


@pytest.mark.parametrize("which", [one for one in CHANGES if one not in ("template", "cd", "remove")])
def test_a_running_vm_changes_now_or_at_its_next_start(which: str, do: Ask, running: int) -> None:
    changes = dict(CHANGES[which])
    if which == "add":
        changes["nics"] = [{"slot": "net1", "network": "vmbr0"}]
    done = do("vm_config", id=str(running), **changes)
    assert ("memory" in done.result["pending"]) == (which == "plain")


def test_a_device_of_a_running_vm_is_taken_away(ask: Ask, running: int, server: ProxmoxServer) -> None:
    done = ask("vm_config", id=str(running), absent=["net0"])
    assert (done.failed, done.changed, done.vm["nics"]) == (False, True, [])
    assert not ask("vm_config", id=str(running), absent=["net0"]).changed


def test_what_waits_takes_effect_at_the_restart(do: Ask, ask: Ask, running: int, server: ProxmoxServer) -> None:
    do("vm_config", id=str(running), memory="1GiB")
    assert ask("vm_power", id=str(running), state="stopped").changed
    told = ask("vm_config", id=str(running), memory="1GiB")
    assert (told.changed, told.result["pending"]) == (False, [])


def test_a_cloud_init_drive_is_made_anew_when_its_settings_change(do: Ask, server: ProxmoxServer) -> None:
    do("vm", name="new", id="300", disks=[DISK], cloud_init={"user": "me"})
    server.forget()
    do("vm_config", id="300", cloud_init={"user": "you"})
    assert [w.method for w in server.writes if w.path.endswith("/cloudinit")] == ["PUT"]


POWER = [
    ("stopped", ["started"], "running"),
    ("running", ["stopped"], "stopped"),
    ("running", ["paused", "resumed"], "running"),
    ("running", ["paused", "started", "suspended", "started"], "running"),
    ("running", ["suspended", "resumed", "paused", "stopped"], "stopped"),
]


@pytest.mark.parametrize(("first", "states", "last"), POWER)
def test_power(first: str, states: list[str], last: str, do: Ask, ask: Ask, vm: int) -> None:
    if first == "running":
        ask("vm_power", name="web", state="started")
    for state in states:
        done = do("vm_power", name="web", state=state)
    assert done.vm["state"] == last


@pytest.mark.parametrize("state", ["restarted", "reset"])
def test_a_restart_is_always_a_change(state: str, do: Ask, running: int) -> None:
    assert do("vm_power", again=False, id=str(running), state=state).vm["state"] == "running"


def test_a_guest_that_does_not_shut_down(do: Ask, ask: Ask, server: ProxmoxServer) -> None:
    server.add_vm(201, "deaf", running=True, memory="512", shutdown_seconds=None)
    told = ask("vm_power", name="deaf", state="stopped", shutdown_timeout=1)
    assert told.failed
    assert told.result["kind"] == "task_failed"
    assert "timeout" in told.result["msg"]
    assert do("vm_power", name="deaf", state="stopped", force=True, shutdown_timeout=0).vm["state"] == "stopped"


def test_snapshots(do: Ask, ask: Ask, running: int, server: ProxmoxServer) -> None:
    first = do("vm_snapshot", name="web", snapshot="first", description="of the disks")
    assert first.result["snapshot"]["memory"] is False
    second = do("vm_snapshot", name="web", snapshot="second", memory=True)
    assert (second.result["snapshot"]["memory"], second.result["snapshot"]["parent"]) == (True, "first")
    do("vm_snapshot", name="web", snapshot="second", description="with memory")
    do("vm_config", name="web", tags=["later"])
    back = do("vm_snapshot", again=False, name="web", snapshot="second", state="reverted", force=True)
    assert back.vm["state"] == "running"
    assert back.vm["tags"] == []
    do("vm_snapshot", name="web", snapshot="first", state="absent")
    (left,) = ask("vm_snapshot_info", name="web").result["snapshots"]
    assert (left["name"], left["parent"]) == ("second", None)


@pytest.mark.parametrize("start", [True, False])
def test_without_memory_a_running_vm_ends_stopped_or_is_started(start: bool, do: Ask, running: int) -> None:
    do("vm_snapshot", name="web", snapshot="first")
    back = do("vm_snapshot", again=False, name="web", snapshot="first", state="reverted", force=True, start=start)
    assert back.vm["state"] == ("running" if start else "stopped")


def test_a_full_clone_with_changes(do: Ask, server: ProxmoxServer, vm: int) -> None:
    made = do("vm_clone", source="web", name="copy", memory="1GiB", disks=[{"slot": "scsi0", "size": "3GiB"}])
    assert (made.vm["name"], made.vm["memory"], made.vm["disks"][0]["size"]) == ("copy", 1024, 3)
    assert made.vm["nics"][0]["mac"] != "BC:24:11:00:00:01"
    assert server.vm(vm).config["memory"] == "512"


def test_a_linked_clone_of_a_template_and_one_of_a_snapshot(do: Ask, vm: int) -> None:
    do("vm_snapshot", name="web", snapshot="first")
    do("vm_config", name="web", memory="1GiB")
    made = do("vm_clone", source="web", name="older", snapshot="first", full=True)
    assert made.vm["memory"] == 512
    do("vm_snapshot", name="web", snapshot="first", state="absent")
    do("vm", name="web", template=True)
    made = do("vm_clone", source="web", name="linked")
    assert "base-200" in made.vm["disks"][0]["volume"]
    started = do("vm", name="third", clone_from={"name": "web"}, cores=2, state="started")
    assert (started.vm["state"], started.vm["cores"]) == ("running", 2)


def test_a_clone_on_another_node_and_in_a_pool(do: Ask, server: ProxmoxServer, vm: int) -> None:
    made = do("vm_clone", source="web", name="copy", node="pve2", memory="600MiB")
    assert (made.vm["node"], made.vm["memory"]) == ("pve2", 600)


def test_a_vm_in_a_pool(do: Ask, ask: Ask, server: ProxmoxServer) -> None:
    server.state.pools["prod"] = Pool("prod")
    assert do("vm", name="new", id="321", pool="prod").vm["pool"] == "prod"
    assert do("vm_clone", source="new", name="copy", pool="prod").vm["pool"] == "prod"


def test_a_clone_with_an_id_on_another_storage(do: Ask, server: ProxmoxServer, vm: int) -> None:
    made = do("vm_clone", source="web", name="copy", id="777", storage="local", tags=["Upper"])
    assert (made.vm["id"], made.vm["tags"]) == ("777", ["upper"])
    assert [disk["storage"] for disk in made.vm["disks"]] == ["local"]
    made = do("vm", id="778", name="other", clone_from={"name": "web", "storage": "local"})
    assert (made.vm["id"], made.vm["name"]) == ("778", "other")


def test_a_linked_clone_stays_on_its_storage(ask: Ask, server: ProxmoxServer, vm: int) -> None:
    told = ask("vm_clone", source="web", name="copy", linked=True, storage="local")
    assert (told.failed, told.result["kind"]) == (True, "invalid_request")
    assert not server.writes


def test_several_clones_in_one_task(ask: Ask, server: ProxmoxServer, vm: int) -> None:
    clones = [{"name": f"c{number}", "cores": number} for number in (1, 2, 3)]
    done = ask("vm_clone", source="web", clones=clones)
    assert not done.failed, done.result
    assert [(one["vm"]["name"], one["vm"]["cores"]) for one in done.result["results"]] == [
        ("c1", 1),
        ("c2", 2),
        ("c3", 3),
    ]
    assert len({one["id"] for one in done.result["results"]}) == 3
    assert not ask("vm_clone", source="web", clones=clones).changed


def test_of_many_that_are_made_what_fails_is_made_by_the_next_run(ask: Ask, server: ProxmoxServer) -> None:
    each = [{"name": f"n{number}", "description": f"number {number}"} for number in range(12)]
    options: dict[str, Any] = {"each": each, "memory": "64", "state": "started"}
    server.fail_next(500, method="POST", path="/nodes/[^/]+/qemu$", times=3)
    server.plan_task("qmstart", exitstatus="start failed: QEMU exited with code 1", times=2)
    done = ask("vm", **options)
    ill = {one["name"] for one in done.result["results"] if one.get("failed")}
    assert (done.failed, done.result["kind"], len(ill)) == (True, "some_failed", 5)
    made = len(server.state.guests)
    assert made == 12 - 3
    server.forget()
    rest = ask("vm", **options)
    assert not rest.failed, rest.result
    assert {one["name"] for one in rest.result["results"] if one["changed"]} == ill
    assert len(server.writes) == 3 * 2 + 2, [(one.path, one.status, one.params) for one in server.writes]
    guests = {one.config["name"]: one for one in server.state.guests.values()}
    assert all(guests[one["name"]].running for one in each)
    assert {name: one.config["description"].strip() for name, one in guests.items()} == {
        one["name"]: one["description"] for one in each
    }


def test_each_is_waited_for_in_its_own_way(ask: Ask, server: ProxmoxServer) -> None:
    port = urlsplit(server.url).port
    waits = {"port": port, "host": "127.0.0.1"}
    nobody = {"port": port, "host": "127.0.0.2", "timeout": 1}
    each = [{"name": "a"}, {"name": "b", "wait_for": nobody}, {"name": "c", "wait_for": nobody, "state": "stopped"}]
    done = ask("vm", each=each, memory="64", state="started", wait_for=waits)
    assert [one.get("kind") for one in done.result["results"]] == [None, "task_timeout", None]
    assert f"nothing answered on port {port}" in done.result["msg"]


def test_migration_of_a_stopped_vm(do: Ask, vm: int) -> None:
    assert do("vm_migrate", name="web", node="pve2").vm["node"] == "pve2"


def test_online_with_local_disks(do: Ask, ask: Ask, server: ProxmoxServer) -> None:
    server.add_vm(201, "local", running=True, memory="512", scsi0="local:1")
    for check in (True, False):
        told = ask("vm_migrate", check=check, name="local", node="pve2")
        assert told.failed
        assert (told.result["kind"], told.changed) == ("conflict", False)
        assert "local:201" in told.result["msg"]
    assert not server.writes
    moved = do("vm_migrate", name="local", node="pve2", with_local_disks=True)
    assert (moved.vm["node"], moved.vm["state"]) == ("pve2", "running")


def test_a_migration_to_nowhere(ask: Ask, server: ProxmoxServer, vm: int) -> None:
    told = ask("vm_migrate", check=True, name="web", node="pve9")
    assert (told.failed, told.result["kind"]) == (True, "not_found")
    assert "pve1, pve2" in told.result["msg"]


@pytest.mark.parametrize("state", ["stopped", "running", "suspended"])
def test_a_vm_is_deleted(state: str, do: Ask, ask: Ask, server: ProxmoxServer, vm: int) -> None:
    if state != "stopped":
        ask("vm_power", name="web", state="started")
    if state == "suspended":
        ask("vm_power", name="web", state="suspended")
    do("vm", name="web", state="absent", force=True)
    assert vm not in server.state.guests


def test_a_protected_vm_is_not(ask: Ask, server: ProxmoxServer) -> None:
    server.add_vm(201, "dear", memory="512", protection=1)
    told = ask("vm", name="dear", state="absent", force=True)
    assert (told.failed, told.result["kind"]) == (True, "conflict")
    assert 201 in server.state.guests
