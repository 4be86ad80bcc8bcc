# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster does beside what it is asked for, and what it takes to have it do more than one thing."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.proxmox.conftest import Ask

CUT = {"force": True, "shutdown_timeout": 0}


@pytest.fixture
def vm(server: ProxmoxServer) -> str:
    server.add_vm(
        200,
        "web",
        memory="512",
        scsi0="shared:2,format=qcow2,discard=on",
        sata0="shared:1,format=qcow2,ssd=1",
        net0="virtio,bridge=vmbr0,firewall=1",
        boot="order=scsi0;sata0;net0",
        shutdown_seconds=None,
    )
    return "200"


@pytest.mark.parametrize(
    ("state", "gone", "order"),
    [
        ("stopped", ["scsi0"], ["sata0", "net0"]),
        ("stopped", ["sata0", "net0"], ["scsi0"]),
        ("running", ["scsi0", "net0"], ["sata0"]),
        # it stays until the VM is next started
        ("running", ["sata0"], ["scsi0", "sata0", "net0"]),
    ],
)
def test_a_device_takes_its_native_options_and_its_place_along(
    state: str, gone: list[str], order: list[str], vm: str, do: Ask, ask: Ask
) -> None:
    if state == "running":
        assert not ask("vm_power", id=vm, state="started").failed
    done = do("vm_config", id=vm, absent=gone)
    assert done.vm["boot_order"] == order
    assert not set(gone) & set(done.vm["native"])


def test_a_cloud_init_drive_comes_and_goes_with_the_settings(vm: str, do: Ask, server: ProxmoxServer) -> None:
    do("vm_config", id=vm, cloud_init={"user": "me", "password": "HUSH"})
    assert "cloudinit" in server.vm(200).config["ide2"]
    do("vm_config", id=vm, absent=["cloud_init"])
    left = {"ide2", "ciuser", "cipassword"} & set(server.vm(200).config)
    assert left == set()


def test_a_drive_that_goes_leaves_the_boot_order(do: Ask, server: ProxmoxServer) -> None:
    disk = {"slot": "scsi0", "size": "1GiB", "storage": "shared", "format": "qcow2"}
    made = do("vm", name="new", disks=[disk], cloud_init={"user": "me"})
    assert made.vm["boot_order"] == ["scsi0", "ide2"]
    gone = do("vm_config", name="new", absent=["cloud_init"])
    assert gone.vm["boot_order"] == ["scsi0"]
    server.add_vm(201, "read", memory="512", scsi0="shared:1,format=qcow2", ide2="none,media=cdrom")
    assert do("vm_config", name="read", cdrom={"slot": "ide0"}).vm["boot_order"] == ["scsi0"]


def test_a_cloud_init_drive_that_was_to_go_is_kept(vm: str, do: Ask, ask: Ask, server: ProxmoxServer) -> None:
    for module, options in (
        ("vm_config", {"cloud_init": {"user": "me"}}),
        ("vm_power", {"state": "started"}),
        ("vm_config", {"absent": ["cloud_init"]}),
    ):
        done = ask(module, id=vm, **options)
        assert done.changed, done.result
    assert done.result["pending"] == ["cloud_init"]
    drive = server.vm(200).config["ide2"]
    assert do("vm_config", id=vm, cloud_init={"user": "you"}).result["pending"] == []
    assert (server.vm(200).config["ide2"], server.vm(200).pending) == (drive, {})


@pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
def test_cloud_init_needs_a_storage_for_its_drive(check: bool, ask: Ask, server: ProxmoxServer) -> None:
    server.add_vm(201, "bare", memory="512")
    bare = ask("vm_config", check=check, name="bare", cloud_init={"user": "me"})
    assert (bare.failed, bare.result["kind"]) == (True, "invalid_request")
    assert server.writes == []


def test_cloud_init_needs_a_slot_for_its_drive(ask: Ask, server: ProxmoxServer) -> None:
    drives: dict[str, Any] = {f"ide{number}": "shared:1,format=qcow2" for number in range(4)}
    server.add_vm(201, "full", memory="512", **drives)
    full = ask("vm_config", name="full", cloud_init={"user": "me"})
    assert (full.failed, full.result["kind"]) == (True, "invalid_request")
    assert server.writes == []


def test_a_restart_by_force_cuts_the_power_of_a_guest_that_does_not_hear(
    vm: str, ask: Ask, server: ProxmoxServer
) -> None:
    assert not ask("vm_power", id=vm, state="started").failed
    waits = ask("vm_config", id=vm, memory="1GiB")
    assert waits.result["pending"] == ["memory"]
    refused = ask("vm_power", id=vm, state="restarted", shutdown_timeout=1)
    assert (refused.failed, refused.result["kind"]) == (True, "task_failed")
    assert not ask("vm_power", id=vm, state="restarted", shutdown_timeout=1, force=True).failed
    assert server.vm(200).config["memory"] == "1024"


def test_what_is_started_after_a_shutdown_has_stopped_before(ask: Ask, server: ProxmoxServer) -> None:
    """HA ends its task before the VM has ended."""
    server.add_vm(201, "kept", running=True, memory="512", ha={"state": "started"}, ha_seconds=0.3)
    done = ask("vm_config", name="kept", memory="1GiB", apply="reboot")
    assert not done.failed, done.result
    assert (done.vm["state"], done.vm["memory"], done.result["pending"]) == ("running", 1024, [])
    guest = server.vm(201)
    assert (guest.running, guest.pending, guest.config["memory"]) == (True, {}, "1024")


def test_tasks_inside_a_step_are_polled_together(connection: dict[str, object], ask: Ask) -> None:
    with ProxmoxServer("9.2", task_seconds=0.5) as slow:
        names = [f"vm{number}" for number in range(6)]
        for number, name in enumerate(names):
            slow.add_vm(200 + number, name, running=True, memory="512", shutdown_seconds=None)
        there = {"url": [slow.url], "token_secret": slow.token_secret, "ca_path": slow.ca_path}
        done = ask("vm_power", vms=names, state="restarted", max_parallel=6, **CUT, **there)
        assert not done.failed, done.result
        paths = [logged.path for logged in slow.requests]
        first_start = next(number for number, path in enumerate(paths) if path.endswith("/status/start"))
        assert "/cluster/tasks" in paths[:first_start]
