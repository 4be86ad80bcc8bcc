# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The machine below the server: its processes, the ports that they hold, and the ISO files on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field


class ApiError(Exception):
    """What a call ends with: an HTTP status, a code of the documented dialect, and a text."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text


class HtmlError(Exception):
    """What the web framework itself answers: a page, and no JSON."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass
class Process:
    """A QEMU that runs, or a noVNC proxy. ports: the TCP ports that it holds. snapshots: those inside its disk."""

    pid: int
    command: str
    ports: tuple[int, ...]
    started: str


@dataclass
class World:
    """All processes by pid. The server and whatever else happens on the machine share it.

    taken: ports that something else holds. isos: the paths of ISO files that are there.
    """

    lock: threading.RLock = field(default_factory=threading.RLock)
    processes: dict[int, Process] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    isos: set[str] = field(default_factory=lambda: {"/iso/debian.iso", "/iso/tools.iso"})
    next_pid: int = 4200

    def spawn(self, command: str, ports: Collection[int]) -> Process:
        """
        :raises ApiError: a port is held already; QEMU's word for that is in the text.
        """
        with self.lock:
            for port in ports:
                if port in self.taken or any(port in one.ports for one in self.processes.values()):
                    raise ApiError(400, "INTERNAL_SERVER_ERROR", f"Failed to bind port {port}: Address already in use")
            self.next_pid += 7
            process = Process(self.next_pid, command, tuple(ports), now())
            self.processes[process.pid] = process
            return process

    def kill(self, pid: object) -> bool:
        """Whether there was such a process."""
        with self.lock:
            return isinstance(pid, int) and self.processes.pop(pid, None) is not None

    def runs(self, pid: object) -> bool:
        return isinstance(pid, int) and pid in self.processes

    def first_match(self, word: str) -> int:
        """As pgrep -f finds it: the lowest pid whose command line has the word after the program's name."""
        matching = (pid for pid, one in self.processes.items() if "qemu-system-x86_64" in one.command)
        return min(pid for pid in matching if word in self.processes[pid].command)

    def holds(self, port: int) -> bool:
        return port in self.taken or any(port in one.ports for one in self.processes.values())


def now() -> str:
    moment = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment * 1000) % 1000:03d}Z"
