#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: task_wait
"""

EXAMPLES = r"""
"""

RETURN = r"""
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

    return wait_all(tasks, backend.poll, deadline, backend.poll_interval, stop)


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
