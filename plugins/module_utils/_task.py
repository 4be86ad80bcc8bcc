# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work that a backend has begun, and waiting for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ._errors import TaskFailed, TaskTimeout


class TaskState(str, Enum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Task:
    """Work on a backend.

    :param id: one string with all that is needed to ask for the task again, in another play too.
    :param progress: 0.0 to 1.0, None where the backend does not tell.
    :param error: why it failed, in the backend's words.
    """

    id: str
    backend: str
    state: TaskState
    progress: float | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_finished(self) -> bool:
        return self.state not in (TaskState.PENDING, TaskState.RUNNING)

    def to_result(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "id": self.id,
            "backend": self.backend,
            "state": self.state.value,
            "warnings": list(self.warnings),
        }
        if self.progress is not None:
            result["progress"] = self.progress
        if self.error:
            result["error"] = self.error
        return result

    def require_success(self) -> Task:
        """The task itself.

        :raises TaskFailed: it failed or was cancelled.
        """
        if self.state in (TaskState.FAILED, TaskState.CANCELLED):
            text = self.error or f"The task was {self.state.value}."
            raise TaskFailed(text, task=self.to_result())
        return self


@dataclass(frozen=True)
class Clock:
    """Where time comes from; tests give one that never sleeps."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Deadline:
    """A moment, ``seconds`` of wall-clock time from now."""

    def __init__(self, seconds: float, clock: Clock = Clock()) -> None:
        self.seconds = seconds
        self.clock = clock
        self._end = clock.now() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, never negative."""
        return max(0.0, self._end - self.clock.now())

    @property
    def is_over(self) -> bool:
        return self.left <= 0

    def intervals(self, first: float, last: float) -> Iterator[None]:
        """Yield at once, then after growing pauses, and once more when time is over."""
        pause = first
        while True:
            yield
            if self.is_over:
                return
            self.clock.sleep(min(pause, self.left))
            pause = min(last, pause * 1.5)


def wait_all(
    tasks: Sequence[Task],
    poll: Callable[[Sequence[Task]], Sequence[Task]],
    deadline: Deadline,
    interval: tuple[float, float] = (0.25, 2.0),
    stop: Callable[[Sequence[Task]], bool] = lambda tasks: False,
) -> list[Task]:
    """Poll until every task has finished, or ``stop(tasks)`` says so.

    :param poll: tells the unfinished tasks' present states, in the same order.
    :param interval: the first and the longest pause between two polls, in seconds.
    :raises TaskTimeout: with the tasks that go on.
    """
    known = {task.id: task for task in tasks}
    for _turn in deadline.intervals(*interval):
        unfinished = [task for task in known.values() if not task.is_finished]
        if unfinished:
            known.update((task.id, task) for task in poll(unfinished))
        current = [known[task.id] for task in tasks]
        if all(task.is_finished for task in current) or stop(current):
            return current
    raise _timed_out(current, deadline)


class Poller:
    """Waits for the tasks of many threads with one poll at a time for all of them.

    Whoever waits and finds nobody polling polls for everybody, until its own task has finished.

    :param poll: tells the present states of tasks, in the same order.
    :param interval: the first and the longest pause between two polls, in seconds.
    """

    def __init__(self, poll: Callable[[Sequence[Task]], Sequence[Task]], interval: tuple[float, float]) -> None:
        self._poll = poll
        self._interval = interval
        self._pause = interval[0]
        self._known: dict[str, Task] = {}
        self._condition = threading.Condition()
        self._is_polling = False

    def wait(self, task: Task, deadline: Deadline) -> Task:
        """The finished task.

        :raises TaskTimeout: it goes on; its id is in the failure.
        """
        with self._condition:
            self._known[task.id] = task
            self._pause = self._interval[0]
            try:
                while not self._known[task.id].is_finished and not deadline.is_over:
                    if self._is_polling:
                        self._condition.wait(deadline.left)
                    else:
                        self._poll_for_all(deadline)
            finally:
                latest = self._known.pop(task.id)
        if not latest.is_finished:
            raise _timed_out([latest], deadline)
        return latest

    def _poll_for_all(self, deadline: Deadline) -> None:
        self._is_polling = True
        self._condition.release()
        told: Sequence[Task] = ()
        try:
            deadline.clock.sleep(min(self._pause, deadline.left))
            told = self._poll([task for task in list(self._known.values()) if not task.is_finished])
        finally:
            self._condition.acquire()
            self._is_polling = False
            self._condition.notify_all()
        self._known.update((task.id, task) for task in told if task.id in self._known)
        is_progress = any(task.is_finished for task in told)
        self._pause = self._interval[0] if is_progress else min(self._interval[1], self._pause * 1.5)


def _timed_out(tasks: Sequence[Task], deadline: Deadline) -> TaskTimeout:
    going_on = [task.to_result() for task in tasks if not task.is_finished]
    what = "The task" if len(tasks) == 1 else f"{len(going_on)} of {len(tasks)} tasks"
    told = dict.fromkeys(text for task in tasks if not task.is_finished for text in task.warnings)
    return TaskTimeout(
        " ".join([f"{what} did not finish within {deadline.seconds:g} s and may go on.", *told]),
        advice="Give a longer timeout, or pick the task up with anyvirt.compute.task_wait.",
        task=going_on[0],
        tasks=[task.to_result() for task in tasks],
    )
