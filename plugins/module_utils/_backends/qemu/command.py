# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a VM's record to QEMU's command line."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from ..._errors import InvalidRequest, MissingLibrary
from ..._fields import natural
from . import networks
from .store import EFIVARS, Record

NIC_MODELS = {"virtio": "virtio-net-pci", "e1000e": "e1000e", "vmxnet3": "vmxnet3"}
SCSI = "scsi"
"""Id of the SCSI controller; it takes a root port like a device."""
SEED = "seed"
SEED_SCSI_ID = 31
SPARE_PORTS = 4

FIRMWARE = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
)
"""Where distributions put UEFI for VMs: code and the template of its variables."""


def firmware() -> tuple[str, str]:
    """
    :raises MissingLibrary: none is installed.
    """
    for code, variables in FIRMWARE:
        if os.path.exists(code) and os.path.exists(variables):
            return code, variables
    raise MissingLibrary(
        "UEFI firmware (OVMF) is not installed on this host.", advice="On Debian and Ubuntu: apt install ovmf."
    )


def needs_port(slot: str) -> bool:
    """virtio disks and NICs sit behind a root port each, where they can be plugged; SCSI disks share a controller's."""
    return slot.startswith(("virtio", "net")) or slot == SCSI


def wanted_ports(config: Mapping[str, Any]) -> list[str]:
    slots = [*config.get("disks", {}), *config.get("nics", {})]
    uses_scsi = "cloud_init" in config or any(slot.startswith("scsi") for slot in [*slots, cdrom_slot(config)])
    return sorted(slot for slot in slots if needs_port(slot)) + ([SCSI] if uses_scsi else [])


def assign_ports(config: Mapping[str, Any], taken: Mapping[str, int]) -> dict[str, int]:
    """A root port for each device; those that have one keep it, since a snapshot's memory knows it."""
    wanted = wanted_ports(config)
    ports = {slot: port for slot, port in taken.items() if slot in wanted}
    free = (port for port in range(256) if port not in ports.values())
    for slot in wanted:
        if slot not in ports:
            ports[slot] = next(free)
    return ports


def port_count(ports: Mapping[str, int], at_least: int = 8) -> int:
    """Root ports of a machine that starts afresh: all that are used, and some to plug devices into."""
    return max(at_least, max(ports.values(), default=-1) + 1 + SPARE_PORTS)


def cdrom_slot(config: Mapping[str, Any]) -> str:
    return (config.get("cdrom") or {}).get("slot", "")


def check_slots(config: Mapping[str, Any]) -> None:
    """
    :raises InvalidRequest: a slot that this machine does not have, or one that is used twice.
    """
    for slot in config.get("disks", {}):
        if not slot.startswith(("virtio", "scsi", "sata")):
            raise InvalidRequest(f"disks: backend qemu has no slot {slot}.", advice="Use virtio, scsi or sata slots.")
    for slot in config.get("nics", {}):
        if not slot.startswith("net"):
            raise InvalidRequest(f"nics: {slot} is no slot of a NIC.", advice="Use net0, net1 and so on.")
    cdrom = cdrom_slot(config)
    if cdrom and not cdrom.startswith(("scsi", "sata")):
        raise InvalidRequest(
            f"cdrom: backend qemu cannot have a CD-ROM in slot {cdrom}.", advice="Use a scsi or sata slot."
        )
    if cdrom in config.get("disks", {}):
        raise InvalidRequest(f"slot {cdrom} is used twice: by a disk and by the CD-ROM.")
    for slot in [*config.get("disks", {}), cdrom]:
        last = {"sata": 5, "scsi": SEED_SCSI_ID - 1}.get(natural(slot)[0])
        if last is not None and natural(slot)[1] > last:
            raise InvalidRequest(f"slot {slot}: backend qemu has {natural(slot)[0]}0 to {natural(slot)[0]}{last}.")
    known = {*config.get("disks", {}), *config.get("nics", {}), cdrom}
    for slot in config.get("boot_order", ()):
        if slot not in known:
            raise InvalidRequest(f"boot_order: the VM has nothing in slot {slot}.")
    for slot in (config.get("cloud_init") or {}).get("ip_config", {}):
        if slot not in config.get("nics", {}):
            raise InvalidRequest(f"cloud_init: ip_config: the VM has no NIC {slot}.")


def topology(record: Record) -> str:
    """A digest of the hardware that the guest sees: memory of one topology cannot be loaded into another."""
    config = record.config
    seen = {
        "machine": record.machine,
        **{name: config.get(name) for name in ("memory", "cores", "sockets", "cpu_type", "firmware")},
        "disks": sorted(config.get("disks", {})),
        "nics": {slot: [nic["model"], nic["mac"]] for slot, nic in config.get("nics", {}).items()},
        "cdrom": cdrom_slot(config),
        "seed": "cloud_init" in config,
        "ports": record.ports,
        "port_count": record.port_count,
        "vga": config.get("native", {}).get("vga", "std"),
    }
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]


def disk_node(slot: str, path: str, image_format: str) -> dict[str, Any]:
    return {
        "driver": image_format,
        "node-name": slot,
        "discard": "unmap",
        "file": {"driver": "file", "filename": path, "discard": "unmap"},
    }


def cd_node(node: str, path: str) -> dict[str, Any]:
    return {
        "driver": "raw",
        "node-name": node,
        "read-only": True,
        "file": {"driver": "file", "filename": path, "read-only": True},
    }


def disk_device(slot: str, ports: Mapping[str, int], kind: str = "hd") -> dict[str, Any]:
    """The device in a slot.

    :param kind: ``hd`` or ``cd``.
    """
    bus, number = natural(slot)
    if bus == "virtio":
        return {"driver": "virtio-blk-pci", "id": slot, "drive": slot, "bus": f"rp{ports[slot]}"}
    if bus == "scsi":
        return {"driver": f"scsi-{kind}", "id": slot, "drive": slot, "bus": f"{SCSI}.0", "scsi-id": number}
    return {"driver": f"ide-{kind}", "id": slot, "drive": slot, "bus": f"ide.{number}"}


def scsi_controller(ports: Mapping[str, int]) -> dict[str, Any]:
    return {"driver": "virtio-scsi-pci", "id": SCSI, "bus": f"rp{ports[SCSI]}"}


def nic_device(slot: str, nic: Mapping[str, Any], ports: Mapping[str, int]) -> dict[str, Any]:
    return {
        "driver": NIC_MODELS[nic["model"]],
        "id": slot,
        "netdev": f"host-{slot}",
        "mac": nic["mac"],
        "bus": f"rp{ports[slot]}",
    }


class CommandLine:
    """QEMU's arguments for one start of a VM. Sockets and logs are named relative to its working directory, run/.

    :param taps: descriptors of the tap devices of NICs on bridges, by slot.
    """

    def __init__(self, record: Record, vm_dir: str, accelerator: str, taps: Mapping[str, int]) -> None:
        self._record = record
        self._config = record.config
        self._vm_dir = vm_dir
        self._accelerator = accelerator
        self._taps = taps
        self._boot = record.config.get("boot_order") or default_boot_order(record.config)

    def arguments(self) -> list[str]:
        return [
            *self._process(),
            *self._machine(),
            *self._fixed_devices(),
            *self._disks(),
            *self._cdrom(),
            *self._nics(),
        ]

    def _process(self) -> list[str]:
        monitors = []
        for name, mode in (("qmp", "control"), ("info", "control"), ("human", "readline")):
            monitors += ["-chardev", f"socket,id={name},path={name}.sock,server=on,wait=off"]
            monitors += ["-mon", f"chardev={name},mode={mode}"]
        return [
            *("-name", f"guest={self._record.name}", "-uuid", self._record.uuid, "-S"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-msg", "timestamp=on", "-pidfile", "pid"),
            *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
            *monitors,
        ]

    def _machine(self) -> list[str]:
        config, native = self._config, self._config.get("native", {})
        cpus = config["cores"] * config["sockets"]
        machine, firmware_nodes = self._record.machine, []
        if EFIVARS in self._record.files:
            code, _template = firmware()
            variables = disk_node(EFIVARS, os.path.join(self._vm_dir, self._record.files[EFIVARS]), "qcow2")
            firmware_nodes = [*_blockdev(cd_node("efi", code)), *_blockdev(variables)]
            machine += f",pflash0=efi,pflash1={EFIVARS}"
        kernel = []
        for option, name in (("-kernel", "kernel"), ("-initrd", "initrd"), ("-append", "kernel_args")):
            kernel += [option, native[name]] if native.get(name) else []
        return [
            *firmware_nodes,
            *("-machine", machine, "-accel", self._accelerator, "-cpu", config["cpu_type"]),
            *("-m", f"{config['memory']}M", "-smp", f"cpus={cpus},sockets={config['sockets']},cores={config['cores']}"),
            *kernel,
        ]

    def _fixed_devices(self) -> list[str]:
        record = self._record
        vga = {"std": "VGA", "virtio": "virtio-vga"}.get(self._config.get("native", {}).get("vga", "std"))
        ports = []
        for port in range(record.port_count):
            # eight root ports share a slot of the root complex; from 0x10 on they are out of the way of others
            address = f"{0x10 + port // 8:x}.{port % 8:x}"
            ports += _device(
                {
                    "driver": "pcie-root-port",
                    "id": f"rp{port}",
                    "chassis": port + 1,
                    "addr": address,
                    "multifunction": True,
                }
            )
        return [
            *ports,
            *("-chardev", "file,id=console,path=console.log,append=on", "-device", "isa-serial,chardev=console"),
            *("-chardev", "socket,id=agent,path=agent.sock,server=on,wait=off"),
            *("-device", "virtio-serial-pci,id=serial,addr=0x3"),
            *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
            *("-device", "virtio-balloon-pci,id=balloon,addr=0x4"),
            *("-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng,addr=0x5"),
            *("-vnc", "unix:vnc.sock"),
            *(["-device", f"{vga},id=vga,addr=0x2"] if vga else []),
            *(_device(scsi_controller(record.ports)) if SCSI in record.ports else []),
        ]

    def _disks(self) -> list[str]:
        arguments = []
        for slot, disk in sorted(self._config.get("disks", {}).items(), key=lambda item: natural(item[0])):
            path = os.path.join(self._vm_dir, self._record.files[slot])
            arguments += _blockdev(disk_node(slot, path, disk["format"]))
            arguments += _device(self._bootable(disk_device(slot, self._record.ports)))
        return arguments

    def _cdrom(self) -> list[str]:
        arguments = []
        slot, image = cdrom_slot(self._config), (self._config.get("cdrom") or {}).get("image")
        if slot:
            device = self._bootable(disk_device(slot, self._record.ports, "cd"))
            if image:
                arguments += _blockdev(cd_node(slot, image))
            else:
                del device["drive"]
            arguments += _device(device)
        if "cloud_init" in self._config:
            seed = {"driver": "scsi-cd", "id": SEED, "drive": SEED, "bus": f"{SCSI}.0", "scsi-id": SEED_SCSI_ID}
            arguments += [*_blockdev(cd_node(SEED, os.path.join(self._vm_dir, "seed.iso"))), *_device(seed)]
        return arguments

    def _nics(self) -> list[str]:
        arguments = []
        for slot, nic in sorted(self._config.get("nics", {}).items(), key=lambda item: natural(item[0])):
            arguments += ["-netdev", json.dumps(networks.netdev(slot, nic, self._taps.get(slot)))]
            arguments += _device(self._bootable(nic_device(slot, nic, self._record.ports)))
        return arguments

    def _bootable(self, device: dict[str, Any]) -> dict[str, Any]:
        if device["id"] in self._boot:
            # 0 belongs to a kernel that is booted directly
            device["bootindex"] = self._boot.index(device["id"]) + 1
        return device


def default_boot_order(config: Mapping[str, Any]) -> list[str]:
    """Disks, then the CD-ROM, then the network."""
    disks, nics = (sorted(config.get(kind, {}), key=natural) for kind in ("disks", "nics"))
    return [*disks, *filter(None, [cdrom_slot(config)]), *nics]


def _blockdev(node: Mapping[str, Any]) -> list[str]:
    return ["-blockdev", json.dumps(node)]


def _device(device: Mapping[str, Any]) -> list[str]:
    return ["-device", json.dumps(device)]
