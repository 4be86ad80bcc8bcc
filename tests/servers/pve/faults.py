# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a test can make go wrong, and the log of what was asked."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..http import HttpsServer, Reply, Request
from . import app
from .migrate import move
from .state import Cluster
from .tasks import Plan

# Writes that change nothing: a ticket, and questions to the guest agent.
_HARMLESS = re.compile(r"/access/ticket|.*/agent/(ping|fsfreeze-status)")
_NODE = re.compile(r"/api2/json/nodes/([^/?]+)")


@dataclass(slots=True)
class Logged:
    """One request as the log keeps it."""

    method: str
    path: str
    params: dict[str, Any]
    status: int
    connection: int
    time: float
    node: str
    seconds: float = 0.0


@dataclass(slots=True)
class Fault:
    """What goes wrong with requests that match.

    kind: "lost" (done, but the connection closes without an answer), "dropped" (closed before anything is done),
    "none" (nothing but what then does), or a status such as 595, 596, 500, 503.
    then: what happens after the request, before its answer.
    """

    kind: str | int
    method: str | None = None
    path: str | None = None
    times: int = 1
    rate: float = 1.0
    message: str = ""
    seconds: float = 0.0
    then: Callable[[], None] | None = None

    def meant(self, request: Request) -> bool:
        path = request.target.partition("?")[0].removeprefix("/api2/json")
        fits = self.path is None or re.search(self.path, path) is not None
        return self.times != 0 and self.method in (None, request.method) and fits


class Front:
    """Between the sockets and the API: latency, faults, read-only, the log.

    most_at_once: how many requests were being answered at the same time, for each node and, as "", in all.
    """

    def __init__(self, cluster: Cluster, latency: float, read_only: bool) -> None:
        self.cluster = cluster
        self.latency = latency
        self.read_only = read_only
        self.faults: list[Fault] = []
        self.refused: list[str] = []
        self.log: list[Logged] = []
        self.most_at_once: Counter[str] = Counter()
        self._at_once: Counter[str] = Counter()

    def handle(self, request: Request) -> Reply:
        node = _NODE.match(request.target)
        places = ["", *([node[1]] if node else [])]
        with self.cluster.lock:
            self._at_once.update(places)
            self.most_at_once |= self._at_once
        try:
            return self._handle(request)
        finally:
            with self.cluster.lock:
                self._at_once.subtract(places)

    def _handle(self, request: Request) -> Reply:
        with self.cluster.lock:
            fault = self._fault(request)
        pause = self.latency + (fault.seconds if fault else 0.0)
        if pause:
            time.sleep(pause)
        began = time.perf_counter()
        with self.cluster.lock:
            reply, path, params = self._answer(request, fault)
            status = 0 if reply.drop else reply.status
            spent, now = time.perf_counter() - began, self.cluster.clock.now()
            self.log.append(
                Logged(request.method, path, params, status, request.connection, now, request.listener, spent)
            )
        if fault and fault.then:
            fault.then()
        return reply

    def _fault(self, request: Request) -> Fault | None:
        for fault in self.faults:
            if fault.meant(request) and (fault.rate >= 1 or self.cluster.random.random() < fault.rate):
                fault.times -= 1
                return fault
        return None

    def _answer(self, request: Request, fault: Fault | None) -> tuple[Reply, str, dict[str, Any]]:
        path = request.target.partition("?")[0].removeprefix("/api2/json")
        if fault and fault.kind == "dropped":
            return Reply(drop=True), path, {}
        if fault and isinstance(fault.kind, int):
            text = fault.message or {595: "Connection refused", 596: "Connection timed out"}.get(fault.kind, "fault")
            return Reply(fault.kind, text), path, {}
        if self.read_only and is_write(request.method, path):
            self.refused.append(f"{request.method} {path}")
            return Reply(500, f"this test server is read-only, refused {request.method} {path}"), path, {}
        self.cluster.clock.settle()
        reply, path, params = app.answer(self.cluster, request)
        reply.drop = fault is not None and fault.kind == "lost"
        return reply, path, params


def is_write(method: str, path: str) -> bool:
    return method != "GET" and not _HARMLESS.fullmatch(path)


class Faults:
    """The part of the server that a test breaks things with."""

    state: Cluster
    front: Front
    http: HttpsServer

    def fail_next(self, kind: str | int = "lost", **matching: Any) -> Fault:
        """A fault for the next request that matches: method, path as a regular expression; the rest as in Fault."""
        fault = Fault(kind, **matching)
        self.front.faults.append(fault)
        return fault

    def fail_some(self, rate: float = 0.05, kind: str | int = "lost", **matching: Any) -> Fault:
        """A fault for that share of the requests that match, until stop_failing()."""
        return self.fail_next(kind, rate=rate, times=-1, **matching)

    def stop_failing(self) -> None:
        self.front.faults.clear()

    def plan_task(self, kind: str | None = None, vmid: int | None = None, **outcome: Any) -> None:
        """What becomes of a coming task: exitstatus=, warning=, seconds=, times=."""
        self.state.tasks.plans.append(Plan(kind, vmid, **outcome))

    def lock_vm(self, vmid: int, lock: str = "backup", seconds: float | None = None) -> None:
        """A lock in the configuration, for so long or until unlock_vm()."""
        with self.state.lock:
            self.state.guests[vmid].config["lock"] = lock
            if seconds is not None:
                self.state.clock.after(seconds, lambda: self.unlock_vm(vmid))

    def unlock_vm(self, vmid: int) -> None:
        with self.state.lock:
            self.state.guests[vmid].config.pop("lock", None)

    def hold_file_lock(self, vmid: int, seconds: float | None = None) -> None:
        """Another process holds the file lock of the configuration, for so long or until release_file_lock()."""
        with self.state.lock:
            self.state.tasks.hold(vmid)
            if seconds is not None:
                self.state.clock.after(seconds, lambda: self.state.tasks.release(vmid))

    def release_file_lock(self, vmid: int) -> None:
        with self.state.lock:
            self.state.tasks.release(vmid)

    def move_vm(self, vmid: int, node: str) -> None:
        """The guest is on another node from now on, by somebody else's doing."""
        with self.state.lock:
            move(self.state, self.state.guests[vmid], node, {})

    def node_down(self, name: str, how: str = "refused", *, quorum: bool | None = None) -> None:
        """The node is away. how, for requests by another node: refused, noroute, timeout (595), hang (596)."""
        with self.state.lock:
            node = self.state.nodes[name]
            node.online, node.proxy = False, how
            self.state.quorum = quorum
        self.http.listeners[name].stop()

    def node_up(self, name: str) -> None:
        with self.state.lock:
            node = self.state.nodes[name]
            node.online, node.proxy = True, "ok"
            self.state.quorum = None
        self.http.listeners[name].start()

    def set_quorum(self, quorate: bool | None) -> None:
        """Whether the cluster has quorum; None: as the nodes that are online say."""
        self.state.quorum = quorate
