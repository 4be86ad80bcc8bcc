#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: task_info
short_description: Tell about tasks of a cluster
version_added: 0.1.0
description:
  - Tells the tasks of a cluster that run and that have finished, the newest first, or those whose ids are given.
  - It does not wait for them, and does not fail because a task failed.
  - This is for O(backend=proxmox). O(backend=qemu) keeps no list of tasks, and the module fails there.
options:
  tasks:
    description:
      - The ids (UPIDs) of tasks to tell, as other modules return them in C(task.id). All must be known to the cluster,
        which forgets old tasks.
      - With this all filters are left aside.
    type: list
    elements: str
  log:
    description:
      - Whether to tell the log of each task, too. This costs a request for each task.
    type: bool
    default: false
  node:
    description:
      - Only tasks of this node. Without it all nodes are asked that are online.
    type: str
  vm:
    description:
      - Only tasks of the VM with this id.
    type: str
  user:
    description:
      - Only tasks of users in whose name this text is, such as V(root@pam). The names of tokens are not looked at.
    type: str
  type:
    description:
      - Only tasks of this type, such as V(qmstart), V(qmclone), V(qmigrate) or V(vzdump).
    type: str
  status:
    description:
      - Only tasks that ended in one of these ways.
    type: list
    elements: str
    choices:
      - ok
      - error
      - warning
      - unknown
  errors:
    description:
      - Only tasks that failed, or that have warnings. Then O(status) is not looked at.
    type: bool
    default: false
  since:
    description:
      - Only tasks that began at this moment or later, in seconds since 1970-01-01 UTC.
    type: int
  until:
    description:
      - Only tasks that began at this moment or earlier, in seconds since 1970-01-01 UTC.
    type: int
  start:
    description:
      - How many of the newest tasks of each node to leave out.
    type: int
  limit:
    description:
      - How many tasks of each node to tell at most. The default of the server is 50.
    type: int
  source:
    description:
      - V(all) tells tasks that run and that have finished, V(active) those that run or have just finished, and
        V(archive) those that have finished.
    type: str
    choices:
      - archive
      - active
      - all
    default: all
notes:
  - Everyone may read their own tasks. For those of others the user needs Sys.Audit on the node.
seealso:
  - module: anyvirt.compute.task_wait
    description: Waits for tasks, and fails if one failed.
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
- name: What runs at this moment
  anyvirt.compute.task_info:
    backend: proxmox
    url: "{{ proxmox_url }}"
    token_id: "{{ proxmox_token_id }}"
    token_secret: "{{ proxmox_token_secret }}"
    ca_path: "{{ proxmox_ca_path }}"
    source: active
  register: current

- name: Those that have not finished
  ansible.builtin.debug:
    msg: "{{ current.tasks | selectattr('state', 'eq', 'running') | map(attribute='id') }}"

- name: What failed in the last 24 hours, with the logs
  anyvirt.compute.task_info:
    backend: proxmox
    status:
      - error
    since: "{{ now(utc=true).timestamp() | int - 86400 }}"
    log: true

- name: The last three things that were done to a VM
  anyvirt.compute.task_info:
    backend: proxmox
    node: pve1
    vm: "100"
    limit: 3

- name: A VM is started without waiting
  anyvirt.compute.vm_power:
    backend: proxmox
    name: web1
    state: started
    wait: false
  register: starting

- name: How far that is
  anyvirt.compute.task_info:
    backend: proxmox
    tasks:
      - "{{ starting.task.id }}"
  when: starting.task is defined
"""

RETURN = r"""
---
tasks:
  description:
    - The tasks, the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description:
        - The id (UPID), which M(anyvirt.compute.task_wait) takes.
      returned: always
      type: str
    backend:
      description:
        - The backend.
      returned: always
      type: str
    state:
      description:
        - One of V(running), V(succeeded), V(failed) and V(cancelled). A task that ended with warnings has succeeded.
      returned: always
      type: str
    error:
      description:
        - Why it failed.
      returned: where it failed
      type: str
    warnings:
      description:
        - That it ended with warnings, and how many.
      returned: always
      type: list
      elements: str
    node:
      description:
        - The node on which it runs or ran.
      returned: always
      type: str
    type:
      description:
        - The type, in the words of Proxmox VE.
      returned: always
      type: str
    vm:
      description:
        - The id of the VM that it is about, or what else it is about, or null.
      returned: always
      type: str
    user:
      description:
        - Who began it.
      returned: always
      type: str
    started:
      description:
        - When it began, in seconds since 1970-01-01 UTC.
      returned: always
      type: int
    ended:
      description:
        - When it ended, in the same way. It is null while it runs, and of tasks that were asked for by their ids.
      returned: always
      type: int
    log:
      description:
        - The lines of its log, at most 500.
      returned: with O(log)
      type: list
      elements: str
  sample:
    - id: "UPID:pve2:00004202:0007C913:6B016CC2:qmigrate:101:root@pam!api:"
      backend: proxmox
      state: succeeded
      warnings: []
      node: pve2
      type: qmigrate
      vm: "101"
      user: root@pam
      started: 1795255490
      ended: 1795255491
      log:
        - 2026-11-21 10:04:50 starting migration of VM 101 to node 'pve3' (192.0.2.13)
        - 2026-11-21 10:04:51 migration finished successfully (duration 00:00:01)
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

FILTERS = {
    "node": {"type": "str"},
    "vm": {"type": "str"},
    "user": {"type": "str"},
    "type": {"type": "str"},
    "status": {"type": "list", "elements": "str", "choices": ["ok", "error", "warning", "unknown"]},
    "errors": {"type": "bool", "default": False},
    "since": {"type": "int"},
    "until": {"type": "int"},
    "start": {"type": "int"},
    "limit": {"type": "int"},
    "source": {"type": "str", "choices": ["archive", "active", "all"], "default": "all"},
}


def run(session: Session) -> Result:
    names = ("tasks", "log", *FILTERS)
    return session.inquire(Op.TASK_INFO, **{name: session.params[name] for name in names})


def main() -> None:
    tasks = {"type": "list", "elements": "str"}
    own = {"tasks": tasks, "log": {"type": "bool", "default": False}, **FILTERS}
    run_module(run, argument_spec={**CONNECTION, **own})


if __name__ == "__main__":
    main()
