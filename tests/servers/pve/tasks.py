# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Worker tasks: UPIDs, the file lock of a configuration, logs and exit statuses. Time is the cluster's clock."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..clock import Clock
from .auth import Caller
from .errors import ApiError

LOCK_SECONDS = 10.0
_NODE = r"[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?"
UPID = re.compile(rf"UPID:({_NODE}):[0-9A-Fa-f]{{8}}:[0-9A-Fa-f]{{8,9}}:[0-9A-Fa-f]{{8}}:[^:\s]+:[^:\s]*:[^:\s]+:")


@dataclass(slots=True)
class Later:
    """What a step returns when the task goes on: the next step, so many seconds later."""

    seconds: float
    step: Step


@dataclass(slots=True)
class Plan:
    """An outcome prepared by a test for a coming task."""

    type: str | None = None
    vmid: int | None = None
    exitstatus: str | None = None
    warning: str | None = None
    seconds: float | None = None
    times: int = 1


@dataclass(slots=True, eq=False)
class Task:
    upid: str
    node: str
    pid: int
    pstart: int
    starttime: int
    type: str
    id: str
    caller: Caller
    work: Step
    begin: Step | None = None
    undo: Callable[[], None] | None = None
    lock: int | None = None
    seconds: float = 0.0
    plan: Plan | None = None
    log: list[str] = field(default_factory=list)
    warnings: int = 0
    endtime: int | None = None
    exitstatus: str | None = None

    @property
    def running(self) -> bool:
        return self.exitstatus is None

    def warn(self, text: str) -> None:
        self.log.append(f"WARN: {text}")
        self.warnings += 1

    def row(self) -> dict[str, Any]:
        """The keys that every listing of the task has."""
        row: dict[str, Any] = {
            "upid": self.upid,
            "node": self.node,
            "pid": self.pid,
            "pstart": self.pstart,
            "starttime": self.starttime,
            "type": self.type,
            "id": self.id,
            "user": self.caller.user,
        }
        if self.caller.token:
            row["tokenid"] = self.caller.token
        return row


Step = Callable[[Task], Later | None]


class Tasks:
    """All tasks of the cluster and the file locks that they hold."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock = clock
        self.default_seconds = seconds
        self.seconds: dict[str, float] = {}
        self.plans: list[Plan] = []
        self.by_upid: dict[str, Task] = {}
        self.finished: dict[str, list[Task]] = {}
        self.running: dict[str, list[Task]] = {}
        self._holders: dict[int, object] = {}
        self._queues: dict[int, deque[Task]] = {}
        self._pid = 0x4200
        self._boot = clock.now() - 5000

    def spawn(
        self,
        caller: Caller,
        node: str,
        kind: str,
        ident: str | int,
        work: Step,
        *,
        lock: int | None = None,
        begin: Step | None = None,
        undo: Callable[[], None] | None = None,
        seconds: float | None = None,
    ) -> str:
        """Start a worker: begin() at once (or when it has the file lock), work() when its time is over.

        undo() is called when it ends otherwise than well.
        """
        task = self._new(caller, node, kind, str(ident), work)
        task.begin, task.undo, task.lock = begin, undo, lock
        task.plan = next((plan for plan in self.plans if self._meant(plan, task)), None)
        task.seconds = self.seconds.get(kind, self.default_seconds) if seconds is None else seconds
        if task.plan:
            task.plan.times -= 1
            task.seconds = task.seconds if task.plan.seconds is None else task.plan.seconds
            self.plans = [plan for plan in self.plans if plan.times > 0]
        self._acquire(task)
        return task.upid

    def _new(self, caller: Caller, node: str, kind: str, ident: str, work: Step, age: float = 0.0) -> Task:
        self._pid += 1
        now = self.clock.now() - age
        pstart = int((now - self._boot) * 100)
        upid = f"UPID:{node}:{self._pid:08X}:{pstart:08X}:{int(now):08X}:{kind}:{ident}:{caller.id}:"
        task = Task(upid, node, self._pid, pstart, int(now), kind, ident, caller, work)
        self.by_upid[upid] = task
        self.running.setdefault(node, []).append(task)
        return task

    @staticmethod
    def _meant(plan: Plan, task: Task) -> bool:
        return plan.type in (None, task.type) and plan.vmid in (None, int(task.id) if task.id.isdigit() else -1)

    def record(
        self, caller: Caller, node: str, kind: str, ident: str, exitstatus: str = "OK", age: float = 0.0
    ) -> Task:
        """Put a finished task into the history."""
        task = self._new(caller, node, kind, ident, lambda _task: None, age)
        self._end(task, exitstatus)
        task.endtime = task.starttime
        return task

    # -- steps --------------------------------------------------------------------------------------------------------

    def _begin(self, task: Task) -> None:
        if task.begin and not (task.plan and task.plan.exitstatus):
            try:
                task.begin(task)
            except ApiError as exc:
                self._end(task, exc.exit_text())
                return
        self.clock.after(task.seconds, lambda: self._step(task, task.work))

    def _step(self, task: Task, step: Step) -> None:
        if not task.running:
            return
        if task.plan and task.plan.exitstatus:
            self._end(task, task.plan.exitstatus)
            return
        try:
            later = step(task)
        except ApiError as exc:
            self._end(task, exc.exit_text())
            return
        if later is not None:
            self.clock.after(later.seconds, lambda: self._step(task, later.step))
            return
        if task.plan and task.plan.warning:
            task.warn(task.plan.warning)
        self._end(task, f"WARNINGS: {task.warnings}" if task.warnings else "OK")

    def _end(self, task: Task, exitstatus: str) -> None:
        task.exitstatus = exitstatus
        task.endtime = self.clock.seconds()
        ok = exitstatus == "OK" or exitstatus.startswith("WARNINGS: ")
        task.log.append(f"TASK {exitstatus}" if ok else f"TASK ERROR: {exitstatus}")
        self.running[task.node].remove(task)
        self.finished.setdefault(task.node, []).append(task)
        if task.undo and not ok:
            task.undo()
        if task.lock is not None and self._holders.get(task.lock) is task:
            self.release(task.lock)

    def interrupt(self, task: Task) -> None:
        if task.running:
            self._end(task, "received interrupt")

    # -- the file lock of a configuration -----------------------------------------------------------------------------

    def _acquire(self, task: Task) -> None:
        if task.lock is None:
            self._begin(task)
        elif task.lock not in self._holders:
            self._holders[task.lock] = task
            self._begin(task)
        else:
            task.log.append("trying to acquire lock...")
            self._queues.setdefault(task.lock, deque()).append(task)
            self.clock.after(LOCK_SECONDS, lambda: self._give_up(task))

    def _give_up(self, task: Task) -> None:
        queue = self._queues.get(task.lock or 0)
        if queue and task in queue:
            queue.remove(task)
            if task.running:
                self._end(task, self.lock_error(task.lock or 0).exit_text())

    def hold(self, vmid: int) -> None:
        """Another operation takes the file lock, as soon as it is free, until release()."""
        if isinstance(self._holders.get(vmid), Task):
            self.clock.after(0.02, lambda: self.hold(vmid))
        else:
            self._holders[vmid] = object()

    def release(self, vmid: int) -> None:
        self._holders.pop(vmid, None)
        queue = self._queues.get(vmid)
        while queue and vmid not in self._holders:
            task = queue.popleft()
            if task.running:
                task.log.append(" OK")
                self._holders[vmid] = task
                self._begin(task)

    def wait_lock(self, vmid: int) -> None:
        """What a synchronous change does first."""
        if vmid in self._holders and not self.clock.wait(LOCK_SECONDS, lambda: vmid not in self._holders):
            raise self.lock_error(vmid)

    @staticmethod
    def lock_error(vmid: int) -> ApiError:
        return ApiError(f"can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout\n")
