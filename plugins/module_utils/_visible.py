# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM as users see it."""

from __future__ import annotations

from typing import Any

from ._fields import shown, shown_at
from ._plan import VM


def visible(vm: VM) -> dict[str, Any]:
    """Lists for devices and snapshots, no secrets; what is pending is told beside it."""
    result = shown({name: value for name, value in vm.items() if name != "pending"})
    if "snapshots" in vm:
        from ._snapshots import rows

        result["snapshots"] = rows(vm["snapshots"])
    return result


def with_pending(vm: VM) -> dict[str, Any]:
    """``visible``, with ``pending`` as a list of settings and what is in effect until the restart."""
    result = visible(vm)
    if "pending" in vm:
        result["pending"] = [
            {"setting": name, "running": shown_at(name.split("."), value)}
            for name, value in sorted(vm["pending"].items())
        ]
    return result
