# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks of Proxmox VE. Their id is the UPID, which is kept as it came; the node is its second field."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..._errors import Error, InvalidRequest, NotFound, TransportError
from ..._task import Task, TaskState
from .api import NO_QUORUM, Api, lacks_quorum

MANY = 4
"""From this many tasks on one list is asked for, instead of each one's status."""
_ALREADY_RUNS = re.compile(r"VM \d+ already running")
_ALL = 5000
"""Where no limit is given a node tells 50."""


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
    advice = f" {NO_QUORUM}" if lacks_quorum(exit_text) else ""
    return Task(upid, "proxmox", TaskState.FAILED, error=f"{exit_text.rstrip('.')}.{advice}{told}")


def excused(task: Task) -> Task:
    """A start of ours that failed because another one was quicker, such as that of a run that was killed."""
    is_start = is_upid(task.id) and task.id.split(":")[5] == "qmstart"
    if is_start and _ALREADY_RUNS.match(task.error or ""):
        return Task(task.id, task.backend, TaskState.SUCCEEDED)
    return task


def poll(api: Api, tasks: Sequence[Task]) -> list[Task]:
    """The present state of each task. One that is known to have begun goes on as far as we know, with a warning, while
    nobody can be asked: its id is worth more than the error.

    :raises NotFound: there is no such task, or it is no UPID.
    :raises TransportError: nobody could be asked about a task that has not been seen yet.
    """
    listed: dict[str, Mapping[str, Any]] = {}
    silent: dict[str, str] = {}
    if len(tasks) >= MANY:
        try:
            listed = {row["upid"]: row for row in api.get("cluster", "tasks")}
        except TransportError as error:
            if any(task.state is TaskState.PENDING for task in tasks):
                raise
            silent = dict.fromkeys((node_of(task.id) for task in tasks), str(error))
    missing = [task for task in tasks if task.id not in listed and is_upid(task.id)]
    busy = [node for node, times in Counter(node_of(task.id) for task in missing).items() if times >= MANY]
    listed.update(_of_nodes(api, [node for node in busy if node not in silent], missing))
    return [_from_list(api, listed[task.id]) if task.id in listed else _ask(api, task, silent) for task in tasks]


def _of_nodes(api: Api, nodes: Sequence[str], tasks: Sequence[Task]) -> dict[str, Mapping[str, Any]]:
    """The nodes' own lists, for the cluster's tells no more than 25 of those that have ended.

    About the tasks of a node that cannot be asked each is asked for itself, and whoever does so hears why.
    """
    since = min((_start_of(task.id) for task in tasks), default=0)
    told = api.of_nodes(nodes, "tasks", is_poll=True, source="all", since=since, limit=_ALL)
    return {row["upid"]: row for rows in told.values() for row in rows}


def _start_of(upid: str) -> int:
    """In seconds of the epoch, by the clock of its node."""
    return int(upid.split(":")[4], 16)


def _from_list(api: Api, row: Mapping[str, Any]) -> Task:
    if not row.get("endtime"):
        return begun(row["upid"])
    return _end(api, row["upid"], row.get("status") or "unexpected status")


def _ask(api: Api, task: Task, silent: dict[str, str]) -> Task:
    """
    :param silent: the nodes that did not answer in this poll, and what was told of them; each is asked once.
    """
    if not is_upid(task.id):
        raise NotFound(f"'{task.id}' is no task of Proxmox VE.", advice="It is what a module returned as task.id.")
    node, is_new = node_of(task.id), task.state is TaskState.PENDING
    if node not in silent:
        try:
            told = (api.get if is_new else api.ask)("nodes", node, "tasks", task.id, "status")
        except InvalidRequest as error:
            raise NotFound(f"There is no such task: {error.message}", advice="Old tasks are forgotten.") from error
        except TransportError as error:
            if is_new:
                raise
            silent[node] = str(error)
    if node in silent:
        return replace(begun(task.id), warnings=(silent[node],))
    if told["status"] != "stopped":
        return begun(task.id)
    return _end(api, task.id, told.get("exitstatus") or "unexpected status")


def _end(api: Api, upid: str, exit_text: str) -> Task:
    return finished(upid, exit_text, [] if exit_text == "OK" else log_end(api, upid))


def log_end(api: Api, upid: str, lines: int = 5) -> list[str]:
    """The last lines of a task's log, without the one that repeats the exit text; empty where it cannot be read."""
    try:
        rows = api.ask("nodes", node_of(upid), "tasks", upid, "log", limit=500)
    except Error:
        return []
    texts = [row["t"] for row in sorted(rows, key=lambda row: row["n"]) if not row["t"].startswith("TASK ")]
    return [text for text in texts if text != "no content"][-lines:]
