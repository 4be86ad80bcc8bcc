#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_power
short_description: Start, stop, restart, reset, pause, resume and suspend VMs
version_added: 0.1.0
description:
  - Brings VMs to a power state, one or many in a task.
  - A second run changes nothing, except for V(restarted) and V(reset), which say something that happens and not a
    state.
  - Check mode tells what a real run would do.
  - The power is never cut unless O(force) asks for it. Guests are asked to shut down, by their agent if they are set to
    have one, and else by the power button. With O(backend=qemu) it is pressed again every 10 seconds.
options:
  state:
    description:
      - V(started) starts a stopped VM, and resumes a paused or a suspended one.
      - V(stopped) has the guest shut down. A suspended VM is stopped with O(force) only, since its memory is lost.
      - V(restarted) has the guest shut down and the VM started again, so that all that was pending takes effect. A
        stopped VM is started. It always changes something.
      - V(reset) presses the reset button of a running VM. What was pending stays pending. It always changes something.
      - V(paused) stops the CPUs of a running VM.
      - V(suspended) saves the memory of a running or paused VM to its disk and ends it. With O(backend=proxmox) this is
        hibernation, and a suspended VM can be resumed or deleted, but neither changed nor cloned.
      - V(resumed) lets a paused or a suspended VM go on.
      - Where there is no way, as from stopped to paused, the task fails. So does anything that would start a template.
    type: str
    choices:
      - started
      - stopped
      - restarted
      - reset
      - paused
      - suspended
      - resumed
    required: true
  shutdown_timeout:
    description:
      - How many seconds the guest gets to shut down. With V(0), O(force) and O(state=stopped) it is not asked.
    type: int
    default: 120
  force:
    description:
      - Cut the power if the guest does not shut down in time. With O(backend=qemu) a warning says so when that happens.
      - With O(state=stopped), give up the memory of a suspended VM. With O(backend=proxmox) the VM is resumed for that,
        and then its power is cut.
    type: bool
    default: false
  timeout:
    description:
      - How many seconds the work on one VM may take on the backend, and the wait for another run that works on it.
      - When it is over the task fails. What goes on is told as RV(task). To let a guest have more than this to shut
        down, both this and O(shutdown_timeout) are to be raised.
    type: int
    default: 300
attributes:
  idempotent:
    support: partial
    details:
      - O(state=restarted) and O(state=reset) always change something.
notes:
  - Exactly one of O(name), O(id), O(vms) and O(select) is needed.
  - With O(backend=vsd) a guest without an agent cannot be shut down. With O(force) its power is cut at once. A restart
    is a shutdown and a start. V(suspended) is not possible. Of many VMs several are changed by one request.
seealso:
  - module: anyvirt.compute.vm
  - module: anyvirt.compute.vm_config
    description: Restarts a VM only if something is pending, with C(apply=reboot).
  - module: anyvirt.compute.task_wait
    description: Waits for guests that are shutting down.
author:
  - anyvirt.compute contributors (@anyvirt)
extends_documentation_fragment:
  - anyvirt.compute.attributes
  - anyvirt.compute.attributes.actiongroup
  - anyvirt.compute.connection
  - anyvirt.compute.identity
  - anyvirt.compute.select
  - anyvirt.compute.bulk
  - anyvirt.compute.readiness
  - anyvirt.compute.waiting
  - anyvirt.compute.qemu
  - anyvirt.compute.proxmox
  - anyvirt.compute.zstack
  - anyvirt.compute.vsd
  - anyvirt.compute.qemu_api
"""

EXAMPLES = r"""
---
- name: A VM runs, and its guest answers
  anyvirt.compute.vm_power:
    name: web1
    state: started
    wait_for:
      agent: true
      timeout: 120

- name: All VMs with the tag web run, four at a time
  anyvirt.compute.vm_power:
    select:
      tags:
        - web
    state: started
    max_parallel: 4

- name: Two VMs are off, their power is cut if they need more than a minute
  anyvirt.compute.vm_power:
    vms:
      - web1
      - web2
    state: stopped
    shutdown_timeout: 60
    force: true

- name: The VMs of Proxmox VE with the tag web run, many at the same time
  anyvirt.compute.vm_power:
    backend: proxmox
    select:
      tags:
        - web
      template: false
    state: started
    max_parallel: 20

- name: A VM is started anew, with all that was pending
  anyvirt.compute.vm_power:
    name: web1
    state: restarted

- name: Its memory is saved to disk
  anyvirt.compute.vm_power:
    name: web1
    state: suspended

- name: It goes on where it was
  anyvirt.compute.vm_power:
    name: web1
    state: resumed

- name: A shutdown is begun
  anyvirt.compute.vm_power:
    name: web1
    state: stopped
    wait: false
  register: stopping

- name: It is waited for later
  anyvirt.compute.task_wait:
    tasks:
      - "{{ stopping.task.id }}"
  when: stopping.task is defined
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
      returned: where it was read, of a VM that exists
      type: str
    template:
      description:
        - Whether it is a template.
      returned: of a VM that exists
      type: bool
    tags:
      description:
        - The tags, sorted.
      returned: of a VM that exists
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
      returned: of a VM that exists
      type: int
    cores:
      description:
        - The cores of each socket. With O(backend=proxmox) it is the number of all CPUs.
      returned: of a VM that exists
      type: int
    sockets:
      description:
        - The sockets.
      returned: with O(backend=qemu)
      type: int
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
    state: paused
    native_state: paused
    template: false
    tags:
      - production
      - web
    pool: null
    memory: 2048
    cores: 2
    sockets: 1
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
    id: qemu:shutdown:ee614821-4bcc-4ce1-8993-f78b59730924:18ea02c9979d10c9:1795250611:0
    backend: qemu
    state: running
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
    - id: b31122b1-7dc1-49ed-a27e-dfe49a80f193
      name: web1
      changed: false
      vm:
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
    - id: web3
      name: web3
      changed: false
      failed: true
      kind: not_found
      msg: There is no VM 'web3' on backend qemu. Check the name, and that the task runs on the right host and backend.
kind:
  description:
    - What kind of failure it is, one of those of RV(anyvirt.compute.vm#module:kind).
  returned: failure
  type: str
  sample: some_failed
"""

from ..module_utils._plan import VM, Plan
from ..module_utils._power import TRANSITIONS, indispensable, plan_power
from ..module_utils._session import Outcome, Result, Session, run_module
from ..module_utils._spec import READINESS, one_vm_or_many, waiting


def decide(session: Session, vm: VM) -> Plan:
    params = session.params
    return plan_power(
        vm,
        params["state"],
        session.backend.abilities.operations,
        force=params["force"],
        shutdown_timeout=params["shutdown_timeout"],
    )


def run(session: Session) -> Result:
    def finish(outcome: Outcome) -> Result:
        return session.wait_ready(outcome, session.params["wait_for"]).to_result()

    return session.converge_each(lambda vm: decide(session, vm), gather=(), finish=finish)


def main() -> None:
    run_module(
        run,
        needs=lambda options: indispensable(options["state"]),
        **one_vm_or_many(
            state={"type": "str", "choices": list(TRANSITIONS), "required": True},
            shutdown_timeout={"type": "int", "default": 120},
            force={"type": "bool", "default": False},
            **READINESS,
            **waiting(300),
        ),
    )


if __name__ == "__main__":
    main()
