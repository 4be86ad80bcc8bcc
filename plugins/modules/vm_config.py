#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_config
short_description: Change the settings of VMs that exist
version_added: 0.1.0
description:
  - Changes the settings of VMs, and takes settings and devices away. The VMs must exist. Several of them may get the
    same settings, or with O(each) settings of their own.
  - A second run changes nothing. Only what is given is compared, and compared by its meaning, with what was asked for
    before and may still be pending. What is not given stays as it is.
  - Check mode tells what a real run would do, with a diff, and what would be RV(pending).
  - No VM is restarted unless O(apply=reboot) asks for it. No disk shrinks. The file of a disk that is taken away is
    kept. With O(backend=qemu) a warning names it.
options:
  absent:
    description:
      - What to take away. It can be V(description), V(tags), V(boot_order), V(cdrom), V(cloud_init), V(native),
        V(pool), and the slots of disks and network cards, such as V(virtio1) or V(net1).
      - What is not there is no error.
      - The file of a disk is kept. With O(backend=qemu) it lies in the directory of the VM until the VM is deleted.
        With O(backend=proxmox) the VM has it as an unused disk, such as C(unused0).
      - With O(backend=proxmox) V(native) and V(pool) cannot be taken away, and with V(cloud_init) the drive stays.
    type: list
    elements: str
    default: []
  apply:
    description:
      - What to do with changes that cannot take effect while the VM runs.
      - V(live) has everything take effect that can. The rest is RV(pending) until the VM is next started.
      - V(next_boot) leaves a running VM as it is. All changes are pending. O(backend=proxmox) cannot do this, and
        refuses it for a VM that runs or is paused.
      - V(reboot) does the same as V(live). Then, if anything is pending, from this task or from an earlier one, the VM
        is shut down and started.
      - V(fail) changes nothing and fails if anything would be pending.
    type: str
    choices:
      - live
      - next_boot
      - reboot
      - fail
    default: live
  force:
    description:
      - With O(apply=reboot), cut the power if the guest does not shut down in time.
      - With O(backend=qemu), take a CD out of a drive that the guest has locked.
    type: bool
    default: false
  shutdown_timeout:
    description:
      - With O(apply=reboot), how many seconds the guest gets to shut down.
    type: int
    default: 120
  timeout:
    description:
      - How many seconds the work on one VM may take on the backend, and the wait for another run that works on it.
      - When it is over the task fails. What goes on is told as RV(task).
    type: int
    default: 300
notes:
  - Exactly one of O(name), O(id), O(vms), O(select) and O(each) is needed.
  - While the VM runs a guest has to let go of a disk or a network card that is taken away. One that does not, because
    it has not booted yet for instance, makes the task fail.
  - With O(backend=vsd) only O(memory), O(cores) and O(sockets) can be changed. A VM that runs gets more memory, and as
    many cores as it is prepared for, at once. All else is refused while it runs, and done with O(apply=reboot).
  - With O(backend=proxmox) nothing can be changed while the VM is suspended. If someone else changes a VM at the same
    moment, the task reads it again once, and fails when that happens a second time.
seealso:
  - module: anyvirt.compute.vm
    description: Makes the VM too if it is not there.
  - module: anyvirt.compute.vm_power
  - module: anyvirt.compute.vm_info
    description: Tells what is pending, and the values that are still in effect.
author:
  - anyvirt.compute contributors (@anyvirt)
extends_documentation_fragment:
  - anyvirt.compute.attributes
  - anyvirt.compute.attributes.actiongroup
  - anyvirt.compute.connection
  - anyvirt.compute.identity
  - anyvirt.compute.select
  - anyvirt.compute.bulk
  - anyvirt.compute.each.config
  - anyvirt.compute.settings
  - anyvirt.compute.waiting
  - anyvirt.compute.qemu
  - anyvirt.compute.qemu.settings
  - anyvirt.compute.proxmox
  - anyvirt.compute.zstack
  - anyvirt.compute.vsd
  - anyvirt.compute.qemu_api
"""

EXAMPLES = r"""
---
- name: More memory from the next start on, and a larger disk at once
  anyvirt.compute.vm_config:
    name: web1
    memory: 2GiB
    disks:
      - slot: virtio0
        size: 40GiB
  register: web1

- name: What is not in effect yet
  ansible.builtin.debug:
    msg: "web1 has to be restarted for {{ web1.pending | join(', ') }}"
  when: web1.restart_required

- name: The same, restarted if it has to be
  anyvirt.compute.vm_config:
    name: web1
    memory: 2GiB
    apply: reboot
    shutdown_timeout: 60

- name: A second disk and a second network card, while the VM runs
  anyvirt.compute.vm_config:
    name: web1
    disks:
      - slot: virtio1
        size: 100GiB
    nics:
      - slot: net1
        network: user

- name: Both are taken away again, the file of the disk is kept
  anyvirt.compute.vm_config:
    name: web1
    absent:
      - virtio1
      - net1

- name: Another port of the host is forwarded, at once
  anyvirt.compute.vm_config:
    name: web1
    nics:
      - slot: net0
        forwards:
          - host_port: 2222
            guest_port: 22
          - host_port: 8080
            guest_port: 80

- name: On Proxmox VE, settings that only it has, of which all others stay as they are
  anyvirt.compute.vm_config:
    backend: proxmox
    name: web1
    native:
      onboot: true
      vga:
        type: qxl
      net0:
        firewall: true

- name: Three VMs get settings of their own, and all of them a tag, in one task
  anyvirt.compute.vm_config:
    tags:
      - web
    each:
      - name: web1
        memory: 2GiB
      - name: web2
        disks:
          - slot: virtio0
            size: 40GiB
        absent:
          - description
      - name: db1
        tags:
          - db

- name: All web servers get more cores, whenever they are next started
  anyvirt.compute.vm_config:
    select:
      tags:
        - web
    cores: 4
    apply: next_boot
"""

RETURN = r"""
---
vm:
  description:
    - The VM as it is in the end, with the settings as they were asked for.
    - In check mode it is the VM as it would be.
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
    memory: 2048
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
pending:
  description:
    - The settings that were changed but are not in effect before the VM is next started. Parts of devices are written
      as V(nics.net0.model).
  returned: success, of one VM, and with O(apply=fail) on failure
  type: list
  elements: str
  sample:
    - memory
restart_required:
  description:
    - Whether anything is RV(pending).
  returned: success, of one VM
  type: bool
  sample: true
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
    id: qemu:update:b31122b1-7dc1-49ed-a27e-dfe49a80f193
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
    - id: c7333aa8-e3da-4f67-ada1-417157a6ebdd
      name: app1
      changed: true
      vm:
        id: c7333aa8-e3da-4f67-ada1-417157a6ebdd
        name: app1
        backend: qemu
        node: host1
        state: running
        native_state: running
        template: false
        tags:
          - app
        pool: null
        memory: 1024
        cores: 2
        sockets: 1
        cpu_type: max
        firmware: bios
        disks:
          - slot: virtio0
            size: 10
            format: qcow2
        nics: []
      pending:
        - cores
      restart_required: true
      task:
        id: qemu:update:c7333aa8-e3da-4f67-ada1-417157a6ebdd
        backend: qemu
        state: succeeded
        warnings: []
    - id: null
      name: app3
      failed: true
      msg: There is no VM 'app3' on backend qemu. Check the name, and that the task runs on the right host and backend.
      kind: not_found
      changed: false
kind:
  description:
    - What kind of failure it is, one of those of RV(anyvirt.compute.vm#module:kind).
  returned: failure
  type: str
  sample: conflict
"""

from collections.abc import Mapping
from typing import Any

from ..module_utils._errors import Conflict
from ..module_utils._plan import VM, Op, Plan, Step, plan_settings
from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import ABSENT, EACH_CONFIG, SETTINGS, one_vm_or_many, settings_of, waiting


def decide(session: Session, vm: VM, options: Mapping[str, Any]) -> Plan:
    apply, force = options["apply"], options["force"]
    plan = plan_settings(vm, session.wanted(options), options["absent"], apply, force)
    pending = session.backend.pending_after(plan)
    if pending and apply == "fail":
        raise Conflict(
            f"VM {vm['name']} would need a restart for {', '.join(pending)}.",
            advice="Nothing was changed. Use apply: live to leave that pending, or apply: reboot.",
            pending=pending,
        )
    if pending and apply == "reboot":
        patience = {"shutdown_timeout": options["shutdown_timeout"], "force": force}
        steps = (Step(Op.SHUTDOWN, vm, patience), Step(Op.START, vm))
        plan = plan.and_then(Plan(plan.after, plan.after, (), steps))
    return plan


def decide_own(session: Session, vm: VM | None, options: Mapping[str, Any]) -> Plan:
    return decide(session, session.existing(session.identity_of(options), vm), options)


def run(session: Session) -> Result:
    if session.params["each"] is None:
        return session.converge_each(lambda vm: decide(session, vm, session.params))
    return session.converge_own("each", lambda vm, options: decide_own(session, vm, options))


def main() -> None:
    run_module(
        run,
        settings=settings_of,
        **one_vm_or_many(
            each=EACH_CONFIG,
            absent=ABSENT,
            apply={"type": "str", "choices": ["live", "next_boot", "reboot", "fail"], "default": "live"},
            force={"type": "bool", "default": False},
            shutdown_timeout={"type": "int", "default": 120},
            **SETTINGS,
            **waiting(300),
        ),
    )


if __name__ == "__main__":
    main()
