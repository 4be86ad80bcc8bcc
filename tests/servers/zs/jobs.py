# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jobs: work in steps, one after another on each VM, with a record that can be polled until it is purged."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from ..clock import Clock
from .contract import facts
from .errors import ApiError, TextError

# A yield lets the time of a step pass: the job's seconds, or those that are yielded.
Steps = Generator[float | None, None, dict[str, Any]]


@dataclass
class Plan:
    """What becomes of a coming job; see Faults.plan_job."""

    api: str | None = None
    code: str = ""
    details: str = "the test wants it to fail"
    seconds: float | None = None
    stuck: bool = False
    timeout: bool = False
    times: int = 1


@dataclass
class Job:
    """One job. result and error: how the record ended; polls: how often it still answers "running"."""

    uuid: str
    api: str
    created: float
    seconds: float
    polls: int
    plan: Plan | None = None
    lock: str = ""
    told: Callable[[Job], None] | None = None
    steps: Steps | None = None
    over: bool = False
    stuck: bool = False
    result: dict[str, Any] | None = None
    error: ApiError | None = None


class Jobs:
    """All jobs of the management node."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self.polls = 0
        self.plans: list[Plan] = []
        self.by_uuid: dict[str, Job] = {}
        self._queues: dict[str, deque[Job]] = {}

    def spawn(
        self, uuid: str, api: str, lock: str, work: Callable[[], Any], told: Callable[[Job], None] | None = None
    ) -> Job:
        """Begin a job, or queue it behind those of the same lock.

        work() answers, or gives the steps to the answer; told() hears of the end.
        """
        plan = next((plan for plan in self.plans if plan.api in (None, api)), None)
        if plan:
            plan.times -= 1
            self.plans = [other for other in self.plans if other.times != 0]
        seconds = self.seconds if plan is None or plan.seconds is None else plan.seconds
        job = Job(uuid, api, self.clock.now(), seconds, self.polls, plan, lock, told)
        job.stuck = bool(plan and plan.stuck)
        self.by_uuid[uuid] = job
        job.steps = self._steps(job, work)
        queue = self._queues.setdefault(lock, deque()) if lock else None
        if queue is not None:
            queue.append(job)
        if queue is None or queue[0] is job:
            self._go(job)
        return job

    @staticmethod
    def _steps(job: Job, work: Callable[[], Any]) -> Steps:
        plan = job.plan
        if plan and plan.code:
            yield None
            raise ApiError(plan.code, plan.details)
        if plan and plan.timeout:
            job.error = ApiError("SYS.1001", f"api timeout: {job.api}")
        result = work()
        if isinstance(result, Generator):
            result = yield from result
        else:
            yield None
        return result or {}

    def _go(self, job: Job) -> None:
        if job.over:
            return
        assert job.steps
        try:
            pause = next(job.steps)
        except StopIteration as stop:
            self._end(job, stop.value, None)
        except ApiError as exc:
            self._end(job, None, exc)
        else:
            self.clock.after(job.seconds if pause is None else pause, lambda: self._go(job))

    def _end(self, job: Job, result: dict[str, Any] | None, error: ApiError | None) -> None:
        job.over, job.result, job.error = True, result, job.error or error
        if job.told:
            job.told(job)
        self._leave(job)

    def _leave(self, job: Job) -> None:
        """The next job of the lock begins."""
        queue = self._queues.get(job.lock)
        if queue and job in queue:
            first = queue[0] is job
            queue.remove(job)
            if not queue:
                del self._queues[job.lock]
            elif first:
                self._go(queue[0])

    def drop(self, job: Job) -> None:
        """Cancel it: what it did not do yet is not done."""
        job.over, job.error = True, ApiError("SYS.1017", "cancelled")
        self._leave(job)

    # -- the record ---------------------------------------------------------------------------------------------------

    def poll(self, uuid: str) -> Job | None:
        """The job if it is over, None while it runs; TextError when there is no record."""
        job = self.by_uuid.get(uuid)
        if job is None or (
            job.over and self.clock.now() - job.created > facts()["defaults"]["rest.completedApi.expiredPeriod_s"]
        ):
            raise TextError(404, "the job has been expired")
        job.polls -= 1
        early = job.plan is not None and job.plan.timeout
        if job.stuck or job.polls >= 0 or not (job.over or early):
            return None
        return job

    def lose(self) -> None:
        for job in [job for job in self.by_uuid.values() if not job.over]:
            job.over = job.stuck = True
        self._queues.clear()

    def purge(self) -> None:
        self.by_uuid = {uuid: job for uuid, job in self.by_uuid.items() if not job.over}
