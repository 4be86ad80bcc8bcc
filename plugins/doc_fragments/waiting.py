# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for the backend. The default of timeout differs, so each module documents its own."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  wait:
    description:
      - Whether to wait until the backend has done the last step. Without it the result has the RV(task) that goes on,
        which M(anyvirt.compute.task_wait) can wait for in another play, and RV(vm) says what will be.
      - With O(backend=qemu) this matters only where a guest is shut down. Everything else is done when the module
        returns. To go on with something else during a long copy, use C(async).
      - With O(backend=proxmox) nearly everything is a task of the cluster, which goes on by itself.
    type: bool
    default: true
"""
