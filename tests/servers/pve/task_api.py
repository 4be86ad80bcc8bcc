# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The task lists, the status and log of a task, stopping it."""

from __future__ import annotations

import itertools
from typing import Any

from .errors import parameter_error
from .routes import Answer, Call, route
from .schema import split_list
from .tasks import UPID, Task

CLUSTER_ROWS = 25
_TASK = "/nodes/{node}/tasks/{upid}"


def _parse(call: Call) -> Task | None:
    if not UPID.fullmatch(call.params["upid"]):
        raise parameter_error(upid="unable to parse worker upid")
    task = call.cluster.tasks.by_upid.get(call.params["upid"])
    return task if task and task.node == call.node else None


def _is_own(call: Call, task: Task) -> bool:
    return task.caller.user == call.caller.user


def _find(call: Call) -> Task:
    task = _parse(call)
    if task is None:
        raise parameter_error(upid="no such task")
    if not _is_own(call, task):
        call.require(f"/nodes/{call.node}", "Sys.Audit")
    return task


@route("GET", _TASK)
def task_index(call: Call) -> Answer:
    _find(call)
    return Answer([{"name": "log"}, {"name": "status"}])


@route("GET", _TASK + "/status")
def task_status(call: Call) -> dict[str, Any]:
    task = _find(call)
    row = {**task.row(), "status": "running" if task.running else "stopped"}
    if not task.running:
        row["exitstatus"] = task.exitstatus
    return row


@route("GET", _TASK + "/log")
def task_log(call: Call) -> Answer:
    task = _parse(call)
    if task is None:
        row = {"n": 1, "t": "unable to open file - No such file or directory"}
        return Answer([row] if call.cluster.new else row, {"total": 1})
    _find(call)
    lines = task.log or ["no content"]
    first, limit = call.params.get("start", 0), call.params.get("limit", 50) or len(lines)
    rows = [{"n": n, "t": text} for n, text in enumerate(lines, 1)]
    return Answer(rows[first : first + limit], {"total": len(rows)})


@route("DELETE", _TASK)
def stop_task(call: Call) -> None:
    task = _parse(call)
    if task is None:
        raise parameter_error(upid="no such task")
    if not _is_own(call, task):
        call.require(f"/nodes/{call.node}", "Sys.Modify")
    call.cluster.tasks.interrupt(task)


# -- lists ------------------------------------------------------------------------------------------------------------


def _kind(task: Task) -> str:
    status = task.exitstatus or ""
    if status == "OK":
        return "ok"
    if status.startswith("WARNINGS: "):
        return "warning"
    return "unknown" if status == "unexpected status" else "error"


def _matches(call: Call, task: Task) -> bool:
    params = call.params
    if "since" in params and task.starttime < params["since"]:
        return False
    if "until" in params and task.starttime > params["until"]:
        return False
    if "typefilter" in params and task.type != params["typefilter"]:
        return False
    if "userfilter" in params and params["userfilter"] not in task.caller.user:
        return False
    if "vmid" in params and task.id != str(params["vmid"]):
        return False
    if task.running:
        return True
    if params.get("errors"):
        return _kind(task) != "ok"
    return "statusfilter" not in params or _kind(task) in split_list(params["statusfilter"])


def _running_row(task: Task) -> dict[str, Any]:
    row = {**task.row(), "status": "RUNNING", "saved": "0", "user": task.caller.id}
    row.pop("tokenid", None)
    return row


def _finished_row(task: Task) -> dict[str, Any]:
    return {**task.row(), "endtime": task.endtime, "status": task.exitstatus}


@route("GET", "/nodes/{node}/tasks")
def node_tasks(call: Call) -> Answer:
    tasks, source = call.cluster.tasks, call.params.get("source", "archive")
    everything = call.may(f"/nodes/{call.node}", "Sys.Audit")
    running = reversed(tasks.running.get(call.node, []) if source in ("active", "all") else [])
    finished = reversed(tasks.finished.get(call.node, []) if source in ("archive", "all") else [])
    found = [task for task in running if (everything or _is_own(call, task)) and _matches(call, task)]
    over = [task for task in finished if (everything or _is_own(call, task)) and _matches(call, task)]
    over.sort(key=lambda task: task.starttime, reverse=True)
    found += over
    start, limit = call.params.get("start", 0), call.params.get("limit", 50)
    rows = [_running_row(task) if task.running else _finished_row(task) for task in found[start : start + limit]]
    return Answer(rows, {"total": len(found)} if found else {})


@route("GET", "/cluster/tasks")
def cluster_tasks(call: Call) -> Answer:
    """Per node: what runs, and finished ones up to 25 rows in all."""
    tasks, everything = call.cluster.tasks, call.may("/", "Sys.Audit")
    rows = []
    for node in call.cluster.nodes:
        running = tasks.running.get(node, [])
        room = max(CLUSTER_ROWS - len(running), 0)
        latest = itertools.islice(reversed(tasks.finished.get(node, [])), room)
        for number, task in enumerate(itertools.chain(running, latest)):
            if not (everything or _is_own(call, task)):
                continue
            row = task.row()
            del row["pstart"]
            if task.running:
                rows.append(row)
                continue
            del row["pid"]
            rows.append({**row, "endtime": task.endtime, "status": task.exitstatus, "saved": "1" if number else 1})
    return Answer(rows)
