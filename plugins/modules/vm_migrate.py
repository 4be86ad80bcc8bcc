#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_migrate
short_description: Move VMs to another node
version_added: 0.1.0
description:
  - Sees to it that VMs are on a certain node of the cluster, one or many in a task. A VM that is there already is left
    alone.
  - Before anything is moved the cluster is asked whether it can be. What it says is an error in check mode too - a node
    that is not there or not online, storages that the node does not have, devices of the host, and local disks of a VM
    that runs.
  - This is for O(backend=proxmox) and O(backend=vsd). O(backend=qemu) has one host only, and the module fails there.
  - With O(backend=vsd) only VMs that run are moved, and there is nothing to ask beforehand but the names of hosts.
options:
  node:
    description:
      - The node that the VMs shall be on.
    type: str
    required: true
  online:
    description:
      - Whether a VM that runs or is paused is moved while it does so. A stopped VM is moved as it is in any case.
      - The default is V(true) for a VM that runs or is paused. With V(false) such a VM is not moved, and the task
        fails.
    type: bool
  with_local_disks:
    description:
      - Whether the disks of a VM that runs, as far as only its node has them, are copied to the other node. Without it
        the task fails for such a VM.
      - Those of a stopped VM are always copied.
    type: bool
    default: false
  target_storage:
    description:
      - The storage of the other node on which local disks are put, such as V(local-lvm), or pairs of storages, such as
        V(local:fast,local-lvm:slow).
      - The default is a storage of the same name.
    type: str
  bandwidth_limit:
    description:
      - How much is copied at most, in KiB/s. V(0) is no limit.
      - The default is the limit that the cluster is set to.
    type: int
  timeout:
    description:
      - How many seconds the moving of one VM may take, and the wait for another task that works on it.
      - When it is over the task fails. The migration goes on, and is told as RV(task).
    type: int
    default: 1800
notes:
  - Exactly one of O(name), O(id), O(vms) and O(select) is needed.
  - A VM that is managed by high availability is moved by the cluster in its own time. It is waited until it is there.
seealso:
  - module: anyvirt.compute.vm
    description: Makes a VM on a certain node.
  - module: anyvirt.compute.node_info
  - module: anyvirt.compute.task_wait
    description: Waits for migrations that go on.
author:
  - anyvirt.compute contributors (@anyvirt)
extends_documentation_fragment:
  - anyvirt.compute.attributes
  - anyvirt.compute.attributes.actiongroup
  - anyvirt.compute.connection
  - anyvirt.compute.identity
  - anyvirt.compute.select
  - anyvirt.compute.bulk
  - anyvirt.compute.waiting
  - anyvirt.compute.proxmox
  - anyvirt.compute.zstack
  - anyvirt.compute.vsd
"""

EXAMPLES = r"""
---
- name: A VM is on pve2, and went there while it ran
  anyvirt.compute.vm_migrate:
    backend: proxmox
    url: "{{ proxmox_url }}"
    token_id: "{{ proxmox_token_id }}"
    token_secret: "{{ proxmox_token_secret }}"
    ca_path: "{{ proxmox_ca_path }}"
    name: web1
    node: pve2

- name: Whether it could go to pve3
  anyvirt.compute.vm_migrate:
    backend: proxmox
    name: web1
    node: pve3
  check_mode: true

- name: One with local disks, which are put on another storage, with at most 100 MiB/s
  anyvirt.compute.vm_migrate:
    backend: proxmox
    name: db1
    node: pve2
    with_local_disks: true
    target_storage: shared
    bandwidth_limit: 102400

- name: All VMs leave pve1, two at a time
  anyvirt.compute.vm_migrate:
    backend: proxmox
    select:
      node: pve1
    node: pve2
    with_local_disks: true
    max_parallel: 2

- name: A migration is begun
  anyvirt.compute.vm_migrate:
    backend: proxmox
    name: web1
    node: pve3
    wait: false
  register: moving

- name: It is waited for later
  anyvirt.compute.task_wait:
    backend: proxmox
    tasks:
      - "{{ moving.task.id }}"
  when: moving.task is defined
"""

RETURN = r"""
---
vm:
  description:
    - The VM as it is in the end. In check mode, and without O(wait), it is the VM as it would be.
    - It is the row of the VM, without its settings. M(anyvirt.compute.vm_info) tells those, and what is pending.
  returned: success, of one VM
  type: dict
  contains:
    id:
      description:
        - The id.
      returned: where it has one already
      type: str
    name:
      description:
        - The name.
      returned: always
      type: str
    backend:
      description:
        - What runs it.
      returned: always
      type: str
    node:
      description:
        - The host that it is on.
      returned: always
      type: str
    state:
      description:
        - The power state, one of V(running), V(stopped), V(paused), V(suspended) and V(unknown).
      returned: always
      type: str
    native_state:
      description:
        - The power state in the words of the backend, as it was read. A suspended VM is V(stopped) there, with a
          RV(vm.lock).
      returned: always
      type: str
    template:
      description:
        - Whether it is a template.
      returned: always
      type: bool
    tags:
      description:
        - The tags, sorted.
      returned: always
      type: list
      elements: str
    pool:
      description:
        - The pool that it is in, or null.
      returned: always
      type: str
    lock:
      description:
        - What holds it, such as V(backup), V(migrate) or V(suspended), or null.
      returned: always
      type: str
    ha:
      description:
        - Whether the cluster keeps it up by high availability.
      returned: always
      type: bool
    memory:
      description:
        - The memory in MiB.
      returned: always
      type: int
    cores:
      description:
        - The number of all CPUs.
      returned: always
      type: int
  sample:
    id: "101"
    name: web1
    backend: proxmox
    node: pve3
    state: running
    native_state: running
    template: false
    tags:
      - production
      - web
    pool: null
    ha: false
    lock: null
    memory: 1024
    cores: 2
task:
  description:
    - The last thing that the backend was asked to do.
  returned: when something was done, of one VM
  type: dict
  contains:
    id:
      description:
        - What M(anyvirt.compute.task_wait) takes, in this play or another one.
      returned: always
      type: str
    backend:
      description:
        - The backend.
      returned: always
      type: str
    state:
      description:
        - One of V(pending), V(running), V(succeeded), V(failed) and V(cancelled).
      returned: always
      type: str
    progress:
      description:
        - How much of it is done, from 0 to 1.
      returned: where the backend tells
      type: float
    error:
      description:
        - Why it failed.
      returned: where it failed
      type: str
    warnings:
      description:
        - What the backend, or the collection, has to say about it.
      returned: always
      type: list
      elements: str
  sample:
    id: "UPID:pve2:00004202:0007C913:6B016CC2:qmigrate:101:root@pam!api:"
    backend: proxmox
    state: succeeded
    warnings: []
diff:
  description:
    - What changes. It has C(before) and C(after), both as RV(vm). C(before) is empty where there was no such VM.
    - Of several VMs it is a list with an entry for each that changes, with the name as C(before_header) and
      C(after_header).
  returned: success
  type: raw
results:
  description:
    - What became of each VM, in the order in which they were given, or by name where they were selected.
  returned: of several VMs, also on failure
  type: list
  elements: dict
  contains:
    id:
      description:
        - The id of the VM.
      returned: always
      type: str
    name:
      description:
        - The name of the VM.
      returned: always
      type: str
    changed:
      description:
        - Whether it was changed.
      returned: always
      type: bool
    vm:
      description:
        - The VM, as RV(vm).
      returned: where it went well
      type: dict
    task:
      description:
        - As RV(task).
      returned: where something was done
      type: dict
    failed:
      description:
        - Whether it failed.
      returned: where it failed
      type: bool
    msg:
      description:
        - Why it failed.
      returned: where it failed
      type: str
    kind:
      description:
        - As RV(kind).
      returned: where it failed
      type: str
    skipped:
      description:
        - Whether it was not begun because of O(fail_fast).
      returned: where it was not begun
      type: bool
  sample:
    - id: "101"
      name: web1
      changed: true
      task:
        id: "UPID:pve3:00004204:0007C9AE:6B016CC4:qmigrate:101:root@pam!api:"
        backend: proxmox
        state: succeeded
        warnings: []
      vm:
        id: "101"
        name: web1
        backend: proxmox
        node: pve2
        state: running
        native_state: running
        template: false
        tags:
          - production
          - web
        pool: null
        ha: false
        lock: null
        memory: 1024
        cores: 2
    - id: "104"
      name: web2
      changed: false
      failed: true
      kind: conflict
      msg: "VM web2 runs and has local disks: local:104/vm-104-disk-0.qcow2. Use with_local_disks: true, which copies
      them,
        or stop it first."
kind:
  description:
    - What kind of failure it is, one of those of RV(anyvirt.compute.vm#module:kind).
  returned: failure
  type: str
  sample: some_failed
local_disks:
  description:
    - The volumes that only the node of the VM has.
  returned: failure, where a VM that runs has any and O(with_local_disks) is not given
  type: list
  elements: str
  sample:
    - local:104/vm-104-disk-0.qcow2
reasons:
  description:
    - Why the VM cannot be on O(node), in the words of Proxmox VE.
  returned: failure, where Proxmox VE says so
  type: raw
"""

from collections.abc import Mapping
from typing import Any

from ..module_utils._plan import VM, Op, Plan, Step, ops_asked_for, unchanged
from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import one_vm_or_many, waiting

OPTIONS = ("node", "with_local_disks", "target_storage", "bandwidth_limit")


def also_needed(online: bool | None, local_disks: bool) -> tuple[Op, ...]:
    return ops_asked_for({Op.MIGRATE_ONLINE: online, Op.MIGRATE_LOCAL_DISKS: local_disks})


def needs(options: Mapping[str, Any]) -> tuple[Op, ...]:
    return (Op.MIGRATE, *also_needed(options["online"], options["with_local_disks"]))


def decide(session: Session, vm: VM) -> Plan:
    params = session.params
    if vm["node"] == params["node"]:
        return unchanged(vm)
    is_live = vm["state"] in ("running", "paused")
    online = is_live if params["online"] is None else params["online"]
    also = also_needed(online, params["with_local_disks"])
    arguments = {**{name: params[name] for name in OPTIONS}, "online": online and is_live}
    return Plan(vm, {**vm, "node": params["node"]}, (), (Step(Op.MIGRATE, vm, arguments, also),))


def run(session: Session) -> Result:
    return session.converge_each(lambda vm: decide(session, vm), gather=())


def main() -> None:
    run_module(
        run,
        needs,
        **one_vm_or_many(
            node={"type": "str", "required": True},
            online={"type": "bool"},
            with_local_disks={"type": "bool", "default": False},
            target_storage={"type": "str"},
            bandwidth_limit={"type": "int"},
            **waiting(1800),
        ),
    )


if __name__ == "__main__":
    main()
