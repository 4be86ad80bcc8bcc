# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What makes a step fail and can be known by reading, before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..._errors import Conflict, InvalidRequest, NotFound, Unsupported
from ..._fields import MIB
from ..._plan import VM, Change, Op, Step
from . import words
from .api import UUID

if TYPE_CHECKING:
    from .driver import VsdBackend

_SNAPSHOT_NAME = re.compile(r"(?!head$)[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?")
_MOST_MEMORY = 256 * 1024


def check(backend: VsdBackend, step: Step) -> None:
    checks = {
        Op.SNAPSHOT: _check_snapshot,
        Op.REVERT_DISKS: _check_disks,
        Op.SHUTDOWN: _check_shutdown,
        Op.MIGRATE: _check_migration,
        Op.UPDATE: _check_update,
    }
    if step.op in checks:
        checks[step.op](backend, step)


def _check_snapshot(backend: VsdBackend, step: Step) -> None:
    vm, name = step.vm, step.arguments["snapshot"]
    if not _SNAPSHOT_NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} cannot be the name of a snapshot.",
            advice="It is not head, and neither begins nor ends with a blank.",
        )
    if backend.told[vm["id"]].get("has_passthrough_disk"):
        raise Conflict(f"VM {vm['name']} has a disk that is passed through, of which there are no snapshots.")
    if step.arguments["memory"] and vm["state"] != "running":
        raise Conflict(
            f"VM {vm['name']} is {vm['state']}: TopHC saves the memory of a running VM only.", advice="Resume it first."
        )


def _check_disks(backend: VsdBackend, step: Step) -> None:
    chosen(backend, step.vm, step.arguments["snapshot"], step.arguments["disks"])


def chosen(backend: VsdBackend, vm: VM, snapshot: str, slots: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """What a snapshot has of some disks, by slot; the platform's own names of disks, such as vda, will do as well.

    :raises NotFound: the VM has no such disk, or the snapshot does not have it.
    """
    disks = backend.told[vm["id"]].get("disks") or []
    known = {word: disk for disk in disks for word in (words.slot_of(disk), disk["disk_target_device"])}
    kept = {one["VolumeUuid"]: one for one in backend.snapshot(vm["id"], snapshot).get("disk_snapshot_list") or []}
    found = {}
    for slot in dict.fromkeys(slots):
        if slot not in known:
            told = ", ".join(sorted(words.slot_of(disk) for disk in disks)) or "none"
            raise NotFound(f"VM {vm['name']} has no disk {slot}.", advice=f"It has: {told}.")
        volume = words.source_of(known[slot]).get("volume_uuid")
        if volume not in kept:
            raise NotFound(
                f"Snapshot {snapshot} of VM {vm['name']} does not have disk {slot}.",
                advice="The VM did not have it when the snapshot was taken.",
            )
        found[slot] = kept[volume]
    return found


def _check_shutdown(backend: VsdBackend, step: Step) -> None:
    """The platform asks the agent in the guest: without one nobody would hear."""
    vm = step.vm
    hears = backend.told.get(vm.get("id", ""), {}).get("ga_state") == "connected"
    if vm["state"] == "running" and not hears and not step.arguments["force"]:
        raise Conflict(
            f"VM {vm['name']} cannot be shut down: its guest has no agent that hears it.",
            advice="Use force: true, which cuts its power.",
        )


def _check_migration(backend: VsdBackend, step: Step) -> None:
    wanted, vm = step.arguments, step.vm
    for option in ("target_storage", "bandwidth_limit"):
        if wanted.get(option):
            raise Unsupported(f"Backend vsd migrates without {option}.", advice="Leave it out.")
    if vm["state"] != "running" or not wanted["online"]:
        raise Conflict(f"VM {vm['name']} is {vm['state']}: TopHC migrates running VMs only.", advice="Start it first.")
    host_of(backend, wanted["node"])


def host_of(backend: VsdBackend, node: str) -> str:
    """The uuid of a host. A user who may not see hosts knows them by nothing else.

    :raises NotFound: there is none of that name.
    """
    if not backend.hosts and UUID.fullmatch(node):
        return node
    found = [uuid for uuid, name in backend.hosts.items() if name == node]
    if len(found) != 1:
        known = f"There are: {', '.join(sorted(backend.hosts.values()))}."
        advice = known if backend.hosts else "This user sees no hosts: give the uuid of one."
        raise NotFound(f"There is no host {node} in the cluster.", advice=advice)
    return found[0]


def _check_update(backend: VsdBackend, step: Step) -> None:
    vm = step.vm
    if vm["state"] != "stopped" and step.arguments["apply"] == "next_boot":
        raise Unsupported("Backend vsd applies at once what it can: apply: next_boot is not possible.")
    for change in step.arguments["changes"]:
        if change.setting == "memory" and change.after > _MOST_MEMORY:
            raise InvalidRequest(f"memory: TopHC takes at most {_MOST_MEMORY // 1024} GiB.")
        if needs_stop(backend, vm, change):
            raise Conflict(
                f"VM {vm['name']} is {vm['state']}: TopHC changes {change.setting} from {change.before} to"
                f" {change.after} only while it is stopped.",
                advice="Use anyvirt.compute.vm_config with apply: reboot, or stop it first.",
            )


def needs_stop(backend: VsdBackend, vm: VM, change: Change) -> bool:
    """A running VM gets more memory, and as many cores as it is prepared for; all else it gets while it is stopped."""
    if vm["state"] == "stopped" or change.setting not in ("memory", "cores", "sockets"):
        return False
    told = backend.told[vm["id"]]
    if change.setting == "sockets" or change.after < change.before:
        return True
    if change.setting == "memory":
        return change.after * MIB > int(told.get("mem_max") or 0)
    return change.after * int(told.get("cpu_sockets") or 1) > int(told.get("cpu_max_count") or 0)
