# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting until a guest can be used."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from ._backends.base import Backend, Identity
from ._errors import TaskTimeout
from ._plan import VM
from ._task import Deadline


def wait_ready(backend: Backend, vm: VM, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """What the guest tells once all conditions hold: ``agent`` and ``addresses``.

    :param conditions: ``agent``, ``ip``, ``port`` with ``host``, and ``timeout`` in seconds.
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
    if conditions["port"] and not _answers(
        [conditions["host"]] if conditions["host"] else addresses, conditions["port"]
    ):
        missing.append(f"nothing answered on port {conditions['port']}")
    return missing


def _answers(hosts: Sequence[str], port: int) -> bool:
    for host in hosts:
        try:
            with socket.create_connection((host, port), timeout=2.0):
                return True
        except OSError:
            continue
    return False
