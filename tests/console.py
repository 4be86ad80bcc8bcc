# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests of consoles need: as much of a client of VNC over WebSocket as tells whose screen it is, and ports."""

from __future__ import annotations

import base64
import os
import pathlib
import random
import socket
import sys
import time
import urllib.parse
from contextlib import suppress


class Viewer:
    """A connection to a screen (RFC 6455, RFC 6143).

    :raises ConnectionError: the server did not take it.
    """

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        asked = urllib.parse.urlsplit(url)
        self._read_ahead = b""
        self._socket = socket.create_connection((asked.hostname, asked.port), timeout)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {asked.path}?{asked.query} HTTP/1.1\r\nHost: {asked.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._read(1)
        if not head.startswith(b"HTTP/1.1 101 "):
            self.close()
            raise ConnectionError(head.decode(errors="replace"))

    def banner(self) -> str:
        return self.receive(12).decode()

    def title(self) -> str:
        """Open the screen; its name, which QEMU makes of the VM's."""
        self.send(self.banner().encode())
        self.receive(self.receive(1)[0])
        self.send(b"\1")
        assert self.receive(4) == bytes(4)
        self.send(b"\1")
        return self.receive(int.from_bytes(self.receive(24)[20:], "big")).decode()

    def receive(self, length: int) -> bytes:
        """So many bytes, however the server put them into frames, which it sends without a mask.

        :raises ConnectionError: the server closed the connection.
        """
        while len(self._read_ahead) < length:
            kind, size = self._read(2)
            if size >= 126:
                size = int.from_bytes(self._read(2 if size == 126 else 8), "big")
            content = self._read(size)
            if kind & 0x0F == 8:
                raise ConnectionError(f"closed: {content!r}")
            self._read_ahead += content
        data, self._read_ahead = self._read_ahead[:length], self._read_ahead[length:]
        return data

    def send(self, data: bytes) -> None:
        """One short frame; its mask of zeros leaves the data as they are."""
        self._socket.sendall(bytes([0x82, 0x80 | len(data)]) + bytes(4) + data)

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self._socket.recv(length - len(data))
            if not more:
                raise ConnectionError("the server closed the connection")
            data += more
        return data

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def is_shown(url: str) -> bool:
    """Whether a WebSocket leads to a screen."""
    try:
        with Viewer(url) as viewer:
            return viewer.banner().startswith("RFB 003.")
    except ConnectionError:
        return False


def free_port() -> int:
    """A port that nobody has, and that the kernel gives to nobody who only wants any."""
    while True:
        port = random.randrange(20000, 30000)
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port


def websockifys(root: pathlib.Path) -> list[int]:
    """The processes of websockify that serve a state directory below this one."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            command = (entry / "cmdline").read_text().split("\0")
            if "--token-source" in command and f"{root}/" in command[command.index("--token-source") + 1]:
                found.append(int(entry.name))
    return found


def assert_all_ended(root: pathlib.Path) -> None:
    """No websockify outlives the last console, which takes a second."""
    end = time.monotonic() + 20
    while websockifys(root):
        assert time.monotonic() < end, f"left behind: {websockifys(root)}"
        time.sleep(0.05)


if __name__ == "__main__":
    with Viewer(sys.argv[1]) as screen:
        print(screen.title())
