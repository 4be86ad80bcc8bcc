# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talking to a QEMU process: its monitor (QMP) and the agent in its guest."""

from __future__ import annotations

import array
import itertools
import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..._errors import BackendError, TransportError

_LONGEST = 64 * 1024 * 1024
"""Bytes of the longest line that is waited for."""


class _Lines:
    """A socket of a run directory that carries one JSON document per line."""

    def __init__(self, run_dir: str, name: str, timeout: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._buffer = b""
        self._name = name
        self._socket.settimeout(timeout)
        try:
            directory = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # a socket's path may have 107 bytes at most; this one is short wherever the directory is
                self._socket.connect(f"/proc/self/fd/{directory}/{name}")
            finally:
                os.close(directory)
        except OSError as error:
            self._socket.close()
            raise TransportError(f"QEMU does not listen on {run_dir}/{name}: {error}.") from error

    def close(self) -> None:
        self._socket.close()

    def send(self, content: bytes, descriptors: tuple[int, ...] = ()) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        try:
            self._socket.sendmsg([content], ancillary)
        except OSError as error:
            raise TransportError(f"QEMU closed its {self._name}: {error}.") from error

    def receive(self, end: float) -> dict[str, Any]:
        """The next document before the monotonic moment ``end``.

        :raises TransportError: none came, QEMU went away, or what came is none: a guest can send anything.
        """
        while b"\n" not in self._buffer:
            if len(self._buffer) > _LONGEST:
                raise TransportError(f"What came on QEMU's {self._name} has no end.")
            left = end - time.monotonic()
            if left <= 0:
                raise TransportError(f"QEMU did not answer on its {self._name}.")
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65536)
            except OSError as error:
                raise TransportError(f"QEMU did not answer on its {self._name}: {error}.") from error
            if not data:
                raise TransportError(f"QEMU closed its {self._name}.")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            document = json.loads(line.split(b"\xff")[-1])
        except (ValueError, RecursionError) as error:
            raise TransportError(f"What came on QEMU's {self._name} is not JSON: {line[:80]!r}.") from error
        if not isinstance(document, dict):
            raise TransportError(f"What came on QEMU's {self._name} is no answer: {line[:80]!r}.")
        return document


class Monitor(_Lines):
    """A QMP connection. A monitor serves one client at a time: a second one waits for the greeting in vain."""

    def __init__(self, run_dir: str, name: str = "qmp.sock", timeout: float = 5.0) -> None:
        super().__init__(run_dir, name, timeout)
        self._ids = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        try:
            self.receive(time.monotonic() + timeout)
            self.command("qmp_capabilities")
        except TransportError:
            self.close()
            raise

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def command(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        timeout: float = 10.0,
        descriptors: tuple[int, ...] = (),
    ) -> Any:
        """What QEMU returns. ``arguments`` go as they are: QMP has both ``bps_rd`` and ``downtime-limit``.

        :raises BackendError: QEMU refuses, with its own words.
        :raises TransportError: no answer in time.
        """
        request = {"execute": name, "arguments": dict(arguments or {}), "id": next(self._ids)}
        self.send(json.dumps(request).encode() + b"\n", descriptors)
        end = time.monotonic() + timeout
        while True:
            answer = self.receive(end)
            if "event" in answer:
                self.events.append(answer)
            elif answer.get("id") == request["id"]:
                break
        if "error" in answer:
            text = answer["error"]["desc"]
            raise BackendError(f"QEMU refused {name}: {text}", command=name, code=answer["error"]["class"])
        return answer["return"]

    def wait_event(self, is_wanted: Callable[[dict[str, Any]], bool], timeout: float) -> dict[str, Any]:
        """The first event that fits, also one that came before.

        :raises TransportError: none came in time.
        """
        end = time.monotonic() + timeout
        while True:
            while self.events:
                event = self.events.pop(0)
                if is_wanted(event):
                    return event
            answer = self.receive(end)
            if "event" in answer:
                self.events.append(answer)

    def human(self, line: str) -> str:
        """A command of the human monitor, for the few things that QMP lacks. It answers errors as text."""
        return self.command("human-monitor-command", {"command-line": line})


class Agent(_Lines):
    """The QEMU guest agent. Connecting says nothing about it: only an answer to a sync does."""

    def __init__(self, run_dir: str, timeout: float = 2.0) -> None:
        super().__init__(run_dir, "agent.sock", timeout)
        try:
            self._sync(timeout)
        except TransportError:
            self.close()
            raise

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _sync(self, timeout: float) -> None:
        mark = time.monotonic_ns() % 2**31
        self.begin("guest-sync-delimited", {"id": mark}, prefix=b"\xff")
        end = time.monotonic() + timeout
        while self.receive(end).get("return") != mark:
            pass

    def begin(self, name: str, arguments: Mapping[str, Any] | None = None, prefix: bytes = b"") -> None:
        """Send a command that the guest may not live to answer."""
        self.send(prefix + json.dumps({"execute": name, "arguments": dict(arguments or {})}).encode() + b"\n")

    def command(self, name: str, arguments: Mapping[str, Any] | None = None, timeout: float = 5.0) -> Any:
        """What the guest returns.

        :raises BackendError: the agent refuses.
        :raises TransportError: no answer in time.
        """
        self.begin(name, arguments)
        answer = self.receive(time.monotonic() + timeout)
        if "return" not in answer:
            error = answer.get("error")
            said = error.get("desc") if isinstance(error, dict) else answer
            raise BackendError(f"The guest agent refused {name}: {said}", command=name)
        return answer["return"]
