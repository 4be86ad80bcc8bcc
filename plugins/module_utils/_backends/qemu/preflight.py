# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would make an operation fail and can be known by reading. It runs in check mode as well."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ..._errors import BackendError, Conflict, InvalidRequest, NotFound, Unsupported
from ..._fields import GIB, size_in_bytes
from ..._plan import Op, Step
from . import build, command, disks, memory, networks, snapshots, tools
from .change import changed_config
from .images import ImageCache
from .machine import Machine
from .store import Store

_HARMLESS = ("description", "tags", "guest_agent")
"""Settings that saved memory does not care for."""


class Preflight:
    """Checks one step against this host. Of a VM that an earlier step of the plan makes there is less to check."""

    def __init__(self, store: Store, images: ImageCache) -> None:
        self._store = store
        self._images = images

    def check(self, step: Step) -> None:
        """
        :raises Error: the step cannot succeed; the message says why.
        """
        checks: dict[Op, Callable[[Step, Machine | None], None]] = {
            Op.CREATE: self._create,
            Op.CLONE: self._clone,
            Op.UPDATE: self._update,
            Op.DELETE: self._delete,
            Op.START: self._start,
            Op.RESUME: self._start,
            Op.SUSPEND: self._suspend,
            Op.SNAPSHOT: self._snapshot,
            Op.REVERT: self._revert,
            Op.REVERT_DISKS: self._revert,
            Op.CONSOLE: self._console,
        }
        if step.op in checks:
            record = self._store.load(step.vm["name"])
            checks[step.op](step, Machine(self._store, record) if record else None)

    def _create(self, step: Step, machine: Machine | None) -> None:
        settings = step.arguments["settings"]
        tools.require_qemu()
        tools.program("qemu-img")
        _check_native(settings.get("native", {}))
        self._check_config(settings)
        self._check_new_disks(settings.get("disks", {}))
        if settings.get("firmware") == "uefi":
            command.firmware()

    def _clone(self, step: Step, machine: Machine | None) -> None:
        if step.source is None or step.source.get("id") is None:
            return
        record = self._store.load(step.source["name"])
        if record is None:
            raise NotFound(f"There is no VM {step.source['name']}.")
        source = Machine(self._store, record)
        snapshot, linked = step.arguments.get("snapshot") or "", step.arguments.get("linked", False)
        if snapshot:
            snapshots.require_whole(source, snapshot)
        if linked and snapshot:
            raise InvalidRequest(
                "A linked clone of a snapshot is not possible on backend qemu.", advice="Make a full clone."
            )
        if source.is_alive and (linked or snapshot):
            what = (
                "Its disks would go on changing below a linked clone"
                if linked
                else "Its disks cannot be read from outside"
            )
            raise Conflict(
                f"VM {record.name} is running. {what}.", advice="Stop it, or make a full clone of its present state."
            )
        if record.suspended:
            raise Conflict(
                f"VM {record.name} is suspended: its disks are not as its guest will want them.", advice="Resume it."
            )
        build.require_space_for_clone(source, snapshot, linked)

    def _update(self, step: Step, machine: Machine | None) -> None:
        changes = step.arguments["changes"]
        config = changed_config(machine.record.config if machine else step.vm, changes)
        if any(change.setting == "native" for change in changes):
            _check_native(config.get("native", {}))
            _require_same_machine(machine, config)
        if machine and any(change.setting not in _HARMLESS for change in changes):
            _require_awake(machine, "be changed")
        self._check_config(config)
        new = {change.path[1]: change.after for change in changes if change.setting == "disks" and change.after}
        self._check_new_disks(new)
        template = any(change.setting == "template" and change.after for change in changes)
        if machine and template and machine.is_alive:
            raise Conflict(
                f"VM {machine.record.name} is running and cannot become a template.", advice="Stop it first."
            )
        if machine and any(change.setting in ("disks", "disks.size") for change in changes):
            self._require_no_dependents(machine, "have its disks changed")

    def _delete(self, step: Step, machine: Machine | None) -> None:
        if machine:
            self._require_no_dependents(machine, "be deleted")

    def _start(self, step: Step, machine: Machine | None) -> None:
        tools.program(tools.SYSTEM)
        if machine is None:
            return
        record = machine.record
        if record.reverting:
            raise Conflict(
                f"VM {record.name} was left in the middle of a revert to snapshot {record.reverting}.",
                advice="Revert it once more: its disks may be of different times.",
            )
        if not machine.is_alive:
            self._require_no_dependents(machine, "be started")
            self._check_config(record.config)

    def _suspend(self, step: Step, machine: Machine | None) -> None:
        if machine:
            memory.require_disk_for_memory(machine)
            memory.require_snapshot_formats(machine)
            if machine.present()["topology"] != machine.recorded()["topology"]:
                raise Conflict(
                    f"VM {machine.record.name} has changes that wait for a restart: saved memory would not fit them.",
                    advice="Restart it first, or take the changes back.",
                )

    def _snapshot(self, step: Step, machine: Machine | None) -> None:
        snapshots.check_name(step.arguments["snapshot"])
        if machine:
            _require_awake(machine, "have a snapshot taken")
            memory.require_snapshot_formats(machine)
            if step.arguments.get("memory"):
                memory.require_disk_for_memory(machine)

    def _console(self, step: Step, machine: Machine | None) -> None:
        from . import consoles

        if machine:
            consoles.check(machine, step.arguments)

    def _revert(self, step: Step, machine: Machine | None) -> None:
        if machine:
            snapshots.require_whole(machine, step.arguments["snapshot"])
            self._require_no_dependents(machine, "be reverted")

    def _require_no_dependents(self, machine: Machine, what: str) -> None:
        """A linked clone reads what its base had: the base must stay as it is.

        :raises Conflict: the VM is the base of clones.
        """
        dependents = []
        for name in self._store.names():
            try:
                record = self._store.load(name)
                depends = record is not None and record.base == machine.record.uuid
            except BackendError:
                # its record is damaged; its images still tell
                depends = disks.any_lies_on(self._store.vm_dir(name), machine.dir)
            if depends:
                dependents.append(name)
        if dependents:
            raise Conflict(
                f"VM {machine.record.name} cannot {what}: it is the base of the linked clones {', '.join(dependents)}.",
                advice="Delete them first.",
                dependents=dependents,
            )

    def _check_config(self, config: Mapping[str, Any]) -> None:
        command.check_slots(config)
        for slot, nic in config.get("nics", {}).items():
            _check_nic(slot, nic)
        image = (config.get("cdrom") or {}).get("image")
        if config.get("cdrom") is not None and not command.cdrom_slot(config):
            raise InvalidRequest("cdrom: it needs a slot.", advice="Use a scsi or sata slot, such as slot: sata0.")
        if image and not (os.path.isabs(image) and os.path.isfile(image)):
            raise NotFound(f"cdrom: there is no file {image} on {os.uname().nodename}.")
        if "cloud_init" in config:
            tools.program("genisoimage", "mkisofs", "xorrisofs")
        for name in ("kernel", "initrd"):
            path = config.get("native", {}).get(name)
            if path and not os.path.isfile(path):
                raise NotFound(f"native: {name}: there is no file {path} on {os.uname().nodename}.")

    def _check_new_disks(self, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        for slot, disk in wanted.items():
            if "source" in disk:
                self._images.check(disk["source"], disk.get("checksum"))
            elif "size" not in disk:
                raise InvalidRequest(f"disk {slot}: a new disk needs a size or a source.")
            elif "checksum" in disk:
                raise InvalidRequest(f"disk {slot}: a checksum belongs to a source.")
            if "size" in disk and size_in_bytes(disk["size"], GIB) > 64 * 1024 * GIB:
                raise InvalidRequest(
                    f"disk {slot}: {disk['size']} GiB are more than the 65536 GiB that qcow2 is good for."
                )


def _check_nic(slot: str, nic: Mapping[str, Any]) -> None:
    network = nic.get("network", "user")
    if networks.kind_of(network) != "user" and nic.get("forwards"):
        raise InvalidRequest(f"nic {slot}: ports are forwarded from network user only, not from {network}.")
    if nic.get("model", "virtio") not in command.NIC_MODELS:
        known = ", ".join(command.NIC_MODELS)
        raise InvalidRequest(f"nic {slot}: backend qemu has no model {nic['model']}.", advice=f"It has: {known}.")


def _check_native(native: Mapping[str, Any]) -> None:
    if native:
        from ..._schema import QEMU_NATIVE, require_valid

        require_valid("native", native, QEMU_NATIVE)


def _require_same_machine(machine: Machine | None, config: Mapping[str, Any]) -> None:
    """
    :raises Unsupported: the machine type would change: the guest and its snapshots know the one it was made with.
    """
    if machine is None:
        return
    before = machine.record.config.get("native", {}).get("machine")
    wanted = config.get("native", {}).get("machine")
    if wanted not in (None, before, machine.record.machine):
        raise Unsupported(
            f"VM {machine.record.name} has machine {machine.record.machine}, which cannot change once the VM exists.",
            setting="native",
        )


def _require_awake(machine: Machine, what: str) -> None:
    """
    :raises Conflict: the VM is suspended: its memory fits its disks and hardware as they are.
    """
    if machine.record.suspended:
        raise Conflict(
            f"VM {machine.record.name} is suspended and cannot {what}: its memory would not fit any more.",
            advice="Resume it first.",
        )
