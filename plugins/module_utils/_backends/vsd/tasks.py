# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work that goes on after its request was answered. The platform has no tasks: the VM itself tells how far it is.

All there is to know of a task stands in its id, so that any play can pick it up.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from ..._errors import BackendError, NotFound, TransportError
from ..._plan import VM, Op
from ..._task import Task, TaskState
from . import words
from .api import UUID

if TYPE_CHECKING:
    from .driver import VsdBackend

_ID = re.compile(rf"vsd:(?P<op>[a-z_]+):(?P<uuid>{UUID.pattern})(:(?P<details>.+))?")
_DETAILS = {Op.SHUTDOWN: r"(\d+:[01])?", **dict.fromkeys((Op.SNAPSHOT, Op.MIGRATE, Op.CLONE), r"[^:]*")}
"""What stands in the ids of work that goes on: the end of patience and whether to use force then, or a name."""
QUIET_SECONDS = 30.0
"""So long a VM may have nothing to do, without a result, before that is taken for the end."""


@dataclass(frozen=True)
class Work:
    """
    :param uuid: the id of the VM on which the platform works.
    :param details: what else there is to know, as texts.
    """

    op: Op
    uuid: str
    details: tuple[str, ...] = ()

    @classmethod
    def of(cls, task: Task) -> Work:
        """
        :raises NotFound: this is no id of a task of the backend.
        """
        match = _ID.fullmatch(task.id)
        op = {op.value: op for op in Op}.get(match["op"]) if match else None
        if not match or op is None or not re.fullmatch(_DETAILS.get(op, ""), match["details"] or ""):
            raise NotFound(
                f"'{task.id}' is not the id of a task of backend vsd.",
                advice="It is what a module returned as task.id.",
            )
        return cls(op, match["uuid"], tuple(unquote(one) for one in (match["details"] or "").split(":") if one))

    @property
    def id(self) -> str:
        return ":".join(["vsd", self.op.value, self.uuid, *(quote(one, safe="") for one in self.details)])

    def begun(self) -> Task:
        return Task(self.id, "vsd", TaskState.RUNNING)

    def done(self, *warnings: str) -> Task:
        return Task(self.id, "vsd", TaskState.SUCCEEDED, warnings=warnings)

    def failed(self, error: str) -> Task:
        return Task(self.id, "vsd", TaskState.FAILED, error=error)


def poll(backend: VsdBackend, task: Task) -> Task:
    """The present state of a task. One that was over when its id was given has no details, and has succeeded."""
    work = Work.of(task)
    if not work.details:
        return work.done()
    try:
        vm = backend.inspect(work.uuid)
        told = _POLLS[work.op](backend, work, vm) if vm is not None else None
    except TransportError as error:
        if task.state is TaskState.PENDING:
            raise
        # its id is worth more than the error
        return replace(work.begun(), warnings=(str(error),))
    if vm is None:
        return work.failed(f"VM {work.uuid} is gone.")
    if told is not None:
        return told
    if vm["lock"]:
        backend.quiet_since.pop(work.id, None)
        return work.begun()
    since = backend.quiet_since.setdefault(work.id, time.monotonic())
    return _ends(backend, work, vm) if time.monotonic() - since >= QUIET_SECONDS else work.begun()


def _shutdown(backend: VsdBackend, work: Work, vm: VM) -> Task | None:
    end, force = int(work.details[0]), work.details[1] == "1"
    if vm["state"] == "stopped":
        return work.done()
    if force or time.time() < end:
        return work.begun()
    return work.failed(
        f"The guest of VM {vm['name']} did not shut down in time. Use force: true to cut its power then."
    )


def _snapshot(backend: VsdBackend, work: Work, vm: VM) -> Task | None:
    """With its memory a snapshot is done when it can be used: until then the VM is busy with saving it."""
    name = work.details[0]
    if vm["lock"] or name not in backend.snapshots(work.uuid):
        return None
    return work.done() if words.has_memory(backend.snapshot(work.uuid, name)) else None


def _migrate(backend: VsdBackend, work: Work, vm: VM) -> Task | None:
    is_there = backend.told[work.uuid].get("machine_uuid") == work.details[0]
    return work.done() if is_there and not vm["lock"] else None


def _clone(backend: VsdBackend, work: Work, vm: VM) -> Task | None:
    """The answer to a request for a clone has the id of its source: the clone itself is known by its name."""
    if vm["lock"]:
        return replace(work.begun(), progress=_progress(backend, work))
    return work.done() if backend.named(work.details[0]) else None


def _progress(backend: VsdBackend, work: Work) -> float | None:
    try:
        told = backend.api.post("/v1/compute/clone/progress", {**backend.api.scope, "compute_uuid": work.uuid})
    except BackendError:
        # it has ended since
        return None
    return told["progress"] / 100 if told and "progress" in told else None


_POLLS: Mapping[Op, Callable[[VsdBackend, Work, VM], Task | None]] = {
    Op.SHUTDOWN: _shutdown,
    Op.SNAPSHOT: _snapshot,
    Op.MIGRATE: _migrate,
    Op.CLONE: _clone,
}
"""What can be said of a task; None where that depends on whether the VM is busy."""


def _ends(backend: VsdBackend, work: Work, vm: VM) -> Task:
    """What is to be said when the VM has nothing to do any more, and the result has not come."""
    if work.op is Op.SNAPSHOT and work.details[0] in backend.snapshots(work.uuid):
        return work.done(
            f"Snapshot {work.details[0]} of VM {vm['name']} is there, but the platform does not tell whether it has"
            " memory."
        )
    what = {
        Op.SNAPSHOT: f"there is no snapshot {work.details[0]}",
        Op.MIGRATE: f"it is still on {vm['node']}",
        Op.CLONE: f"there is no VM {work.details[0]}",
    }
    return work.failed(
        f"The platform works on VM {vm['name']} no more, but {what[work.op]}. Its log may tell why; run the task again."
    )


def tend(backend: VsdBackend, task: Task) -> None:
    """Cut the power of a guest whose time to shut down is over, where that was asked for."""
    work = Work.of(task)
    if work.op is not Op.SHUTDOWN or not work.details or task.is_finished:
        return
    end, force = int(work.details[0]), work.details[1] == "1"
    if not force or time.time() < end:
        return
    vm = backend.inspect(work.uuid)
    if vm is None or vm["state"] == "stopped":
        return
    body = {**backend.api.scope, "compute_uuid": work.uuid, "compute_name": vm["name"]}
    try:
        backend.power.send("shutoff", body, 0.0)
    except (BackendError, TransportError):
        # it may have ended by itself meanwhile; if it goes on, this is done again
        vm = backend.inspect(work.uuid)
        if vm is not None and vm["state"] != "stopped":
            raise
