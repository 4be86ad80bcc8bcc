#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_clone
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from typing import Any

from ..module_utils._backends.base import Identity
from ..module_utils._clone import plan_clone
from ..module_utils._errors import InvalidRequest
from ..module_utils._fields import normalised
from ..module_utils._plan import VM, Plan, plan_settings
from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import BULK, CONNECTION, SETTINGS, settings_of, waiting


def decide(session: Session, current: VM | None, clone: dict[str, Any]) -> Plan:
    params = session.params
    wanted = normalised(settings_of({**params, **{key: value for key, value in clone.items() if value is not None}}))
    if current is not None:
        return plan_settings(current, wanted)
    source = session.read(Identity.either(params["source"]), ("config", "snapshots"))
    full = not params["linked"] if params["linked"] is not None else params["full"]
    return plan_clone(session.backend, source, clone["name"], wanted, snapshot=params["snapshot"], full=full)


def run(session: Session) -> Result:
    if session.params["clones"] is None:
        one = {"name": session.params["name"]}
        return session.converge(session.identity, lambda current: decide(session, current, one)).to_result()
    clones = {clone["name"]: clone for clone in session.params["clones"]}
    if len(clones) < len(session.params["clones"]):
        raise InvalidRequest("clones: a name is given twice.")
    for name in clones:
        session.backend.check_name(name)
    return session.for_each(
        [Identity(name=name) for name in clones],
        lambda one: session.converge(one, lambda current: decide(session, current, clones[one.name or ""])).to_result(),
    )


def main() -> None:
    run_module(
        run,
        argument_spec={
            **CONNECTION,
            "source": {"type": "str", "required": True},
            "name": {"type": "str"},
            "clones": {
                "type": "list",
                "elements": "dict",
                "options": {"name": {"type": "str", "required": True}, **SETTINGS},
            },
            "full": {"type": "bool"},
            "linked": {"type": "bool"},
            "snapshot": {"type": "str"},
            **SETTINGS,
            **BULK,
            **waiting(1800),
        },
        required_one_of=[("name", "clones")],
        mutually_exclusive=[("name", "clones"), ("full", "linked")],
    )


if __name__ == "__main__":
    main()
