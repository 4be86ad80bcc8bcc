# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How one task goes about several VMs."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  max_parallel:
    description:
      - With several VMs, how many of them are worked on at the same time.
    type: int
    default: 100
  max_parallel_per_node:
    description:
      - With several VMs, how many of those on one node are changed at the same time. The others wait for their turn,
        and their O(timeout) begins with it.
    type: int
    default: 10
  fail_fast:
    description:
      - With several VMs, whether a failure keeps the task from beginning with further ones. Those are marked as
        C(skipped) in RV(results).
      - Without it all VMs are gone through. In both cases the task fails at the end if any VM failed.
    type: bool
    default: false
"""
