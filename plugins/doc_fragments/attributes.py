# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be said of every module: check mode, diff, a second run, the action group."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: In check mode it tells what a real run would change, and changes nothing.
    support: full
    details:
      - Everything that can be known by reading is checked as well, so that what would be refused is refused in check
        mode too.
  diff_mode:
    description: With C(--diff) it shows the settings before and after.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
"""

    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    description: In check mode it tells what a real run would change, and changes nothing.
    support: full
    details:
      - This module only reads. It does the same in check mode.
  diff_mode:
    description: With C(--diff) it shows the settings before and after.
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
    details:
      - This module changes nothing.
"""

    ACTIONGROUP = r"""
options: {}
attributes:
  action_group:
    description: Takes its options from C(group/anyvirt.compute.all) in C(module_defaults), like all modules here.
    support: full
    membership:
      - anyvirt.compute.all
"""
