#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: node_info
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from ..module_utils._plan import Op
from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import CONNECTION


def run(session: Session) -> Result:
    names = ("node", "gather", "network_type")
    return session.inquire(Op.NODE_INFO, **{name: session.params[name] for name in names})


def main() -> None:
    gather = {"type": "list", "elements": "str", "choices": ["status", "network"], "default": []}
    own = {"node": {"type": "str"}, "gather": gather, "network_type": {"type": "str"}}
    run_module(run, argument_spec={**CONNECTION, **own})


if __name__ == "__main__":
    main()
