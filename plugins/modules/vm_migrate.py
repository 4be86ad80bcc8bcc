#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_migrate
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from ..module_utils._plan import VM, Op, Plan, Step, unchanged
from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import one_vm_or_many, waiting

OPTIONS = ("node", "with_local_disks", "target_storage", "bandwidth_limit")


def decide(session: Session, vm: VM) -> Plan:
    params = session.params
    if vm["node"] == params["node"]:
        return unchanged(vm)
    is_live = vm["state"] in ("running", "paused")
    online = is_live if params["online"] is None else params["online"]
    needs = ((Op.MIGRATE_ONLINE,) if online else ()) + ((Op.MIGRATE_LOCAL_DISKS,) if params["with_local_disks"] else ())
    arguments = {**{name: params[name] for name in OPTIONS}, "online": online and is_live}
    return Plan(vm, {**vm, "node": params["node"]}, (), (Step(Op.MIGRATE, vm, arguments, needs),))


def run(session: Session) -> Result:
    return session.converge_each(lambda vm: decide(session, vm), gather=())


def main() -> None:
    run_module(
        run,
        **one_vm_or_many(
            node={"type": "str", "required": True},
            online={"type": "bool"},
            with_local_disks={"type": "bool", "default": False},
            target_storage={"type": "str"},
            bandwidth_limit={"type": "int"},
            **waiting(1800),
        ),
    )


if __name__ == "__main__":
    main()
