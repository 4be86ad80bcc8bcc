#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_clone
short_description: Clone a VM, once or many times
version_added: 0.1.0
description:
  - Makes copies of a VM, and applies settings to them. A clone gets an id and MAC addresses of its own. It has no
    snapshots and no forwarded ports, is no template, and is stopped.
  - A second run changes nothing. Of a clone that is there only the settings that are given are compared. It is never
    made anew.
  - Check mode tells what a real run would do.
  - The source is never changed. With O(backend=qemu) a run that is killed leaves nothing behind, and a clone is there
    whole or not at all. With O(backend=proxmox) the cluster goes on with a copy, and the next run applies the settings.
options:
  source:
    description:
      - The VM to clone, by its name or its id.
    type: str
    required: true
  name:
    description:
      - The name of the clone. Give either this or O(clones).
    type: str
  id:
    description:
      - The id of the clone, where the backend lets it be chosen, as O(backend=proxmox) does. Otherwise it gets a free
        one.
      - A VM that has the id already is the clone. With O(name) too it gets that name.
    type: str
  full:
    description:
      - Whether the disks are copied.
      - The default is a linked clone of a template, and a full one of anything else and of any snapshot.
    type: bool
  linked:
    description:
      - Whether the clone is linked. It is made in a moment, and holds only what differs from the disks of its base. As
        long as there are such clones the base cannot be started, have its disks changed, be reverted or be deleted.
      - This is O(full) the other way round. Give one of them only.
    type: bool
  snapshot:
    description:
      - The snapshot to clone, instead of the present state. The clone has the settings of then.
    type: str
  storage:
    description:
      - The storage that the disks of a full clone are copied to. By default they lie where those of the source do.
      - Of a clone that exists it is not looked at.
    type: str
  timeout:
    description:
      - How many seconds the making of one clone may take, and the wait for another run that works on the same VMs.
    type: int
    default: 1800
notes:
  - With O(backend=qemu) a running VM can be cloned in full. All its disks are copied as they are at one moment, and it
    goes on meanwhile. For a linked clone, and for a clone of a snapshot, it must be stopped. A suspended VM cannot be
    cloned, and a linked clone of a snapshot is not possible.
  - With O(backend=proxmox) a running VM can be cloned in full, a suspended one cannot be cloned. Only clones of a
    template can be linked, and not those of a snapshot. O(node) and O(pool) say where the clone is made. On another
    node than that of its source this needs shared storage.
  - With O(backend=vsd) a clone is known by nothing but its name while it is made, so no other VM must get that name
    meanwhile. Its disks lie where those of its source are.
  - A clone has the C(cloud_init) of its source. With O(backend=qemu) cloud-init in the clone takes it for a new
    instance, and without a C(hostname) it is called by its own name.
seealso:
  - module: anyvirt.compute.vm
    description: Clones with C(clone_from), and starts the clone in the same task.
  - module: anyvirt.compute.vm_snapshot
author:
  - anyvirt.compute contributors (@anyvirt)
extends_documentation_fragment:
  - anyvirt.compute.attributes
  - anyvirt.compute.attributes.actiongroup
  - anyvirt.compute.connection
  - anyvirt.compute.bulk
  - anyvirt.compute.settings
  - anyvirt.compute.each.clones
  - anyvirt.compute.waiting
  - anyvirt.compute.qemu
  - anyvirt.compute.qemu.settings
  - anyvirt.compute.proxmox
  - anyvirt.compute.zstack
  - anyvirt.compute.vsd
"""

EXAMPLES = r"""
---
- name: A copy of a VM, which may run
  anyvirt.compute.vm_clone:
    source: web1
    name: web2

- name: Three linked clones of a template, two of them at a time
  anyvirt.compute.vm_clone:
    source: debian-12
    tags:
      - test
    clones:
      - name: test1
      - name: test2
      - name: test3
        memory: 4GiB
        tags:
          - test
          - large
    max_parallel: 2

- name: With plain QEMU a linked clone of a stopped VM that is no template
  anyvirt.compute.vm_clone:
    backend: qemu
    source: db1
    name: db1-copy
    linked: true

- name: A VM as another one was before an upgrade
  anyvirt.compute.vm_clone:
    source: db1
    snapshot: before-upgrade
    name: db1-old

- name: On Proxmox VE a linked clone of a template, on another node, with memory and an address of its own
  anyvirt.compute.vm_clone:
    backend: proxmox
    source: debian-12
    name: web4
    node: pve2
    memory: 4GiB
    cloud_init:
      ip_config:
        - nic: net0
          ip: 192.0.2.14/24
          gateway: 192.0.2.1
    native:
      onboot: true

- name: A long copy, with something else done meanwhile
  anyvirt.compute.vm_clone:
    source: web1
    name: web3
  async: 3600
  poll: 0
  register: copying

- name: The copy is waited for
  ansible.builtin.async_status:
    jid: "{{ copying.ansible_job_id }}"
  register: copied
  until: copied is finished
  retries: 360
  delay: 10
"""

RETURN = r"""
---
vm:
  description:
    - The clone as it is in the end. In check mode it is the clone as it would be. Then it has no id and no MAC
      addresses yet.
  returned: success, with O(name)
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
  sample:
    id: 63a2ed81-2d87-4ac4-ab79-5152cc71881a
    name: web2
    backend: qemu
    node: host1
    state: stopped
    native_state: shutdown
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
        size: 40
        format: qcow2
    nics:
      - slot: net0
        network: user
        model: virtio
        mac: 52:54:00:C8:B9:DE
        connected: true
    cloud_init:
      user: admin
      ssh_keys:
        - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample admin@example.com
      ip_config:
        - nic: net0
          ip: dhcp
pending:
  description:
    - The settings that were changed but are not in effect before the VM is next started. Parts of devices are written
      as V(nics.net0.model).
  returned: success, with O(name)
  type: list
  elements: str
  sample: []
restart_required:
  description:
    - Whether anything is RV(pending).
  returned: success, with O(name)
  type: bool
  sample: false
task:
  description:
    - The last thing that the backend was asked to do.
  returned: when something was done, with O(name)
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
    id: qemu:clone:f171793d-06ff-4438-abaa-9b8f2b69b22a
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
  returned: with O(clones), also on failure
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
kind:
  description:
    - What kind of failure it is, one of those of RV(anyvirt.compute.vm#module:kind).
  returned: failure
  type: str
  sample: not_found
"""

from collections.abc import Mapping
from typing import Any

from ..module_utils._backends.base import Identity
from ..module_utils._clone import clone_needs, plan_clone
from ..module_utils._errors import InvalidRequest
from ..module_utils._plan import VM, Op, Plan, plan_settings
from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import BULK, CLONES, CONNECTION, IDENTITY, SETTINGS, settings_of, waiting


def is_full(clone: Mapping[str, Any]) -> bool | None:
    return clone["full"] if clone["linked"] is None else not clone["linked"]


def decide(session: Session, current: VM | None, clone: Mapping[str, Any]) -> Plan:
    source = session.params["source"]
    if source in (clone["name"], clone["id"], (current or {}).get("id")):
        raise InvalidRequest(f"VM {clone['name'] or clone['id']} cannot be cloned to itself.")
    wanted = session.wanted(clone)
    if current is not None:
        return plan_settings(current, wanted)
    name, origin = session.new_name(clone), session.read(Identity.either(source), ("config", "snapshots"))
    how = {"vm_id": clone["id"], "snapshot": clone["snapshot"], "full": is_full(clone), "storage": clone["storage"]}
    return plan_clone(session.backend, origin, name, wanted, **how)


def needs(clone: Mapping[str, Any]) -> tuple[Op, ...]:
    return (Op.CLONE, *clone_needs(clone["snapshot"], is_full(clone), clone["storage"]))


def run(session: Session) -> Result:
    return session.converge_own("clones", lambda current, clone: decide(session, current, clone))


def main() -> None:
    run_module(
        run,
        needs,
        settings_of,
        argument_spec={
            **CONNECTION,
            "source": {"type": "str", "required": True},
            **IDENTITY,
            "clones": CLONES,
            "full": {"type": "bool"},
            "linked": {"type": "bool"},
            "snapshot": {"type": "str"},
            "storage": {"type": "str"},
            **SETTINGS,
            **BULK,
            **waiting(1800),
        },
        required_one_of=[("name", "id", "clones")],
        mutually_exclusive=[("name", "clones"), ("id", "clones"), ("full", "linked")],
    )


if __name__ == "__main__":
    main()
