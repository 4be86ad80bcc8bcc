# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest's configuration in Proxmox VE's words, and the settings of the collection: from one to the other.

What has a word of its own is a setting; every other key is in ``native``, with property strings as dicts. The
sub-options of a disk or NIC that have no word are in ``native`` too, under its slot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from ..._errors import BackendError, InvalidRequest
from ..._fields import disk_in_gib, natural
from ..._plan import VM, Change
from . import properties

DRIVE = re.compile(r"(virtio|scsi|sata|ide)\d+")
NIC = re.compile(r"net\d+")

_PLAIN = {"name": "name", "description": "description", "cores": "cores", "sockets": "sockets"}
_SUB_OPTION = {
    "memory": ("memory", "current"),
    "cpu_type": ("cpu", "cputype"),
    "guest_agent": ("agent", "enabled"),
    "boot_order": ("boot", "order"),
}
_NIC = {"network": "bridge", "model": "model", "mac": "macaddr", "vlan": "tag", "connected": "link_down"}
_CLOUD_INIT = {
    "user": "ciuser",
    "password": "cipassword",
    "nameservers": "nameserver",
    "search_domains": "searchdomain",
}
_IP = {"ip": "ip", "gateway": "gw", "ip6": "ip6", "gateway6": "gw6"}
_MASK = "**********"

_IDENTITY = {
    *("digest", "meta", "smbios1", "vmgenid", "lock", "parent", "snaptime", "snapstate", "vmstate", "template", "bios"),
    *(
        "runningmachine",
        "runningcpu",
        "running-nets-host-mtu",
        "tags",
        "sshkeys",
        *_PLAIN.values(),
        *_CLOUD_INIT.values(),
    ),
    *(key for key, _part in _SUB_OPTION.values()),
}


@dataclass
class Write:
    """What to send for some changes.

    :param values: keys to set.
    :param delete: keys to delete.
    :param resize: disks that grow, with their size in GiB.
    :param cloud_init: whether the cloud-init drive has to be made anew.
    """

    values: dict[str, Any] = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)
    resize: dict[str, int | float] = field(default_factory=dict)
    cloud_init: bool = False


# --- from Proxmox VE


def settings_of(config: Mapping[str, Any]) -> VM:
    """The settings that a configuration has, devices by slot."""
    settings: VM = {name: config[key] for name, key in _PLAIN.items() if key in config}
    settings.setdefault("cores", 1)
    settings.setdefault("sockets", 1)
    settings["memory"] = int(properties.parse("memory", config.get("memory", "512"))["current"])
    settings["tags"] = tags_of(config.get("tags"))
    settings["firmware"] = "uefi" if config.get("bios") == "ovmf" else "bios"
    settings["guest_agent"] = properties.parse("agent", str(config.get("agent", "0"))).get("enabled") == "1"
    settings["boot_order"] = boot_order_of(config.get("boot", ""))
    if config.get("cpu"):
        settings["cpu_type"] = properties.parse("cpu", config["cpu"]).get("cputype")
    settings["template"] = str(config.get("template", 0)) == "1"
    native: dict[str, Any] = {}
    settings["disks"], settings["nics"] = {}, {}
    for key in sorted(config, key=natural):
        if NIC.fullmatch(key):
            settings["nics"][key], native[key] = _nic_of(key, config[key])
        elif DRIVE.fullmatch(key):
            _drive_of(settings, native, key, config[key])
        elif key not in _IDENTITY and not key.startswith(("unused", "ipconfig")):
            native[key] = native_value(key, config[key])
    cloud_init = _cloud_init_of(config)
    if cloud_init or cloud_init_drive(config):
        settings["cloud_init"] = cloud_init
    settings["native"] = {key: value for key, value in native.items() if value != {}}
    return settings


def tags_of(text: object) -> list[str]:
    return sorted(set(re.split(r"[;,\s]+", str(text or "").strip())) - {""})


def boot_order_of(text: str) -> list[str]:
    order = properties.parse("boot", text).get("order", "") if text.strip() else ""
    return [slot for slot in order.split(";") if slot]


def native_value(key: str, value: Any) -> Any:
    """A value as it is compared: a property string as a dict, everything else as text."""
    if isinstance(value, Mapping):
        return {name: _text(one) for name, one in value.items()}
    if properties.format_of(key) is None:
        return _text(value)
    try:
        return properties.parse(key, _text(value))
    except BackendError:
        # a form that is newer than this
        return _text(value)


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _nic_of(slot: str, text: str) -> tuple[dict[str, Any], dict[str, str]]:
    options = properties.parse(slot, text)
    nic: dict[str, Any] = {"slot": slot, "connected": options.pop("link_down", "0") != "1"}
    for name in ("network", "model", "mac"):
        if _NIC[name] in options:
            nic[name] = options.pop(_NIC[name])
    if "tag" in options:
        nic["vlan"] = int(options.pop("tag"))
    return nic, options


def _drive_of(settings: VM, native: dict[str, Any], slot: str, text: str) -> None:
    options = properties.parse(slot, text)
    volume = options.pop("file", "")
    if is_cloud_init(volume):
        return
    if options.pop("media", "disk") == "cdrom":
        settings.setdefault("cdrom", {"slot": slot, "image": "" if volume == "none" else volume})
        return
    disk: dict[str, Any] = {"slot": slot, "volume": volume}
    if ":" in volume:
        disk["storage"] = volume.split(":", 1)[0]
    image_format = options.pop("format", None) or volume.rpartition(".")[2]
    if image_format in ("qcow2", "raw"):
        disk["format"] = image_format
    if "size" in options:
        disk["size"] = disk_in_gib(options.pop("size"))
    settings["disks"][slot], native[slot] = disk, options


def is_cloud_init(volume: str) -> bool:
    return bool(re.search(r"(:|/|-)cloudinit(\.|$)", volume))


def cloud_init_drive(config: Mapping[str, Any]) -> str:
    """The slot of the cloud-init drive, empty where there is none."""
    drives = (key for key in config if DRIVE.fullmatch(key))
    return next((key for key in drives if is_cloud_init(properties.parse(key, config[key]).get("file", ""))), "")


def _cloud_init_of(config: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if config.get("ciuser"):
        found["user"] = config["ciuser"]
    if config.get("sshkeys"):
        found["ssh_keys"] = [key.strip() for key in unquote(config["sshkeys"]).splitlines() if key.strip()]
    for name in ("nameservers", "search_domains"):
        if config.get(_CLOUD_INIT[name]):
            found[name] = re.split(r"[,\s]+", config[_CLOUD_INIT[name]].strip())
    addresses = {}
    for key in config:
        if re.fullmatch(r"ipconfig\d+", key):
            slot, parts = key.replace("ipconfig", "net"), properties.parse(key, config[key])
            addresses[slot] = {"nic": slot, **{name: parts[part] for name, part in _IP.items() if part in parts}}
    if addresses:
        found["ip_config"] = addresses
    return found


# --- to Proxmox VE


def write_of(changes: Iterable[Change], config: Mapping[str, Any]) -> Write:
    """What to send so that the changes come true.

    :param config: the configuration as it is now; empty for a guest that is to be made.
    :raises InvalidRequest: a disk has no storage, or a value cannot be in a property string.
    """
    write = Write()
    for change in changes:
        name = change.path[0]
        if name == "disks":
            _write_disk(write, change, config)
        elif name == "nics":
            _write_nic(write, change, config)
        elif name == "cdrom":
            _write_cdrom(write, change, config)
        elif name == "cloud_init":
            _write_cloud_init(write, change, config)
        elif name == "native":
            _write_native(write, change, config)
        elif name not in ("template", "node", "pool"):
            _write_plain(write, name, change.after, config)
    return write


def _set(write: Write, key: str, value: Any) -> None:
    """Empty texts are deleted: the server would store a blank."""
    if value in (None, "", []):
        write.delete.append(key)
    else:
        write.values[key] = value


def _options(write: Write, key: str, config: Mapping[str, Any]) -> dict[str, Any]:
    text = write.values.get(key, config.get(key, ""))
    return dict(properties.parse(key, str(text))) if str(text).strip() else {}


def _write_plain(write: Write, name: str, value: Any, config: Mapping[str, Any]) -> None:
    if name in _PLAIN:
        _set(write, _PLAIN[name], value)
    elif name == "tags":
        _set(write, "tags", ";".join(value or []))
    elif name == "firmware":
        write.values["bios"] = "ovmf" if value == "uefi" else "seabios"
    elif name == "boot_order":
        _set(write, "boot", f"order={';'.join(value)}" if value else "")
    elif name in _SUB_OPTION:
        key, part = _SUB_OPTION[name]
        text = _text(value)
        write.values[key] = properties.build(key, {**_options(write, key, config), part: text})


def _write_nic(write: Write, change: Change, config: Mapping[str, Any]) -> None:
    slot = change.path[1]
    if change.after is None and len(change.path) == 2:
        write.delete.append(slot)
        return
    wanted = change.after if len(change.path) == 2 else {change.path[2]: change.after}
    options = {"model": "virtio", **_options(write, slot, config)}
    for name, value in wanted.items():
        if name == "connected":
            options["link_down"] = None if value else "1"
        elif name in _NIC:
            options[_NIC[name]] = value
    write.values[slot] = properties.build(slot, options)


def _write_disk(write: Write, change: Change, config: Mapping[str, Any]) -> None:
    slot = change.path[1]
    if len(change.path) == 3:
        if change.path[2] == "size":
            write.resize[slot] = change.after
        return
    if change.after is None:
        write.delete.append(slot)
        return
    disk = change.after
    if not disk.get("storage"):
        raise InvalidRequest(f"disk {slot}: backend proxmox needs the storage of a new disk.")
    options = {"format": disk.get("format")}
    if disk.get("source"):
        options.update(file=f"{disk['storage']}:0", **{"import-from": disk["source"]})
        if "size" in disk:
            write.resize[slot] = disk["size"]
    else:
        options["file"] = f"{disk['storage']}:{disk['size']}"
    write.values[slot] = properties.build(slot, options)


def _write_cdrom(write: Write, change: Change, config: Mapping[str, Any]) -> None:
    if len(change.path) == 1:
        if change.after is None:
            write.delete.append(change.before["slot"])
            return
        slot, image = change.after["slot"], change.after.get("image")
    elif change.path[1] == "slot":
        write.delete.append(change.before)
        slot, image = change.after, properties.parse(change.before, config[change.before]).get("file", "")
    else:
        slot, image = settings_of(config)["cdrom"]["slot"], change.after
    write.values[slot] = properties.build(slot, {"file": image or "none", "media": "cdrom"})


def _write_cloud_init(write: Write, change: Change, config: Mapping[str, Any]) -> None:
    write.cloud_init = True
    whole = len(change.path) == 1
    before = change.before if whole else {change.path[1]: change.before}
    after = change.after if whole else {change.path[1]: change.after}
    for name in {*(before or {}), *(after or {})}:
        value = (after or {}).get(name)
        if name == "ssh_keys":
            # the value itself is encoded, and once more on its way
            _set(write, "sshkeys", quote("\n".join(value), safe="") if value else "")
        elif name == "ip_config":
            _write_addresses(write, (before or {}).get(name) or {}, value or {})
        elif name in ("nameservers", "search_domains"):
            _set(write, _CLOUD_INIT[name], " ".join(value or []))
        elif name in _CLOUD_INIT:
            _set(write, _CLOUD_INIT[name], value)


def _write_addresses(write: Write, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    for slot in {*before, *after}:
        wanted = after.get(slot, {})
        key = slot.replace("net", "ipconfig")
        _set(write, key, properties.build(key, {part: wanted.get(name) for name, part in _IP.items()}))


def _write_native(write: Write, change: Change, config: Mapping[str, Any]) -> None:
    before, after = change.before or {}, change.after or {}
    for key, value in after.items():
        if before.get(key) == value:
            continue
        if isinstance(value, Mapping):
            write.values[key] = properties.build(key, {**_options(write, key, config), **value})
        else:
            write.values[key] = value


def shared_storage(changes: Sequence[Change], config: Mapping[str, Any]) -> str:
    """Where a guest's small volumes go: to the storage of its first disk."""
    disks = dict(settings_of(config)["disks"])
    for change in changes:
        if change.setting == "disks" and change.after:
            disks[change.path[1]] = change.after
    for slot in sorted(disks, key=natural):
        if disks[slot].get("storage"):
            return disks[slot]["storage"]
    raise InvalidRequest("cloud_init and firmware: uefi need a volume: give the VM a disk with a storage first.")
