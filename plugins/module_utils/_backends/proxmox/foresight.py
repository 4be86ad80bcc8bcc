# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster changes by itself along with what it was asked for, so that check mode tells it too."""

from __future__ import annotations

from typing import Any

from ..._plan import VM, Op, Plan, differences
from .words import DRIVE, stem_of


def is_plugged(slot: str) -> bool:
    """Whether a running VM gets and loses such a device at once."""
    return stem_of(slot) in ("virtio", "scsi", "net")


def waiting(running: VM, next_start: VM) -> dict[str, Any]:
    """The settings that differ until the next start, with what is in effect; by name, parts of devices with dots.

    The native options of a device that comes or goes are part of it, and not told again.
    """
    unlike = {slot for kind in ("disks", "nics") for slot in {*running[kind]} ^ {*next_start[kind]}}
    now, then = (
        {**settings, "native": {key: value for key, value in settings["native"].items() if key not in unlike}}
        for settings in (running, next_start)
    )
    return {".".join(change.path): change.before for change in differences(now, then)}


def after_all(plan: Plan) -> VM:
    """A plan's ``after`` with the consequences."""
    after = dict(plan.after)
    if after.get("state") == "suspended":
        after["lock"] = "suspended"
    elif after.get("lock") == "suspended":
        after["lock"] = None
    _forget_devices(plan, after)
    if plan.after.get("template") and not plan.before.get("template"):
        # the volumes get names that say so
        _drop_from_disks(after, "volume")
    if any(step.op is Op.CLONE and step.arguments.get("storage") for step in plan.steps):
        # not every storage has every format
        _drop_from_disks(after, "format")
    return after


def _forget_devices(plan: Plan, after: VM) -> None:
    """A device that goes takes its native options along, and its place in the boot order."""
    gone = _slots_that_go(plan)
    if gone and "native" in after:
        after["native"] = {key: value for key, value in after["native"].items() if key not in gone}
    runs = after.get("state") in ("running", "paused")
    leaves = {slot for slot in gone if not runs or is_plugged(slot)}
    if leaves and not any(change.path == ("boot_order",) for change in plan.changes):
        after["boot_order"] = [slot for slot in after.get("boot_order", []) if slot not in leaves]


def _slots_that_go(plan: Plan) -> set[str]:
    gone = {change.path[1] for change in plan.changes if len(change.path) == 2 and change.after is None}
    gone &= {slot for kind in ("disks", "nics") for slot in plan.before.get(kind, {})}
    cdrom = (plan.before.get("cdrom") or {}).get("slot")
    if cdrom and (plan.after.get("cdrom") or {}).get("slot") != cdrom:
        gone.add(cdrom)
    if "cloud_init" in plan.before and "cloud_init" not in plan.after:
        # its drive is no setting: it is what else one could boot from
        known = {*plan.before.get("disks", {}), cdrom}
        gone |= {slot for slot in plan.before.get("boot_order", []) if DRIVE.fullmatch(slot) and slot not in known}
    return gone


def _drop_from_disks(after: VM, part: str) -> None:
    after["disks"] = {
        slot: {name: value for name, value in disk.items() if name != part}
        for slot, disk in after.get("disks", {}).items()
    }
