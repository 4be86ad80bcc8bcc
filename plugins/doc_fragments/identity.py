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
    type: str
  id:
    description:
      - The id of the VM, as results give it. With O(backend=qemu) it is a UUID.
    type: str
"""
