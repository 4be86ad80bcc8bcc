# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans about snapshots: take, describe, delete, revert, and keep only so many."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ._errors import Conflict, InvalidRequest, NotFound
from ._fields import VM_FIELDS
from ._plan import VM, Op, Plan, Step, unchanged

_AGE = re.compile(r"(\d+)([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}

Snapshots = Mapping[str, Mapping[str, Any]]
"""By name: parent, time (seconds since the epoch), description, memory, complete."""


def plan_present(vm: VM, name: str, *, description: str | None, memory: bool | None) -> Plan:
    """A snapshot of that name; one that exists is not taken again.

    :raises Conflict: it exists with memory where none is wanted or the other way round, or there is no memory to save.
    """
    existing = vm["snapshots"].get(name)
    if existing and existing["complete"]:
        return _plan_existing(vm, name, existing, description, memory)
    if memory and vm["state"] not in ("running", "paused"):
        raise Conflict(
            f"VM {vm['name']} is {vm['state']}: it has no memory to save.", advice="Start it, or use memory: false."
        )
    steps = [Step(Op.SNAPSHOT_DELETE, vm, {"snapshot": name})] if existing else []
    wanted = {"snapshot": name, "description": description or "", "memory": bool(memory)}
    steps.append(Step(Op.SNAPSHOT, vm, wanted, needs=(Op.SNAPSHOT_MEMORY,) if memory else ()))
    new = {"description": description or "", "memory": bool(memory), "complete": True}
    return Plan(vm, {**vm, "snapshots": {**vm["snapshots"], name: new}}, (), tuple(steps))


def _plan_existing(
    vm: VM, name: str, existing: Mapping[str, Any], description: str | None, memory: bool | None
) -> Plan:
    if memory is not None and memory != existing["memory"]:
        has = "with" if existing["memory"] else "without"
        raise Conflict(
            f"Snapshot {name} of VM {vm['name']} exists {has} memory.", advice="Delete it first, or use another name."
        )
    if description is None or description == existing["description"]:
        return unchanged(vm)
    after = {**vm["snapshots"], name: {**existing, "description": description}}
    step = Step(Op.SNAPSHOT_DESCRIBE, vm, {"snapshot": name, "description": description})
    return Plan(vm, {**vm, "snapshots": after}, (), (step,))


def plan_absent(vm: VM, names: Sequence[str]) -> Plan:
    """None of these snapshots; children of one that goes become those of its parent."""
    going = [name for name in names if name in vm["snapshots"]]
    left = {name: dict(entry) for name, entry in vm["snapshots"].items() if name not in going}
    for entry in left.values():
        while entry.get("parent") in going:
            entry["parent"] = vm["snapshots"][entry["parent"]].get("parent")
    steps = tuple(Step(Op.SNAPSHOT_DELETE, vm, {"snapshot": name}) for name in going)
    return Plan(vm, {**vm, "snapshots": left}, (), steps)


def with_children(snapshots: Snapshots, name: str) -> list[str]:
    """A snapshot and all that descend from it, the youngest first."""
    family = [name]
    for parent in family:
        family += [child for child, entry in snapshots.items() if entry.get("parent") == parent]
    return family[::-1]


def plan_reverted(vm: VM, name: str, *, force: bool, start: bool, disks: Sequence[str] | None) -> Plan:
    """Back to a snapshot: always a change, since what happened after it is given up.

    :raises NotFound: there is no such snapshot.
    :raises Conflict: the VM runs and ``force`` was not given.
    """
    existing = vm["snapshots"].get(name)
    if existing is None:
        known = ", ".join(sorted(vm["snapshots"])) or "none"
        raise NotFound(f"VM {vm['name']} has no snapshot {name}.", advice=f"It has: {known}.")
    if vm["state"] != "stopped" and not force:
        raise Conflict(
            f"VM {vm['name']} is {vm['state']}: a revert to {name} gives up all that it did since.",
            advice="Stop it first, or use force: true.",
        )
    if disks:
        return _plan_disks_reverted(vm, name, disks)
    state = "running" if existing["memory"] or start else "stopped"
    after = {**at_snapshot(vm, existing.get("config")), "state": state}
    return Plan(vm, after, (), (Step(Op.REVERT, vm, {"snapshot": name, "start": start}),))


def at_snapshot(vm: VM, config: Mapping[str, Any] | None) -> VM:
    """The VM with the settings of then, and none that it got since."""
    kept = {key: value for key, value in vm.items() if key not in ("pending", "native_state")}
    if config is None:
        return kept
    placed = ("name", "node", "pool")
    kept = {key: value for key, value in kept.items() if key in placed or key not in VM_FIELDS}
    return {**kept, "template": False, "tags": [], **config}


def _plan_disks_reverted(vm: VM, name: str, disks: Sequence[str]) -> Plan:
    if vm["state"] != "stopped":
        raise Conflict(
            f"VM {vm['name']} is {vm['state']}: single disks are reverted of a stopped VM only.", advice="Stop it."
        )
    return Plan(vm, vm, (), (Step(Op.REVERT_DISKS, vm, {"snapshot": name, "disks": list(disks)}),))


def surplus(snapshots: Snapshots, retention: Mapping[str, Any], keeping: str, now: float | None = None) -> list[str]:
    """The snapshots that a retention gives up, oldest first: of those with its prefix, and never the one just taken.

    :param retention: ``prefix``, and ``keep`` (how many, with the new one) or ``older_than`` (7d, 12h), or both: then
        one goes only if it is surplus and old.
    :raises InvalidRequest: without a prefix snapshots of others would go; ``keep`` is negative.
    """
    if not retention.get("prefix"):
        raise InvalidRequest("retention: a prefix is needed: it tells your snapshots from those of others.")
    if retention.get("keep") is None and retention.get("older_than") is None:
        raise InvalidRequest("retention: say how many to keep, or what older_than.")
    if (retention.get("keep") or 0) < 0:
        raise InvalidRequest(f"retention: keep: {retention['keep']} is too small: it must be at least 0.")
    own = [name for name, entry in snapshots.items() if name.startswith(retention["prefix"]) and entry.get("time")]
    own = sorted((name for name in own if name != keeping), key=lambda name: snapshots[name]["time"])
    going = set(own)
    if retention.get("keep") is not None:
        kept = max(0, retention["keep"] - (1 if keeping else 0))
        going &= set(own[: max(0, len(own) - kept)])
    if retention.get("older_than") is not None:
        limit = (time.time() if now is None else now) - seconds_of(retention["older_than"])
        going &= {name for name in own if snapshots[name]["time"] < limit}
    return [name for name in own if name in going]


def seconds_of(age: str) -> int:
    """
    :raises InvalidRequest: it is not written as 30m, 12h, 7d or 4w.
    """
    match = _AGE.fullmatch(age)
    if not match:
        raise InvalidRequest(f"retention: older_than: '{age}' is not an age.", advice="Write 30m, 12h, 7d or 4w.")
    return int(match[1]) * _SECONDS[match[2]]


def rows(snapshots: Snapshots) -> list[dict[str, Any]]:
    """For the user: the oldest first, each with its name, and without the settings that it keeps."""
    by_time = sorted(snapshots, key=lambda name: (snapshots[name].get("time") or 0, name))
    return [row(snapshots, name) for name in by_time]


def row(snapshots: Snapshots, name: str) -> dict[str, Any]:
    return {"name": name, **{key: value for key, value in snapshots[name].items() if key != "config"}}
