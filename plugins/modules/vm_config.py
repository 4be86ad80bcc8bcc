#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_config
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from ..module_utils._errors import Conflict
from ..module_utils._plan import VM, Op, Plan, Step, plan_settings
from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import SETTINGS, one_vm_or_many, waiting


def decide(session: Session, vm: VM) -> Plan:
    apply, force = session.params["apply"], session.params["force"]
    plan = plan_settings(vm, session.wanted(), session.params["absent"], apply, force)
    pending = session.backend.pending_after(plan)
    if pending and apply == "fail":
        raise Conflict(
            f"VM {vm['name']} would need a restart for {', '.join(pending)}.",
            advice="Nothing was changed. Use apply: live to leave that pending, or apply: reboot.",
            pending=pending,
        )
    if pending and apply == "reboot":
        patience = {"shutdown_timeout": session.params["shutdown_timeout"], "force": force}
        steps = (Step(Op.SHUTDOWN, vm, patience), Step(Op.START, vm))
        plan = plan.and_then(Plan(plan.after, plan.after, (), steps))
    return plan


def run(session: Session) -> Result:
    return session.converge_each(lambda vm: decide(session, vm))


def main() -> None:
    run_module(
        run,
        **one_vm_or_many(
            absent={"type": "list", "elements": "str", "default": []},
            apply={"type": "str", "choices": ["live", "next_boot", "reboot", "fail"], "default": "live"},
            force={"type": "bool", "default": False},
            shutdown_timeout={"type": "int", "default": 120},
            **SETTINGS,
            **waiting(300),
        ),
    )


if __name__ == "__main__":
    main()
