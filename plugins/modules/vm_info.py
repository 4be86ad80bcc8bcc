#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_info
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import CONNECTION, IDENTITY, SELECT


def run(session: Session) -> Result:
    gather = session.params["gather"]
    vms = session.read_all([part for part in gather if part != "capabilities"])
    result: Result = {"changed": False, "vms": vms}
    if "capabilities" in gather:
        result["capabilities"] = session.backend.capabilities.to_result()
    return result


def main() -> None:
    choices = ["config", "snapshots", "agent", "pending", "capabilities"]
    run_module(
        run,
        argument_spec={
            **CONNECTION,
            **IDENTITY,
            **SELECT,
            "gather": {"type": "list", "elements": "str", "choices": choices, "default": []},
        },
        mutually_exclusive=[("name", "id", "vms", "select")],
    )


if __name__ == "__main__":
    main()
