# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What TopHC tells of VMs and snapshots, in the words of the collection."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..._fields import GIB, MIB
from ..._plan import VM

STATES = {
    "running": "running",
    "blocked": "running",
    "paused": "paused",
    "shutdown": "stopped",
    "shutoff": "stopped",
    "pmsuspend": "suspended",
}
"""All others, such as crashed and nostate, are unknown."""

IDLE = "noaction"
HEAD = "head"
"""The working state of a VM, which stands in the tree of its snapshots like one of them."""

_DEVICE = re.compile(r"(?P<kind>vd|sd|hd|id)(?P<letter>[a-z])")
_BUSES = {"virtio": "virtio", "scsi": "scsi", "sata": "sata", "ide": "ide"}
_KINDS = {"vd": "virtio", "sd": "scsi", "hd": "ide", "id": "ide"}
_SECRET = ("vnc_password", "spice_password")


def without_secrets(told: Mapping[str, Any]) -> dict[str, Any]:
    """What was told of a VM, without the passwords of its consoles, which come in clear text."""
    return {name: value for name, value in told.items() if name not in _SECRET}


def row_of(told: Mapping[str, Any], hosts: Mapping[str, str]) -> VM:
    """A VM as a row, from a list or from what it told of itself.

    :param hosts: names by uuid.
    """
    state = STATES.get(told.get("state", ""), "unknown")
    host = told.get("machine_uuid") or ""
    return {
        "id": told["uuid"],
        "name": told["name"],
        "backend": "vsd",
        # a VM that is off keeps no place
        "node": hosts.get(host, host) or None if state != "stopped" else None,
        "state": state,
        "native_state": told.get("state"),
        "template": False,
        "tags": [],
        "pool": None,
        "lock": None if told.get("action", IDLE) in ("", IDLE) else told["action"],
        **_size_of(told),
    }


def _size_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """``memory`` and ``cores``; a list has them among its statistics, the cores of all sockets together."""
    if "mem_size" in told:
        return {"memory": int(told["mem_size"]) // MIB, "cores": cores_of(told)}
    usage = told.get("statistic") or {}
    memory = (usage.get("mem") or {}).get("logical")
    return {"memory": memory // MIB if memory else None, "cores": (usage.get("cpu") or {}).get("logical")}


def cores_of(told: Mapping[str, Any]) -> int:
    """The cores of each socket that the VM has now; it may be prepared for more."""
    sockets = int(told.get("cpu_sockets") or 1)
    of_each = int(told.get("cpu_socket_cores") or 1)
    current = int(told.get("cpu_current") or sockets * of_each)
    return current // sockets if current % sockets == 0 else of_each


def settings_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a VM that told of itself, devices by slot."""
    disks = {slot_of(disk): _disk_of(disk) for disk in told.get("disks") or []}
    nics = {f"net{number}": _nic_of(f"net{number}", nic) for number, nic in enumerate(told.get("interfaces") or [])}
    return {
        **_size_of(told),
        "sockets": int(told.get("cpu_sockets") or 1),
        "firmware": "uefi" if str(told.get("os_loader_path")).upper() == "UEFI" else "bios",
        "disks": disks,
        "nics": nics,
    }


def slot_of(disk: Mapping[str, Any]) -> str:
    """``virtio0`` for vda, ``scsi1`` for sdb; what has no slot keeps its name."""
    device = disk["disk_target_device"]
    match = _DEVICE.fullmatch(device)
    if not match:
        return device
    bus = _BUSES.get(disk.get("disk_target_bus", ""), _KINDS[match["kind"]])
    return f"{bus}{ord(match['letter']) - ord('a')}"


def source_of(disk: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where the data of a disk are; each has exactly one of these."""
    names = ("disk_vsd_source", "disk_volume_source", "disk_block_source", "disk_source_passthrough")
    return next((disk[name] for name in names if disk.get(name)), {})


def _disk_of(disk: Mapping[str, Any]) -> dict[str, Any]:
    source = source_of(disk)
    told = {"slot": slot_of(disk), "storage": source.get("pool_name"), "volume": source.get("volume_uuid")}
    size = source.get("disk_capacity")
    if size:
        told["size"] = size // GIB if size % GIB == 0 else size / GIB
    return {name: value for name, value in told.items() if value}


def _nic_of(slot: str, nic: Mapping[str, Any]) -> dict[str, Any]:
    told = {
        "slot": slot,
        "network": nic.get("port_group_name") or nic.get("interface_type"),
        "model": nic.get("interface_model_type"),
        "mac": str(nic.get("mac_address") or "").upper(),
    }
    tags: Sequence[int] = nic.get("vlan_tag_ids") or []
    if len(tags) == 1:
        told["vlan"] = tags[0]
    return {name: value for name, value in told.items() if value}


def snapshots_of(rows: Sequence[Mapping[str, Any]], parents: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Snapshots by name.

    No field is documented to say whether a snapshot has memory. Only one that has it has a screenshot, or an address
    of the saved memory.

    :param parents: of each snapshot, and of HEAD; the parent of the first ones is empty.
    """
    return {
        row["name"]: {
            "parent": parents.get(row["name"]) or None,
            "time": row.get("ctime") or None,
            "description": row.get("description") or "",
            "memory": has_memory(row),
            "complete": True,
            "current": parents.get(HEAD) == row["name"],
        }
        for row in rows
    }


def has_memory(row: Mapping[str, Any]) -> bool:
    return bool(row.get("domain_remote_url") or row.get("screenshot_url"))
