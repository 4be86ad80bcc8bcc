# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The console of a VM in a browser: a token that opens it for a while, in the VM's own directory."""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..._errors import Conflict, InvalidRequest
from ..._task import Deadline
from .console_tokens import LOCK, TOKEN_FILE
from .locks import EXCLUSIVE, hold
from .machine import Machine
from .store import write_atomically
from .websockify import PAGE, Websockify, pages_in, program


def read(machine: Machine) -> dict[str, Any] | None:
    """The VM's console, None where it has none. Without a url it has a token, but at present nothing is seen."""
    kept = _kept(machine)
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


def _kept(machine: Machine) -> dict[str, Any] | None:
    """What was written of the console, None where there is none any more."""
    try:
        with open(os.path.join(machine.dir, TOKEN_FILE), encoding="utf-8") as file:
            kept = json.load(file)
        return kept if time.time() < kept["expires"] else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def check(machine: Machine, wanted: Mapping[str, Any]) -> None:
    """
    :raises Conflict: the VM is off, or something else has the port.
    :raises InvalidRequest: ``listen`` is no address of this host.
    :raises MissingLibrary: websockify or noVNC is needed and not installed.
    """
    if not machine.is_alive:
        raise Conflict(
            f"VM {machine.record.name} is {machine.status()[0]}: it has no screen.", advice="Start it first."
        )
    try:
        ipaddress.ip_address(wanted["listen"])
    except ValueError as error:
        raise InvalidRequest(f"listen: '{wanted['listen']}' is no IP address.") from error
    server = Websockify(machine.store, wanted["listen"], wanted["web_port"])
    if not server.is_alive:
        pages_in(wanted["novnc_path"])
        program()
        server.bind().close()


def open_console(machine: Machine, wanted: Mapping[str, Any], deadline: Deadline) -> None:
    """Give the VM a token, or the one that it has more time."""
    server = Websockify(machine.store, wanted["listen"], wanted["web_port"])
    kept = _kept(machine)
    stays = kept is not None and kept["server"] == server.name
    with hold(machine.store.path(LOCK), EXCLUSIVE, deadline, "The web server of the consoles"):
        server.ensure(wanted["novnc_path"])
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
    kept = _kept(machine)
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(machine.dir, TOKEN_FILE))
    if kept is None:
        return
    server = Websockify(machine.store, kept["listen"], kept["web_port"])
    for _turn in Deadline(5.0).intervals(0.05, 0.2):
        if server.is_needed or not server.is_alive:
            return
