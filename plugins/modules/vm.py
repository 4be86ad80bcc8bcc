#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from ..module_utils._backends.base import Identity
from ..module_utils._clone import plan_clone
from ..module_utils._errors import Conflict
from ..module_utils._plan import VM, Plan, plan_create, plan_delete, plan_settings, unchanged
from ..module_utils._power import plan_power
from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import READINESS, SETTINGS, one_vm, waiting

POWER = {"started": "started", "stopped": "stopped"}

CLONE_FROM = {
    "type": "dict",
    "options": {
        "name": {"type": "str"},
        "id": {"type": "str"},
        "snapshot": {"type": "str"},
        "full": {"type": "bool"},
    },
    "required_one_of": [("name", "id")],
    "mutually_exclusive": [("name", "id")],
}


def plan_absent(session: Session, current: VM | None) -> Plan:
    if current is None:
        return unchanged({"name": session.params["name"], "id": session.params["id"], "state": "absent"})
    if current["state"] not in ("stopped", "suspended") and not session.params["force"]:
        raise Conflict(
            f"VM {current['name']} is {current['state']} and is not deleted.",
            advice="Stop it first, or use force: true, which cuts its power.",
            state=current["state"],
        )
    return plan_delete(current, force=session.params["force"], purge=session.params["purge"])


def plan_new(session: Session) -> Plan:
    name, wanted, origin = session.new_name(), session.wanted(), session.params["clone_from"]
    if origin is None:
        return plan_create(name, wanted)
    source = session.read(Identity(name=origin["name"], id=origin["id"]), ("config", "snapshots"))
    return plan_clone(session.backend, source, name, wanted, snapshot=origin["snapshot"], full=origin["full"])


def decide(session: Session, current: VM | None) -> Plan:
    state = session.params["state"]
    if state == "absent":
        return plan_absent(session, current)
    plan = plan_new(session) if current is None else plan_settings(current, session.wanted())
    if state in POWER and not (current is None and state == "stopped"):
        operations = session.backend.capabilities.operations
        plan = plan.and_then(plan_power(plan.after, POWER[state], operations, force=session.params["force"]))
    return plan


def run(session: Session) -> Result:
    outcome = session.converge(session.identity, lambda current: decide(session, current))
    return session.wait_ready(outcome, session.params["wait_for"]).to_result()


def main() -> None:
    run_module(
        run,
        **one_vm(
            state={"type": "str", "choices": ["present", "absent", "started", "stopped"], "default": "present"},
            clone_from=CLONE_FROM,
            force={"type": "bool", "default": False},
            purge={"type": "bool", "default": False},
            **SETTINGS,
            **READINESS,
            **waiting(1800),
        ),
    )


if __name__ == "__main__":
    main()
