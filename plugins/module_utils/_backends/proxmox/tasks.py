# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks of Proxmox VE. Their id is the UPID, which is kept as it came; the node is its second field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..._errors import Error, InvalidRequest, NotFound
from ..._task import Task, TaskState
from .api import Api

MANY = 4
"""From this many tasks on one list is asked for, instead of each one's status."""


def is_upid(text: str) -> bool:
    return text.startswith("UPID:") and text.count(":") >= 8


def node_of(upid: str) -> str:
    return upid.split(":")[1]


def begun(upid: str) -> Task:
    return Task(upid, "proxmox", TaskState.RUNNING)


def finished(upid: str, exit_text: str, log: Sequence[str] = ()) -> Task:
    """A task by its exit text: OK and WARNINGS are success, the second one that says so; all else is an error."""
    if exit_text == "OK":
        return Task(upid, "proxmox", TaskState.SUCCEEDED)
    if exit_text.startswith("WARNINGS"):
        return Task(upid, "proxmox", TaskState.SUCCEEDED, warnings=tuple(log) or (exit_text,))
    if exit_text == "received interrupt":
        return Task(upid, "proxmox", TaskState.CANCELLED, error="The task was cancelled.")
    told = f" Its log ends: {' | '.join(log)}" if log else ""
    return Task(upid, "proxmox", TaskState.FAILED, error=f"{exit_text}.{told}")


def poll(api: Api, tasks: Sequence[Task]) -> list[Task]:
    """The present state of each task.

    :raises NotFound: there is no such task, or it is no UPID.
    """
    listed: dict[str, Mapping[str, Any]] = {}
    if len(tasks) >= MANY:
        listed = {row["upid"]: row for row in api.get("cluster", "tasks")}
    return [_from_list(api, task, listed[task.id]) if task.id in listed else _ask(api, task) for task in tasks]


def _from_list(api: Api, task: Task, row: Mapping[str, Any]) -> Task:
    if not row.get("endtime"):
        return task
    return _end(api, task, row.get("status") or "unexpected status")


def _ask(api: Api, task: Task) -> Task:
    if not is_upid(task.id):
        raise NotFound(f"'{task.id}' is no task of Proxmox VE.", advice="It is what a module returned as task.id.")
    try:
        told = api.get("nodes", node_of(task.id), "tasks", task.id, "status")
    except InvalidRequest as error:
        raise NotFound(f"There is no task {task.id}: {error.message}", advice="Old tasks are forgotten.") from error
    if told["status"] != "stopped":
        return task
    return _end(api, task, told.get("exitstatus") or "unexpected status")


def _end(api: Api, task: Task, exit_text: str) -> Task:
    return finished(task.id, exit_text, [] if exit_text == "OK" else log_end(api, task.id))


def log_end(api: Api, upid: str, lines: int = 5) -> list[str]:
    """The last lines of a task's log, without the one that repeats the exit text; empty where it cannot be read."""
    try:
        rows = api.get("nodes", node_of(upid), "tasks", upid, "log", limit=500)
    except Error:
        return []
    texts = [row["t"] for row in sorted(rows, key=lambda row: row["n"]) if not row["t"].startswith("TASK ")]
    return [text for text in texts if text != "no content"][-lines:]
