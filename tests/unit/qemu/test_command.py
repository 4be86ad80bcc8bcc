# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a record to QEMU's arguments, and the digest of the hardware that a guest sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu import command
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.command import (
    CommandLine,
    assign_ports,
    check_slots,
    default_boot_order,
    port_count,
    topology,
    wanted_ports,
)
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.store import Record
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import InvalidRequest, MissingLibrary

MAC = "52:54:00:00:00:01"


def disk(slot: str, **values: Any) -> dict[str, Any]:
    return {"slot": slot, "size": 1, "format": "qcow2", **values}


def nic(slot: str, **values: Any) -> dict[str, Any]:
    return {"slot": slot, "network": "user", "model": "virtio", "mac": MAC, "connected": True, **values}


def record(**config: Any) -> Record:
    settings = {"memory": 64, "cores": 2, "sockets": 1, "cpu_type": "qemu64", "firmware": "bios", **config}
    for kind, make in (("disks", disk), ("nics", nic)):
        devices = settings.get(kind, {})
        settings[kind] = devices if isinstance(devices, dict) else {slot: make(slot) for slot in devices}
    ports = assign_ports(settings, {})
    return Record(
        name="web",
        uuid="4d0f1cbe-0000-4000-8000-000000000000",
        machine="pc-q35-7.2",
        config=settings,
        files={slot: f"disk{number}.qcow2" for number, slot in enumerate(settings["disks"])},
        ports=ports,
        port_count=port_count(ports),
    )


def arguments(of: Record, accelerator: str = "tcg", taps: dict[str, int] | None = None) -> list[str]:
    return CommandLine(of, "/state/vms/web", accelerator, taps or {}).arguments()


def values(of: list[str], option: str) -> list[str]:
    return [value for name, value in zip(of, of[1:]) if name == option]


def parsed(of: list[str], option: str) -> Iterator[dict[str, Any]]:
    return (json.loads(value) for value in values(of, option) if value.startswith("{"))


def devices(of: list[str]) -> dict[str, dict[str, Any]]:
    return {device["id"]: device for device in parsed(of, "-device")}


def nodes(of: list[str]) -> dict[str, dict[str, Any]]:
    return {node["node-name"]: node for node in parsed(of, "-blockdev")}


# --- the command line


def test_what_every_vm_has() -> None:
    line = arguments(record())
    for option, value in {
        "-name": "guest=web",
        "-uuid": "4d0f1cbe-0000-4000-8000-000000000000",
        "-machine": "pc-q35-7.2",
        "-accel": "tcg",
        "-cpu": "qemu64",
        "-m": "64M",
        "-smp": "cpus=2,sockets=1,cores=2",
        "-pidfile": "pid",
        "-vnc": "unix:vnc.sock",
        "-display": "none",
        "-sandbox": "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    }.items():
        assert values(line, option) == [value]
    for switch in ("-S", "-nodefaults", "-no-user-config"):
        assert line.count(switch) == 1
    assert "-daemonize" not in line
    assert values(line, "-mon") == [
        "chardev=qmp,mode=control",
        "chardev=info,mode=control",
        "chardev=human,mode=readline",
    ]
    assert [value.split(",")[2] for value in values(line, "-chardev")[:3]] == [
        "path=qmp.sock",
        "path=info.sock",
        "path=human.sock",
    ]


def test_sockets_are_short_and_relative() -> None:
    for value in values(arguments(record()), "-chardev"):
        (path,) = (part[5:] for part in value.split(",") if part.startswith("path="))
        assert "/" not in path


def test_sockets_times_cores_are_the_cpus() -> None:
    assert values(arguments(record(cores=3, sockets=2)), "-smp") == ["cpus=6,sockets=2,cores=3"]


def test_disks_are_json_behind_ports_of_their_own() -> None:
    line = arguments(record(disks=["virtio0", "virtio10", "virtio2", "scsi3", "sata1"], nics=["net0"]))
    assert list(nodes(line)) == ["sata1", "scsi3", "virtio0", "virtio2", "virtio10"]
    assert nodes(line)["virtio10"] == {
        "driver": "qcow2",
        "node-name": "virtio10",
        "discard": "unmap",
        "file": {"driver": "file", "filename": "/state/vms/web/disk1.qcow2", "discard": "unmap"},
    }
    found = devices(line)
    assert found["virtio2"]["driver"] == "virtio-blk-pci"
    assert found["scsi3"]["bus"] == "scsi.0"
    assert found["scsi3"]["scsi-id"] == 3
    assert (found["sata1"]["driver"], found["sata1"]["bus"]) == ("ide-hd", "ide.1")
    buses = [found[slot]["bus"] for slot in ("virtio0", "virtio2", "virtio10", "net0", "scsi")]
    assert len(set(buses)) == len(buses)
    assert set(buses) <= {name for name, one in found.items() if one["driver"] == "pcie-root-port"}


@pytest.mark.parametrize(
    ("config", "has"),
    [
        ({"disks": ["scsi0"]}, True),
        ({"cdrom": {"slot": "scsi1"}}, True),
        ({"cloud_init": {}}, True),
        ({"disks": ["virtio0"], "cdrom": {"slot": "sata0"}}, False),
    ],
)
def test_the_scsi_controller_is_there_where_it_is_used(config: dict[str, Any], has: bool) -> None:
    assert ("scsi" in devices(arguments(record(**config)))) is has


def test_root_ports_are_numbered_and_some_are_spare() -> None:
    of = record(nics=[f"net{n}" for n in range(12)])
    ports = [one for one in devices(arguments(of)).values() if one["driver"] == "pcie-root-port"]
    assert len(ports) == of.port_count == 12 + command.SPARE_PORTS
    assert len({one["chassis"] for one in ports}) == len(ports)
    assert len({one["addr"] for one in ports}) == len(ports)
    assert (ports[0]["addr"], ports[7]["addr"], ports[8]["addr"]) == ("10.0", "10.7", "11.0")


def test_the_boot_order_is_the_users_or_disks_cdrom_network() -> None:
    config: dict[str, Any] = {
        "disks": ["virtio0", "scsi0"],
        "nics": ["net0"],
        "cdrom": {"slot": "sata0", "image": "/a.iso"},
    }

    def order(**more: Any) -> list[str]:
        found = devices(arguments(record(**config, **more)))
        return sorted((slot for slot in found if "bootindex" in found[slot]), key=lambda slot: found[slot]["bootindex"])

    assert order() == ["scsi0", "virtio0", "sata0", "net0"] == default_boot_order(record(**config).config)
    assert order(boot_order=["net0", "virtio0"]) == ["net0", "virtio0"]
    assert order(boot_order=[]) == order()
    # 0 belongs to a kernel that is booted directly
    assert min(one["bootindex"] for one in devices(arguments(record(**config))).values() if "bootindex" in one) == 1


def test_a_cdrom_has_its_medium_or_an_empty_tray() -> None:
    line = arguments(record(cdrom={"slot": "sata0", "image": "/iso/a,b.iso"}))
    assert nodes(line)["sata0"]["file"] == {"driver": "file", "filename": "/iso/a,b.iso", "read-only": True}
    assert devices(line)["sata0"]["driver"] == "ide-cd"
    empty = arguments(record(cdrom={"slot": "sata0", "image": ""}))
    assert "sata0" not in nodes(empty)
    assert "drive" not in devices(empty)["sata0"]


def test_a_seed_is_a_cd_of_its_own() -> None:
    line = arguments(record(cloud_init={"user": "me"}))
    assert nodes(line)["seed"]["file"]["filename"] == "/state/vms/web/seed.iso"
    assert nodes(line)["seed"]["read-only"] is True
    assert devices(line)["seed"]["scsi-id"] == command.SEED_SCSI_ID
    assert "seed" not in nodes(arguments(record()))


def test_networks() -> None:
    forwards = [{"protocol": "tcp", "host_port": 2222, "guest_port": 22}]
    of = record(
        nics={
            "net0": nic("net0", forwards=forwards),
            "net1": nic("net1", network="br0", model="e1000e"),
            "net2": nic("net2", network="tap7"),
        }
    )
    line = arguments(of, taps={"net1": 9})
    assert list(parsed(line, "-netdev")) == [
        {"type": "user", "id": "host-net0", "hostfwd": [{"str": "tcp:127.0.0.1:2222-:22"}]},
        {"type": "tap", "id": "host-net1", "fd": "9"},
        {"type": "tap", "id": "host-net2", "ifname": "tap7", "script": "no", "downscript": "no"},
    ]
    found = devices(line)
    assert [found[slot]["driver"] for slot in ("net0", "net1", "net2")] == [
        "virtio-net-pci",
        "e1000e",
        "virtio-net-pci",
    ]
    assert found["net1"]["mac"] == MAC


def test_a_kernel_is_booted_directly() -> None:
    native = {"kernel": "/boot/k", "initrd": "/boot/i", "kernel_args": "console=ttyS0 a=b,c"}
    line = arguments(record(native=native))
    assert [values(line, option) for option in ("-kernel", "-initrd", "-append")] == [
        ["/boot/k"],
        ["/boot/i"],
        ["console=ttyS0 a=b,c"],
    ]
    assert not set(arguments(record())) & {"-kernel", "-initrd", "-append"}


@pytest.mark.parametrize(("vga", "device"), [(None, "VGA"), ("std", "VGA"), ("virtio", "virtio-vga"), ("none", None)])
def test_a_display(vga: str | None, device: str | None) -> None:
    line = arguments(record(native={"vga": vga} if vga else {}))
    assert [value for value in values(line, "-device") if "id=vga" in value] == (
        [f"{device},id=vga,addr=0x2"] if device else []
    )


def test_uefi_has_its_variables_in_the_vms_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "firmware", lambda: ("/fw/CODE.fd", "/fw/VARS.fd"))
    of = record(disks=["virtio0"], firmware="uefi")
    line = arguments(replace(of, files={**of.files, "efivars": "efivars.qcow2"}))
    assert values(line, "-machine") == ["pc-q35-7.2,pflash0=efi,pflash1=efivars"]
    assert nodes(line)["efi"]["file"]["filename"] == "/fw/CODE.fd"
    assert nodes(line)["efi"]["read-only"] is True
    assert nodes(line)["efivars"]["file"]["filename"] == "/state/vms/web/efivars.qcow2"


def test_missing_firmware_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "FIRMWARE", (("/nowhere/CODE.fd", "/nowhere/VARS.fd"),))
    with pytest.raises(MissingLibrary, match="UEFI firmware"):
        command.firmware()


EVIL = ["a;reboot", "$(reboot)", "`x`", "a,accel=kvm", "a b", "a'\"b", "a\\nb"]


@pytest.mark.parametrize("text", EVIL)
def test_what_a_user_names_stays_one_value(text: str) -> None:
    """No shell is involved, and file names go as JSON: a comma begins no further option."""
    of = record(
        disks=["virtio0"], cdrom={"slot": "sata0", "image": f"/{text}"}, nics={"net0": nic("net0", network=text)}
    )
    line = arguments(replace(of, files={"virtio0": f"{text}.qcow2"}))
    assert nodes(line)["virtio0"]["file"]["filename"] == f"/state/vms/web/{text}.qcow2"
    assert nodes(line)["sata0"]["file"]["filename"] == f"/{text}"
    assert next(parsed(line, "-netdev"))["ifname"] == text
    assert all(text not in word for word in line if not word.startswith("{"))


# --- ports


@given(
    st.sets(st.sampled_from(["virtio0", "virtio1", "net0", "net1", "scsi0", "sata0"])),
    st.sets(st.sampled_from(["virtio0", "virtio1", "virtio2", "net0", "net1", "net2", "scsi0", "scsi1", "sata0"])),
)
def test_a_device_keeps_its_port_and_no_port_has_two(before: set[str], after: set[str]) -> None:
    def config(slots: set[str]) -> dict[str, Any]:
        return {
            "disks": {slot: disk(slot) for slot in slots if not slot.startswith("net")},
            "nics": {slot: nic(slot) for slot in slots if slot.startswith("net")},
        }

    first = assign_ports(config(before), {})
    second = assign_ports(config(after), first)
    assert set(second) == set(wanted_ports(config(after)))
    assert {slot: second[slot] for slot in first if slot in second} == {s: p for s, p in first.items() if s in second}
    for ports in (first, second):
        assert len(set(ports.values())) == len(ports)
        assert port_count(ports) > max(ports.values(), default=-1) + command.SPARE_PORTS - 1
        assert port_count(ports) >= 8
    assert assign_ports(config(after), second) == second


# --- topology


FULL = record(
    disks=["virtio0"], nics=["net0"], cdrom={"slot": "sata0", "image": "/a.iso"}, cloud_init={"user": "me"}, native={}
)


def changed(of: Record = FULL, **config: Any) -> Record:
    return replace(of, config={**of.config, **config})


SAME_HARDWARE = {
    "another name": replace(FULL, name="other", uuid="u", generation=9, current="s", suspended=True, detached=("x",)),
    "files": replace(FULL, files={"virtio0": "elsewhere.qcow2"}),
    "disk size": changed(disks={"virtio0": disk("virtio0", size=99)}),
    "tags": changed(tags=["a"], description="d", guest_agent=True, template=True, boot_order=["net0"]),
    "network": changed(nics={"net0": nic("net0", network="br0", connected=False, forwards=[1])}),
    "medium": changed(cdrom={"slot": "sata0", "image": ""}),
    "seed content": changed(cloud_init={"user": "you", "password": "p"}),
    "kernel": changed(native={"accel": "tcg", "kernel": "/k", "vga": "std"}),
}
OTHER_HARDWARE = {
    "machine": replace(FULL, machine="pc-q35-8.0"),
    "memory": changed(memory=128),
    "cores": changed(cores=4),
    "sockets": changed(sockets=2),
    "cpu": changed(cpu_type="max"),
    "firmware": changed(firmware="uefi"),
    "disk": changed(disks={"virtio0": disk("virtio0"), "virtio1": disk("virtio1")}),
    "disk slot": changed(disks={"virtio1": disk("virtio1")}),
    "no nic": changed(nics={}),
    "model": changed(nics={"net0": nic("net0", model="e1000e")}),
    "mac": changed(nics={"net0": nic("net0", mac="52:54:00:00:00:02")}),
    "drive": changed(cdrom={"slot": "sata1", "image": "/a.iso"}),
    "no seed": replace(FULL, config={k: v for k, v in FULL.config.items() if k != "cloud_init"}),
    "vga": changed(native={"vga": "none"}),
    "ports": replace(FULL, ports={**FULL.ports, "net0": 7}),
    "port count": replace(FULL, port_count=16),
}


@pytest.mark.parametrize("what", SAME_HARDWARE)
def test_what_the_guest_does_not_see_leaves_the_digest(what: str) -> None:
    assert topology(SAME_HARDWARE[what]) == topology(FULL)


@pytest.mark.parametrize("what", OTHER_HARDWARE)
def test_what_the_guest_sees_changes_the_digest(what: str) -> None:
    assert topology(OTHER_HARDWARE[what]) != topology(FULL)


def test_each_hardware_has_a_digest_of_its_own() -> None:
    assert len({topology(one) for one in OTHER_HARDWARE.values()}) == len(OTHER_HARDWARE)


# --- slots


@pytest.mark.parametrize(
    "config",
    [
        {"disks": {"virtio0": {}, "scsi30": {}, "sata5": {}}, "nics": {"net0": {}}},
        {"cdrom": {"slot": "scsi0"}, "boot_order": ["scsi0"]},
        {"nics": {"net1": {}}, "cloud_init": {"ip_config": {"net1": {}}}},
        {},
    ],
)
def test_good_slots(config: dict[str, Any]) -> None:
    assert check_slots(config) is None


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"disks": {"ide0": {}}}, "no slot ide0"),
        ({"disks": {"net0": {}}}, "no slot net0"),
        ({"nics": {"virtio0": {}}}, "virtio0 is no slot of a NIC"),
        ({"cdrom": {"slot": "virtio0"}}, "cannot have a CD-ROM in slot virtio0"),
        ({"cdrom": {"slot": "sata0"}, "disks": {"sata0": {}}}, "slot sata0 is used twice"),
        ({"disks": {"sata6": {}}}, "sata0 to sata5"),
        ({"disks": {"scsi31": {}}}, "scsi0 to scsi30"),
        ({"boot_order": ["virtio0"]}, "nothing in slot virtio0"),
        ({"cloud_init": {"ip_config": {"net0": {}}}}, "the VM has no NIC net0"),
    ],
)
def test_bad_slots(config: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        check_slots(config)
