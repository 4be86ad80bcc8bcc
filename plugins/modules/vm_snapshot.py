#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_snapshot
short_description: Take, describe, revert to and delete snapshots of VMs
version_added: 0.1.0
description:
  - Takes a snapshot of all disks of a VM, with its memory if wanted, reverts a VM to one, or deletes one. It can keep
    only so many.
  - A second run changes nothing, since a snapshot that is there is not taken again. V(reverted) always changes
    something.
  - Check mode tells what a real run would do.
  - A VM that is not stopped is reverted with O(force) only, since all that it did since then is lost. A snapshot with
    children can be deleted by itself. They become children of its parent.
options:
  snapshot:
    description:
      - The name of the snapshot. It is needed unless O(state=absent) goes by O(retention).
      - It has 2 to 40 letters, digits, C(-) and C(_), begins with a letter, and is neither V(current) nor V(pending).
        With O(backend=vsd) it can be any line but V(head).
    type: str
  state:
    description:
      - V(present) takes the snapshot if there is none of that name. Of one that is there O(description) is changed if
        it differs. One that not all disks have is deleted and taken anew.
      - V(absent) deletes the snapshot.
      - V(reverted) brings disks and settings of the VM back to what they were, and its memory if the snapshot has it.
        The VM then runs if the snapshot has memory, and is stopped otherwise, unless O(start) is given. The file of a
        disk that the VM did not have then is kept.
    type: str
    choices:
      - present
      - absent
      - reverted
    default: present
  description:
    description:
      - A text for people.
    type: str
  memory:
    description:
      - Whether the memory of the VM, which must run or be paused, is saved too. While that is done the guest stands
        still.
      - A new snapshot has no memory unless this is V(true). For one that is there and differs in this the task fails.
    type: bool
  start:
    description:
      - With O(state=reverted), start the VM after a revert to a snapshot without memory.
    type: bool
    default: false
  force:
    description:
      - With O(state=reverted), revert a VM that is not stopped.
    type: bool
    default: false
  children:
    description:
      - With O(state=absent), also delete all snapshots that descend from this one.
    type: bool
    default: false
  disks:
    description:
      - With O(state=reverted), the slots of the disks to revert. The other disks and the settings stay as they are. The
        VM must be stopped.
      - O(backend=proxmox) cannot do this. There all disks are reverted.
      - With O(backend=vsd) the names of the platform, such as V(vda), will do as well. If some of the disks fail, the
        task fails and tells them as RV(disks).
    type: list
    elements: str
  retention:
    description:
      - Which older snapshots to delete, after taking the new one with O(state=present), or beside O(snapshot) or by
        itself with O(state=absent).
      - With both O(retention.keep) and O(retention.older_than) a snapshot goes only if both say so. The one that was
        just taken never goes.
    type: dict
    suboptions:
      prefix:
        description:
          - How the names of the snapshots begin that may go. Others are never touched.
        type: str
        required: true
      keep:
        description:
          - How many to keep, with the new one.
        type: int
      older_than:
        description:
          - The age from which on they go, such as V(30m), V(12h), V(7d) or V(4w).
        type: str
  timeout:
    description:
      - How many seconds the work on one VM may take on the backend, and the wait for another run that works on it.
      - When it is over the task fails. What goes on is told as RV(task).
    type: int
    default: 300
attributes:
  idempotent:
    support: partial
    details:
      - O(state=reverted) always changes something.
notes:
  - Exactly one of O(name), O(id), O(vms) and O(select) is needed.
  - With O(backend=qemu) all disks must have the format C(qcow2). Of a running VM whose C(guest_agent) is set, the guest
    is asked to write its file systems out before a snapshot without memory.
  - With O(backend=proxmox) it depends on the storages of all disks whether there can be snapshots. Templates and
    suspended VMs have none taken.
  - With O(backend=vsd) only a running VM has its memory saved, and the task is done when that can be used. A snapshot
    with several children cannot be deleted before them, and what the VM works on counts as one. A VM that is not
    stopped has its power cut before it is reverted. Disks that are passed through have no snapshots.
seealso:
  - module: anyvirt.compute.vm_snapshot_info
  - module: anyvirt.compute.vm_clone
    description: Makes a VM of a snapshot.
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
  - anyvirt.compute.qemu
  - anyvirt.compute.proxmox
  - anyvirt.compute.zstack
  - anyvirt.compute.vsd
  - anyvirt.compute.qemu_api
"""

EXAMPLES = r"""
---
- name: A snapshot with memory before an upgrade
  anyvirt.compute.vm_snapshot:
    name: web1
    snapshot: before-upgrade
    description: Before the upgrade to 2.4
    memory: true

- name: The running VM is as it was before
  anyvirt.compute.vm_snapshot:
    name: web1
    snapshot: before-upgrade
    state: reverted
    force: true

- name: A snapshot for each day of all web servers, of which seven are kept
  anyvirt.compute.vm_snapshot:
    select:
      tags:
        - web
    snapshot: "daily-{{ now(fmt='%Y-%m-%d') }}"
    retention:
      prefix: daily-
      keep: 7

- name: What would go if all daily snapshots older than four weeks were deleted
  anyvirt.compute.vm_snapshot:
    name: web1
    state: absent
    retention:
      prefix: daily-
      older_than: 4w
  check_mode: true
  diff: true

- name: A snapshot and all that descend from it are gone
  anyvirt.compute.vm_snapshot:
    name: web1
    snapshot: before-upgrade
    state: absent
    children: true
"""

RETURN = r"""
---
snapshot:
  description:
    - The snapshot O(snapshot). It is null where there is none in the end.
  returned: success, of one VM
  type: dict
  contains:
    name:
      description:
        - The name.
      returned: always
      type: str
    parent:
      description:
        - The snapshot that the VM had been at when this one was taken, or null.
      returned: always, in check mode only of what is known before
      type: str
    time:
      description:
        - When it was taken, in seconds since 1970-01-01 UTC. It is null where nobody knows.
      returned: always, in check mode only of what is known before
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
    name: before-upgrade
    parent: null
    time: 1795251130
    description: Before the upgrade to 2.4
    memory: true
    complete: true
vm:
  description:
    - The VM as it is in the end. In check mode it is the VM as it would be.
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
      returned: of a VM that exists
      type: str
    node:
      description:
        - The host that it is on.
      returned: of a VM that exists
      type: str
    state:
      description:
        - The power state, one of V(running), V(stopped), V(paused), V(suspended) and V(unknown).
      returned: always
      type: str
    native_state:
      description:
        - The power state in the words of the backend, as it was read. With O(backend=proxmox) a suspended VM is
          V(stopped) there, with a RV(vm.lock).
      returned: of a VM that exists
      type: str
    template:
      description:
        - Whether it is a template.
      returned: of a VM that exists
      type: bool
    tags:
      description:
        - The tags, sorted.
      returned: of a VM that exists, or where given
      type: list
      elements: str
    pool:
      description:
        - The pool that it is in, or null.
      returned: of a VM that exists
      type: str
    lock:
      description:
        - What holds it, such as V(backup), V(migrate) or V(suspended), or null.
      returned: of a VM that exists, with O(backend=proxmox) and O(backend=vsd)
      type: str
    ha:
      description:
        - Whether the cluster keeps it up by high availability.
      returned: of a VM that exists, with O(backend=proxmox)
      type: bool
    memory:
      description:
        - The memory in MiB.
      returned: of a VM that exists, or where given
      type: int
    cores:
      description:
        - The cores of each socket.
      returned: of a VM that exists, or where given
      type: int
    sockets:
      description:
        - The sockets.
      returned: of a VM that exists, or where given
      type: int
    cpu_type:
      description:
        - The model of the CPU.
      returned: where the VM has it
      type: str
    firmware:
      description:
        - V(bios) or V(uefi).
      returned: where the VM has it
      type: str
    description:
      description:
        - The text for people.
      returned: where the VM has it
      type: str
    boot_order:
      description:
        - The slots from which it boots.
      returned: where the VM has it
      type: list
      elements: str
    guest_agent:
      description:
        - Whether the guest is expected to have an agent.
      returned: where the VM has it
      type: bool
    disks:
      description:
        - The disks in the order of their slots. Their keys are those of RV(anyvirt.compute.vm_info#module:vms[].disks).
      returned: where the VM has it
      type: list
      elements: dict
    nics:
      description:
        - The network cards in the order of their slots. Their keys are those of
          RV(anyvirt.compute.vm_info#module:vms[].nics).
      returned: where the VM has it
      type: list
      elements: dict
    cdrom:
      description:
        - The CD-ROM drive, with its C(slot), and C(image) where it has or had one.
      returned: where the VM has it
      type: dict
    cloud_init:
      description:
        - What cloud-init is told, in the words of the options. The password is left out, and C(user_data) is a digest.
      returned: where the VM has it
      type: dict
    native:
      description:
        - The settings that only this backend has. With O(backend=proxmox) the values are texts, and dictionaries of
          texts.
      returned: where the VM has it
      type: dict
    snapshots:
      description:
        - The snapshots, the oldest first. Their keys are those of
          RV(anyvirt.compute.vm_snapshot_info#module:snapshots).
      returned: always
      type: list
      elements: dict
  sample:
    id: b31122b1-7dc1-49ed-a27e-dfe49a80f193
    name: web1
    backend: qemu
    node: host1
    state: running
    native_state: running
    template: false
    tags:
      - production
      - web
    pool: null
    memory: 1024
    cores: 2
    sockets: 1
    cpu_type: max
    firmware: bios
    guest_agent: true
    disks:
      - slot: virtio0
        size: 20
        format: qcow2
    nics:
      - slot: net0
        network: user
        model: virtio
        mac: 52:54:00:C5:46:5C
        connected: true
        forwards:
          - protocol: tcp
            host_port: 2222
            guest_port: 22
    cloud_init:
      user: admin
      ssh_keys:
        - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample admin@example.com
      ip_config:
        - nic: net0
          ip: dhcp
    snapshots:
      - name: before-upgrade
        parent: null
        time: 1795251130
        description: Before the upgrade to 2.4
        memory: true
        complete: true
pending:
  description:
    - The settings that were changed but are not in effect before the VM is next started. Parts of devices are written
      as V(nics.net0.model).
  returned: success, of one VM
  type: list
  elements: str
  sample: []
restart_required:
  description:
    - Whether anything is RV(pending).
  returned: success, of one VM
  type: bool
  sample: false
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
    id: qemu:snapshot:ee614821-4bcc-4ce1-8993-f78b59730924
    backend: qemu
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
    pending:
      description:
        - As RV(pending).
      returned: where it went well
      type: list
      elements: str
    restart_required:
      description:
        - As RV(restart_required).
      returned: where it went well
      type: bool
    task:
      description:
        - As RV(task).
      returned: where something was done
      type: dict
    snapshot:
      description:
        - As RV(snapshot).
      returned: where it went well
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
disks:
  description:
    - The disks that were not reverted, of those in O(disks).
  returned: failure, where some of them were not reverted, with O(backend=vsd)
  type: list
  elements: str
  sample:
    - virtio1
kind:
  description:
    - What kind of failure it is, one of those of RV(anyvirt.compute.vm#module:kind).
  returned: failure
  type: str
  sample: conflict
"""

from collections.abc import Mapping
from typing import Any

from ..module_utils._errors import InvalidRequest
from ..module_utils._plan import VM, Op, Plan, ops_asked_for
from ..module_utils._session import Outcome, Result, Session, run_module
from ..module_utils._snapshots import plan_absent, plan_present, plan_reverted, row, surplus, with_children
from ..module_utils._spec import one_vm_or_many, waiting

RETENTION = {
    "type": "dict",
    "options": {
        "prefix": {"type": "str", "required": True},
        "keep": {"type": "int"},
        "older_than": {"type": "str"},
    },
    "required_one_of": [("keep", "older_than")],
}


def decide(session: Session, vm: VM) -> Plan:
    params = session.params
    name = params["snapshot"] or ""
    if params["state"] == "reverted":
        if params["retention"]:
            raise InvalidRequest("retention goes with state present or absent, not with reverted.")
        session.backend.load_snapshot(vm, name)
        return plan_reverted(vm, name, force=params["force"], start=params["start"], disks=params["disks"])
    if params["state"] == "absent":
        names = with_children(vm["snapshots"], name) if params["children"] else [name]
        if params["retention"]:
            names += [old for old in surplus(vm["snapshots"], params["retention"], keeping=name) if old not in names]
        return plan_absent(vm, names)
    plan = plan_present(vm, name, description=params["description"], memory=params["memory"])
    if params["retention"]:
        plan = plan.and_then(plan_absent(plan.after, surplus(vm["snapshots"], params["retention"], keeping=name)))
    return plan


def needs(options: Mapping[str, Any]) -> tuple[Op, ...]:
    if options["state"] == "absent":
        return (Op.SNAPSHOT_DELETE,)
    if options["state"] == "reverted":
        return (Op.REVERT_DISKS if options["disks"] else Op.REVERT,)
    asked = {Op.SNAPSHOT_MEMORY: options["memory"], Op.SNAPSHOT_DELETE: options["retention"]}
    return (Op.SNAPSHOT, *ops_asked_for(asked))


def run(session: Session) -> Result:
    name = session.params["snapshot"]

    def finish(outcome: Outcome) -> Result:
        known = outcome.vm["snapshots"]
        return {**outcome.to_result(), "snapshot": row(known, name) if name in known else None}

    gather = ("config", "snapshots", "pending")
    return session.converge_each(lambda vm: decide(session, vm), gather, finish)


def main() -> None:
    arguments = one_vm_or_many(
        snapshot={"type": "str"},
        state={"type": "str", "choices": ["present", "absent", "reverted"], "default": "present"},
        description={"type": "str"},
        memory={"type": "bool"},
        start={"type": "bool", "default": False},
        force={"type": "bool", "default": False},
        children={"type": "bool", "default": False},
        disks={"type": "list", "elements": "str"},
        retention=RETENTION,
        **waiting(300),
    )
    rules = [("state", "present", ["snapshot"]), ("state", "reverted", ["snapshot"])]
    run_module(run, needs, required_if=[*rules, ("state", "absent", ["snapshot", "retention"], True)], **arguments)


if __name__ == "__main__":
    main()
