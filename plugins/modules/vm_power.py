#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_power
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from ..module_utils._plan import VM, Plan
from ..module_utils._power import TRANSITIONS, plan_power
from ..module_utils._session import Outcome, Result, Session, run_module
from ..module_utils._spec import READINESS, one_vm_or_many, waiting


def decide(session: Session, vm: VM) -> Plan:
    params = session.params
    return plan_power(
        vm,
        params["state"],
        session.backend.capabilities.operations,
        force=params["force"],
        shutdown_timeout=params["shutdown_timeout"],
    )


def run(session: Session) -> Result:
    def finish(outcome: Outcome) -> Result:
        return session.wait_ready(outcome, session.params["wait_for"]).to_result()

    return session.converge_each(lambda vm: decide(session, vm), finish=finish)


def main() -> None:
    run_module(
        run,
        **one_vm_or_many(
            state={"type": "str", "choices": list(TRANSITIONS), "required": True},
            shutdown_timeout={"type": "int", "default": 120},
            force={"type": "bool", "default": False},
            **READINESS,
            **waiting(300),
        ),
    )


if __name__ == "__main__":
    main()
