#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cluster_info
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from ..module_utils._plan import Op
from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import CONNECTION


def run(session: Session) -> Result:
    return session.inquire(Op.CLUSTER_INFO, gather=session.params["gather"], id=session.params["id"])


def main() -> None:
    gather = {"type": "list", "elements": "str", "choices": ["resources", "next_id"], "default": []}
    run_module(run, argument_spec={**CONNECTION, "gather": gather, "id": {"type": "str"}})


if __name__ == "__main__":
    main()
