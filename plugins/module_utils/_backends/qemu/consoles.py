# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The console of a VM in a browser: a token that opens it for a while, in the VM's own directory."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..._errors import Conflict
from ..._task import Deadline
from .console_tokens import LOCK, TOKEN_FILE
from .locks import EXCLUSIVE, hold, wait_for_lock
from .machine import Machine
from .store import Store, write_atomically
from .websockify import PAGE, Websockify, pages_in, program, sweep

_PARTS = {"token": str, "expires": int, "server": str, "listen": str, "web_port": int}
"""What is written of a console."""


def read(machine: Machine) -> dict[str, Any] | None:
    """The VM's console, None where it has none. Without a url it has a token, but at present nothing is seen."""
    kept = _kept(machine.dir)
    if kept is None:
        return None
    server = Websockify(machine.store, kept["listen"], kept["web_port"])
    address, token = server.address(os.uname().nodename), kept["token"]
    works = server.is_alive and machine.is_alive
    return {
        # what stands behind the # is for noVNC alone, and not sent to any server
        "url": f"http://{address}/{PAGE}#autoconnect=1&path=websockify%3Ftoken%3D{token}" if works else None,
        "websocket": f"ws://{address}/websockify?token={token}" if works else None,
        **{name: kept[name] for name in ("token", "expires", "listen", "web_port")},
        **dict.fromkeys(("password", "vnc_port", "pid")),
    }


def _kept(directory: str) -> dict[str, Any] | None:
    """What was written of the console in a VM's directory, None where there is none any more, or it is damaged."""
    try:
        with open(os.path.join(directory, TOKEN_FILE), encoding="utf-8") as file:
            kept: dict[str, Any] = json.load(file)
        is_whole = all(isinstance(kept[name], kind) for name, kind in _PARTS.items())
        return kept if is_whole and time.time() < kept["expires"] else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def check(machine: Machine, wanted: Mapping[str, Any]) -> None:
    """
    :raises Conflict: the VM is off, or something else has the port.
    :raises InvalidRequest: this host does not have the address of ``listen``.
    :raises MissingLibrary: websockify or noVNC is needed and not installed.
    """
    if not machine.is_alive:
        raise Conflict(
            f"VM {machine.record.name} is {machine.status()[0]}: it has no screen.", advice="Start it first."
        )
    server = Websockify(machine.store, wanted["listen"], wanted["web_port"])
    if not server.is_alive:
        pages_in(wanted["novnc_path"])
        program()
        server.bind().close()


def open_console(machine: Machine, wanted: Mapping[str, Any], deadline: Deadline) -> None:
    """Give the VM a token, or the one that it has more time."""
    server = Websockify(machine.store, wanted["listen"], wanted["web_port"])
    kept = _kept(machine.dir)
    stays = kept is not None and kept["server"] == server.name
    with hold(machine.store.path(LOCK), EXCLUSIVE, deadline, "The web server of the consoles"):
        _sweep(machine.store)
        server.ensure(wanted["novnc_path"], deadline)
        console = {
            "token": kept["token"] if kept and stays else secrets.token_urlsafe(32),
            # from now on: its start may have taken longer than that
            "expires": int(time.time()) + wanted["expires_after"],
            "server": server.name,
            "listen": server.listen,
            "web_port": server.port,
        }
        write_atomically(os.path.join(machine.dir, TOKEN_FILE), json.dumps(console).encode())


def close_console(machine: Machine) -> None:
    """Take the VM's token away, and see websockify end where that was the last one."""
    kept = _kept(machine.dir)
    _unlink(machine.dir)
    if kept is not None:
        _await_end(Websockify(machine.store, kept["listen"], kept["web_port"]))
    # a websockify that ends, or looks whether it may, has the lock for a moment; who opens a console sweeps as well
    lock = wait_for_lock(machine.store.path(LOCK), EXCLUSIVE, Deadline(1.0))
    if lock is not None:
        try:
            _sweep(machine.store)
        finally:
            os.close(lock)


def _await_end(server: Websockify) -> None:
    for _turn in Deadline(5.0).intervals(0.05, 0.2):
        if server.is_needed or not server.is_alive:
            return


def _sweep(store: Store) -> None:
    """Remove what consoles that ended, and runs that were killed, left. The lock of the consoles must be held."""
    for name in store.names():
        if _kept(store.vm_dir(name)) is None:
            _unlink(store.vm_dir(name))
    sweep(store)


def _unlink(directory: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(directory, TOKEN_FILE))
