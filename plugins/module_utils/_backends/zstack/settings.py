# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM in ZStack's words, and the settings of the collection: from one to the other."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..._errors import InvalidRequest
from ..._fields import GIB, MIB, natural
from ..._plan import VM
from . import userdata
from .names import Names

STATES: Mapping[str, str] = {
    **dict.fromkeys(("Running", "Starting", "Rebooting", "Migrating", "Resuming"), "running"),
    **dict.fromkeys(("Created", "Stopped", "Stopping", "VolumeMigrating"), "stopped"),
    **dict.fromkeys(("Paused", "Pausing"), "paused"),
}
"""A VM on its way is told as what it becomes: the server has what is asked of it wait its turn. All else is unknown."""

UUID = re.compile(r"[0-9a-f]{12}[1-5][0-9a-f]{3}[89ab][0-9a-f]{15}")
"""A uuid that the server takes for a new VM."""

SETTLED = frozenset({"Created", "Running", "Stopped", "Paused", "Crashed", "NoState", "Unknown", "Error"})
GONE = ("Destroyed", "Destroying", "Expunging")
"""States of VMs that are not there any more. They are listed for days."""

BOOT_SLOTS = {"HardDisk": "virtio0", "CdRom": "ide0", "Network": "net0"}
"""ZStack orders kinds of devices, and of each kind it boots from the first one."""

PLACES = ("cluster", "zone")
CREATE_ONLY = (*PLACES, "instanceOffering", "architecture", "strategy", "create", "clone")
"""Native settings that say how a VM is made. Of one that exists they are not compared."""

CHANGEABLE = ("platform", "guestOsType", "ha")
HA_LEVELS = ("None", "OnHostFailure", "NeverStop", "FaultTolerance")
STRATEGIES = ("CreateStopped", "JustCreate")
CREATE_FIELDS: Mapping[str, Any] = {
    **dict.fromkeys(("dataDiskOfferingUuids", "sshKeyPairUuids", "tagUuids", "diskAOs"), list),
    **dict.fromkeys(("rootVolumeSystemTags", "dataVolumeSystemTags", "systemTags"), list),
    **{"dataVolumeSystemTagsOnIndex": dict, "rootDiskOfferingUuid": str, "reservedMemorySize": int, "virtio": bool},
}
CLONE_FIELDS: Mapping[str, Any] = {
    **dict.fromkeys(("rootVolumeSystemTags", "dataVolumeSystemTags", "systemTags", "diskAOs"), list),
    **{"primaryStorageUuidForRootVolume": str, "primaryStorageUuidForDataVolume": str, "full": bool},
    **{"vmNicParams": (list, str), "vmCustomSpecification": dict, "resetTpm": bool, "description": str},
}
"""Further parameters of the calls, which go along as they are, with their types."""


@dataclass
class Tags:
    """The tags of a VM.

    :param user: by text, with their uuids.
    :param system: the same; what they say is settings by another name.
    """

    user: dict[str, str] = field(default_factory=dict)
    system: dict[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str | None:
        """What stands behind ``name::``."""
        return next((tag.partition("::")[2] for tag in self.system if tag.partition("::")[0] == name), None)

    def whole(self, name: str) -> str | None:
        return next((tag for tag in self.system if tag.partition("::")[0] == name), None)


# --- from ZStack


def row_of(row: Mapping[str, Any], tags: Tags, names: Names) -> VM:
    """What a list tells of a VM. Only one that is on a host has a node."""
    return {
        "id": row["uuid"],
        "name": row["name"],
        "backend": "zstack",
        "node": names.word("node", row.get("hostUuid")),
        "state": STATES.get(row["state"], "unknown"),
        "native_state": row["state"],
        "template": False,
        "tags": sorted(tags.user),
        "pool": None,
        "memory": int(row.get("memorySize") or 0) // MIB,
        "cores": int(row.get("cpuNum") or 0),
    }


def settings_of(row: Mapping[str, Any], tags: Tags, names: Names, images: Mapping[str, str]) -> VM:
    """All settings of a VM.

    :param images: names of the images in its CD-ROM drives, by uuid.
    """
    settings: VM = {
        "description": row.get("description") or "",
        "firmware": "uefi" if (tags.value("bootMode") or "").startswith("UEFI") else "bios",
        "disks": {slot: _disk(slot, volume, names) for slot, volume in volumes_of(row).items()},
        "nics": {slot: _nic(slot, nic, names) for slot, nic in nics_of(row).items()},
        "native": _native(row, tags, names),
        "pending": {},
    }
    order = (tags.value("bootOrder") or "").split(",")
    settings["boot_order"] = [BOOT_SLOTS[word] for word in order if word in BOOT_SLOTS]
    drives = sorted(row.get("vmCdRoms") or (), key=lambda drive: drive.get("deviceId") or 0)
    if drives:
        iso = drives[0].get("isoUuid")
        settings["cdrom"] = {"slot": "ide0", "image": images.get(iso, iso) if iso else ""}
    told = tags.whole("userdata")
    cloud_init = userdata.settings_in(told) if told else {}
    addresses = _fixed_addresses(row, tags)
    if addresses:
        cloud_init["ip_config"] = addresses
    if cloud_init:
        settings["cloud_init"] = cloud_init
    return settings


def volumes_of(row: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The disks by slot. The number is ZStack's own; that of the root volume is 0."""
    found = [volume for volume in row.get("allVolumes") or () if volume.get("type") in ("Root", "Data")]
    by_slot = {f"virtio{int(volume.get('deviceId') or 0)}": volume for volume in found}
    return {slot: by_slot[slot] for slot in sorted(by_slot, key=natural)}


def nics_of(row: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    by_slot = {f"net{int(nic.get('deviceId') or 0)}": nic for nic in row.get("vmNics") or ()}
    return {slot: by_slot[slot] for slot in sorted(by_slot, key=natural)}


def _disk(slot: str, volume: Mapping[str, Any], names: Names) -> dict[str, Any]:
    size = int(volume.get("size") or 0)
    disk = {"slot": slot, "size": size // GIB if size % GIB == 0 else size / GIB, "volume": volume["uuid"]}
    storage = names.word("storage", volume.get("primaryStorageUuid"))
    if storage:
        disk["storage"] = storage
    if volume.get("format") in ("qcow2", "raw"):
        disk["format"] = volume["format"]
    return disk


def _nic(slot: str, nic: Mapping[str, Any], names: Names) -> dict[str, Any]:
    told = {
        "network": names.word("network", nic.get("l3NetworkUuid")),
        "model": nic.get("driverType"),
        "mac": (nic.get("mac") or "").upper(),
    }
    found = {name: value for name, value in told.items() if value}
    return {"slot": slot, **found, "connected": nic.get("state", "enable") != "disable"}


def _fixed_addresses(row: Mapping[str, Any], tags: Tags) -> dict[str, Any]:
    """The addresses that were asked for. The others ZStack chose, and a card that left its network has one of those."""
    return {
        slot: {"nic": slot, "ip": str(ipaddress.ip_interface(f"{nic['ip']}/{nic['netmask']}"))}
        for slot, nic in nics_of(row).items()
        if f"staticIp::{nic.get('l3NetworkUuid')}::{nic.get('ip')}" in tags.system and nic.get("netmask")
    }


def _native(row: Mapping[str, Any], tags: Tags, names: Names) -> dict[str, Any]:
    told = {
        "platform": row.get("platform"),
        "guestOsType": row.get("guestOsType"),
        "architecture": row.get("architecture"),
        "ha": tags.value("ha") or HA_LEVELS[0],
        "cluster": names.word("cluster", row.get("clusterUuid")),
        "zone": names.word("zone", row.get("zoneUuid")),
        "instanceOffering": names.word("instanceOffering", row.get("instanceOfferingUuid")),
    }
    return {name: value for name, value in told.items() if value}


def addresses_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The network cards with the addresses that ZStack gave them, as guest agents tell them."""
    return [
        {
            "name": slot,
            "hardware-address": nic.get("mac"),
            "ip-addresses": [
                {"ip-address": used["ip"], "ip-address-type": f"ipv{int(used.get('ipVersion') or 4)}"}
                for used in nic.get("usedIps") or [nic]
                if used.get("ip")
            ],
        }
        for slot, nic in nics_of(row).items()
    ]


# --- what the user wants


def normal_settings(wanted: dict[str, Any], names: Names) -> dict[str, Any]:
    """As the server stores them: names of networks and storages as they are shown, user data that takes all places.

    :raises InvalidRequest: a native setting is unknown or of another type.
    :raises NotFound, Ambiguous: a network or a storage.
    """
    result = dict(wanted)
    if "native" in result:
        check_native(result["native"])
    for kind, part in (("nics", "network"), ("disks", "storage")):
        for slot, device in result.get(kind, {}).items():
            if device.get(part):
                known = {**device, part: names.normal(part, device[part])}
                result[kind] = {**result[kind], slot: known}
    if result.get("node"):
        result["node"] = names.normal("node", result["node"])
    if "cdrom" in result:
        result["cdrom"] = {"slot": "ide0", **result["cdrom"]}
        if result["cdrom"].get("image"):
            result["cdrom"]["image"] = names.normal_iso(result["cdrom"]["image"])
    if "cloud_init" in result:
        result["cloud_init"] = _normal_cloud_init(result["cloud_init"])
        if not result["cloud_init"]:
            del result["cloud_init"]
    return result


def _normal_cloud_init(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """User data as a whole takes the place of its parts. An address by DHCP is nothing to ask for.

    :raises InvalidRequest: an address that ZStack does not give.
    """
    result = {name: value for name, value in wanted.items() if name != "ip_config"}
    if "user_data" in result:
        result = {"user_data": result["user_data"]}
    fixed = {}
    for slot, config in wanted.get("ip_config", {}).items():
        others = sorted(set(config) - {"nic", "ip"})
        if others:
            raise InvalidRequest(
                f"cloud_init: ip_config: {slot}: backend zstack has no {others[0]}.", advice="The L3 network says it."
            )
        if config.get("ip", "dhcp") != "dhcp":
            try:
                address = ipaddress.IPv4Interface(config["ip"])
            except ValueError as error:
                raise InvalidRequest(f"cloud_init: ip_config: {slot}: {error}.") from error
            fixed[slot] = {"nic": slot, "ip": str(address)}
    return {**result, "ip_config": fixed} if fixed else result


def check_native(native: Mapping[str, Any]) -> None:
    known = (*CHANGEABLE, *CREATE_ONLY)
    for name, value in native.items():
        if name not in known:
            raise InvalidRequest(f"native: backend zstack has no '{name}'.", advice=f"It has: {', '.join(known)}.")
        if name not in ("create", "clone") and not isinstance(value, str):
            raise InvalidRequest(f"native: {name} is a text.")
    if native.get("strategy", "CreateStopped") not in STRATEGIES:
        raise InvalidRequest(f"native: strategy is one of {', '.join(STRATEGIES)}.", advice="state: started starts it.")
    if native.get("ha", HA_LEVELS[0]) not in HA_LEVELS:
        raise InvalidRequest(f"native: ha is one of {', '.join(HA_LEVELS)}.")
    for call, fields in (("create", CREATE_FIELDS), ("clone", CLONE_FIELDS)):
        given = native.get(call, {})
        if not isinstance(given, Mapping):
            raise InvalidRequest(f"native: {call} is a dictionary.")
        for name, value in given.items():
            if name not in fields:
                raise InvalidRequest(f"native: {call}: there is no '{name}'.", advice=f"It has: {', '.join(fields)}.")
            if not isinstance(value, fields[name]) or (fields[name] is int and isinstance(value, bool)):
                raise InvalidRequest(f"native: {call}: {name} is of another type.")


def boot_mode(firmware: str) -> str:
    return "UEFI" if firmware == "uefi" else "Legacy"


def boot_words(slots: Sequence[str]) -> list[str]:
    """
    :raises InvalidRequest: a VM cannot boot from one of them.
    """
    words = {slot: word for word, slot in BOOT_SLOTS.items()}
    for slot in slots:
        if slot not in words:
            raise InvalidRequest(
                f"boot_order: a VM of ZStack does not boot from {slot}.", advice=f"It has: {', '.join(words)}."
            )
    return [words[slot] for slot in slots]


def in_bytes(disk: Mapping[str, Any]) -> int | None:
    """A disk's size; None where the image decides."""
    return round(disk["size"] * GIB) if disk.get("size") else None
