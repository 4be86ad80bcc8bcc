#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_info
short_description: Tell about VMs and what their backend can do
version_added: 0.1.0
description:
  - Tells about one VM, several or all of them. Without O(name), O(id), O(vms) and O(select) these are all VMs of the
    backend.
  - A VM that does not exist is no failure. It is left out, so that an empty list says that it is not there.
  - One that cannot be read does not hide the others. Its state is V(unknown), and it has an C(error).
options:
  gather:
    description:
      - What to tell beside the essentials, which cost nothing more.
      - V(config) tells all settings, with disks and network cards.
      - V(snapshots) tells the snapshots.
      - V(agent) asks the agent in the guest, which takes up to 3 seconds where there is none, and tells the IP
        addresses. With O(backend=proxmox) the agent is asked only where C(guest_agent) is set.
      - V(pending) tells the settings that were changed but are not in effect before the VM is next started.
      - V(capabilities) tells what the backend can do, as RV(capabilities).
    type: list
    elements: str
    choices:
      - config
      - snapshots
      - agent
      - pending
      - capabilities
    default: []
seealso:
  - module: anyvirt.compute.vm_snapshot_info
  - module: anyvirt.compute.vm
author:
  - anyvirt.compute contributors (@anyvirt)
extends_documentation_fragment:
  - anyvirt.compute.attributes.info_module
  - anyvirt.compute.attributes.actiongroup
  - anyvirt.compute.connection
  - anyvirt.compute.identity
  - anyvirt.compute.select
  - anyvirt.compute.qemu
  - anyvirt.compute.proxmox
  - anyvirt.compute.zstack
  - anyvirt.compute.vsd
  - anyvirt.compute.qemu_api
"""

EXAMPLES = r"""
---
- name: All VMs
  anyvirt.compute.vm_info:
  register: all_vms

- name: Their names and states
  ansible.builtin.debug:
    msg: "{{ all_vms.vms | items2dict(key_name='name', value_name='state') }}"

- name: Everything about one VM
  anyvirt.compute.vm_info:
    name: web1
    gather:
      - config
      - snapshots
      - agent
      - pending
  register: web1

- name: A condition on whether it is there
  ansible.builtin.debug:
    msg: "web1 has the addresses {{ web1.vms[0].addresses | join(', ') }}"
  when: web1.vms | length > 0

- name: The web servers that run
  anyvirt.compute.vm_info:
    select:
      name: web*
      status: running

- name: The VMs of a cluster of Proxmox VE that are on one node
  anyvirt.compute.vm_info:
    backend: proxmox
    url:
      - "{{ proxmox_url }}"
    token_id: "{{ proxmox_token_id }}"
    token_secret: "{{ proxmox_token_secret }}"
    ca_path: "{{ proxmox_ca_path }}"
    select:
      node: pve1

- name: What the backend can do, without a VM
  anyvirt.compute.vm_info:
    vms: []
    gather:
      - capabilities
"""

RETURN = r"""
---
vms:
  description:
    - The VMs, by name where they were selected, and in the order given otherwise. One that does not exist is left out.
  returned: success
  type: list
  elements: dict
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
    backend:
      description:
        - What runs it.
      returned: where it can be read
      type: str
    node:
      description:
        - The host that it is on.
      returned: where it can be read
      type: str
    state:
      description:
        - The power state, one of V(running), V(stopped), V(paused), V(suspended) and V(unknown).
      returned: always
      type: str
    native_state:
      description:
        - The power state in the words of the backend, as it was read. With O(backend=proxmox) a suspended VM is
          V(stopped) there, with a RV(vms[].lock).
      returned: where it can be read
      type: str
    template:
      description:
        - Whether it is a template.
      returned: where it can be read
      type: bool
    tags:
      description:
        - The tags, sorted.
      returned: where it can be read
      type: list
      elements: str
    pool:
      description:
        - The pool that it is in, or null.
      returned: where it can be read
      type: str
    lock:
      description:
        - What holds it, such as V(backup), V(migrate) or V(suspended), or null.
      returned: where it can be read, with O(backend=proxmox) and O(backend=vsd)
      type: str
    ha:
      description:
        - Whether the cluster keeps it up by high availability.
      returned: where it can be read, with O(backend=proxmox)
      type: bool
    memory:
      description:
        - The memory in MiB.
      returned: where it can be read
      type: int
    cores:
      description:
        - The cores of each socket. With O(backend=proxmox), when O(gather) has neither V(config) nor V(pending), it is
          the number of all CPUs.
      returned: where it can be read
      type: int
    sockets:
      description:
        - The sockets.
      returned: where it can be read, with O(backend=proxmox) when O(gather) has V(config) or V(pending)
      type: int
    cpu_type:
      description:
        - The model of the CPU.
      returned: when O(gather) has V(config), where the VM has it
      type: str
    firmware:
      description:
        - V(bios) or V(uefi).
      returned: when O(gather) has V(config), where the VM has it
      type: str
    description:
      description:
        - The text for people.
      returned: when O(gather) has V(config), where the VM has it
      type: str
    boot_order:
      description:
        - The slots from which it boots.
      returned: when O(gather) has V(config), where the VM has it
      type: list
      elements: str
    guest_agent:
      description:
        - Whether the guest is expected to have an agent.
      returned: when O(gather) has V(config), where the VM has it
      type: bool
    disks:
      description:
        - The disks in the order of their slots.
      returned: when O(gather) has V(config), where the VM has it
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
      returned: when O(gather) has V(config), where the VM has it
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
      returned: when O(gather) has V(config), where the VM has it
      type: dict
    cloud_init:
      description:
        - What cloud-init is told, in the words of the options. The password is left out, and C(user_data) is a digest.
      returned: when O(gather) has V(config), where the VM has it
      type: dict
    native:
      description:
        - The settings that only this backend has. With O(backend=proxmox) the values are texts, and dictionaries of
          texts.
      returned: when O(gather) has V(config), where the VM has it
      type: dict
    pending:
      description:
        - The settings that were changed but are not in effect before the VM is next started.
      returned: when O(gather) has V(pending)
      type: list
      elements: dict
      contains:
        setting:
          description:
            - The name, such as V(memory) or V(nics.net0.model).
          returned: always
          type: str
        running:
          description:
            - The value that is still in effect. It is null where something is not there yet.
          returned: always
          type: raw
    snapshots:
      description:
        - The snapshots, the oldest first. Their keys are those of
          RV(anyvirt.compute.vm_snapshot_info#module:snapshots).
      returned: when O(gather) has V(snapshots)
      type: list
      elements: dict
    agent:
      description:
        - What the agent in the guest tells. It has C(running), whether it answered, and C(interfaces), the network
          interfaces in its own words. With O(backend=proxmox) it also has an C(error) where a running VM did not
          answer.
      returned: when O(gather) has V(agent)
      type: dict
    addresses:
      description:
        - The IP addresses that the agent tells, without loopback and link-local ones, IPv4 first.
      returned: when O(gather) has V(agent)
      type: list
      elements: str
      sample:
        - 10.0.2.15
        - fec0::5054:ff:fe5e:2596
    error:
      description:
        - Why the VM cannot be read. Its V(state) is then V(unknown).
      returned: where it cannot be read
      type: str
  sample:
    - id: b31122b1-7dc1-49ed-a27e-dfe49a80f193
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
      snapshots:
        - name: before-upgrade
          parent: null
          time: 1795251130
          description: Before the upgrade to 2.4
          memory: true
          complete: true
      pending:
        - setting: memory
          running: 1024
capabilities:
  description:
    - What the backend can do.
  returned: when O(gather) has V(capabilities)
  type: dict
  contains:
    operations:
      description:
        - The operations.
      returned: always
      type: list
      elements: str
    settings:
      description:
        - For each setting when a change of it takes effect, V(live), V(restart) for the next start, or V(never) for
          what is said when the VM or the device is made.
      returned: always
      type: dict
  sample:
    operations:
      - clone
      - clone_linked
      - clone_snapshot
      - create
      - delete
      - pause
      - reset
      - resume
      - revert
      - revert_disks
      - shutdown
      - snapshot
      - snapshot_delete
      - snapshot_describe
      - snapshot_memory
      - start
      - stop
      - suspend
      - update
    settings:
      boot_order: restart
      cdrom: restart
      cdrom.image: live
      cdrom.slot: restart
      cloud_init: restart
      cloud_init.hostname: restart
      cloud_init.ip_config: restart
      cloud_init.nameservers: restart
      cloud_init.password: restart
      cloud_init.search_domains: restart
      cloud_init.ssh_keys: restart
      cloud_init.user: restart
      cloud_init.user_data: restart
      cores: restart
      cpu_type: restart
      description: live
      disks: live
      disks.checksum: never
      disks.format: never
      disks.size: live
      disks.slot: live
      disks.source: never
      firmware: never
      guest_agent: live
      memory: restart
      name: never
      native: restart
      nics: live
      nics.connected: live
      nics.forwards: live
      nics.mac: restart
      nics.model: restart
      nics.network: restart
      nics.slot: live
      sockets: restart
      tags: live
      template: live
kind:
  description:
    - What kind of failure it is, one of those of RV(anyvirt.compute.vm#module:kind).
  returned: failure
  type: str
  sample: permission_denied
"""

from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import CONNECTION, IDENTITY, SELECT


def run(session: Session) -> Result:
    gather = session.params["gather"]
    vms = session.read_all([part for part in gather if part != "capabilities"])
    result: Result = {"changed": False, "vms": vms}
    if "capabilities" in gather:
        result["capabilities"] = session.backend.abilities.to_result()
    return result


def main() -> None:
    choices = ["config", "snapshots", "agent", "pending", "capabilities"]
    run_module(
        run,
        argument_spec={
            **CONNECTION,
            **IDENTITY,
            **SELECT,
            "gather": {"type": "list", "elements": "str", "choices": choices, "default": []},
        },
        mutually_exclusive=[("name", "id", "vms", "select")],
    )


if __name__ == "__main__":
    main()
