# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The time of the simulated cluster: events at due times, run by whoever looks next; no thread of its own."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable


class Clock:
    """Simulated seconds since the epoch. speed: simulated seconds per real second; 0 stands still until advance()."""

    def __init__(self, lock: threading.RLock, speed: float = 1.0, start: float | None = None) -> None:
        self.speed = speed
        self._changed = threading.Condition(lock)
        self._base = time.time() if start is None else start
        self._real = time.monotonic()
        self._current: float | None = None
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()

    def now(self) -> float:
        if self._current is not None:
            return self._current
        return self._base + (time.monotonic() - self._real) * self.speed

    def seconds(self) -> int:
        return int(self.now())

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        with self._changed:
            heapq.heappush(self._events, (self.now() + max(seconds, 0.0), next(self._serial), event))
            self._changed.notify_all()

    def behind(self) -> float:
        """Inside an event: by how much it comes too late, since nobody looked."""
        return self._base + (time.monotonic() - self._real) * self.speed - self.now()

    def settle(self) -> None:
        """Run every event that is due. The caller holds the lock."""
        self._run_until(self.now())

    def advance(self, seconds: float) -> None:
        """Let time pass at once."""
        with self._changed:
            target = self.now() + seconds
            self._run_until(target)
            self._base += max(target - self.now(), 0.0)

    def wait(self, seconds: float, over: Callable[[], bool]) -> bool:
        """Wait, with the lock released meanwhile, until over() or the time is up; returns over()."""
        deadline = self.now() + seconds
        while not over() and self.now() < deadline:
            upcoming = min(self._events[0][0] if self._events else deadline, deadline)
            if self.speed:
                self._changed.wait(max(upcoming - self.now(), 0.0) / self.speed + 0.0005)
            else:
                self._base = max(self._base, upcoming)
            self.settle()
        return over()

    def _run_until(self, limit: float) -> None:
        if self._current is not None:
            return
        ran = False
        while self._events and self._events[0][0] <= limit:
            due, _serial, event = heapq.heappop(self._events)
            self._current = due
            try:
                event()
            finally:
                self._current = None
            ran = True
        if ran:
            self._changed.notify_all()
