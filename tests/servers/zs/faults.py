# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a test can make go wrong, and the log of what was asked."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..http import HttpsServer, Reply, Request
from . import app
from .errors import ApiError
from .jobs import Plan
from .placement import allocate
from .power import off
from .state import WITHOUT_HOST, Cloud

_TEXTS = {500: "null", 503: "Service Unavailable", 502: "Bad Gateway", 504: "Gateway Time-out"}


@dataclass
class Logged:
    """One request as the log keeps it. path: below /v1; job: the id that a 202 gave out; status 0: no answer."""

    method: str
    path: str
    api: str
    params: dict[str, Any]
    tags: list[str]
    write: bool
    status: int
    connection: int
    time: float
    job: str = ""
    seconds: float = 0.0


@dataclass
class Fault:
    """What goes wrong with requests that match.

    kind: "lost" (done, but the connection closes without an answer), "dropped" (closed before anything is done),
    "none" (nothing but seconds and what then does), an HTTP status (500 has the body "null", 503 no JSON), or an error
    code such as "SYS.1010".
    then: what happens after the request, before its answer.
    """

    kind: str | int
    api: str | None = None
    method: str | None = None
    path: str | None = None
    times: int = 1
    rate: float = 1.0
    message: str = ""
    seconds: float = 0.0
    then: Callable[[], None] | None = None

    def meant(self, request: Request, asked: app.Asked) -> bool:
        fits = self.path is None or re.search(self.path, asked.path) is not None
        return (
            self.times != 0
            and fits
            and self.method in (None, request.method)
            and self.api in (None, asked.api and asked.api.name)
        )


class Front:
    """Between the sockets and the API: latency, faults, read-only, the log."""

    def __init__(self, cloud: Cloud, latency: float, read_only: bool, entry: app.Entry) -> None:
        self.cloud = cloud
        self.latency = latency
        self.read_only = read_only
        self.entry = entry
        self.faults: list[Fault] = []
        self.refused: list[str] = []
        self.log: list[Logged] = []

    @property
    def complaints(self) -> list[str]:
        return self.entry.complaints

    def handle(self, request: Request) -> Reply:
        asked = self.entry.read(request)
        with self.cloud.lock:
            fault = self._fault(request, asked)
        pause = self.latency + (fault.seconds if fault else 0.0)
        if pause:
            time.sleep(pause)
        began = time.perf_counter()
        with self.cloud.lock:
            self.cloud.clock.settle()
            reply = self._answer(request, asked, fault)
            self.log.append(
                Logged(
                    request.method,
                    asked.path,
                    asked.api.name if asked.api else "",
                    asked.shown,
                    asked.tags,
                    asked.write,
                    0 if reply.drop else reply.status,
                    request.connection,
                    self.cloud.clock.now(),
                    asked.job,
                    time.perf_counter() - began,
                )
            )
        return reply

    def _fault(self, request: Request, asked: app.Asked) -> Fault | None:
        for fault in self.faults:
            lucky = fault.rate < 1 and self.cloud.random.random() >= fault.rate
            if fault.meant(request, asked) and not lucky:
                fault.times -= 1
                return fault
        return None

    def _answer(self, request: Request, asked: app.Asked, fault: Fault | None) -> Reply:
        kind = fault.kind if fault else None
        if kind == "dropped":
            return Reply(drop=True)
        if isinstance(kind, int):
            assert fault
            return app.text_reply(kind, fault.message or _TEXTS.get(kind, "fault"))
        if isinstance(kind, str) and "." in kind:
            assert fault
            return app.failure(ApiError(kind, fault.message or "a fault of the test"))
        if self.read_only and asked.write:
            self.refused.append(f"{request.method} {asked.path}")
            return app.text_reply(500, f"this test server is read-only, refused {request.method} {asked.path}")
        reply = self.entry.answer(request, asked)
        if fault and fault.then:
            fault.then()
        reply.drop = kind == "lost"
        return reply


class Faults:
    """The part of the server that a test breaks things with."""

    state: Cloud
    front: Front
    http: HttpsServer

    def fail_next(self, kind: str | int = "lost", **matching: Any) -> Fault:
        """A fault for the next request that matches: api, method, path (a pattern); also times, message, seconds..."""
        fault = Fault(kind, **matching)
        self.front.faults.append(fault)
        return fault

    def fail_some(self, rate: float = 0.05, kind: str | int = "lost", **matching: Any) -> Fault:
        """A fault for that share of the requests that match, until stop_failing()."""
        return self.fail_next(kind, rate=rate, times=-1, **matching)

    def stop_failing(self) -> None:
        self.front.faults.clear()

    def plan_job(self, api: str | None = None, **outcome: Any) -> Plan:
        """What becomes of a coming job of that API.

        code= and details=: it fails so. seconds=: it takes so long. stuck=True: the work is done, the record stays
        "processing". timeout=True: SYS.1001 while the work goes on. times=: for so many jobs.
        """
        plan = Plan(api, **outcome)
        self.state.jobs.plans.append(plan)
        return plan

    def fail_item(self, api: str, item: str, code: str = "SYS.1006", *, kept: bool = False) -> None:
        """One item of a call with several fails, inside a 200. kept: a clone is there but was not started.

        item: a name for CloneVmInstance; a volume's uuid for RevertVmFromSnapshotGroup, DeleteVolumeSnapshotGroup and
        BatchDeleteVolumeSnapshot.
        """
        self.state.failing[api, item] = (code, kept)

    def restart_management(self) -> None:
        """The management node forgets the jobs that run: their work is lost, their records stay "processing"."""
        with self.state.lock:
            self.state.jobs.lose()
            self.state.find_out()

    def purge_jobs(self) -> None:
        """The records of finished jobs are gone: 404."""
        with self.state.lock:
            self.state.jobs.purge()

    def expire_sessions(self, after: int = 0) -> None:
        """Every session given out so far is invalid, after so many more requests that bear one."""
        with self.state.lock:
            self.state.access.expire(after)

    def set_vm_state(self, who: str, state: str) -> None:
        """The VM is in that state from now on, by somebody else's doing; one that was on no host is put on one."""
        with self.state.lock:
            vm = self.state.vm_row(who)
            if state in WITHOUT_HOST:
                off(self.state, vm, state)
            else:
                vm["hostUuid"] = vm["hostUuid"] or allocate(self.state, vm)["uuid"]
                self.state.set_state(vm, state)

    def hang_guest(self, who: str, hangs: bool = True) -> None:
        """The guest ignores the power button: a stop that is not cold fails."""
        with self.state.lock:
            self.state.vm_row(who)["_hangs"] = hangs
