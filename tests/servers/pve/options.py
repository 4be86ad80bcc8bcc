# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Single options of a configuration: which right each needs, how its value is stored, whether it can change live."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from .errors import ApiError, parameter_error
from .routes import Call
from .schema import split_list
from .state import Cluster, Guest
from .text import words
from .volumes import check_drive, find, is_cdrom

DRIVE = re.compile(r"(ide|sata|scsi|virtio)\d+|efidisk0|tpmstate0|unused\d+")
NET = re.compile(r"net\d+")
_ROOT_ONLY = {"lock", "args", "vmgenid", "affinity", "hugepages", "keephugepages", "ivshmem", "migrate_downtime"}
_RIGHTS = {
    "VM.Config.CPU": "cores sockets cpu cpulimit cpuunits vcpus numa smp",
    "VM.Config.Memory": "memory balloon shares allow-ksm",
    "VM.Config.HWType": (
        "acpi hotplug kvm machine scsihw smbios1 tablet vga watchdog audio0 rng0 amd-sev intel-tdx arch"
    ),
    "VM.Config.Options": (
        "name description tags onboot agent bios ostype protection localtime keyboard reboot startup template"
        " startdate autostart tdf migrate_speed hookscript spice_enhancements"
    ),
    "VM.Config.Disk": "boot bootdisk vmstatestorage",
    "VM.Config.Cloudinit": "ciuser cipassword cicustom citype ciupgrade nameserver searchdomain sshkeys",
    "VM.PowerMgmt": "freeze",
    "VM.Config.CDROM": "cdrom",
}
_RIGHT = {key: right for right, keys in _RIGHTS.items() for key in keys.split()}
_STEMS = {
    "serial": "VM.Config.HWType", "parallel": "VM.Config.HWType", "usb": "VM.Config.HWType",
    "hostpci": "VM.Config.HWType", "numa": "VM.Config.CPU", "virtiofs": "VM.Config.Disk", "net": "VM.Config.Network",
}  # fmt: skip
CLOUDINIT = set(_RIGHTS["VM.Config.Cloudinit"].split())
_LIVE = CLOUDINIT | set(
    words(
        "name description tags onboot protection hookscript lock shares balloon startup cpuunits cpulimit hotplug"
        " migrate_downtime migrate_speed vmstatestorage autostart template"
    )
)
_SSH = re.compile(r"((ssh|ecdsa|sk)-\S+)\s+\S+.*|\s*(#.*)?")


def need_right(call: Call, key: str, value: Any, current: Any, pool: str | None = None) -> None:
    """Refuse when the caller may not touch the option. value is None when it is deleted."""
    _check_real_devices(call, key, value)
    rights = [_right(call.cluster, key, value, current)]
    if key.startswith("ipconfig"):
        rights = ["VM.Config.Network", "VM.Config.Cloudinit"]
    path = f"/vms/{call.vmid}"
    if pool and call.may(f"/pool/{pool}", *rights):
        return
    call.require(path, *rights)
    if key == "startup":
        call.require("/", "Sys.Modify")


def _right(cluster: Cluster, key: str, value: Any, current: Any) -> str:
    if DRIVE.fullmatch(key):
        empty = all(
            text is None or (key[:6] != "unused" and is_cdrom(cluster.contract.options(key, str(text))))
            for text in (value, current)
        )
        return "VM.Config.CDROM" if empty and (value or current) else "VM.Config.Disk"
    return _RIGHT.get(key) or _STEMS.get(key.rstrip("0123456789"), "VM.Config.Options")


def _check_real_devices(call: Call, key: str, value: Any) -> None:
    if call.caller.is_root:
        return
    stem, text = key.rstrip("0123456789"), str(value or "")
    if key in _ROOT_ONLY:
        raise ApiError(f"only root can set '{key}' config\n")
    if stem == "usb" and text and not re.search(r"spice|mapping=", text):
        raise ApiError(f"only root can set '{key}' config for real devices\n")
    if stem == "hostpci" and text and "mapping=" not in text:
        raise ApiError(f"only root can set '{key}' config for non-mapped devices\n")
    if stem in ("serial", "parallel") and text and text != "socket":
        raise ApiError(f"only root can modify '{key}' config for real devices\n")


def check_values(call: Call, given: dict[str, Any]) -> None:
    """What is wrong with values although the schema has no objection; before any task."""
    script = given.get("hookscript")
    if script and find(call.cluster, call.node, script) is None:
        raise parameter_error(hookscript=f"script '{script}' does not exist\n")
    if "sshkeys" in given:
        lines = unquote(given["sshkeys"]).splitlines()
        if not all(_SSH.fullmatch(line.strip()) for line in lines):
            raise ApiError("SSH public key validation error\n")
    for key in sorted(given):
        if DRIVE.fullmatch(key) and key[:6] != "unused":
            check_drive(call, key, given[key])
        elif NET.fullmatch(key):
            _check_bridge(call, call.cluster.contract.options(key, given[key]).get("bridge"))


def _check_bridge(call: Call, bridge: str | None) -> None:
    if bridge:
        call.require(f"/sdn/zones/localnetwork/{bridge}", "SDN.Use")
    elif not call.cluster.new:
        raise ApiError("no sdn vnet ID specified\n")


def stored(cluster: Cluster, key: str, value: Any, normal_tags: bool = True) -> Any:
    """A value as the configuration keeps it; drives are another matter."""
    if NET.fullmatch(key):
        options = cluster.contract.options(key, value)
        options.setdefault("macaddr", cluster.new_mac())
        return cluster.contract.text(key, options)
    if key == "tags" and normal_tags:
        return ";".join(sorted({tag.lower() for tag in split_list(value)})) or " "
    if key == "description":
        return value.rstrip()
    return " " if value == "" else value


def is_live(guest: Guest, key: str, value: Any, cluster: Cluster) -> bool:
    """Whether the option changes while the guest runs; value is None when it is deleted."""
    features = guest.config.get("hotplug", "1")
    features = {"1": "network,disk,usb", "0": ""}.get(features, features)
    stem = key.rstrip("0123456789")
    if key in _LIVE or stem in ("unused", "ipconfig"):
        return True
    if stem == "net":
        return "network" in features
    if stem in ("scsi", "virtio"):
        return "disk" in features
    if stem in ("ide", "sata") and value is not None and key in guest.config:
        both = [cluster.contract.options(key, text) for text in (value, guest.config[key])]
        return all(is_cdrom(options) for options in both)
    needs = {"memory": "memory", "vcpus": "cpu", "usb": "usb"}
    return needs.get(stem, "-") in features


def check_boot(cluster: Cluster, value: str, config: dict[str, Any]) -> None:
    order = cluster.contract.options("boot", value).get("order", "")
    for device in split_list(order):
        if device not in config:
            raise ApiError(f"invalid bootorder: device '{device}' does not exist'\n")


def default_boot(cluster: Cluster, guest: Guest) -> str:
    """The boot order of a new guest: its first disk, its first CD-ROM, its first NIC."""
    drives = [key for key in guest.drives() if key not in ("efidisk0", "tpmstate0")]
    cdrom = {key: is_cdrom(cluster.contract.options(key, guest.config[key])) for key in drives}
    devices = [key for key in drives if not cdrom[key]][:1] + [key for key in drives if cdrom[key]][:1]
    devices += [key for key in (f"net{i}" for i in range(32)) if key in guest.config][:1]
    return f"order={';'.join(devices)}" if devices else " "


def drop_boot(config: dict[str, Any], key: str) -> None:
    """Take a removed device out of the boot order."""
    boot = config.get("boot", "")
    if boot.startswith("order="):
        devices = [device for device in boot[6:].split(";") if device != key]
        config["boot"] = f"order={';'.join(devices)}" if devices else " "
