# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One VM: its record, its process, and its power."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from ..._errors import BackendError, Conflict, Error, TransportError
from ..._fields import GIB, natural, size_in_bytes
from ..._task import Deadline
from . import command, disks, networks, process, seed
from .locks import EXCLUSIVE, hold
from .qmp import Agent, Monitor
from .store import NEW, Record, Store

SUSPEND_TAG = ".suspend"
"""The internal snapshot of a VM suspended to disk; no snapshot of a user can have this name."""

CLONE_NODE = "clone-"

_PATIENCE = 5.0
"""Seconds that a QEMU may be silent."""

STATES = {
    "running": "running",
    "paused": "paused",
    "suspended": "paused",
    "io-error": "paused",
    "save-vm": "paused",
    "debug": "paused",
}
"""QEMU's run states in neutral words; those that are not here are ``unknown``, but for a start that is not over."""


class Machine:
    """A VM of this host. What changes it needs the operation lock."""

    def __init__(self, store: Store, record: Record) -> None:
        self.store = store
        self.record = record

    @property
    def dir(self) -> str:
        return self.store.vm_dir(self.record.name)

    @property
    def run_dir(self) -> str:
        return process.run_dir(self.dir)

    @property
    def is_alive(self) -> bool:
        return process.is_alive(self.dir)

    def save(self, **values: Any) -> None:
        self.record = replace(self.record, **values, generation=self.record.generation + 1)
        self.store.save(self.record)

    def disk_paths(self, files: dict[str, str] | None = None) -> list[str]:
        """The writable images, the first disk first, UEFI variables last."""
        files = self.record.files if files is None else files
        slots = sorted(files, key=lambda slot: (slot == command.EFIVARS, natural(slot)))
        return [os.path.join(self.dir, files[slot]) for slot in slots]

    def recorded(self) -> dict[str, Any]:
        """What the record says of settings, files and hardware: what the next start will use."""
        kept = ("config", "files", "ports", "port_count")
        return {**{name: getattr(self.record, name) for name in kept}, "topology": command.topology(self.record)}

    def present(self) -> dict[str, Any]:
        """The same as it is in effect: for a live VM, what it runs with."""
        running = process.read_running(self.dir) if self.is_alive else {}
        return {name: value for name, value in running.items() if name != "boot"} or self.recorded()

    # --- what a killed run left

    def settle(self) -> None:
        """Finish or undo what a killed run left half done. The operation lock says that nobody is at it any more."""
        self.settle_files()
        if self.is_alive:
            if self._ask_status() == "prelaunch":
                process.kill(self.dir)
            else:
                self.thaw()

    def settle_files(self) -> None:
        """Remove what is unfinished; of a new disk, which has two names until the record knows it, one name or both."""
        for name in os.listdir(self.dir):
            path = os.path.join(self.dir, name)
            if name.startswith(seed.STAGING):
                shutil.rmtree(path, ignore_errors=True)
            elif name.startswith(NEW):
                target = name[len(NEW) :]
                if target not in self.record.files.values():
                    with suppress(FileNotFoundError):
                        os.unlink(os.path.join(self.dir, target))
                os.unlink(path)

    # --- what it is doing

    def status(self) -> tuple[str, str]:
        """The power state in neutral words, and in QEMU's."""
        if not self.is_alive:
            return self._off_state(), "revert-interrupted" if self.record.reverting else "shutdown"
        native = self._ask_status()
        if native is None:
            return self.status() if not self.is_alive else ("unknown", "unresponsive")
        if native == "prelaunch":
            return self._off_state(), native
        if native == "restore-vm":
            # QEMU says so until cont, whether memory was loaded or not; the record tells that it was
            return ("unknown" if self.record.reverting else "suspended" if self.record.suspended else "paused"), native
        return STATES.get(native, "unknown"), native

    def _off_state(self) -> str:
        return "suspended" if self.record.suspended else "stopped"

    def _ask_status(self) -> str | None:
        """QEMU's run state, None where it tells none. One that another run is just starting does not listen yet."""
        deadline = Deadline(_PATIENCE)
        for _turn in deadline.intervals(0.02, 0.2):
            with suppress(Error), self.info_monitor() as monitor:
                return monitor.command("query-status", timeout=_PATIENCE)["status"]
            lost = not os.path.isdir(self.run_dir) and deadline.left < _PATIENCE - 0.5
            if lost or not self.is_alive:
                break
        return None

    @contextmanager
    def info_monitor(self) -> Iterator[Monitor]:
        """The monitor of those who only ask; they take turns, and never wait for an operation."""
        lock = os.path.join(self.run_dir, "info.lock")
        turn = hold(lock, EXCLUSIVE, Deadline(5.0), f"The monitor of {self.record.name}")
        with turn, Monitor(self.run_dir, "info.sock") as monitor:
            yield monitor

    @contextmanager
    def monitor(self) -> Iterator[Monitor]:
        """The monitor of operations, without what a killed operation left running in it."""
        with Monitor(self.run_dir) as monitor:
            _end_orphaned_jobs(monitor)
            yield monitor

    @contextmanager
    def agent(self, timeout: float = 2.0) -> Iterator[Agent]:
        """The guest's agent.

        :raises TransportError: it does not answer.
        """
        lock = os.path.join(self.run_dir, "agent.lock")
        turn = hold(lock, EXCLUSIVE, Deadline(30.0), f"The agent of {self.record.name}")
        with turn, Agent(self.run_dir, timeout) as agent:
            yield agent

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The guest's file systems written out and still, where it has an agent that can."""
        if self.record.config.get("guest_agent"):
            with suppress(Error), self.agent() as agent:
                with open(self._frozen_mark, "wb"):
                    pass
                agent.command("guest-fsfreeze-freeze", timeout=30.0)
        try:
            yield
        finally:
            self.thaw()

    def thaw(self) -> None:
        """Let the guest write again, if it was kept from it: by this run, or by one that was killed over it."""
        if os.path.exists(self._frozen_mark):
            with suppress(TransportError), self.agent() as agent:
                with suppress(BackendError):
                    agent.command("guest-fsfreeze-thaw", timeout=30.0)
                os.unlink(self._frozen_mark)

    @property
    def _frozen_mark(self) -> str:
        return os.path.join(self.run_dir, "frozen")

    # --- power

    def start(self, deadline: Deadline, load: str = "") -> None:
        """Start the VM with the settings of its record, or go on from saved memory.

        :param load: the internal snapshot whose memory is loaded.
        """
        if self.is_alive:
            process.kill(self.dir)
        self._prepare_files(fresh=not load)
        life = process.claim_life(self.dir)
        taps: dict[str, int] = {}
        try:
            process.fresh_run_dir(self.dir, {**self.recorded(), "boot": process.new_boot_id()})
            for slot, nic in self.record.config.get("nics", {}).items():
                if networks.kind_of(nic["network"]) == "bridge":
                    taps[slot] = networks.open_tap(nic["network"])
            accelerator = process.accelerator(self.record.config.get("native", {}).get("accel", "auto"))
            arguments = command.CommandLine(self.record, self.dir, accelerator, taps).arguments()
            monitor = process.spawn(self.dir, arguments, self.record.uuid, life, list(taps.values()))
        finally:
            for descriptor in (life, *taps.values()):
                os.close(descriptor)
        with monitor:
            self._begin(monitor, load, deadline)

    def _prepare_files(self, fresh: bool) -> None:
        if process.was_killed(self.dir):
            for path in self.disk_paths():
                if path.endswith(".qcow2"):
                    disks.repair_leaks(path)
        config = self.record.config
        if fresh:
            ports = command.assign_ports(config, self.record.ports)
            count = command.port_count(ports)
            if (ports, count) != (self.record.ports, self.record.port_count):
                self.save(ports=ports, port_count=count)
            self._grow_pending()
        if "cloud_init" in config:
            macs = {slot: nic["mac"] for slot, nic in config.get("nics", {}).items()}
            files = seed.documents(self.record.name, self.record.uuid, config["cloud_init"], macs)
            seed.write(os.path.join(self.dir, "seed.iso"), files)

    def _grow_pending(self) -> None:
        """A disk that was to grow while its image was in use grows at the next start."""
        for slot, disk in self.record.config.get("disks", {}).items():
            path, size = os.path.join(self.dir, self.record.files[slot]), size_in_bytes(disk["size"], GIB)
            if disks.virtual_size(path) < size:
                disks.grow(path, size, disk["format"])

    def _begin(self, monitor: Monitor, load: str, deadline: Deadline) -> None:
        try:
            for slot, nic in self.record.config.get("nics", {}).items():
                if not nic["connected"]:
                    monitor.command("set_link", {"name": slot, "up": False})
            if load:
                self.load_memory(monitor, load, deadline)
            if self.record.suspended or self.record.reverting:
                # before the guest runs: a crash may lose the memory, but never bring old memory to new disks
                self.save(suspended=False, reverting=None)
            if load == SUSPEND_TAG:
                self.delete_memory(monitor, SUSPEND_TAG, deadline)
            monitor.command("cont")
        except Error:
            process.kill(self.dir)
            raise

    def kill(self) -> None:
        """Cut the power, and give up what was suspended."""
        if self.is_alive:
            process.kill(self.dir)
        if self.record.suspended:
            self.save(suspended=False)
            disks.delete_all(self.disk_paths(), SUSPEND_TAG)

    def press_power_button(self) -> None:
        """Ask the guest to shut down: its agent where it is set to have one, and ACPI where that does not answer."""
        if self.record.config.get("guest_agent"):
            with suppress(TransportError), self.agent() as agent:
                agent.begin("guest-shutdown", {"mode": "powerdown"})
                return
        with suppress(TransportError), self.info_monitor() as monitor:
            monitor.command("system_powerdown")

    def resume(self, deadline: Deadline) -> None:
        state, native = self.status()
        if state == "suspended":
            self.start(deadline, load=SUSPEND_TAG)
            return
        with self.monitor() as monitor:
            # what a run left that was killed while it suspended or resumed
            nodes = monitor.command("query-named-block-nodes", {"flat": True})
            if any(one["name"] == SUSPEND_TAG for node in nodes for one in node["image"].get("snapshots", ())):
                self.delete_memory(monitor, SUSPEND_TAG, deadline)
            if self.record.suspended:
                self.save(suspended=False)
            monitor.command("system_wakeup" if native == "suspended" else "cont")

    def suspend(self, deadline: Deadline) -> None:
        """Save the memory into the first disk and end the process."""
        with self.monitor() as monitor:
            monitor.command("stop")
            if self.record.suspended:
                self.save(suspended=False)
            self.delete_memory(monitor, SUSPEND_TAG, deadline)
            try:
                self.save_memory(monitor, SUSPEND_TAG, deadline)
            except Error:
                monitor.command("cont")
                raise
            self.save(suspended=True)
        process.kill(self.dir)

    # --- memory in internal snapshots

    def nodes(self) -> list[str]:
        """The writable nodes of the live process, the first disk first: memory goes there."""
        return sorted(self.present()["files"], key=lambda slot: (slot == command.EFIVARS, natural(slot)))

    def save_memory(self, monitor: Monitor, tag: str, deadline: Deadline) -> None:
        nodes = self.nodes()
        run_job(monitor, "snapshot-save", {"tag": tag, "vmstate": nodes[0], "devices": nodes}, deadline)

    def load_memory(self, monitor: Monitor, tag: str, deadline: Deadline) -> None:
        nodes = self.nodes()
        run_job(monitor, "snapshot-load", {"tag": tag, "vmstate": nodes[0], "devices": nodes}, deadline)

    def delete_memory(self, monitor: Monitor, tag: str, deadline: Deadline) -> None:
        """Delete an internal snapshot of the live process; QEMU does not mind where it is missing."""
        run_job(monitor, "snapshot-delete", {"tag": tag, "devices": self.nodes()}, deadline)

    def require_snapshot_formats(self) -> None:
        """
        :raises Conflict: there is no disk, or one that cannot hold snapshots.
        """
        config = self.present()["config"]
        raw = [slot for slot, disk in config.get("disks", {}).items() if disk["format"] != "qcow2"]
        if raw:
            raise Conflict(
                f"Disk {', '.join(raw)} of VM {self.record.name} has format raw, which cannot hold a snapshot.",
                advice="Clone the VM with format qcow2.",
            )

    def require_disk_for_memory(self) -> None:
        """
        :raises Conflict: there is no disk that memory could go to.
        """
        if not self.present()["config"].get("disks"):
            raise Conflict(f"VM {self.record.name} has no disk to which its memory could be saved.")


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


def _end_orphaned_jobs(monitor: Monitor) -> None:
    """Under the operation lock nobody else works here, so whatever runs belongs to an operation that was killed."""
    for _turn in Deadline(60.0).intervals(0.02, 0.5):
        jobs = monitor.command("query-jobs", timeout=60.0)
        if not jobs:
            break
        for job in jobs:
            with suppress(BackendError):
                finished = job["status"] == "concluded"
                monitor.command("job-dismiss" if finished else "job-cancel", {"id": job["id"]})
    else:
        raise Conflict("QEMU has a job that does not end.", advice="Stop the VM, or wait for it.")
    for node in monitor.command("query-named-block-nodes", {"flat": True}):
        if node["node-name"].startswith(CLONE_NODE):
            with suppress(BackendError):
                monitor.command("blockdev-del", {"node-name": node["node-name"]})
