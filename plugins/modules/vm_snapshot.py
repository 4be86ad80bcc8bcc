#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_snapshot
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from ..module_utils._plan import VM, Plan
from ..module_utils._session import Outcome, Result, Session, run_module
from ..module_utils._snapshots import plan_absent, plan_present, plan_reverted, row, surplus, with_children
from ..module_utils._spec import one_vm_or_many, waiting

RETENTION = {
    "type": "dict",
    "options": {
        "prefix": {"type": "str", "required": True},
        "keep": {"type": "int"},
        "older_than": {"type": "str"},
    },
    "required_one_of": [("keep", "older_than")],
}


def decide(session: Session, vm: VM) -> Plan:
    params = session.params
    name = params["snapshot"] or ""
    if params["state"] == "reverted":
        return plan_reverted(vm, name, force=params["force"], start=params["start"], disks=params["disks"])
    if params["state"] == "absent":
        names = with_children(vm["snapshots"], name) if params["children"] else [name]
        if params["retention"]:
            names = surplus(vm["snapshots"], params["retention"], keeping="")
        return plan_absent(vm, names)
    plan = plan_present(vm, name, description=params["description"], memory=params["memory"])
    if params["retention"]:
        plan = plan.and_then(plan_absent(plan.after, surplus(vm["snapshots"], params["retention"], keeping=name)))
    return plan


def run(session: Session) -> Result:
    name = session.params["snapshot"]

    def finish(outcome: Outcome) -> Result:
        known = outcome.vm["snapshots"]
        return {**outcome.to_result(), "snapshot": row(known, name) if name in known else None}

    gather = ("config", "snapshots", "pending")
    return session.converge_each(lambda vm: decide(session, vm), gather, finish)


def main() -> None:
    arguments = one_vm_or_many(
        snapshot={"type": "str"},
        state={"type": "str", "choices": ["present", "absent", "reverted"], "default": "present"},
        description={"type": "str"},
        memory={"type": "bool"},
        start={"type": "bool", "default": False},
        force={"type": "bool", "default": False},
        children={"type": "bool", "default": False},
        disks={"type": "list", "elements": "str"},
        retention=RETENTION,
        **waiting(300),
    )
    rules = [("state", "present", ["snapshot"]), ("state", "reverted", ["snapshot"])]
    run_module(run, required_if=[*rules, ("state", "absent", ["snapshot", "retention"], True)], **arguments)


if __name__ == "__main__":
    main()
