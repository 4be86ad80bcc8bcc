# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a test can make go wrong, and the log of what was asked."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..http import Reply, Request
from .app import App, Asked, html_reply, json_reply
from .world import HtmlError


@dataclass
class Logged:
    """One request as the log keeps it. endpoint: as in "POST /api/vms/{name}/start"; status 0: no answer."""

    method: str
    path: str
    endpoint: str
    body: Any
    write: bool
    status: int
    connection: int


@dataclass
class Fault:
    """What goes wrong with requests that match.

    kind: "lost" (done, but the connection closes without an answer), "dropped" (closed before anything is done),
    "ignored" (a success is told, and nothing done), "none" (nothing but seconds and what then does), or an HTTP status,
    whose body is a page.
    then: what happens after the request, before its answer.
    """

    kind: str | int
    endpoint: str | None = None
    method: str | None = None
    times: int = 1
    message: str = "fault"
    seconds: float = 0.0
    then: Callable[[], None] | None = None

    def meant(self, asked: Asked) -> bool:
        fits = self.endpoint is None or re.search(self.endpoint, asked.endpoint) is not None
        return self.times != 0 and fits and self.method in (None, asked.method)


class Front:
    """Between the sockets and the API: latency, faults, read-only, the log."""

    def __init__(self, app: App, latency: float, read_only: bool) -> None:
        self.app = app
        self.latency = latency
        self.read_only = read_only
        self.faults: list[Fault] = []
        self.refused: list[str] = []
        self.log: list[Logged] = []
        self._lock = threading.Lock()

    def handle(self, request: Request) -> Reply:
        asked = self.app.read(request)
        with self._lock:
            fault = next((one for one in self.faults if one.meant(asked)), None)
            if fault:
                fault.times -= 1
        pause = self.latency + (fault.seconds if fault else 0.0)
        if pause:
            time.sleep(pause)
        reply = self._answer(asked, fault)
        status = 0 if reply.drop else reply.status
        logged = Logged(asked.method, asked.path, asked.endpoint, asked.body, asked.write, status, request.connection)
        with self._lock:
            self.log.append(logged)
        return reply

    def _answer(self, asked: Asked, fault: Fault | None) -> Reply:
        kind = fault.kind if fault else None
        if kind == "dropped":
            return Reply(drop=True)
        if isinstance(kind, int):
            assert fault
            return html_reply(HtmlError(kind, fault.message))
        if self.read_only and asked.write:
            self.refused.append(f"{asked.method} {asked.path}")
            return json_reply(500, {"error": f"this test server is read-only, refused {asked.method} {asked.path}"})
        ignored = kind == "ignored"
        reply = json_reply(200, {"success": True, "message": "OK"}) if ignored else self.app.answer(asked)
        if fault and fault.then:
            fault.then()
        reply.drop = kind == "lost"
        return reply


class Faults:
    """The part of the server that a test breaks things with."""

    front: Front

    def fail_next(self, kind: str | int = "lost", **matching: Any) -> Fault:
        """A fault for the next request that matches: endpoint (a pattern), method; also times, message, seconds..."""
        fault = Fault(kind, **matching)
        self.front.faults.append(fault)
        return fault

    def stop_failing(self) -> None:
        self.front.faults.clear()
