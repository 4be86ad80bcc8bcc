# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tokens of consoles, and websockify's way to them.

websockify gets a copy of this file, so it needs nothing but Python 3.7. Whatever tokens, times and VMs do, it is seen
here within a second: nobody else has to tidy up, and no process has to be found and ended.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator

TOKEN_FILE = "console.json"
"""In a VM's directory, so that it goes with the VM: token, expires, server, listen and web_port."""

LOCK = os.path.join(".locks", ".consoles")
"""In the state directory. Whoever opens a console holds it until websockify runs and the token is written."""


def open_consoles(state_dir: str, server: str) -> Iterator[tuple[str, str]]:
    """The directories and tokens of all VMs whose consoles a server shall show at this moment."""
    vms = os.path.join(state_dir, "vms")
    try:
        names = os.listdir(vms)
    except OSError:
        return
    for name in names:
        try:
            with open(os.path.join(vms, name, TOKEN_FILE), encoding="utf-8") as file:
                console = json.load(file)
            if console["server"] == server and time.time() < console["expires"]:
                yield os.path.join(vms, name), console["token"]
        except (OSError, ValueError, KeyError, TypeError):
            continue


class Tokens:
    """A token plugin of websockify 0.10 to 0.13."""

    def __init__(self, source: str) -> None:
        """
        :param source: the server's directory, which is ``<state>/consoles/<server>``.
        """
        # websockify would write every token into its log
        logging.disable(logging.CRITICAL)
        self._server = os.path.basename(source)
        self._state_dir = os.path.dirname(os.path.dirname(source))
        self._websockify = os.getpid()
        # from Python 3.14 on it is not what multiprocessing does by itself
        multiprocessing.set_start_method("fork", force=True)
        # a browser keeps its connection for minutes, and with that the lock and the port of websockify
        os.register_at_fork(after_in_child=lambda: _each_second(self._end_with_websockify))
        _each_second(self._end_without_consoles)

    def lookup(self, token: str) -> tuple[str, str] | None:
        """Where the screen of the VM with this token is, None where there is no such token.

        It is called in a process of the connection's own, which ends when the token does.
        """
        try:
            # a path of any length, where that of a socket has at most 107 bytes
            run_dir = os.open(os.path.join(self._vm_of(token), "run"), os.O_PATH | os.O_DIRECTORY)
        except OSError:
            return None

        def end_with_token() -> None:
            self._end_with_websockify()
            if not self._vm_of(token):
                os._exit(0)

        _each_second(end_with_token)
        return "unix_socket", f"/proc/self/fd/{run_dir}/vnc.sock"

    def _vm_of(self, token: str) -> str:
        """Its directory; empty where no VM has the token."""
        asked = token.encode(errors="replace")
        for directory, known in open_consoles(self._state_dir, self._server):
            if hmac.compare_digest(asked, known.encode()):
                return directory
        return ""

    def _end_with_websockify(self) -> None:
        if os.getppid() != self._websockify:
            os._exit(0)

    def _end_without_consoles(self) -> None:
        if any(open_consoles(self._state_dir, self._server)):
            return
        try:
            with open(os.path.join(self._state_dir, LOCK), "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not any(open_consoles(self._state_dir, self._server)):
                    os._exit(0)
        except FileNotFoundError:
            # somebody removed the whole state directory
            os._exit(0)
        except OSError:
            # someone opens a console, or the host has no descriptor left: the next second will tell
            return


def _each_second(do: Callable[[], None]) -> None:
    signal.signal(signal.SIGALRM, lambda _number, _frame: do())
    signal.setitimer(signal.ITIMER_REAL, 1, 1)
