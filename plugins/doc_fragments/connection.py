# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the VMs are."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  backend:
    description:
      - What runs the VMs.
      - V(qemu) is QEMU on the host on which the module runs. It needs no server and no daemon.
      - Without this option the environment variable E(ANYVIRT_BACKEND) is used, if it is set for the module.
    type: str
    choices:
      - qemu
    default: qemu
  state_dir:
    description:
      - The directory in which O(backend=qemu) keeps its VMs, on the host on which the module runs.
      - The default is C(/var/lib/anyvirt) for root, and C(~/.local/state/anyvirt) for any other user.
      - It belongs to one user. It is made when it is first needed, and nobody else may read it.
      - Without this option the environment variable E(ANYVIRT_STATE_DIR) is used, if it is set for the module.
    type: path
  validate_certs:
    description:
      - Whether the certificates of servers are checked.
      - With O(backend=qemu) these are the servers from which images are downloaded.
      - Without this option the environment variable E(ANYVIRT_VALIDATE_CERTS) is used, if it is set for the module.
    type: bool
    default: true
  ca_path:
    description:
      - A file with the certificates of authorities to trust, instead of those that the system trusts.
      - Without this option the environment variable E(ANYVIRT_CA_PATH) is used, if it is set for the module.
    type: path
"""
