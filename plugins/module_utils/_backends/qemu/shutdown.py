# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A graceful shutdown as a task. All there is to know of it stands in its id, so that any play can pick it up."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from ..._errors import NotFound
from ..._task import Task, TaskState
from . import process
from .machine import Machine

RESEND = 10.0
"""Seconds after which a guest is asked again: while it boots it drops the request."""

_ID = re.compile(r"qemu:[a-z_]+:(?P<uuid>[0-9a-f-]{36})(:(?P<boot>[0-9a-f]+):(?P<end>\d+):(?P<force>[01]))?")


@dataclass(frozen=True)
class Shutdown:
    """
    :param uuid: the VM's id.
    :param boot: the start of the VM that is to end; a later one is another matter.
    :param end: when the guest's time is over, in seconds since the epoch.
    :param force: whether its power is cut then.
    """

    uuid: str
    boot: str
    end: int
    force: bool

    @classmethod
    def of(cls, task: Task) -> Shutdown | None:
        """The shutdown that a task is; None for one that was over when its id was given.

        :raises NotFound: this is no id of a task of the backend.
        """
        match = _ID.fullmatch(task.id)
        if not match:
            raise NotFound(
                f"'{task.id}' is not the id of a task of backend qemu.",
                advice="It is what a module returned as task.id.",
            )
        return cls(match["uuid"], match["boot"], int(match["end"]), match["force"] == "1") if match["end"] else None

    @property
    def id(self) -> str:
        return f"qemu:shutdown:{self.uuid}:{self.boot}:{self.end}:{int(self.force)}"

    @property
    def is_overdue(self) -> bool:
        return time.time() >= self.end

    def is_done(self, machine: Machine | None) -> bool:
        """Whether that start of the VM has ended, or the VM is gone."""
        return machine is None or not machine.is_alive or process.read_running(machine.dir).get("boot") != self.boot

    def task(self, machine: Machine | None, warnings: tuple[str, ...] = ()) -> Task:
        """Its present state."""
        if self.is_done(machine):
            return Task(self.id, "qemu", TaskState.SUCCEEDED, warnings=warnings)
        if machine is None or self.force or not self.is_overdue:
            return Task(self.id, "qemu", TaskState.RUNNING)
        error = (
            f"The guest of VM {machine.record.name} did not shut down in time. It may have no system, or ignore the"
            " power button. Use force: true to cut its power then."
        )
        return Task(self.id, "qemu", TaskState.FAILED, error=error)
