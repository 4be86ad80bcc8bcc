#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_snapshot_info
"""

EXAMPLES = r"""
"""

RETURN = r"""
"""

from ..module_utils._session import Result, Session, run_module
from ..module_utils._snapshots import rows
from ..module_utils._spec import one_vm


def run(session: Session) -> Result:
    vm = session.read(session.identity, ("snapshots",))
    return {"changed": False, "vm": {"id": vm["id"], "name": vm["name"]}, "snapshots": rows(vm["snapshots"])}


def main() -> None:
    run_module(run, mutually_exclusive=[("name", "id")], **one_vm())


if __name__ == "__main__":
    main()
