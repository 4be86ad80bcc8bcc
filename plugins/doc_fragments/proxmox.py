# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What backend proxmox needs."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
requirements:
  - "For O(backend=proxmox): Proxmox VE 8.4 or 9"
  - "For O(backend=proxmox), on the host on which the module runs: the Python library C(proxmoxer) 2.0 or newer"
  - "For O(backend=proxmox) with O(transport=https), on the same host: the Python library C(requests)"
  - "For O(backend=proxmox) with O(transport=openssh), on the same host: the command C(ssh)"
notes:
  - With O(backend=proxmox) the module may run on any host that reaches the API, such as C(localhost).
  - With O(backend=proxmox) a role with these privileges is enough for all modules - VM.Audit, VM.Allocate, VM.Clone,
    VM.Migrate, VM.PowerMgmt, VM.Snapshot, VM.Snapshot.Rollback, VM.Config.CDROM, VM.Config.CPU, VM.Config.Cloudinit,
    VM.Config.Disk, VM.Config.HWType, VM.Config.Memory, VM.Config.Network, VM.Config.Options, Datastore.AllocateSpace,
    Datastore.Audit, SDN.Use, Pool.Audit, Pool.Allocate and Sys.Audit, and to ask the agent VM.GuestAgent.Audit
    (Proxmox VE 9) or VM.Monitor (Proxmox VE 8.4). Only the key C(startup) needs Sys.Modify as well, and C(websocket)
    of M(anyvirt.compute.vm_console) VM.Console.
  - A token with privilege separation has only the privileges that were given to the token itself. Without VM.Audit a VM
    is not shown, and the modules say so where they can.
  - Some keys, such as C(args), C(lock), C(affinity), C(hugepages) and devices of the host, can be set by C(root@pam)
    with its password only, not with a token.
"""
