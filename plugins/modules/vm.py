#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm
short_description: Make, change, start, stop and delete VMs
version_added: 0.1.0
description:
  - Sees to it that a VM is there with the settings that are given, started or stopped, or that it is not there. One
    task leads from nothing to a guest that can be reached.
  - With O(each) one task does so for many VMs, each with options of its own.
  - A second run changes nothing. Only what is given is compared, and compared by its meaning. What is not given stays
    as it is.
  - Check mode tells what a real run would do, with a diff, and refuses what a real run would refuse.
  - Nothing is lost unasked. No disk shrinks, no running VM is deleted, no power is cut and no saved memory is given up
    without O(force). No VM is restarted. What takes effect only at the next start is RV(pending).
options:
  state:
    description:
      - V(present) has the VM made if it is not there, and its settings changed if they differ. Its power state stays as
        it is. A new VM is stopped.
      - V(started) does the same, and then starts a stopped VM and resumes a paused or a suspended one.
      - V(stopped) does the same, and then has the guest of a running VM shut down. The guest gets 120 seconds.
      - V(absent) deletes the VM with its disks and snapshots. A VM that runs, or is paused, is deleted with O(force)
        only. One that is the base of linked clones is not deleted.
    type: str
    choices:
      - present
      - absent
      - started
      - stopped
    default: present
  clone_from:
    description:
      - A new VM is made as a clone of this VM, and O(disks), O(memory) and all the other settings are then applied to
        it.
      - Of a VM that exists it is not looked at.
      - More about clones is said at M(anyvirt.compute.vm_clone).
    type: dict
    suboptions:
      name:
        description:
          - The name of the VM to clone. Give either this or O(clone_from.id).
        type: str
      id:
        description:
          - The id of the VM to clone.
        type: str
      snapshot:
        description:
          - The snapshot to clone, instead of the present state.
        type: str
      full:
        description:
          - Whether the disks are copied. Without a copy the clone is linked. It holds only what differs from the disks
            of its base.
          - The default is a linked clone of a template, and a full one of anything else.
        type: bool
      storage:
        description:
          - The storage that the disks of a full clone are copied to. By default they lie where those of the source do.
        type: str
  force:
    description:
      - With O(state=absent), delete the VM even if it runs. Its power is cut.
      - With O(state=stopped), cut the power if the guest does not shut down in time, and give up the memory of a
        suspended VM. With O(backend=proxmox) the VM is resumed for that, and then its power is cut.
      - With O(backend=qemu), take a CD from a guest that has locked its tray.
    type: bool
    default: false
  shutdown_timeout:
    description:
      - With O(state=stopped), how many seconds the guest has to shut down. With V(0) and O(force) it is not asked.
    type: int
    default: 120
  purge:
    description:
      - With O(state=absent), also take away what refers to the VM elsewhere on the backend.
      - With O(backend=qemu) it makes no difference. Nothing of the VM is left in any case, and that includes the files
        of disks that were taken from it earlier.
      - With O(backend=proxmox) it makes no difference either. The disks go with the VM, those that it had earlier too,
        and it is taken out of backup jobs, replication and high availability.
      - With O(backend=zstack) the VM and its data disks are expunged. Otherwise they are destroyed, and ZStack keeps
        them for some days, in which the VM can be had back by its O(id).
      - With O(backend=vsd) the VM and its disks are deleted for good. Otherwise they are put into the recycle bin of
        the platform. Who is no administrator cannot delete for good, and is warned.
    type: bool
    default: false
  timeout:
    description:
      - How many seconds the work on a VM may take on the backend, and the wait for another run that works on the same
        VM.
      - When it is over the task fails. What goes on is told as RV(task).
    type: int
    default: 1800
notes:
  - One of O(name), O(id) and O(each) is needed.
  - With both O(name) and O(id), the id says which VM it is, and the name what it shall be called. O(backend=qemu) can
    neither rename a VM nor make one with a given id. O(backend=proxmox) can do both. Without O(id) a new VM gets the
    first id there that is free, however many runs make VMs at the same time.
  - O(backend=vsd) makes VMs only with O(clone_from). With it O(id) and O(name) rename a VM.
  - With O(backend=proxmox) a new disk needs its O(disks[].storage), and O(cloud_init) and O(firmware=uefi) need such a
    disk.
seealso:
  - module: anyvirt.compute.vm_config
    description: Changes VMs that exist, takes devices away, and can apply what needs a restart.
  - module: anyvirt.compute.vm_power
    description: All power states, of many VMs in one task.
  - module: anyvirt.compute.vm_clone
    description: Many clones in one task.
  - module: anyvirt.compute.vm_snapshot
  - module: anyvirt.compute.vm_info
author:
  - anyvirt.compute contributors (@anyvirt)
extends_documentation_fragment:
  - anyvirt.compute.attributes
  - anyvirt.compute.attributes.actiongroup
  - anyvirt.compute.connection
  - anyvirt.compute.identity
  - anyvirt.compute.bulk
  - anyvirt.compute.each.vm
  - anyvirt.compute.settings
  - anyvirt.compute.readiness
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
- name: A VM with an empty disk of 20 GiB, stopped
  anyvirt.compute.vm:
    name: db1
    memory: 4GiB
    cores: 2
    disks:
      - size: 20GiB

- name: From nothing to a guest that answers, in one task
  anyvirt.compute.vm:
    name: web1
    state: started
    memory: 1GiB
    cores: 2
    guest_agent: true
    tags:
      - web
      - production
    disks:
      - source: https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-generic-amd64.qcow2
        size: 20GiB
    nics:
      - network: user
        forwards:
          - host_port: 2222
            guest_port: 22
    cloud_init:
      user_data: |
        #cloud-config
        users:
          - name: admin
            sudo: ALL=(ALL) NOPASSWD:ALL
            ssh_authorized_keys:
              - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample admin@example.com
        packages:
          - qemu-guest-agent
        runcmd:
          - systemctl start qemu-guest-agent
    wait_for:
      agent: true
      ip: true
      timeout: 900

- name: The same on Proxmox VE, with an image that is imported from a storage
  anyvirt.compute.vm:
    backend: proxmox
    url: "{{ proxmox_url }}"
    token_id: "{{ proxmox_token_id }}"
    token_secret: "{{ proxmox_token_secret }}"
    ca_path: "{{ proxmox_ca_path }}"
    name: web1
    id: 200
    node: pve2
    state: started
    memory: 2GiB
    cores: 2
    firmware: uefi
    guest_agent: true
    tags:
      - web
      - production
    disks:
      - slot: scsi0
        storage: shared
        format: qcow2
        source: shared:import/debian-12-generic-amd64.qcow2
        size: 20GiB
    nics:
      - network: vmbr0
        vlan: 12
    cloud_init:
      user: admin
      ssh_keys:
        - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample admin@example.com
      ip_config:
        - nic: net0
          ip: dhcp
    native:
      onboot: true
      scsihw: virtio-scsi-single
      scsi0:
        discard: "on"
        iothread: true
      net0:
        firewall: true
      vga:
        type: qxl
    wait_for:
      agent: true

- name: What would change if web1 had more memory
  anyvirt.compute.vm:
    name: web1
    memory: 2GiB
  check_mode: true
  diff: true

- name: A VM in a bridge of the host, with an address of its own
  anyvirt.compute.vm:
    name: web2
    state: started
    disks:
      - source: /srv/images/debian-12-generic-amd64.qcow2
        checksum: sha256:9c2f2a5d7f6c1b1f4f0f6e6b2d3c4a5968778695a4b3c2d1e0f0a1b2c3d4e5f6
        size: 20GiB
    nics:
      - network: br0
    cloud_init:
      user: admin
      ssh_keys:
        - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample admin@example.com
      nameservers:
        - 192.0.2.53
      ip_config:
        - nic: net0
          ip: 192.0.2.10/24
          gateway: 192.0.2.1
    wait_for:
      host: 192.0.2.10
      port: 22
  become: true

- name: A template of a stopped VM
  anyvirt.compute.vm:
    name: db1
    state: stopped
    template: true

- name: A linked clone of it, with more memory and a second disk
  anyvirt.compute.vm:
    name: db2
    state: started
    clone_from:
      name: db1
    memory: 8GiB
    disks:
      - slot: virtio1
        size: 100GiB

- name: An installation from a CD, with UEFI
  anyvirt.compute.vm:
    name: desktop1
    state: started
    firmware: uefi
    memory: 4GiB
    disks:
      - size: 40GiB
    nics:
      - network: user
    cdrom:
      slot: sata0
      image: /srv/images/debian-12-netinst.iso
    boot_order:
      - virtio0
      - sata0

- name: The CD is taken out
  anyvirt.compute.vm:
    name: desktop1
    cdrom:
      image: ""

- name: Several VMs in one task, with what they have in common beside what each has for itself
  anyvirt.compute.vm:
    state: started
    memory: 2GiB
    nics:
      - network: user
    each:
      - name: app1
        disks:
          - size: 20GiB
      - name: app2
        memory: 4GiB
        tags:
          - large
        disks:
          - size: 40GiB
      - name: app3
        state: stopped
        clone_from:
          name: web1
      - name: app0
        state: absent
    max_parallel: 2

- name: On Proxmox VE two VMs from a template, each on a node and with an address of its own, until both can be used
  anyvirt.compute.vm:
    backend: proxmox
    state: started
    clone_from:
      name: debian-12
    each:
      - name: shop1
        node: pve1
        cloud_init:
          ip_config:
            - nic: net0
              ip: 192.0.2.21/24
              gateway: 192.0.2.1
      - name: shop2
        node: pve2
        cloud_init:
          ip_config:
            - nic: net0
              ip: 192.0.2.22/24
              gateway: 192.0.2.1
    wait_for:
      agent: true

- name: The VM and all that it has is gone, even if it runs
  anyvirt.compute.vm:
    name: desktop1
    state: absent
    force: true
"""

RETURN = r"""
---
vm:
  description:
    - The VM as it is in the end.
    - In check mode it is the VM as it would be, and for one that would be made only what was given is known.
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
        - The power state, one of V(running), V(stopped), V(paused), V(suspended) and V(unknown), or V(absent).
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
        - The disks in the order of their slots.
      returned: where the VM has it
      type: list
      elements: dict
      contains:
        slot:
          description:
            - Where it is attached.
          returned: always
          type: str
        size:
          description:
            - The size in GiB. It has a fraction where it is not a whole number.
          returned: where the backend tells
          type: float
        format:
          description:
            - The format of its file.
          returned: where the backend tells
          type: str
        storage:
          description:
            - The storage that it is on.
          returned: with O(backend=proxmox) and O(backend=vsd)
          type: str
        volume:
          description:
            - The volume that it is, such as V(local-lvm:vm-100-disk-0).
          returned: with O(backend=proxmox) and O(backend=vsd)
          type: str
    nics:
      description:
        - The network cards in the order of their slots.
      returned: where the VM has it
      type: list
      elements: dict
      contains:
        slot:
          description:
            - Where it is attached.
          returned: always
          type: str
        network:
          description:
            - What it is connected to.
          returned: where it is connected
          type: str
        model:
          description:
            - The model.
          returned: always
          type: str
        mac:
          description:
            - The MAC address, in capitals with colons.
          returned: always
          type: str
        vlan:
          description:
            - The VLAN.
          returned: where it has one
          type: int
        connected:
          description:
            - Whether the cable is plugged in.
          returned: always
          type: bool
        forwards:
          description:
            - The ports of the host that are forwarded to the guest.
          returned: where there are any
          type: list
          elements: dict
          contains:
            protocol:
              description:
                - V(tcp) or V(udp).
              returned: always
              type: str
            host_port:
              description:
                - The port of the host.
              returned: always
              type: int
            guest_port:
              description:
                - The port of the guest.
              returned: always
              type: int
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
    agent:
      description:
        - What the agent in the guest tells. It has C(running), whether it answered, and C(interfaces), the network
          interfaces in its own words.
      returned: with O(wait_for), where its agent was asked
      type: dict
    addresses:
      description:
        - The IP addresses that the agent tells, without loopback and link-local ones, IPv4 first.
      returned: with O(wait_for), where its agent was asked
      type: list
      elements: str
      sample:
        - 10.0.2.15
        - fec0::5054:ff:fe5e:2596
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
pending:
  description:
    - The settings that were changed but are not in effect before the VM is next started. Parts of devices are written
      as V(nics.net0.model).
  returned: success, of one VM
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
    id: qemu:start:b31122b1-7dc1-49ed-a27e-dfe49a80f193
    backend: qemu
    state: succeeded
    warnings: []
diff:
  description:
    - What changes. It has C(before) and C(after), both as RV(vm). C(before) is empty where there was no such VM.
    - With O(each) it is a list with an entry for each VM that changes, with the name as C(before_header) and
      C(after_header).
  returned: success
  type: raw
  sample:
    before: {}
    after:
      name: web1
      state: running
      tags:
        - production
        - web
      memory: 1024
      cores: 2
      guest_agent: true
      disks:
        - slot: virtio0
          size: 20
      nics:
        - slot: net0
          network: user
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
results:
  description:
    - What became of each VM, in the order in which they were given.
  returned: with O(each), also on failure
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
        tags: []
        pool: null
        memory: 1024
        cores: 1
        sockets: 1
        cpu_type: max
        firmware: bios
        disks:
          - slot: virtio0
            size: 10
            format: qcow2
        nics: []
      pending: []
      restart_required: false
      task:
        id: qemu:start:c7333aa8-e3da-4f67-ada1-417157a6ebdd
        backend: qemu
        state: succeeded
        warnings: []
    - id: null
      name: app0
      changed: false
      vm:
        name: app0
        id: null
        state: absent
      pending: []
      restart_required: false
kind:
  description:
    - What kind of failure it is, for conditions in playbooks. The text for people is in C(msg).
    - One of V(invalid_request) (the task asks for something that makes no sense), V(unsupported) (this backend has no
      such operation or setting), V(not_found), V(ambiguous) (the name fits several VMs), V(conflict) (busy, in the
      wrong state, or changed meanwhile), V(missing_library) (a Python library or a program is not installed),
      V(backend_error) (the backend refused or broke), V(authentication_failed), V(permission_denied),
      V(transport_error) (no answer), V(task_failed), V(task_timeout) (the work goes on, and its RV(task) is in the
      failure) and V(some_failed) (of several VMs, see RV(results)).
  returned: failure
  type: str
  sample: conflict
"""

from collections.abc import Mapping
from typing import Any

from ..module_utils._backends.base import Identity
from ..module_utils._clone import clone_needs, plan_clone
from ..module_utils._errors import Conflict
from ..module_utils._plan import VM, Op, Plan, plan_create, plan_delete, plan_settings, unchanged
from ..module_utils._power import plan_power
from ..module_utils._session import Outcome, Result, Session, run_module
from ..module_utils._spec import CLONE_FROM, EACH_VM, READINESS, SETTINGS, STATE, one_vm_or_each, settings_of, waiting

Options = Mapping[str, Any]


def plan_absent(current: VM | None, options: Options) -> Plan:
    if current is None:
        return unchanged({"name": options["name"], "id": options["id"], "state": "absent"})
    if current["state"] not in ("stopped", "suspended") and not options["force"]:
        raise Conflict(
            f"VM {current['name']} is {current['state']} and is not deleted.",
            advice="Stop it first, or use force: true, which cuts its power.",
            state=current["state"],
        )
    return plan_delete(current, force=options["force"], purge=options["purge"])


def plan_new(session: Session, options: Options) -> Plan:
    name, wanted, origin = session.new_name(options), session.wanted(options), options["clone_from"]
    if origin is None:
        return plan_create(name, wanted, options["id"])
    source = session.read(Identity(name=origin["name"], id=origin["id"]), ("config", "snapshots"))
    how = {option: origin[option] for option in ("snapshot", "full", "storage")}
    return plan_clone(session.backend, source, name, wanted, vm_id=options["id"], **how)


def decide(session: Session, current: VM | None, options: Options) -> Plan:
    state, force = options["state"], options["force"]
    if state == "absent":
        return plan_absent(current, options)
    if current is None:
        plan = plan_new(session, options)
    else:
        plan = plan_settings(current, session.wanted(options), force=force)
    if state == "present":
        return plan
    able, patience = session.backend.abilities.operations, options["shutdown_timeout"]
    return plan.and_then(plan_power(plan.after, state, able, force=force, shutdown_timeout=patience))


def needs(options: Options) -> tuple[Op, ...]:
    origin = options["clone_from"]
    if options["state"] == "absent":
        return (Op.DELETE,)
    return (Op.CLONE, *clone_needs(origin["snapshot"], origin["full"], origin["storage"])) if origin else ()


def run(session: Session) -> Result:
    def finish(outcome: Outcome, options: Options) -> Result:
        return session.wait_ready(outcome, options["wait_for"]).to_result()

    return session.converge_own("each", lambda current, options: decide(session, current, options), finish)


def main() -> None:
    run_module(
        run,
        needs,
        settings_of,
        **one_vm_or_each(
            EACH_VM,
            state=STATE,
            clone_from=CLONE_FROM,
            force={"type": "bool", "default": False},
            purge={"type": "bool", "default": False},
            shutdown_timeout={"type": "int", "default": 120},
            **SETTINGS,
            **READINESS,
            **waiting(1800),
        ),
    )


if __name__ == "__main__":
    main()
