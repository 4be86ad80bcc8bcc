# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changing a VM's settings: in its record always, in the live process where QEMU can.

The record is written first. What a killed run did not bring into the process is then pending, which is true.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any

from ..._errors import BackendError, Conflict, Error, TransportError
from ..._fields import GIB, size_in_bytes
from ..._plan import Change
from ..._task import Deadline
from . import build, command, disks, networks, process
from .images import ImageCache
from .machine import Machine
from .qmp import Monitor
from .store import EFIVARS, NEW, Record

_UNPLUG_TIMEOUT = 15.0


def changed_config(config: Mapping[str, Any], changes: Sequence[Change]) -> dict[str, Any]:
    """The settings with the changes made; new devices as they were asked for."""
    result = deepcopy(dict(config))
    for change in changes:
        place = result
        for key in change.path[:-1]:
            place = place.setdefault(key, {})
        if change.after is None:
            place.pop(change.path[-1], None)
        else:
            place[change.path[-1]] = deepcopy(change.after)
    return result


def update(
    machine: Machine, changes: Sequence[Change], *, live: bool, force: bool, images: ImageCache, deadline: Deadline
) -> list[str]:
    """Make the changes; what the user should know beside.

    :param live: change the running process too, where possible.
    :param force: take a medium out of a tray that the guest has locked.
    """
    before = machine.record
    config = changed_config(before.config, changes)
    for slot, nic in config.get("nics", {}).items():
        config["nics"][slot] = build.complete_nic(nic)
    alive = machine.is_alive
    try:
        files, detached = _disk_files(machine, config, images, deadline)
        ports = command.assign_ports(config, before.ports)
        if not alive:
            _grow_stopped(machine, changes, files)
        machine.save(config=config, files=files, ports=ports, detached=(*before.detached, *detached))
    finally:
        machine.settle_files()
    if alive and live:
        _LiveChange(machine, before, force).make(changes)
    return [
        f"The disk that was taken from VM {before.name} is kept as {os.path.join(machine.dir, file)}."
        for file in detached
    ]


def _disk_files(
    machine: Machine, config: dict[str, Any], images: ImageCache, deadline: Deadline
) -> tuple[dict[str, str], list[str]]:
    """Make the images of new disks; the file of each disk, and those of disks that are no more."""
    old = machine.record.files
    wanted = config.get("disks", {})
    files = {slot: file for slot, file in old.items() if slot in wanted or slot == EFIVARS}
    for slot, disk in wanted.items():
        if slot not in files:
            file = _unused_name(machine, disk.get("format", "qcow2"))
            new = os.path.join(machine.dir, f"{NEW}{file}")
            wanted[slot] = build.make_disk(new, disk, images, deadline)
            os.link(new, os.path.join(machine.dir, file))
            files[slot] = file
    return files, [file for slot, file in old.items() if slot not in files]


def _unused_name(machine: Machine, image_format: str) -> str:
    number = 0
    while any(os.path.lexists(os.path.join(machine.dir, f"{new}disk{number}.{image_format}")) for new in ("", NEW)):
        number += 1
    return f"disk{number}.{image_format}"


def _grow_stopped(machine: Machine, changes: Sequence[Change], files: Mapping[str, str]) -> None:
    for change in changes:
        if change.setting == "disks.size":
            slot = change.path[1]
            image_format = machine.record.config["disks"][slot]["format"]
            disks.grow(os.path.join(machine.dir, files[slot]), size_in_bytes(change.after, GIB), image_format)


def free_port(running: Mapping[str, Any]) -> bool:
    """Whether one more device can be plugged into the live machine."""
    return len(running["ports"]) < running["port_count"]


def can_plug(slot: str, running: Mapping[str, Any]) -> bool:
    """Whether a device in this slot can be added to, or taken from, the live machine."""
    if slot.startswith("scsi"):
        return command.SCSI in running["ports"]
    return slot.startswith(("virtio", "net")) and (slot in running["ports"] or free_port(running))


class _LiveChange:
    """Brings changes that are in the record into the live process, and keeps running.json true."""

    def __init__(self, machine: Machine, before: Record, force: bool) -> None:
        self._machine = machine
        self._before = before
        self._force = force
        self._running = process.read_running(machine.dir)
        self._config = self._running["config"]

    def make(self, changes: Sequence[Change]) -> None:
        """
        :raises BackendError: QEMU refused one; the record is as before where it was the first.
        """
        with self._machine.monitor() as monitor:
            for position, change in enumerate(changes):
                try:
                    self._make_one(monitor, change)
                except Error:
                    if position == 0:
                        self._take_back()
                    raise
                process.write_running(self._machine.dir, self._running)

    def _take_back(self) -> None:
        """The record as it was; the new disks that it named hold nothing yet."""
        record, new = self._before, set(self._machine.record.files.values()) - set(self._before.files.values())
        self._machine.save(config=record.config, files=record.files, ports=record.ports, detached=record.detached)
        for file in new:
            os.unlink(os.path.join(self._machine.dir, file))

    def _make_one(self, monitor: Monitor, change: Change) -> None:
        """What is about a device that itself is to come with the next start is left to that."""
        slot = change.path[1] if len(change.path) > 1 else ""
        if change.setting in ("description", "tags", "guest_agent", "template"):
            self._config[change.setting] = change.after
        elif len(change.path) == 3 and slot not in self._config.get(change.path[0], {}):
            return
        elif change.setting == "disks.size":
            size = size_in_bytes(change.after, GIB)
            monitor.command("block_resize", {"node-name": slot, "size": size}, timeout=60.0)
            self._config["disks"][slot]["size"] = change.after
        elif change.setting == "nics.connected":
            monitor.command("set_link", {"name": slot, "up": change.after})
            self._config["nics"][slot]["connected"] = change.after
        elif change.setting == "nics.forwards":
            self._forward(monitor, slot, change.after or ())
        elif change.setting == "cdrom.image":
            self._change_medium(monitor, change.after)
        elif change.setting in ("disks", "nics") and can_plug(slot, self._running):
            if change.after is None:
                if slot in self._config.get(change.path[0], {}):
                    self._unplug(monitor, change.path[0], slot)
            else:
                self._plug(monitor, change.path[0], slot)

    def _forward(self, monitor: Monitor, slot: str, after: Sequence[dict[str, Any]]) -> None:
        """
        :raises Conflict: a port of the host is taken; the forwards are as before.
        """
        nic = self._config["nics"][slot]
        if nic["network"] != "user":
            return
        before = nic.get("forwards") or []
        gone, new = ([one for one in these if one not in those] for these, those in ((before, after), (after, before)))
        for forward in gone:
            monitor.human(f"hostfwd_remove host-{slot} {networks.forward_listener(forward)}")
        for position, forward in enumerate(new):
            said = monitor.human(f"hostfwd_add host-{slot} {networks.forward_rule(forward)}").strip()
            if said:
                for added in new[:position]:
                    monitor.human(f"hostfwd_remove host-{slot} {networks.forward_listener(added)}")
                for forward_before in gone:
                    monitor.human(f"hostfwd_add host-{slot} {networks.forward_rule(forward_before)}")
                raise Conflict(
                    f"Port {forward['host_port']} cannot be forwarded: {said}", advice="Use another host_port."
                )
        nic["forwards"] = list(after)

    def _change_medium(self, monitor: Monitor, image: str | None) -> None:
        slot = command.cdrom_slot(self._config)
        if slot != command.cdrom_slot(self._machine.record.config):
            return
        try:
            if image:
                medium = {"id": slot, "filename": image, "format": "raw", "read-only-mode": "read-only"}
                monitor.command("blockdev-change-medium", {**medium, "force": self._force})
            else:
                monitor.command("eject", {"id": slot, "force": self._force})
        except BackendError as error:
            if "locked" not in error.message:
                raise
            raise Conflict(
                f"The guest of VM {self._before.name} has locked the tray of {slot}.",
                advice="Unmount the CD in the guest, or use force: true.",
            ) from error
        self._config["cdrom"]["image"] = image or ""

    def _plug(self, monitor: Monitor, kind: str, slot: str) -> None:
        record = self._machine.record
        if command.needs_port(slot):
            self._running["ports"][slot] = record.ports[slot]
        if kind == "disks":
            path = os.path.join(self._machine.dir, record.files[slot])
            monitor.command("blockdev-add", command.disk_node(slot, path, record.config["disks"][slot]["format"]))
            device = command.disk_device(slot, self._running["ports"])
            undo = ("blockdev-del", {"node-name": slot})
            self._running["files"][slot] = record.files[slot]
        else:
            self._plug_network(monitor, slot, record.config["nics"][slot])
            device = command.nic_device(slot, record.config["nics"][slot], self._running["ports"])
            undo = ("netdev_del", {"id": f"host-{slot}"})
        try:
            monitor.command("device_add", device)
            if kind == "nics" and not record.config["nics"][slot]["connected"]:
                monitor.command("set_link", {"name": slot, "up": False})
        except BackendError:
            with suppress(BackendError):
                monitor.command(*undo)
            raise
        self._config.setdefault(kind, {})[slot] = record.config[kind][slot]
        self._remember_topology()

    def _plug_network(self, monitor: Monitor, slot: str, nic: dict[str, Any]) -> None:
        tap: str | None = None
        if networks.kind_of(nic["network"]) == "bridge":
            descriptor = networks.open_tap(nic["network"])
            tap = f"tap-{slot}"
            try:
                monitor.command("getfd", {"fdname": tap}, descriptors=(descriptor,))
            finally:
                os.close(descriptor)
        monitor.command("netdev_add", networks.netdev(slot, nic, tap))

    def _unplug(self, monitor: Monitor, kind: str, slot: str) -> None:
        """Take a device away. The guest has to let go of it: that takes moments, or never comes."""
        self._eject(monitor, slot)
        if kind == "disks":
            monitor.command("blockdev-del", {"node-name": slot})
            self._running["files"].pop(slot, None)
        else:
            monitor.command("netdev_del", {"id": f"host-{slot}"})
        self._config[kind].pop(slot, None)
        self._running["ports"].pop(slot, None)
        self._remember_topology()

    def _eject(self, monitor: Monitor, slot: str) -> None:
        monitor.events.clear()
        try:
            monitor.command("device_del", {"id": slot})
        except BackendError as error:
            if error.facts["code"] != "DeviceNotFound":
                raise
            # the guest let go of it after an earlier run had given up
            return
        try:
            # the first such event is about a part of the device and has no id
            monitor.wait_event(
                lambda event: event["event"] == "DEVICE_DELETED" and event["data"].get("device") == slot,
                _UNPLUG_TIMEOUT,
            )
        except TransportError as error:
            raise Conflict(
                f"The guest of VM {self._before.name} does not let go of {slot} within {_UNPLUG_TIMEOUT:g} s.",
                advice="It may not be up yet. Try again, or use apply: next_boot.",
            ) from error

    def _remember_topology(self) -> None:
        """A snapshot's memory fits this hardware from now on."""
        as_running = Record(
            name=self._before.name,
            uuid=self._before.uuid,
            machine=self._before.machine,
            config=self._config,
            ports=self._running["ports"],
            port_count=self._running["port_count"],
        )
        self._running["topology"] = command.topology(as_running)
