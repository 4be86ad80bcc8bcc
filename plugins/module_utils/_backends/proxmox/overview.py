# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster's own list: one request tells of every guest and node, with states that may be some seconds old."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._plan import VM
from . import config as translation
from .api import Api

TYPES = {"qemu": "vm", "lxc": "container"}


def rows(api: Api) -> list[VM]:
    """Every guest. On a node that is away it is in state unknown, and a new one has no name for some seconds."""
    told = api.get("cluster", "resources")
    online = {row["node"] for row in told if row.get("type") == "node" and row.get("status") == "online"}
    return [_row(row, online) for row in told if row.get("type") in TYPES]


def _row(row: Mapping[str, Any], online: set[str]) -> VM:
    vmid = str(row["vmid"])
    return {
        "id": vmid,
        "name": row.get("name"),
        "backend": "proxmox",
        "type": TYPES[row["type"]],
        "node": row["node"],
        "state": _state(row) if row["node"] in online else "unknown",
        "template": str(row.get("template", 0)) == "1",
        "tags": translation.tags_of(row.get("tags")),
        "pool": row.get("pool"),
        "ha": row.get("hastate") not in (None, "ignored"),
        "lock": row.get("lock"),
        "memory": int(row.get("maxmem", 0)) >> 20,
        "cores": row.get("maxcpu"),
    }


def _state(row: Mapping[str, Any]) -> str:
    if row.get("status") == "stopped" and row.get("lock") == "suspended":
        return "suspended"
    return row["status"] if row.get("status") in ("running", "stopped", "paused") else "unknown"


def node_addresses(api: Api) -> dict[str, str | None]:
    """The address of each node in the cluster's own network; None where it is not told."""
    return {row["name"]: row.get("ip") for row in api.get("cluster", "status") if row["type"] == "node"}
