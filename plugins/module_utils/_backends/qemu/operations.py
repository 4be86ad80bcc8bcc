# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changes VMs of this host: one method for each operation, named like it. All but a shutdown is done on return."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._errors import BackendError, NotFound
from ..._plan import Op, Step
from ..._task import Deadline, Task, TaskState
from . import process
from .machine import Machine
from .shutdown import Shutdown

if TYPE_CHECKING:
    from .driver import QemuBackend


class Operations:
    """What each needs is imported where it begins: a task does one thing, and compiles all that it imports."""

    def __init__(self, backend: QemuBackend) -> None:
        self._backend = backend
        self._store = backend.store

    def perform(self, step: Step, deadline: Deadline) -> Task:
        """Carry out a step.

        :raises BackendError: the host refuses, for example for want of space.
        """
        operation: Callable[[Step, Deadline], Task | None] = getattr(self, step.op.value)
        try:
            return operation(step, deadline) or self._done(step)
        except OSError as error:
            raise BackendError(
                f"{step.op.value} of VM {step.vm['name']} failed on this host: {error}.",
                advice="See the host's disk and rights.",
            ) from error

    def _machine(self, step: Step) -> Machine:
        record = self._store.load(step.vm["name"])
        if record is None:
            raise NotFound(f"There is no VM {step.vm['name']} any more.")
        return Machine(self._store, record)

    def _done(self, step: Step, *warnings: str) -> Task:
        record = None if step.op is Op.DELETE else self._store.load(step.vm["name"])
        uuid = record.uuid if record else step.vm.get("id", "")
        return Task(f"qemu:{step.op.value}:{uuid}", "qemu", TaskState.SUCCEEDED, warnings=warnings)

    def create(self, step: Step, deadline: Deadline) -> None:
        from . import build

        build.create(self._store, step.vm["name"], step.arguments["settings"], self._backend.images, deadline)

    def clone(self, step: Step, deadline: Deadline) -> None:
        from . import build

        source = self._machine(Step(step.op, step.source or {}))
        build.clone(
            source,
            step.vm["name"],
            snapshot=step.arguments.get("snapshot") or "",
            linked=step.arguments.get("linked", False),
            deadline=deadline,
        )

    def update(self, step: Step, deadline: Deadline) -> Task:
        from . import change

        warnings = change.update(
            self._machine(step),
            step.arguments["changes"],
            live=step.arguments.get("apply") != "next_boot",
            force=step.arguments.get("force", False),
            images=self._backend.images,
            deadline=deadline,
        )
        return self._done(step, *warnings)

    def delete(self, step: Step, deadline: Deadline) -> None:
        machine = self._machine(step)
        if machine.is_alive:
            process.kill(machine.dir)
        self._store.remove(machine.record.name)

    def start(self, step: Step, deadline: Deadline) -> None:
        from . import power

        power.start(self._machine(step), deadline)

    def stop(self, step: Step, deadline: Deadline) -> None:
        from . import power

        power.kill(self._machine(step))

    def shutdown(self, step: Step, deadline: Deadline) -> Task:
        """Begin to shut the guest down; ``tend`` goes on with it."""
        from . import power

        machine = self._machine(step)
        if machine.status()[0] == "paused":
            # a paused guest hears nothing
            power.resume(machine, deadline)
        boot = process.read_running(machine.dir).get("boot", "0")
        end = int(time.time() + step.arguments["shutdown_timeout"])
        task = Task(Shutdown(machine.record.uuid, boot, end, step.arguments["force"]).id, "qemu", TaskState.RUNNING)
        self._backend.tend([task])
        return task

    def reset(self, step: Step, deadline: Deadline) -> None:
        with self._machine(step).monitor() as monitor:
            monitor.command("system_reset")

    def pause(self, step: Step, deadline: Deadline) -> None:
        with self._machine(step).monitor() as monitor:
            monitor.command("stop")

    def resume(self, step: Step, deadline: Deadline) -> None:
        from . import power

        power.resume(self._machine(step), deadline)

    def suspend(self, step: Step, deadline: Deadline) -> None:
        from . import power

        power.suspend(self._machine(step), deadline)

    def snapshot(self, step: Step, deadline: Deadline) -> None:
        from . import snapshots

        wanted = step.arguments
        snapshots.take(
            self._machine(step),
            wanted["snapshot"],
            wanted.get("description") or "",
            wanted.get("memory") or False,
            deadline,
        )

    def snapshot_describe(self, step: Step, deadline: Deadline) -> None:
        from . import snapshots

        snapshots.describe(self._machine(step), step.arguments["snapshot"], step.arguments["description"])

    def snapshot_delete(self, step: Step, deadline: Deadline) -> None:
        from . import snapshots

        snapshots.delete(self._machine(step), step.arguments["snapshot"], deadline)

    def revert(self, step: Step, deadline: Deadline) -> None:
        from . import snapshots

        snapshots.revert(self._machine(step), step.arguments["snapshot"], step.arguments.get("start", False), deadline)

    def revert_disks(self, step: Step, deadline: Deadline) -> None:
        from . import snapshots

        snapshots.revert_disks(self._machine(step), step.arguments["snapshot"], step.arguments["disks"])

    def console(self, step: Step, deadline: Deadline) -> None:
        from . import consoles

        consoles.open_console(self._machine(step), step.arguments, deadline)

    def close_console(self, step: Step, deadline: Deadline) -> None:
        from . import consoles

        consoles.close_console(self._machine(step))
