# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One VM: its record, its process, and its power."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from ..._errors import BackendError, Conflict, Error, TransportError
from ..._fields import natural
from ..._task import Deadline
from . import process
from .locks import EXCLUSIVE, hold
from .qmp import Agent, Monitor
from .store import EFIVARS, NEW, STAGING, Record, Store

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
        slots = sorted(files, key=lambda slot: (slot == EFIVARS, natural(slot)))
        return [os.path.join(self.dir, files[slot]) for slot in slots]

    def recorded(self) -> dict[str, Any]:
        """What the record says of settings, files and hardware: what the next start will use."""
        from .command import topology

        kept = ("config", "files", "ports", "port_count")
        return {**{name: getattr(self.record, name) for name in kept}, "topology": topology(self.record)}

    def present(self) -> dict[str, Any]:
        """The same as it is in effect: for a live VM, what it runs with."""
        running = process.read_running(self.dir) if self.is_alive else {}
        return {name: value for name, value in running.items() if name != "boot"} or self.recorded()

    # --- what a killed run left

    def settle(self) -> None:
        """Finish or undo what a killed run left half done. The operation lock says that nobody is at it any more."""
        self.settle_files()
        if self.is_alive:
            state, native = self.status()
            if native == "prelaunch" and state != "paused":
                process.kill(self.dir)
            else:
                self.thaw()

    def settle_files(self) -> None:
        """Remove what is unfinished; of a new disk, which has two names until the record knows it, one name or both."""
        for name in os.listdir(self.dir):
            path = os.path.join(self.dir, name)
            if name.startswith(STAGING):
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
            # until cont QEMU says so of a fresh start as well as of memory that was loaded and is now all that there is
            loaded = os.path.exists(self.loaded_mark) and not self.record.suspended and not self.record.reverting
            return ("paused" if loaded else self._off_state()), native
        return STATES.get(native, "unknown"), native

    @property
    def loaded_mark(self) -> str:
        """A file that says: this process has loaded memory."""
        return os.path.join(self.run_dir, "loaded")

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
