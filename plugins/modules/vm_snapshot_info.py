#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_snapshot_info
short_description: Tell about the snapshots of a VM
version_added: 0.1.0
description:
  - Tells the snapshots of a VM, the oldest first. The VM must exist.
notes:
  - Exactly one of O(name) and O(id) is needed.
seealso:
  - module: anyvirt.compute.vm_snapshot
  - module: anyvirt.compute.vm_info
    description: Tells the snapshots of many VMs, with C(gather).
author:
  - anyvirt.compute contributors (@anyvirt)
extends_documentation_fragment:
  - anyvirt.compute.attributes.info_module
  - anyvirt.compute.attributes.actiongroup
  - anyvirt.compute.connection
  - anyvirt.compute.identity
  - anyvirt.compute.qemu
  - anyvirt.compute.proxmox
  - anyvirt.compute.zstack
  - anyvirt.compute.vsd
  - anyvirt.compute.qemu_api
"""

EXAMPLES = r"""
---
- name: The snapshots of a VM
  anyvirt.compute.vm_snapshot_info:
    name: web1
  register: web1

- name: The names of those that have memory
  ansible.builtin.debug:
    msg: "{{ web1.snapshots | selectattr('memory') | map(attribute='name') }}"
"""

RETURN = r"""
---
vm:
  description:
    - The VM.
  returned: success
  type: dict
  contains:
    id:
      description:
        - The id.
      returned: always
      type: str
    name:
      description:
        - The name.
      returned: always
      type: str
  sample:
    id: ee614821-4bcc-4ce1-8993-f78b59730924
    name: web1
snapshots:
  description:
    - The snapshots, the oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description:
        - The name.
      returned: always
      type: str
    parent:
      description:
        - The snapshot that the VM had been at when this one was taken, or null.
      returned: always
      type: str
    time:
      description:
        - When it was taken, in seconds since 1970-01-01 UTC. It is null where nobody knows.
      returned: always
      type: int
    description:
      description:
        - What was said about it.
      returned: always
      type: str
    memory:
      description:
        - Whether it has the memory of the VM.
      returned: always
      type: bool
    complete:
      description:
        - Whether all disks have it. One that is not complete can be deleted, but the VM cannot be reverted to it.
      returned: always
      type: bool
    current:
      description:
        - Whether the VM works on what this snapshot has, so that a new one becomes its child.
      returned: with O(backend=vsd)
      type: bool
  sample:
    - name: before-upgrade
      parent: null
      time: 1795250477
      description: Before the upgrade to 2.4
      memory: true
      complete: true
    - name: daily-1
      parent: before-upgrade
      time: 1795250478
      description: ''
      memory: false
      complete: true
kind:
  description:
    - What kind of failure it is, one of those of RV(anyvirt.compute.vm#module:kind).
  returned: failure
  type: str
  sample: not_found
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
