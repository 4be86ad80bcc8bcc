# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way from one power state to another, and those that there are not."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._errors import Conflict
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import Op
from ansible_collections.anyvirt.compute.plugins.module_utils._power import (
    FORCED,
    RESULT,
    STATES,
    TRANSITIONS,
    plan_power,
)

ALL = frozenset(Op)
NO_RESTART = ALL - {Op.RESTART}

NOTHING: tuple[Op, ...] = ()
WAYS: dict[tuple[str, str], tuple[Op, ...]] = {
    ("started", "running"): NOTHING,
    ("started", "stopped"): (Op.START,),
    ("started", "paused"): (Op.RESUME,),
    ("started", "suspended"): (Op.RESUME,),
    ("stopped", "stopped"): NOTHING,
    ("stopped", "running"): (Op.SHUTDOWN,),
    ("stopped", "paused"): (Op.SHUTDOWN,),
    ("restarted", "running"): (Op.RESTART,),
    ("restarted", "paused"): (Op.RESTART,),
    ("restarted", "stopped"): (Op.START,),
    ("restarted", "suspended"): (Op.RESUME, Op.RESTART),
    ("reset", "running"): (Op.RESET,),
    ("paused", "running"): (Op.PAUSE,),
    ("paused", "paused"): NOTHING,
    ("suspended", "running"): (Op.SUSPEND,),
    ("suspended", "paused"): (Op.SUSPEND,),
    ("suspended", "suspended"): NOTHING,
    ("resumed", "running"): NOTHING,
    ("resumed", "paused"): (Op.RESUME,),
    ("resumed", "suspended"): (Op.RESUME,),
}
"""The table once more, written by hand: what is not here must be refused."""

PAIRS = [(wanted, state) for wanted in TRANSITIONS for state in STATES]


def vm(state: str, **settings: Any) -> dict[str, Any]:
    return {"id": "1", "name": "web", "state": state, **settings}


def ops(*args: Any, **options: Any) -> tuple[Op, ...]:
    return tuple(step.op for step in plan_power(*args, **options).steps)


@pytest.mark.parametrize(("wanted", "state"), PAIRS)
def test_every_pair_has_its_way_or_is_refused(wanted: str, state: str) -> None:
    way = WAYS.get((wanted, state))
    if way is None:
        with pytest.raises(Conflict, match=f"VM web is {state} and cannot be {wanted}") as caught:
            plan_power(vm(state), wanted, ALL)
        assert caught.value.facts == {"state": state}
        return
    plan = plan_power(vm(state), wanted, ALL)
    assert tuple(step.op for step in plan.steps) == way
    assert plan.changed is bool(way)
    assert plan.before == vm(state)
    assert plan.after == vm(RESULT[wanted] if way else state)
    assert all(step.vm == vm(state) for step in plan.steps)


@pytest.mark.parametrize(("wanted", "state"), [pair for pair in PAIRS if pair in WAYS])
def test_a_state_that_was_reached_needs_nothing_more(wanted: str, state: str) -> None:
    reached = plan_power(vm(state), wanted, ALL).after
    if wanted in ("restarted", "reset"):
        assert reached["state"] == "running"
    else:
        assert not plan_power(reached, wanted, ALL).changed


@pytest.mark.parametrize("state", ["running", "paused", "suspended"])
def test_without_a_restart_of_its_own_a_backend_shuts_down_and_starts(state: str) -> None:
    resumed = (Op.RESUME,) if state == "suspended" else ()
    assert ops(vm(state), "restarted", NO_RESTART) == (*resumed, Op.SHUTDOWN, Op.START)


@pytest.mark.parametrize(("wanted", "state"), PAIRS)
def test_force_opens_ways_that_lose_memory_and_no_others(wanted: str, state: str) -> None:
    way = WAYS.get((wanted, state))
    if way is None and wanted == "stopped":
        way = FORCED[state]
        assert way == (Op.STOP,)
    if way is None:
        with pytest.raises(Conflict):
            plan_power(vm(state), wanted, ALL, force=True)
    else:
        assert ops(vm(state), wanted, ALL, force=True) == way


@pytest.mark.parametrize(
    ("wanted", "operations", "asked"), [("stopped", ALL, 0), ("restarted", ALL, 0), ("restarted", NO_RESTART, 0)]
)
def test_the_guest_gets_its_time_and_force_its_say(wanted: str, operations: frozenset[Op], asked: int) -> None:
    steps = plan_power(vm("running"), wanted, operations, force=True, shutdown_timeout=7).steps
    assert steps[asked].arguments == {"shutdown_timeout": 7, "force": True}
    assert all(step.arguments == {} for step in steps[asked + 1 :])


def test_with_no_time_and_force_the_guest_is_not_asked() -> None:
    assert ops(vm("running"), "stopped", ALL, force=True, shutdown_timeout=0) == (Op.STOP,)
    assert ops(vm("running"), "stopped", ALL, shutdown_timeout=0) == (Op.SHUTDOWN,)


@pytest.mark.parametrize(("wanted", "state"), sorted(WAYS))
def test_a_template_is_left_as_it_is(wanted: str, state: str) -> None:
    if WAYS[wanted, state]:
        with pytest.raises(Conflict, match="web is a template"):
            plan_power(vm(state, template=True), wanted, ALL)
    else:
        assert not plan_power(vm(state, template=True), wanted, ALL).changed


@pytest.mark.parametrize(
    ("wanted", "state", "advice"),
    [
        ("paused", "stopped", "Start it first"),
        ("stopped", "suspended", "Resume it first"),
        ("stopped", "unknown", "force: true cuts the power"),
    ],
)
def test_a_refusal_says_what_to_do(wanted: str, state: str, advice: str) -> None:
    with pytest.raises(Conflict, match=advice):
        plan_power(vm(state), wanted, ALL)


def test_the_tables_fit_together() -> None:
    assert set(RESULT) == set(TRANSITIONS)
    assert set(RESULT.values()) <= set(STATES)
    assert {state for ways in TRANSITIONS.values() for state in ways} <= set(STATES)
