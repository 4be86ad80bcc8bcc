# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans about consoles: opened, kept open, closed."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._errors import InvalidRequest, Unsupported
from ._plan import VM, Op, Plan, Step, unchanged

if TYPE_CHECKING:
    from ._backends.base import Backend

OPTIONS = {
    "vnc_port": {"type": "int"},
    "web_port": {"type": "int"},
    "listen": {"type": "str"},
    "expires_after": {"type": "int"},
    "novnc_path": {"type": "path"},
    "websocket": {"type": "bool", "default": False},
}
"""Options that not every backend has."""

PARTS = ("url", "websocket", "token", "password", "expires", "web_port", "vnc_port", "pid")
"""What a result tells of a console; None where the backend does not."""

_SHOWN = ("listen", "web_port", "expires", "expires_after")


def wanted_console(backend: Backend, params: Mapping[str, Any]) -> dict[str, Any]:
    """The backend's options of a console, as the task or else the backend says. Nothing is asked for it.

    :raises Unsupported: the backend cannot do this with consoles, or lacks an option that is given.
    :raises InvalidRequest: a number is out of its range, or ``listen`` is no address to listen at.
    """
    op = Op.CONSOLE if params["state"] == "present" else Op.CLOSE_CONSOLE
    backend.check_declared((op,), ())
    given = {name: params[name] for name in OPTIONS if params[name] is not None and params[name] is not False}
    for name in given:
        if name not in backend.console_options:
            raise Unsupported(f"Option '{name}' of a console is not supported by backend {backend.name}.", option=name)
    for name, most in (("web_port", 65535), ("expires_after", 10**9)):
        if not 1 <= given.get(name, 1) <= most:
            raise InvalidRequest(f"{name}: {given[name]} is out of its range, which is 1 to {most}.")
    if "listen" in given:
        given["listen"] = _address(given["listen"])
    return {**backend.console_options, **given}


def _address(listen: str) -> str:
    """An IP address in the one way to write it by which it is compared."""
    try:
        address = ipaddress.ip_address(listen)
    except ValueError as error:
        raise InvalidRequest(f"listen: '{listen}' is no IP address.") from error
    if address.version == 6 and (address.is_link_local or "%" in listen):
        raise InvalidRequest(
            f"listen: '{listen}' is an address of one link only, which no browser can open.",
            advice="Give another address of the host.",
        )
    return str(address)


def plan_present(vm: VM, wanted: Mapping[str, Any], now: float | None = None) -> Plan:
    """An open console; one that is as wanted, and will be for a while, stays.

    :param now: seconds since the epoch, None for the present time.
    """
    console = vm.get("console") or {}
    if _is_enough(console, wanted, time.time() if now is None else now):
        return unchanged(vm)
    place = {name: console[name] for name in ("listen", "web_port") if name in console}
    asked = {name: wanted[name] for name in ("listen", "web_port", "expires_after", "websocket") if wanted.get(name)}
    opened = {**place, **asked}
    return Plan(vm, {**vm, "console": opened}, (), (Step(Op.CONSOLE, vm, wanted),))


def _is_enough(console: Mapping[str, Any], wanted: Mapping[str, Any], now: float) -> bool:
    if not console.get("url") or (wanted.get("websocket") and not console.get("websocket")):
        return False
    if any(wanted.get(name) not in (None, console.get(name)) for name in ("listen", "web_port")):
        return False
    left = None if console.get("expires") is None else console["expires"] - now
    return left is None or left >= (wanted.get("expires_after") or 0) / 2


def plan_absent(vm: VM) -> Plan:
    """No console; a page that does not answer, but has a token, is closed as well."""
    if vm.get("console") is None:
        return unchanged(vm)
    closed = {name: value for name, value in vm.items() if name != "console"}
    return Plan(vm, closed, (), (Step(Op.CLOSE_CONSOLE, vm),))


def with_console(result: dict[str, Any]) -> dict[str, Any]:
    """A task's result with the console beside the VM, where there is one: its token stands there and nowhere else."""
    vm, diff = ({**result["vm"]}, {side: {**seen} for side, seen in result["diff"].items()})
    console = vm.pop("console", None) or {}
    for seen in diff.values():
        if seen.get("console"):
            seen["console"] = _without_token(seen["console"])
    told = {**result, "vm": vm, "diff": diff}
    if "url" in console:
        told["changed"] = result["changed"] and not console.get("already_running", False)
        told["console"] = {part: console.get(part) for part in PARTS}
    return told


def _without_token(console: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: console[name] for name in _SHOWN if console.get(name) is not None}
    return {**shown, "websocket": True} if console.get("websocket") else shown
