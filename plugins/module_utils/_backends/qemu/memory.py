# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A live VM's memory, saved into and loaded from internal snapshots of its disks."""

from __future__ import annotations

import time
from typing import Any

from ..._errors import BackendError, Conflict
from ..._fields import natural
from ..._task import Deadline
from .machine import Machine
from .qmp import Monitor
from .store import EFIVARS


def nodes(machine: Machine) -> list[str]:
    """The writable nodes of the live process, the first disk first: memory goes there."""
    return sorted(machine.present()["files"], key=lambda slot: (slot == EFIVARS, natural(slot)))


def save_memory(machine: Machine, monitor: Monitor, tag: str, deadline: Deadline) -> None:
    writable = nodes(machine)
    run_job(monitor, "snapshot-save", {"tag": tag, "vmstate": writable[0], "devices": writable}, deadline)


def load_memory(machine: Machine, monitor: Monitor, tag: str, deadline: Deadline) -> None:
    writable = nodes(machine)
    run_job(monitor, "snapshot-load", {"tag": tag, "vmstate": writable[0], "devices": writable}, deadline)


def delete_memory(machine: Machine, monitor: Monitor, tag: str, deadline: Deadline) -> None:
    """Delete an internal snapshot of the live process; QEMU does not mind where it is missing."""
    run_job(monitor, "snapshot-delete", {"tag": tag, "devices": nodes(machine)}, deadline)


def require_snapshot_formats(machine: Machine) -> None:
    """
    :raises Conflict: there is no disk, or one that cannot hold snapshots.
    """
    config = machine.present()["config"]
    raw = [slot for slot, disk in config.get("disks", {}).items() if disk["format"] != "qcow2"]
    if raw:
        raise Conflict(
            f"Disk {', '.join(raw)} of VM {machine.record.name} has format raw, which cannot hold a snapshot.",
            advice="Clone the VM with format qcow2.",
        )


def require_disk_for_memory(machine: Machine) -> None:
    """
    :raises Conflict: there is no disk that memory could go to.
    """
    if not machine.present()["config"].get("disks"):
        raise Conflict(f"VM {machine.record.name} has no disk to which its memory could be saved.")


def run_job(monitor: Monitor, name: str, arguments: dict[str, Any], deadline: Deadline) -> None:
    """A job of QEMU to its end. snapshot-save and -load stop the main loop: the answer itself comes late.

    :raises BackendError: it failed, with QEMU's words.
    """
    job = f"{name}-{time.time_ns():x}"
    monitor.command(name, {"job-id": job, **arguments}, timeout=max(deadline.left, 60.0))
    for _turn in deadline.intervals(0.01, 0.5):
        found = next(one for one in monitor.command("query-jobs", timeout=60.0) if one["id"] == job)
        if found["status"] == "concluded":
            monitor.command("job-dismiss", {"id": job})
            if "error" in found:
                raise BackendError(f"QEMU could not finish {name}: {found['error']}", command=name)
            return
    monitor.command("job-cancel", {"id": job})
    raise BackendError(f"{name} did not finish within {deadline.seconds:g} s and was cancelled.", command=name)
