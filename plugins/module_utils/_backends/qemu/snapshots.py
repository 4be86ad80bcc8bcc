# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots inside the qcow2 images; their tree and settings in the VM's record.

The record is written first and the images after it: a crash leaves a snapshot that is known to be incomplete, or none.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Container
from contextlib import suppress
from typing import Any

from ..._errors import Conflict, Error, InvalidRequest, NotFound
from ..._task import Deadline
from . import disks, power, process
from .machine import SUSPEND_TAG, Machine
from .memory import delete_memory, load_memory, nodes, save_memory
from .store import EFIVARS

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,39}")


def check_name(name: str) -> None:
    """
    :raises InvalidRequest: no snapshot can have the name.
    """
    if not NAME.fullmatch(name) or name in ("current", "pending"):
        raise InvalidRequest(
            f"{name!r} cannot be the name of a snapshot.",
            advice="It has 2 to 40 letters, digits, - and _, begins with a letter, and is not current or pending.",
        )


def read(machine: Machine) -> dict[str, dict[str, Any]]:
    """Every snapshot by name: parent, time, description, memory, complete, and the settings of then as config.

    One that only some disks have is not complete. One that all disks have and the record does not was made by other
    hands: it is taken for what it is, without a parent.
    """
    found: dict[str, dict[str, Any]] = {}
    on_disk = {path: disks.snapshot_names(path) for path in machine.disk_paths() if path.endswith(".qcow2")}
    for name, entry in machine.record.snapshots.items():
        having = []
        for path in machine.disk_paths(entry["files"]):
            if path not in on_disk:
                on_disk[path] = disks.snapshot_names(path) if os.path.exists(path) else {}
            having.append(name in on_disk[path])
        if any(having) or not having:
            found[name] = {key: entry[key] for key in ("parent", "time", "description", "memory", "config")}
            found[name]["complete"] = all(having)
    for entry in found.values():
        entry["parent"] = _nearest(machine, entry["parent"], found)
    present = [on_disk[path] for path in machine.disk_paths() if path in on_disk]
    for name in sorted({name for tags in present for name in tags} - found.keys() - {SUSPEND_TAG}):
        saved = [tags[name] for tags in present if name in tags]
        memory = any(saved)
        found[name] = {
            "parent": None,
            "time": None,
            "description": "",
            "memory": memory,
            "complete": len(saved) == len(present),
        }
    return found


def _nearest(machine: Machine, name: str | None, found: Container[str]) -> str | None:
    """The snapshot itself or the next above it that is there: a killed run may leave the record of one that is not."""
    while name is not None and name not in found:
        name = machine.record.snapshots.get(name, {}).get("parent")
    return name


def take(machine: Machine, name: str, description: str, memory: bool, deadline: Deadline) -> None:
    """Take a snapshot of all disks, and of the memory of a live VM if asked for."""
    record = machine.record
    found = read(machine)
    snapshots = {
        other: {**one, "parent": found[other]["parent"]}
        for other, one in record.snapshots.items()
        if other in found and other != name
    }
    entry = {
        **machine.present(),
        "parent": _nearest(machine, record.current, snapshots),
        "time": int(time.time()),
        "description": description,
        "memory": memory,
    }
    _forget_stale(machine, name, deadline)
    machine.save(snapshots={**snapshots, name: entry}, current=name)
    try:
        _take_images(machine, name, memory, deadline)
    except Error:
        with suppress(Error):
            _delete_images(machine, name, machine.disk_paths(entry["files"]), deadline)
            machine.save(snapshots=snapshots, current=entry["parent"])
        raise


def _take_images(machine: Machine, name: str, memory: bool, deadline: Deadline) -> None:
    if not machine.is_alive:
        disks.snapshot_all(machine.disk_paths(), name)
        return
    with machine.monitor() as monitor:
        if memory:
            save_memory(machine, monitor, name, deadline)
            return
        with machine.frozen():
            actions = [
                {"type": "blockdev-snapshot-internal-sync", "data": {"device": node, "name": name}}
                for node in nodes(machine)
            ]
            monitor.command("transaction", {"actions": actions}, timeout=60.0)


def describe(machine: Machine, name: str, description: str) -> None:
    entry = {**machine.record.snapshots.get(name, _adopted(machine)), "description": description}
    machine.save(snapshots={**machine.record.snapshots, name: entry})


def _adopted(machine: Machine) -> dict[str, Any]:
    return {**machine.present(), "parent": None, "time": None, "memory": False}


def delete(machine: Machine, name: str, deadline: Deadline) -> None:
    """Delete one snapshot; its children become those of its parent. May be done again after a crash."""
    record = machine.record
    entry = record.snapshots.get(name, {})
    _delete_images(machine, name, machine.disk_paths(entry.get("files")), deadline)
    parent = entry.get("parent")
    left = {other: dict(one) for other, one in record.snapshots.items() if other != name}
    for one in left.values():
        if one["parent"] == name:
            one["parent"] = parent
    machine.save(snapshots=left, current=parent if record.current == name else record.current)


def _forget_stale(machine: Machine, name: str, deadline: Deadline) -> None:
    """qemu-img takes a second snapshot of the same name: whatever a killed run left must go first."""
    _delete_images(machine, name, machine.disk_paths(), deadline)


def _delete_images(machine: Machine, name: str, paths: list[str], deadline: Deadline) -> None:
    if not machine.is_alive:
        disks.delete_all([path for path in paths if os.path.exists(path)], name)
        return
    live = set(machine.disk_paths(machine.present()["files"]))
    with machine.monitor() as monitor:
        delete_memory(machine, monitor, name, deadline)
    disks.delete_all([path for path in paths if path not in live and os.path.exists(path)], name)


def require_whole(machine: Machine, name: str) -> dict[str, Any]:
    """The snapshot, as ``read`` tells it.

    :raises NotFound: there is none of that name.
    :raises Conflict: it is on some disks only.
    """
    found = read(machine)
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise NotFound(f"VM {machine.record.name} has no snapshot {name}.", advice=f"It has: {known}.")
    if not found[name]["complete"]:
        raise Conflict(
            f"Snapshot {name} of VM {machine.record.name} is incomplete: not all of its disks have it.",
            advice="Delete it with state: absent.",
        )
    return found[name]


def revert(machine: Machine, name: str, start: bool, deadline: Deadline) -> None:
    """Bring disks and settings, and memory where it was saved, back to a snapshot.

    A VM whose hardware is as it was then is reverted live. With saved memory the VM then runs;
    without it it is stopped, unless ``start``.
    """
    entry = machine.record.snapshots.get(name) or {**_adopted(machine), "memory": read(machine)[name]["memory"]}
    same_hardware = entry["topology"] == machine.present()["topology"]
    if machine.is_alive and entry["memory"] and same_hardware and machine.status()[0] in ("running", "paused"):
        _revert_live(machine, name, entry, deadline)
        return
    power.kill(machine)
    machine.save(reverting=name)
    disks.apply_all(machine.disk_paths(entry["files"]), name)
    _restore_settings(machine, name, entry)
    if entry["memory"]:
        power.start(machine, deadline, load=name)
        return
    machine.save(reverting=None)
    if start:
        power.start(machine, deadline)


def _revert_live(machine: Machine, name: str, entry: dict[str, Any], deadline: Deadline) -> None:
    try:
        with machine.monitor() as monitor:
            monitor.command("stop")
            machine.save(reverting=name)
            load_memory(machine, monitor, name, deadline)
            boot = process.read_running(machine.dir)["boot"]
            _restore_settings(machine, name, entry)
            process.write_running(machine.dir, {**machine.recorded(), "boot": boot})
            machine.save(reverting=None)
            monitor.command("cont")
    except Error:
        # after a failed load disks and memory may be of different times: such a VM must not run
        process.kill(machine.dir)
        raise


def _restore_settings(machine: Machine, name: str, entry: dict[str, Any]) -> None:
    kept = set(entry["files"].values())
    detached = {*machine.record.detached, *machine.record.files.values()} - kept
    machine.save(
        config=entry["config"],
        files=entry["files"],
        ports=entry["ports"],
        port_count=entry["port_count"],
        detached=tuple(sorted(detached)),
        current=name,
        suspended=False,
    )


def revert_disks(machine: Machine, name: str, slots: list[str]) -> None:
    """Bring some disks of a stopped VM back; settings and the other disks stay.

    :raises NotFound: the snapshot has no such disk.
    """
    files = machine.record.snapshots.get(name, {}).get("files", machine.record.files)
    for slot in slots:
        if slot not in files or slot == EFIVARS:
            raise NotFound(f"Snapshot {name} of VM {machine.record.name} has no disk {slot}.")
    disks.apply_all(machine.disk_paths({slot: files[slot] for slot in slots}), name)
