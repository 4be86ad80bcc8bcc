# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM's power: started, suspended and resumed, asked to shut down, cut off."""

from __future__ import annotations

import os
from contextlib import suppress

from ..._errors import Error, TransportError
from ..._fields import GIB, size_in_bytes
from ..._task import Deadline
from . import command, disks, memory, networks, process, seed
from .machine import SUSPEND_TAG, Machine
from .qmp import Monitor


def start(machine: Machine, deadline: Deadline, load: str = "") -> None:
    """Start the VM with the settings of its record, or go on from saved memory.

    :param load: the internal snapshot whose memory is loaded.
    """
    if machine.is_alive:
        process.kill(machine.dir)
    _prepare_files(machine, fresh=not load)
    life = process.claim_life(machine.dir)
    taps: dict[str, int] = {}
    try:
        process.fresh_run_dir(machine.dir, {**machine.recorded(), "boot": process.new_boot_id()})
        for slot, nic in machine.record.config.get("nics", {}).items():
            if networks.kind_of(nic["network"]) == "bridge":
                taps[slot] = networks.open_tap(nic["network"])
        accelerator = process.accelerator(machine.record.config.get("native", {}).get("accel", "auto"))
        arguments = command.CommandLine(machine.record, machine.dir, accelerator, taps).arguments()
        monitor = process.spawn(machine.dir, arguments, machine.record.uuid, life, list(taps.values()))
    finally:
        for descriptor in (life, *taps.values()):
            os.close(descriptor)
    with monitor:
        _begin(machine, monitor, load, deadline)


def _prepare_files(machine: Machine, fresh: bool) -> None:
    if process.was_killed(machine.dir):
        for path in machine.disk_paths():
            if path.endswith(".qcow2"):
                disks.repair_leaks(path)
    config = machine.record.config
    if fresh:
        ports = command.assign_ports(config, machine.record.ports)
        count = command.port_count(ports)
        if (ports, count) != (machine.record.ports, machine.record.port_count):
            machine.save(ports=ports, port_count=count)
        _grow_pending(machine)
    if "cloud_init" in config:
        macs = {slot: nic["mac"] for slot, nic in config.get("nics", {}).items()}
        files = seed.documents(machine.record.name, machine.record.uuid, config["cloud_init"], macs)
        seed.write(os.path.join(machine.dir, "seed.iso"), files)


def _grow_pending(machine: Machine) -> None:
    """A disk that was to grow while its image was in use grows at the next start."""
    for slot, disk in machine.record.config.get("disks", {}).items():
        path, size = os.path.join(machine.dir, machine.record.files[slot]), size_in_bytes(disk["size"], GIB)
        if disks.virtual_size(path) < size:
            disks.grow(path, size, disk["format"])


def _begin(machine: Machine, monitor: Monitor, load: str, deadline: Deadline) -> None:
    try:
        for slot, nic in machine.record.config.get("nics", {}).items():
            if not nic["connected"]:
                monitor.command("set_link", {"name": slot, "up": False})
        if load:
            memory.load_memory(machine, monitor, load, deadline)
            with open(machine.loaded_mark, "wb"):
                pass
        if machine.record.suspended or machine.record.reverting:
            # before the guest runs: a crash may lose the memory, but never bring old memory to new disks
            machine.save(suspended=False, reverting=None)
        if load == SUSPEND_TAG:
            memory.delete_memory(machine, monitor, SUSPEND_TAG, deadline)
        monitor.command("cont")
    except Error:
        process.kill(machine.dir)
        raise


def kill(machine: Machine) -> None:
    """Cut the power, and give up what was suspended."""
    if machine.is_alive:
        process.kill(machine.dir)
    if machine.record.suspended:
        machine.save(suspended=False)
        disks.delete_all(machine.disk_paths(), SUSPEND_TAG)


def press_power_button(machine: Machine) -> None:
    """Ask the guest to shut down: its agent where it is set to have one, and ACPI where that does not answer."""
    if machine.record.config.get("guest_agent"):
        with suppress(TransportError), machine.agent() as agent:
            agent.begin("guest-shutdown", {"mode": "powerdown"})
            return
    with suppress(TransportError), machine.info_monitor() as monitor:
        monitor.command("system_powerdown")


def resume(machine: Machine, deadline: Deadline) -> None:
    state, native = machine.status()
    if state == "suspended":
        start(machine, deadline, load=SUSPEND_TAG)
        return
    with machine.monitor() as monitor:
        # what a run left that was killed while it suspended or resumed
        nodes = monitor.command("query-named-block-nodes", {"flat": True})
        if any(one["name"] == SUSPEND_TAG for node in nodes for one in node["image"].get("snapshots", ())):
            memory.delete_memory(machine, monitor, SUSPEND_TAG, deadline)
        if machine.record.suspended:
            machine.save(suspended=False)
        monitor.command("system_wakeup" if native == "suspended" else "cont")


def suspend(machine: Machine, deadline: Deadline) -> None:
    """Save the memory into the first disk and end the process."""
    with machine.monitor() as monitor:
        monitor.command("stop")
        if machine.record.suspended:
            machine.save(suspended=False)
        memory.delete_memory(machine, monitor, SUSPEND_TAG, deadline)
        try:
            memory.save_memory(machine, monitor, SUSPEND_TAG, deadline)
        except Error:
            monitor.command("cont")
            raise
        machine.save(suspended=True)
    process.kill(machine.dir)
