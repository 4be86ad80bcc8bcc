#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: node_info
short_description: Tell about the nodes of a cluster
version_added: 0.1.0
description:
  - Tells about one node or all of them, and if wanted their status and their networks.
  - A node that is not online is told too, without what only the node itself knows.
  - This is for O(backend=proxmox). O(backend=qemu) has no nodes, and the module fails there.
options:
  node:
    description:
      - The node. Without it all nodes are told. There must be a node of that name.
    type: str
  gather:
    description:
      - What to tell beside the essentials. Each of these costs a request for each node.
      - V(status) tells load, memory, disks, CPU and versions.
      - V(network) tells the network interfaces.
    type: list
    elements: str
    choices:
      - status
      - network
    default: []
  network_type:
    description:
      - Which interfaces to tell, with V(network) in O(gather). It is a type of Proxmox VE, such as V(bridge), V(bond),
        V(eth), V(vlan), V(OVSBridge), or V(any_bridge) for all to which a VM can be connected. The server refuses those
        that it does not know.
      - Without it all interfaces are told.
    type: str
seealso:
  - module: anyvirt.compute.cluster_info
  - module: anyvirt.compute.task_info
    description: Tells what a node has done, and does.
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
- name: All nodes with their status
  anyvirt.compute.node_info:
    backend: proxmox
    url: "{{ proxmox_url }}"
    token_id: "{{ proxmox_token_id }}"
    token_secret: "{{ proxmox_token_secret }}"
    ca_path: "{{ proxmox_ca_path }}"
    gather:
      - status
  register: lab

- name: Their versions
  ansible.builtin.debug:
    msg: "{{ item.name }} has {{ item.status.pveversion }}"
  loop: "{{ lab.nodes | selectattr('state', 'eq', 'online') }}"
  loop_control:
    label: "{{ item.name }}"

- name: The bridges of one node
  anyvirt.compute.node_info:
    backend: proxmox
    node: pve1
    gather:
      - network
    network_type: any_bridge
  register: pve1

- name: Their names
  ansible.builtin.debug:
    msg: "{{ pve1.nodes[0].network | map(attribute='iface') }}"
"""

RETURN = r"""
---
nodes:
  description:
    - The nodes, by name.
  returned: success
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
    status:
      description:
        - The status, in the words of Proxmox VE. Sizes are in bytes.
      returned: when O(gather) has V(status), of a node that is online
      type: dict
    network:
      description:
        - The network interfaces, by C(iface), in the words of Proxmox VE. Which keys there are depends on the type.
      returned: when O(gather) has V(network), of a node that is online
      type: list
      elements: dict
  sample:
    - name: pve1
      state: online
      cpus: 4
      cpu_usage: 0.01
      memory: 16384
      memory_used: 2048
      uptime: 86400
      status:
        cpu: 0.01
        cpuinfo:
          cores: 4
          cpus: 4
          model: Example CPU
          sockets: 1
        kversion: Linux 0.0.0-example
        loadavg:
          - "0.10"
          - "0.10"
          - "0.10"
        memory:
          available: 15032385536
          free: 15032385536
          total: 17179869184
          used: 2147483648
        pveversion: pve-manager/9.2.11/14a22df35955d97d
        rootfs:
          avail: 96636764160
          free: 96636764160
          total: 107374182400
          used: 10737418240
        uptime: 86400
        wait: 0
      network:
        - iface: vmbr0
          type: bridge
          active: 1
          autostart: 1
          method: static
          address: 192.0.2.11
          netmask: "24"
          cidr: 192.0.2.11/24
          bridge_ports: ""
kind:
  description:
    - What kind of failure it is, one of those of RV(anyvirt.compute.vm#module:kind).
  returned: failure
  type: str
  sample: not_found
"""

from ..module_utils._plan import Op
from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import CONNECTION


def run(session: Session) -> Result:
    names = ("node", "gather", "network_type")
    return session.inquire(Op.NODE_INFO, **{name: session.params[name] for name in names})


def main() -> None:
    gather = {"type": "list", "elements": "str", "choices": ["status", "network"], "default": []}
    own = {"node": {"type": "str"}, "gather": gather, "network_type": {"type": "str"}}
    run_module(run, argument_spec={**CONNECTION, **own})


if __name__ == "__main__":
    main()
