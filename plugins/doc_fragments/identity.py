# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which VM."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  name:
    description:
      - The name of the VM.
      - With O(backend=qemu) it has 1 to 63 letters, digits, dots, C(-) and C(_), and begins with a letter or digit.
      - With O(backend=proxmox) it is a DNS name of at most 63 characters. Several VMs may have the same name there.
        Then the task fails and tells their ids.
      - With O(backend=qemu_api) it has 1 to 64 letters, digits, C(-) and C(_), and begins with a letter or digit.
    type: str
  id:
    description:
      - The id of the VM, as results give it. With O(backend=qemu) it is a UUID. With O(backend=proxmox) it is a number
        from 100 to 999999999. With O(backend=qemu_api) it is the name.
    type: str
"""
