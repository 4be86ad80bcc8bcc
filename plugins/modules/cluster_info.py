#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cluster_info
short_description: Tell about a cluster, its nodes and its free ids
version_added: 0.1.0
description:
  - Tells the name and version of a cluster, whether it can be changed, and its nodes, and if wanted everything that is
    in it or an id that is free.
  - This is for O(backend=proxmox). O(backend=qemu) has no cluster, and the module fails there.
options:
  gather:
    description:
      - What to tell beside the cluster and its nodes.
      - V(resources) tells all guests, storages, networks and pools of the cluster.
      - V(next_id) tells an id that no guest has.
    type: list
    elements: str
    choices:
      - resources
      - next_id
    default: []
  id:
    description:
      - An id to ask about, from 100 to 999999999. RV(next_id) is then this id if no guest has it, and null otherwise.
      - It is told without V(next_id) in O(gather) as well.
    type: str
notes:
  - Nothing is reserved by asking. M(anyvirt.compute.vm) and M(anyvirt.compute.vm_clone) find a free id by themselves,
    and take the next one if someone else is faster.
seealso:
  - module: anyvirt.compute.node_info
    description: Tells more about nodes.
  - module: anyvirt.compute.vm_info
    description: Tells VMs as they are at this moment, which RV(resources) does not always.
author:
  - anyvirt.compute contributors (@anyvirt)
extends_documentation_fragment:
  - anyvirt.compute.attributes.info_module
  - anyvirt.compute.attributes.actiongroup
  - anyvirt.compute.connection
  - anyvirt.compute.proxmox
  - anyvirt.compute.zstack
"""

EXAMPLES = r"""
---
- name: The cluster and its nodes
  anyvirt.compute.cluster_info:
    backend: proxmox
    url: "{{ proxmox_url }}"
    token_id: "{{ proxmox_token_id }}"
    token_secret: "{{ proxmox_token_secret }}"
    ca_path: "{{ proxmox_ca_path }}"
  register: lab

- name: It can be changed, and all nodes are there
  ansible.builtin.assert:
    that:
      - lab.cluster.quorate
      - lab.cluster.nodes | rejectattr('state', 'eq', 'online') | length == 0

- name: Everything that is in it, and an id that is free
  anyvirt.compute.cluster_info:
    backend: proxmox
    gather:
      - resources
      - next_id
  register: all_of_it

- name: The storages that all nodes share
  ansible.builtin.debug:
    msg: >-
      {{ all_of_it.resources | selectattr('type', 'eq', 'storage') | selectattr('shared', 'eq', 1)
      | map(attribute='storage') | unique }}

- name: Whether no guest has the id 9000
  anyvirt.compute.cluster_info:
    backend: proxmox
    id: "9000"
  register: wish

- name: What to do then
  ansible.builtin.debug:
    msg: The id 9000 is free
  when: wish.next_id is not none
"""

RETURN = r"""
---
cluster:
  description:
    - The cluster.
  returned: success
  type: dict
  contains:
    name:
      description:
        - The name, or null of a node that is in no cluster.
      returned: always
      type: str
    version:
      description:
        - The version of Proxmox VE, of the node that was asked.
      returned: always
      type: str
    quorate:
      description:
        - Whether so many nodes are up that the cluster can be changed.
      returned: always
      type: bool
    nodes:
      description:
        - The nodes, by name.
      returned: always
      type: list
      elements: dict
      contains:
        name:
          description:
            - The name.
          returned: always
          type: str
        state:
          description:
            - Whether it is V(online), V(offline) or V(unknown).
          returned: always
          type: str
        cpus:
          description:
            - The CPUs that it has. It is null where nobody knows.
          returned: always
          type: int
        cpu_usage:
          description:
            - How much of all CPUs is used, from 0 to 1. It is null of a node that is not online.
          returned: always
          type: float
        memory:
          description:
            - The memory that it has, in MiB. It is null where nobody knows.
          returned: always
          type: int
        memory_used:
          description:
            - The memory that is used, in MiB. It is null of a node that is not online.
          returned: always
          type: int
        uptime:
          description:
            - For how many seconds it has been up. It is null of a node that is not online.
          returned: always
          type: int
  sample:
    name: lab
    version: 9.2.11
    quorate: true
    nodes:
      - name: pve1
        state: online
        cpus: 4
        cpu_usage: 0.01
        memory: 16384
        memory_used: 2048
        uptime: 86400
      - name: pve2
        state: offline
        cpus: 4
        cpu_usage: null
        memory: 16384
        memory_used: null
        uptime: null
resources:
  description:
    - Everything that is in the cluster, by C(id), in the words of Proxmox VE. Their C(type) is C(node), C(qemu),
      C(lxc), C(storage), C(pool), C(network) or C(sdn). Sizes are in bytes.
    - The list may be some seconds old. A new guest has no C(name) there yet, and the C(status) C(unknown).
  returned: when O(gather) has V(resources)
  type: list
  elements: dict
  sample:
    - id: qemu/100
      type: qemu
      vmid: 100
      name: web1
      node: pve1
      status: running
      template: 0
      tags: production;web
      cpu: 0.01
      maxcpu: 2
      mem: 268435456
      maxmem: 1073741824
      maxdisk: 8589934592
      uptime: 89
    - id: storage/pve1/shared
      type: storage
      storage: shared
      node: pve1
      status: available
      shared: 1
      plugintype: dir
      content: images,snippets,import,iso,vztmpl
      disk: 10737418240
      maxdisk: 107374182400
next_id:
  description:
    - An id that no guest has. With O(id) it is that id, or null if a guest has it.
  returned: with O(id), and when O(gather) has V(next_id)
  type: str
  sample: "105"
kind:
  description:
    - What kind of failure it is, one of those of RV(anyvirt.compute.vm#module:kind).
  returned: failure
  type: str
  sample: permission_denied
"""

from ..module_utils._plan import Op
from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import CONNECTION


def run(session: Session) -> Result:
    return session.inquire(Op.CLUSTER_INFO, gather=session.params["gather"], id=session.params["id"])


def main() -> None:
    gather = {"type": "list", "elements": "str", "choices": ["resources", "next_id"], "default": []}
    run_module(run, argument_spec={**CONNECTION, "gather": gather, "id": {"type": "str"}})


if __name__ == "__main__":
    main()
