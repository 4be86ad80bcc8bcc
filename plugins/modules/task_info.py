#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: task_info
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from ..module_utils._plan import Op
from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import CONNECTION

FILTERS = {
    "node": {"type": "str"},
    "vm": {"type": "str"},
    "user": {"type": "str"},
    "type": {"type": "str"},
    "status": {"type": "list", "elements": "str", "choices": ["ok", "error", "warning", "unknown"]},
    "errors": {"type": "bool", "default": False},
    "since": {"type": "int"},
    "until": {"type": "int"},
    "start": {"type": "int"},
    "limit": {"type": "int"},
    "source": {"type": "str", "choices": ["archive", "active", "all"], "default": "all"},
}


def run(session: Session) -> Result:
    names = ("tasks", "log", *FILTERS)
    return session.inquire(Op.TASK_INFO, **{name: session.params[name] for name in names})


def main() -> None:
    tasks = {"type": "list", "elements": "str"}
    own = {"tasks": tasks, "log": {"type": "bool", "default": False}, **FILTERS}
    run_module(run, argument_spec={**CONNECTION, **own})


if __name__ == "__main__":
    main()
