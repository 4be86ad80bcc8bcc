#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: task_wait
short_description: Wait for tasks of the backend and for VMs that are busy
version_added: 0.1.0
description:
  - Waits until tasks that other modules began with C(wait=false), in this play or another one, have finished, and until
    no other run works on certain VMs.
  - It fails if a task failed, and tells all of them.
options:
  tasks:
    description:
      - The ids of the tasks, as other modules return them in C(task.id).
      - With O(backend=qemu) only the shutdown of a guest goes on after a module has returned. Its id begins with
        C(qemu:shutdown:). All other ids are those of tasks that have finished.
      - With O(backend=proxmox) they are UPIDs, also those of tasks that someone else began, as
        M(anyvirt.compute.task_info) tells them. An id that begins with C(proxmox:) is that of a step that was done at
        once.
    type: list
    elements: str
    default: []
  unlocked:
    description:
      - VMs, each by its name or its id, that no other run may be working on. It is waited until that is so, but nothing
        keeps others from beginning again.
      - With O(backend=proxmox) it is the lock of the VM that is waited for, which a backup, a migration, a clone or a
        snapshot has. The lock of a suspended VM does not count.
    type: list
    elements: str
    default: []
  warnings:
    description:
      - What becomes of tasks that succeeded with warnings. With V(ok) the warnings are shown, and with V(fail) they
        count as failures.
      - With O(backend=qemu), that the power of a VM was cut since its guest did not shut down in time is such a
        warning. With O(backend=proxmox) they are the tasks that end with C(WARNINGS).
    type: str
    choices:
      - ok
      - fail
    default: ok
  fail_fast:
    description:
      - Whether the wait ends as soon as one task has failed, instead of when all have finished.
    type: bool
    default: false
  cancel_on_timeout:
    description:
      - Whether tasks that have not finished when the time is over are cancelled.
      - No backend can do this yet. With V(true) the module fails at once.
    type: bool
    default: false
  timeout:
    description:
      - How many seconds to wait, for O(tasks) and O(unlocked) together.
      - When they are over the module fails. The tasks go on, and are told as RV(tasks).
    type: int
    default: 1800
attributes:
  check_mode:
    details:
      - It waits in check mode too.
  diff_mode:
    support: N/A
    details:
      - This module changes no settings.
notes:
  - With O(backend=qemu) there is nothing resident that would go on with a shutdown. It is this module that presses the
    power button again every 10 seconds, and that cuts the power at the end of C(shutdown_timeout) where the shutdown
    was begun with C(force). It must run on the same host as the task before it, with the same O(state_dir).
seealso:
  - module: anyvirt.compute.vm_power
  - module: anyvirt.compute.task_info
    description: Tells tasks without waiting, with their logs.
author:
  - anyvirt.compute contributors (@anyvirt)
extends_documentation_fragment:
  - anyvirt.compute.attributes
  - anyvirt.compute.attributes.actiongroup
  - anyvirt.compute.connection
  - anyvirt.compute.qemu
  - anyvirt.compute.proxmox
  - anyvirt.compute.zstack
  - anyvirt.compute.vsd
  - anyvirt.compute.qemu_api
"""

EXAMPLES = r"""
---
- name: Guests are asked to shut down, one after the other and without waiting
  anyvirt.compute.vm_power:
    name: "{{ item }}"
    state: stopped
    wait: false
  loop:
    - web1
    - web2
  register: stopping

- name: Until both are off
  anyvirt.compute.task_wait:
    tasks: "{{ stopping.results | selectattr('task', 'defined') | map(attribute='task.id') }}"
    timeout: 600

- name: Until no other playbook works on a VM
  anyvirt.compute.task_wait:
    unlocked:
      - db1
    timeout: 60

- name: A VM of Proxmox VE is copied without waiting
  anyvirt.compute.vm_clone:
    backend: proxmox
    source: web1
    name: web5
    wait: false
  register: copying

- name: The copy is waited for, and the end of its log is in the error if it fails
  anyvirt.compute.task_wait:
    backend: proxmox
    tasks:
      - "{{ copying.task.id }}"
  when: copying.task is defined
"""

RETURN = r"""
---
tasks:
  description:
    - The tasks, in the order given, each once.
  returned: always, but for a timeout only those that go on
  type: list
  elements: dict
  contains:
    id:
      description:
        - The id.
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
    - id: qemu:shutdown:ee614821-4bcc-4ce1-8993-f78b59730924:18ea02c9979d10c9:1795250611:0
      backend: qemu
      state: succeeded
      warnings: []
kind:
  description:
    - What kind of failure it is, one of those of RV(anyvirt.compute.vm#module:kind).
  returned: failure
  type: str
  sample: task_timeout
"""

from collections.abc import Sequence

from ..module_utils._backends.base import Identity
from ..module_utils._errors import Conflict, TaskFailed, Unsupported
from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import CONNECTION
from ..module_utils._task import Deadline, Task, TaskState, wait_all


def wait_for_tasks(session: Session, deadline: Deadline) -> list[Task]:
    backend, failed = session.backend, TaskState.FAILED
    tasks = [Task(word, backend.name, TaskState.PENDING) for word in dict.fromkeys(session.params["tasks"])]
    if not tasks:
        return []

    def stop(known: Sequence[Task]) -> bool:
        return session.params["fail_fast"] and any(task.state is failed for task in known)

    return wait_all(tasks, session.poll, deadline, backend.poll_interval, stop)


def wait_for_locks(session: Session, deadline: Deadline) -> None:
    for word in session.params["unlocked"]:
        identity = Identity.either(word)
        session.read(identity)
        for _turn in deadline.intervals(*session.backend.poll_interval):
            holder = session.backend.held_by(identity)
            if holder is None:
                break
        else:
            raise Conflict(f"VM {word} is still held by {holder} after {deadline.seconds:g} s.")


def run(session: Session) -> Result:
    if session.params["cancel_on_timeout"]:
        raise Unsupported(f"Backend {session.backend.name} cannot cancel tasks.", advice="Leave out cancel_on_timeout.")
    deadline = Deadline(session.params["timeout"])
    tasks = wait_for_tasks(session, deadline)
    wait_for_locks(session, deadline)
    result = [task.to_result() for task in tasks]
    unwanted = [task for task in tasks if task.error or (session.params["warnings"] == "fail" and task.warnings)]
    if unwanted:
        told = "; ".join(f"{task.id}: {task.error or ', '.join(task.warnings)}" for task in unwanted)
        raise TaskFailed(f"{len(unwanted)} of {len(tasks)} tasks did not succeed. {told}", tasks=result)
    for task in tasks:
        for text in task.warnings:
            session.warn(text)
    return {"changed": False, "tasks": result}


def main() -> None:
    run_module(
        run,
        argument_spec={
            **CONNECTION,
            "tasks": {"type": "list", "elements": "str", "default": []},
            "unlocked": {"type": "list", "elements": "str", "default": []},
            "warnings": {"type": "str", "choices": ["ok", "fail"], "default": "ok"},
            "fail_fast": {"type": "bool", "default": False},
            "cancel_on_timeout": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 1800},
        },
    )


if __name__ == "__main__":
    main()
