# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which VMs, where a task may be about several."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  vms:
    description:
      - Several VMs, each by its name or its id.
    type: list
    elements: str
  select:
    description:
      - All VMs that fit every one of these conditions. An empty dictionary selects all VMs.
    type: dict
    suboptions:
      name:
        description:
          - A pattern for the name, in which C(*) stands for any text and C(?) for any character.
        type: str
      tags:
        description:
          - Tags that the VM must have, all of them.
        type: list
        elements: str
      pool:
        description:
          - The pool that the VM is in.
        type: str
      node:
        description:
          - The host that the VM is on.
        type: str
      status:
        description:
          - The power state of the VM.
        type: str
        choices:
          - running
          - stopped
          - paused
          - suspended
          - unknown
      template:
        description:
          - Whether the VM is a template.
        type: bool
"""
