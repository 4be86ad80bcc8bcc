# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What backend qemu needs."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
requirements:
  - "For O(backend=qemu), on the host on which the module runs: QEMU 6.2 or newer for x86_64, with C(qemu-img)"
notes:
  - With O(backend=qemu) the VMs live on the host on which the module runs. Make it a host of the play, or use
    C(delegate_to). VMs go on when the playbook has ended.
"""

    SETTINGS = r"""
options: {}
requirements:
  - "For O(cloud_init) with O(backend=qemu): C(genisoimage), C(mkisofs) or C(xorrisofs)"
  - "For O(firmware=uefi) with O(backend=qemu): OVMF, in the place where Debian, Ubuntu, Fedora or Arch puts it"
  - "For O(native) with O(backend=qemu): the Python library C(jsonschema) 4.0 or newer"
"""
