# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting until a guest can be used."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from ._backends.base import Backend, Identity
from ._errors import InvalidRequest, TaskTimeout
from ._plan import VM
from ._task import Deadline


def check(conditions: Mapping[str, Any]) -> None:
    """
    :raises InvalidRequest: a condition can never come true.
    """
    if conditions["timeout"] < 1:
        raise InvalidRequest(f"wait_for: timeout: {conditions['timeout']} is too small: it must be at least 1.")
    if conditions["port"] is not None and not 1 <= conditions["port"] <= 65535:
        raise InvalidRequest(f"wait_for: port: {conditions['port']} is not a port: it must be from 1 to 65535.")
    if conditions["banner"] and conditions["port"] is None:
        raise InvalidRequest("wait_for: a banner belongs to a port.")


def wait_ready(backend: Backend, vm: VM, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """What the guest tells once all conditions hold: ``agent`` and ``addresses``.

    :param conditions: ``agent``, ``ip``, ``port`` with ``host`` and ``banner``, and ``timeout`` in seconds.
    :raises TaskTimeout: one does not; the message names it.
    """
    deadline = Deadline(conditions["timeout"])
    asks_agent = conditions["agent"] or conditions["ip"] or (conditions["port"] and not conditions["host"])
    told: dict[str, Any] = {}
    missing: list[str] = []
    for _turn in deadline.intervals(0.25, 2.0):
        if asks_agent:
            found = backend.find(Identity(name=vm["name"], id=vm["id"]), ("agent",)) or {}
            told = {name: found.get(name) for name in ("agent", "addresses")}
        missing = _missing(told, conditions)
        if not missing:
            return told
    raise TaskTimeout(
        f"VM {vm['name']} runs, but within {conditions['timeout']} s {' and '.join(missing)}.",
        advice="The VM goes on; run the task again to wait for more.",
        addresses=told.get("addresses") or [],
    )


def _missing(told: Mapping[str, Any], conditions: Mapping[str, Any]) -> list[str]:
    addresses = told.get("addresses") or []
    missing = []
    if conditions["agent"] and not (told.get("agent") or {}).get("running"):
        missing.append("its guest agent did not answer")
    if conditions["ip"] and not addresses:
        missing.append("it told no IP address")
    if conditions["port"]:
        hosts = [conditions["host"]] if conditions["host"] else addresses
        if not any(_answers(host, conditions["port"], (conditions.get("banner") or "").encode()) for host in hosts):
            missing.append(f"nothing answered on port {conditions['port']}")
    return missing


def _answers(host: str, port: int, banner: bytes) -> bool:
    """Whether a service takes the connection and, where it must, speaks first.

    A port that QEMU's user network forwards is always taken, by QEMU itself: there only a banner proves the service.
    """
    try:
        with socket.create_connection((host, port), timeout=2.0) as connection:
            return not banner or banner in connection.recv(1024)
    except OSError:
        return False
