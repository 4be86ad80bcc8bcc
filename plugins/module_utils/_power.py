# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which operations lead from one power state to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._errors import Conflict
from ._plan import VM, Op, Plan, Step, unchanged

STATES = ("running", "stopped", "paused", "suspended", "unknown")

TRANSITIONS: Mapping[str, Mapping[str, tuple[Op, ...]]] = {
    "started": {"running": (), "stopped": (Op.START,), "paused": (Op.RESUME,), "suspended": (Op.RESUME,)},
    "stopped": {"stopped": (), "running": (Op.SHUTDOWN,), "paused": (Op.SHUTDOWN,)},
    "restarted": {
        "running": (Op.RESTART,),
        "paused": (Op.RESTART,),
        "stopped": (Op.START,),
        "suspended": (Op.RESUME, Op.RESTART),
    },
    "reset": {"running": (Op.RESET,)},
    "paused": {"running": (Op.PAUSE,), "paused": ()},
    "suspended": {"running": (Op.SUSPEND,), "paused": (Op.SUSPEND,), "suspended": ()},
    "resumed": {"running": (), "paused": (Op.RESUME,), "suspended": (Op.RESUME,)},
}
"""For each wanted state, the operations from each present one; a state that is not there has no way."""

FORCED: Mapping[str, tuple[Op, ...]] = {"suspended": (Op.STOP,), "unknown": (Op.STOP,)}
"""Ways to ``stopped`` that lose what is in memory, and so are taken with ``force`` only."""


def indispensable(wanted: str) -> set[Op]:
    """The operations that every way to a state has."""
    forced = FORCED.values() if wanted == "stopped" else ()
    return set.intersection(*(set(way) for way in (*TRANSITIONS[wanted].values(), *forced) if way))


RESULT = {
    "started": "running",
    "stopped": "stopped",
    "restarted": "running",
    "reset": "running",
    "paused": "paused",
    "suspended": "suspended",
    "resumed": "running",
}

_ADVICE = {
    "suspended": "Resume it first, or use force: true, which loses the saved memory.",
    "unknown": "Look at its console; force: true cuts the power.",
}


def plan_power(
    current: VM, wanted: str, operations: frozenset[Op], *, force: bool = False, shutdown_timeout: int = 120
) -> Plan:
    """Bring a VM to a power state.

    :param wanted: started, stopped, restarted, reset, paused, suspended or resumed.
    :param operations: what the backend can do: without a restart of its own it is shut down and started.
    :param force: cut the power where the guest does not shut down, and give up saved memory.
    :param shutdown_timeout: seconds that the guest gets; with 0 and ``force`` it is not asked.
    :raises Conflict: there is no way from the present state.
    """
    state = current["state"]
    way = TRANSITIONS[wanted].get(state)
    if way is None and wanted == "stopped" and force:
        way = FORCED.get(state)
    if way is None:
        raise Conflict(
            f"VM {current['name']} is {state} and cannot be {wanted}.",
            advice=_ADVICE.get(state, "Start it first." if state == "stopped" else ""),
            state=state,
        )
    if current.get("template") and way:
        raise Conflict(f"{current['name']} is a template and cannot be {wanted}.", advice="Clone it and use the clone.")
    if not way:
        return unchanged(current)
    if force and shutdown_timeout == 0:
        way = tuple(Op.STOP if op is Op.SHUTDOWN else op for op in way)
    patience: dict[str, Any] = {"shutdown_timeout": shutdown_timeout, "force": force}
    steps = []
    for op in way:
        parts = (Op.SHUTDOWN, Op.START) if op is Op.RESTART and Op.RESTART not in operations else (op,)
        steps += [Step(part, current, patience if part in (Op.SHUTDOWN, Op.RESTART) else {}) for part in parts]
    after = {name: value for name, value in current.items() if name != "native_state"}
    return Plan(current, {**after, "state": RESULT[wanted]}, (), tuple(steps))
