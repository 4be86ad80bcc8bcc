# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest's configuration in Proxmox VE's words, and the settings of the collection: from one to the other.

What has a word of its own is a setting; every other key is in ``native``, with property strings as dicts. The
sub-options of a disk or NIC that have no word are in ``native`` too, under its slot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from ..._errors import InvalidRequest
from ..._fields import disk_in_gib, natural
from ..._plan import VM, Change
from . import properties, words
from .words import DRIVE

NIC = re.compile(r"net\d+")


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
    told = {name: config[key] for name, key in words.PLAIN.items() if key in config}
    settings: VM = {"description": "", "cores": 1, "sockets": 1, **told}
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
        elif key not in words.IDENTITY and words.stem_of(key) not in ("unused", *words.KEYS):
            native[key] = words.without_words(key, words.native_value(key, config[key]))
    if cloud_init_drive(config):
        settings["cloud_init"] = _cloud_init_of(config)
    settings["native"] = {key: value for key, value in native.items() if value != {}}
    return settings


def tags_of(text: object) -> list[str]:
    return sorted(set(re.split(r"[;,\s]+", str(text or "").strip())) - {""})


def boot_order_of(text: str) -> list[str]:
    order = properties.parse("boot", text).get("order", "") if text.strip() else ""
    return [slot for slot in order.split(";") if slot]


def _nic_of(slot: str, text: str) -> tuple[dict[str, Any], dict[str, str]]:
    options = properties.parse(slot, text)
    nic: dict[str, Any] = {"slot": slot, "connected": options.pop("link_down", "0") != "1"}
    for name in ("network", "model", "mac"):
        if words.NIC[name] in options:
            nic[name] = options.pop(words.NIC[name])
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
        if config.get(words.CLOUD_INIT[name]):
            found[name] = re.split(r"[,\s]+", config[words.CLOUD_INIT[name]].strip())
    addresses = {}
    for key in config:
        if re.fullmatch(r"ipconfig\d+", key):
            slot, parts = key.replace("ipconfig", "net"), properties.parse(key, config[key])
            addresses[slot] = {"nic": slot, **{name: parts[part] for name, part in words.IP.items() if part in parts}}
    if addresses:
        found["ip_config"] = addresses
    return found


# --- to Proxmox VE


def stored_cloud_init(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Without the NICs of which nothing is said: they are not stored, and get their addresses by DHCP."""
    told = {nic: entry for nic, entry in wanted.get("ip_config", {}).items() if len(entry) > 1}
    others = {name: value for name, value in wanted.items() if name != "ip_config"}
    return {**others, "ip_config": told} if told else others


def write_of(changes: Sequence[Change], config: Mapping[str, Any]) -> Write:
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
    if needs_drive(changes) and not cloud_init_drive(config):
        _add_cloud_init_drive(write, changes, config)
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
    if name in words.PLAIN:
        _set(write, words.PLAIN[name], value)
    elif name == "tags":
        _set(write, "tags", ";".join(value or []))
    elif name == "firmware":
        write.values["bios"] = "ovmf" if value == "uefi" else "seabios"
    elif name == "boot_order":
        _set(write, "boot", f"order={';'.join(value)}" if value else "")
    elif name in words.SUB_OPTION:
        key, part = words.SUB_OPTION[name]
        text = words.text_of(value)
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
        elif name in words.NIC:
            options[words.NIC[name]] = value
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
    if not disk.get("source") and "size" not in disk:
        raise InvalidRequest(f"disk {slot}: a new disk needs a size or a source.")
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
    if whole and change.after is None:
        # with the password, which is never read
        write.delete += [key for key in config if words.KEYS.get(words.stem_of(key), "").startswith("cloud_init.")]
        write.delete.append(cloud_init_drive(config))
        return
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
            _set(write, words.CLOUD_INIT[name], " ".join(value or []))
        elif name in words.CLOUD_INIT:
            _set(write, words.CLOUD_INIT[name], value)


def _write_addresses(write: Write, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    for slot in {*before, *after}:
        wanted = after.get(slot, {})
        key = slot.replace("net", "ipconfig")
        _set(write, key, properties.build(key, {part: wanted.get(name) for name, part in words.IP.items()}))


def _write_native(write: Write, change: Change, config: Mapping[str, Any]) -> None:
    before, after = change.before or {}, change.after or {}
    for key, value in after.items():
        if before.get(key) == value:
            continue
        if isinstance(value, Mapping):
            write.values[key] = properties.build(key, {**_options(write, key, config), **value})
        else:
            write.values[key] = value


def needs_drive(changes: Sequence[Change]) -> bool:
    """Whether the guest gets its first cloud-init settings, and so a drive to read them from."""
    return any(change.path == ("cloud_init",) and change.before is None for change in changes)


def _add_cloud_init_drive(write: Write, changes: Sequence[Change], config: Mapping[str, Any]) -> None:
    free = [slot for slot in ("ide2", "ide0", "ide1", "ide3") if slot not in config and slot not in write.values]
    if not free:
        raise InvalidRequest("cloud_init needs a drive, and no IDE slot is free.")
    write.values[free[0]] = f"{shared_storage(changes, settings_of(config)['disks'])}:cloudinit"


def shared_storage(changes: Sequence[Change], disks: Mapping[str, Mapping[str, Any]]) -> str:
    """Where a guest's small volumes go: to the storage of its first disk.

    :param disks: those that it has, before the changes.
    :raises InvalidRequest: no disk has a storage.
    """
    disks = dict(disks)
    for change in changes:
        if change.setting == "disks" and change.after:
            disks[change.path[1]] = change.after
    for slot in sorted(disks, key=natural):
        if disks[slot].get("storage"):
            return disks[slot]["storage"]
    raise InvalidRequest("cloud_init and firmware: uefi need a volume: give the VM a disk with a storage first.")
