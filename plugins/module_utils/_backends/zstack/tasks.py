# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs of ZStack as tasks. All there is to know of one stands in its id, so that any play can pick it up."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from ..._errors import NotFound, TransportError
from ..._task import Task, TaskState
from .answers import advice_of, codes_of, text_of
from .api import Api, Job

_JOB = re.compile(r"[0-9a-f]{32}")
_SHUTDOWN = re.compile(r"shutdown:(?P<job>[0-9a-f]{32}):(?P<vm>[0-9a-f]{32}):(?P<end>\d+):(?P<force>[01])")
_DONE = "zstack:"
"""Begins the id of a task that was over when its id was given."""


@dataclass(frozen=True)
class Request:
    """What was sent, to be sent again where a session had ended before the server looked at it.

    :param what: in words, for the message of an error.
    :param done: is given the result of the job when it has succeeded, in part or whole.
    """

    what: str
    method: str
    path: str
    body: Optional[Mapping[str, Any]] = None  # noqa: UP045 - evaluated by dataclasses on Python 3.9
    params: Optional[Mapping[str, Any]] = None  # noqa: UP045
    done: Callable[[Mapping[str, Any]], None] = lambda result: None


@dataclass(frozen=True)
class Shutdown:
    """A guest that was asked to shut down.

    :param end: when its time is over, in seconds since the epoch.
    :param force: whether its power is cut then.
    """

    job: str
    vm: str
    end: int
    force: bool

    @property
    def id(self) -> str:
        return f"shutdown:{self.job}:{self.vm}:{self.end}:{int(self.force)}"

    @property
    def cut(self) -> str:
        """The job that cuts the power: whoever waits for the same task begins the same job."""
        return following(self.job, "cut")


def following(job: str, what: str) -> str:
    """The id of a job that is begun in consequence of another one, the same in every play."""
    return hashlib.sha256(f"{job} {what}".encode()).hexdigest()[:32]


def done(step: str, vm: str) -> Task:
    return Task(f"{_DONE}{step}:{vm}", "zstack", TaskState.SUCCEEDED)


class Tasks:
    """The jobs that this run began, and any others by their ids."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._sent: dict[str, Request] = {}
        self._due: dict[str, Shutdown] = {}

    def begin(self, request: Request) -> Task:
        job = self._api.write(request.method, request.path, request.body, request.params)
        self._sent[job] = request
        return Task(job, "zstack", TaskState.RUNNING)

    def begin_shutdown(self, request: Request, vm: str, patience: int, force: bool) -> Task:
        job = self.begin(request).id
        return Task(Shutdown(job, vm, int(time.time() + patience), force).id, "zstack", TaskState.RUNNING)

    def tend(self) -> None:
        """Cut the power of the guests whose time is over."""
        for name, shutdown in list(self._due.items()):
            request = stop_request(shutdown.vm, f"cut the power of VM {shutdown.vm}", "cold")
            self._api.write(request.method, request.path, request.body, job=shutdown.cut)
            self._due.pop(name, None)

    def poll(self, tasks: Sequence[Task]) -> list[Task]:
        """The present state of each task. One that is known to have begun goes on, with a warning, while nobody can be
        asked: its id is worth more than the error.

        :raises NotFound: this is no id of a task, or the server knows no such job any more.
        """
        return [self._look(task) for task in tasks]

    def _look(self, task: Task) -> Task:
        if task.id.startswith(_DONE):
            return replace(task, state=TaskState.SUCCEEDED)
        match = _SHUTDOWN.fullmatch(task.id)
        if not match and not _JOB.fullmatch(task.id):
            raise NotFound(f"'{task.id}' is no task of ZStack.", advice="It is what a module returned as task.id.")
        try:
            if match:
                return self._look_at_shutdown(
                    Shutdown(match["job"], match["vm"], int(match["end"]), match["force"] == "1")
                )
            return self._task(task.id, self._known(task.id), self._sent.get(task.id))
        except TransportError as error:
            if task.state is TaskState.PENDING:
                raise
            return replace(task, warnings=(str(error),))

    def _known(self, job: str) -> Job:
        """What became of a job, and of the one in its place where its session had ended.

        :raises NotFound: the server does not know it.
        """
        told = self._api.job(job)
        if told.state == "unknown":
            raise NotFound(
                f"ZStack knows no job {job}.",
                advice="It forgets a job three hours after it began. That says nothing of its end: look at the VM.",
            )
        if "ID.1001" in codes_of(told.error or {}):
            return self._in_place_of(job, told)
        return told

    def _in_place_of(self, job: str, told: Job) -> Job:
        """The session had ended before the job began, so nothing was done, and it is sent again, once."""
        successor = following(job, "again")
        later = self._api.job(successor)
        if later.state != "unknown":
            return later
        request = self._sent.get(job)
        if request is None:
            return told
        self._api.renew()
        self._api.write(request.method, request.path, request.body, request.params, job=successor)
        return Job("running")

    def _task(self, name: str, told: Job, request: Request | None) -> Task:
        if told.state == "running":
            return Task(name, "zstack", TaskState.RUNNING)
        what = f"{request.what}: " if request else ""
        if told.error is not None:
            state = TaskState.CANCELLED if "SYS.1017" in codes_of(told.error) else TaskState.FAILED
            advice = advice_of(told.error)
            return Task(name, "zstack", state, error=f"{what}{text_of(told.error)}.{advice and ' ' + advice}")
        result = told.result or {}
        if request:
            request.done(result)
        failures = failed_items(result)
        if failures:
            return Task(name, "zstack", TaskState.FAILED, error=f"{what}{'; '.join(failures)}.")
        return Task(name, "zstack", TaskState.SUCCEEDED)

    def _look_at_shutdown(self, shutdown: Shutdown) -> Task:
        told, running = self._known(shutdown.job), Task(shutdown.id, "zstack", TaskState.RUNNING)
        codes = codes_of(told.error or {})
        is_deaf = "VM.1002" in codes and "VM.1010" not in codes
        is_over = is_deaf or (told.state == "running" and time.time() >= shutdown.end)
        if not is_over:
            return self._task(shutdown.id, told, self._sent.get(shutdown.job))
        if not shutdown.force:
            error = f"The guest of VM {shutdown.vm} did not shut down in time. It may have no system, or ignore the"
            error += " power button. Use force: true to cut its power then."
            return replace(running, state=TaskState.FAILED, error=error)
        cut = self._api.job(shutdown.cut)
        if cut.state == "unknown":
            self._due[shutdown.id] = shutdown
            return running
        return self._task(shutdown.id, cut, self._sent.get(shutdown.job))


def stop_request(vm: str, what: str, how: str) -> Request:
    """A stop, from which HA does not wake the VM again.

    :param how: grace, which asks the guest, or cold.
    """
    # stopHA is a text: a boolean is ignored
    return Request(what, *action(vm, "stopVmInstance", type=how, stopHA="true"))


def action(vm: str, name: str, **parameters: Any) -> tuple[str, str, dict[str, Any]]:
    """Method, path and body of an action of a VM: its parameters are wrapped in its name."""
    return "PUT", f"/vm-instances/{vm}/actions", {name: parameters}


def failed_items(result: Mapping[str, Any]) -> list[str]:
    """What failed inside of an answer of success: of a call about several things each one tells its own end."""
    told = result.get("result") or {}
    found = []
    for item in told.get("inventories") or () if isinstance(told, Mapping) else ():
        if item.get("error"):
            made = item.get("inventory") or {}
            label = f"VM {made['name']} was made as {made['uuid']}, but: " if made else ""
            found.append(label + text_of(item["error"]))
    for item in result.get("results") or ():
        if item.get("success") is False or item.get("error"):
            where = item.get("volumeUuid") or item.get("snapshotUuid") or "one of them"
            found.append(f"{where}: {text_of(item.get('error') or {})}")
    return found
