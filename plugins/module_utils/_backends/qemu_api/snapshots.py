# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of the open-source server. They lie in the disk, beside a list that outlives the VM."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .api import Manager
from .dialects import Row

_ALL = 10000
"""As many as one page shall hold: the server gets the end of a later page wrong."""


def read(manager: Manager, row: Row) -> dict[str, dict[str, Any]]:
    """By name. One that is older than its VM is that of an earlier VM of the same name, and so is not complete."""
    told = manager.get(f"/snapshots/{row['name']}", page=1, limit=_ALL)
    since = _time((row.get("config") or {}).get("created")) or 0.0
    return {one["name"]: _entry(one, since) for one in told["data"]["snapshots"]}


def _entry(one: Mapping[str, Any], since: float) -> dict[str, Any]:
    taken = _time(one.get("createTime"))
    return {
        "parent": None,
        "time": None if taken is None else int(taken),
        "description": one.get("description") or "",
        "memory": True,
        "complete": taken is not None and taken >= since,
    }


def _time(text: Any) -> float | None:
    """Seconds since the epoch of a time such as 2026-01-31T12:00:00.000Z."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
