# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The edge between a module and everything else.

The only place that knows AnsibleModule: check mode is read here, modules end here, and every write goes through here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ._backends.base import Backend, Identity
from ._backends.connect import connect
from ._errors import Error, InvalidRequest, NotFound, SomeFailed, TaskFailed
from ._fields import normalised, shown, shown_at
from ._plan import VM, Op, Plan
from ._spec import settings_of
from ._task import Deadline, Task, wait_all

Decide = Callable[["VM | None"], Plan]
"""From a VM's present state, None where there is no such VM, to what shall be done."""

Result = dict[str, Any]


def run_module(run: Callable[[Session], Result], **arguments: Any) -> None:
    """A module's ``main``: parse the options, run, and end with a result or a failure."""
    module = AnsibleModule(supports_check_mode=True, **arguments)
    session = Session(module)
    try:
        session.check_options()
        result = run(session)
    except Error as error:
        session.close()
        module.fail_json(**error.to_failure())
    session.close()
    module.exit_json(**result)


@dataclass
class Outcome:
    """What became of a plan; in check mode, what would."""

    plan: Plan
    vm: VM
    pending: Sequence[str]
    tasks: list[Task] = field(default_factory=list)

    def to_result(self) -> Result:
        result: Result = {
            "changed": self.plan.changed,
            "vm": visible(self.vm),
            "diff": {"before": visible(self.plan.before), "after": visible(self.plan.after)},
            "pending": list(self.pending),
            "restart_required": bool(self.pending),
        }
        if self.tasks:
            result["task"] = self.tasks[-1].to_result()
        return result


class Session:
    """One run of a module: its options, its backend, and the one door for writes."""

    def __init__(self, module: AnsibleModule) -> None:
        self.params: Mapping[str, Any] = module.params
        self._module = module

    @cached_property
    def backend(self) -> Backend:
        return connect(self.params)

    def close(self) -> None:
        if "backend" in self.__dict__:
            self.backend.close()

    def check_options(self) -> None:
        """What an argument spec cannot say.

        :raises InvalidRequest: a number is out of its range.
        """
        for name in ("timeout", "max_parallel"):
            if self.params.get(name) is not None and self.params[name] < 1:
                raise InvalidRequest(f"{name}: {self.params[name]} is too small: it must be at least 1.")
        if self.params.get("wait_for"):
            from ._readiness import check

            check(self.params["wait_for"])

    @property
    def identity(self) -> Identity:
        """The VM that ``id`` or ``name`` addresses; with both, ``name`` is the name it shall have.

        :raises InvalidRequest: no VM can have this name.
        """
        if self.params.get("name") is not None:
            self.backend.check_name(self.params["name"])
        if self.params.get("id") is not None:
            return Identity(id=self.params["id"])
        return Identity(name=self.params["name"])

    def wanted(self) -> dict[str, Any]:
        """The settings that the task names, in normal form; ``name`` is one of them where ``id`` addresses the VM."""
        name = {"name": self.params["name"]} if self.params.get("id") is not None else {}
        return normalised({**settings_of(self.params), **name})

    def new_name(self) -> str:
        """The name of a VM that is to be made.

        :raises NotFound: it is addressed by an id, and this backend gives ids itself.
        :raises InvalidRequest: there is no name.
        """
        if self.params.get("id") is not None and self.backend.chooses_ids:
            self.existing(self.identity, None)
        if self.params.get("name") is None:
            raise InvalidRequest("A new VM needs a name.")
        return self.params["name"]

    def existing(self, identity: Identity, vm: VM | None) -> VM:
        """
        :raises NotFound: the VM is None.
        """
        if vm is None:
            advice = "Check the name, and that the task runs on the right host and backend."
            if self._module.check_mode:
                advice += " In check mode an earlier task that would create it has made nothing."
            raise NotFound(f"There is no VM {identity} on backend {self.backend.name}.", advice=advice)
        return vm

    def read(self, identity: Identity, gather: Sequence[str] = ()) -> VM:
        """
        :raises NotFound: there is no such VM.
        """
        return self.existing(identity, self.backend.find(identity, gather))

    def read_all(self, gather: Sequence[str]) -> list[Result]:
        """The VMs that the task addresses, all where it addresses none; one that is not there is left out."""
        from ._fleet import addressed, for_each, read_rows

        if self.params["name"] is not None or self.params["id"] is not None:
            identities = [self.identity]
        elif self.params["vms"] is not None or gather:
            identities = addressed({**self.params, "select": self.params["select"] or {}}, self.backend)
        else:
            return [_with_pending(row) for row in read_rows(self.params["select"] or {}, self.backend)]

        def one(identity: Identity) -> Result:
            vm = self.backend.find(identity, gather)
            return _with_pending(vm) if vm is not None else {}

        found = for_each(identities, one, max_parallel=10)
        return [_with_error(result) for result in found if result]

    def warn(self, text: str) -> None:
        self._module.warn(text)

    def converge(self, identity: Identity, decide: Decide, gather: Sequence[str] = ("config", "pending")) -> Outcome:
        """Read a VM, decide, check, and carry the plan out unless in check mode.

        The decision is free of effects: where the backend has locks of its own it is made anew inside the lock.
        """
        plan = self._decide(identity, decide, gather)
        if not plan.changed or self._module.check_mode:
            return Outcome(plan, plan.after, self.backend.pending_after(plan))
        deadline = Deadline(self.params["timeout"])
        with self.backend.exclusive(plan, deadline):
            if self.backend.locks_locally:
                plan = self._decide(identity, decide, gather)
            tasks = self._carry_out(plan, deadline)
        for text in [*plan.warnings, *(warning for task in tasks for warning in task.warnings)]:
            self.warn(text)
        if not tasks or not tasks[-1].is_finished:
            return Outcome(plan, plan.after, self.backend.pending_after(plan), tasks)
        vm = self._read_back(identity, plan, gather)
        return Outcome(plan, vm, sorted(vm.get("pending") or ()), tasks)

    def converge_each(
        self,
        decide: Callable[[VM], Plan],
        gather: Sequence[str] = ("config", "pending"),
        finish: Callable[[Outcome], Result] = Outcome.to_result,
    ) -> Result:
        """The same for the one VM, the ``vms`` or the ``select`` of the task, which all must exist.

        :param finish: makes a VM's result.
        :raises SomeFailed: at the end, with the results of all.
        """

        def work(identity: Identity) -> Result:
            return finish(self.converge(identity, lambda vm: decide(self.existing(identity, vm)), gather))

        if self.params.get("vms") is None and self.params.get("select") is None:
            return work(self.identity)
        from ._fleet import addressed

        return self.for_each(addressed(self.params, self.backend), work)

    def for_each(self, identities: Sequence[Identity], work: Callable[[Identity], Result]) -> Result:
        """Several VMs in one task: ``results`` with an entry each, and one ``diff`` of all that change.

        :raises SomeFailed: at the end, with the results of all.
        """
        from ._fleet import for_each

        results = for_each(
            identities, work, max_parallel=self.params["max_parallel"], fail_fast=self.params["fail_fast"]
        )
        diffs = []
        for result in results:
            vm, diff = result.get("vm", {}), result.pop("diff", None)
            if vm:
                result.update(id=vm.get("id"), name=vm["name"])
            if diff and result["changed"]:
                diffs.append({**diff, "before_header": result["name"], "after_header": result["name"]})
        changed = any(result["changed"] for result in results)
        failed = [result for result in results if result.get("failed")]
        if failed:
            names = "; ".join(f"{result['name'] or result['id']}: {result['msg']}" for result in failed)
            error = SomeFailed(f"{len(failed)} of {len(results)} VMs failed. {names}", results=results, diff=diffs)
            error.changed = changed
            raise error
        return {"changed": changed, "results": results, "diff": diffs}

    def wait_ready(self, outcome: Outcome, conditions: Mapping[str, Any] | None) -> Outcome:
        """Wait until the guest is as ``wait_for`` asks, where there is a running VM to wait for."""
        if not conditions or self._module.check_mode or outcome.vm.get("state") != "running":
            return outcome
        from ._readiness import wait_ready

        try:
            outcome.vm.update(wait_ready(self.backend, outcome.vm, conditions))
        except Error as error:
            error.changed = outcome.plan.changed
            raise
        return outcome

    def _decide(self, identity: Identity, decide: Decide, gather: Sequence[str]) -> Plan:
        plan = decide(self.backend.find(identity, gather))
        self.backend.check(plan)
        return plan

    def poll(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """The present states of tasks, after doing what they need to go on, but in check mode."""
        if not self._module.check_mode:
            self.backend.tend(tasks)
        return self.backend.poll(tasks)

    def _carry_out(self, plan: Plan, deadline: Deadline) -> list[Task]:
        """Every step after the one before it has finished; without ``wait`` the last one is only begun."""
        tasks: list[Task] = []
        try:
            for position, step in enumerate(plan.steps):
                task = self.backend.perform(step, deadline)
                tasks.append(task)
                if self.params.get("wait", True) or position < len(plan.steps) - 1:
                    tasks[-1] = self._finish(task, deadline)
        except Error as error:
            error.changed = any(task.is_finished and task.error is None for task in tasks)
            raise
        return tasks

    def _finish(self, task: Task, deadline: Deadline) -> Task:
        if not task.is_finished:
            task = wait_all([task], self.poll, deadline, self.backend.poll_interval)[0]
        return task.require_success()

    def _read_back(self, identity: Identity, plan: Plan, gather: Sequence[str]) -> VM:
        if plan.after.get("state") == "absent":
            return plan.after
        if identity.id is None or plan.steps[0].op in (Op.CREATE, Op.CLONE):
            identity = Identity(name=plan.after["name"])
        vm = self.backend.find(identity, gather)
        if vm is None:
            raise TaskFailed(
                f"The task succeeded, but VM {identity} is not there.",
                advice="Something else removed it meanwhile.",
            )
        return vm


def visible(vm: VM) -> dict[str, Any]:
    """A VM for the user: lists for devices and snapshots, no secrets; what is pending is told beside it."""
    result = shown({name: value for name, value in vm.items() if name != "pending"})
    if "snapshots" in vm:
        from ._snapshots import rows

        result["snapshots"] = rows(vm["snapshots"])
    return result


def _with_error(result: Result) -> Result:
    """One VM that cannot be read does not hide the others."""
    if not result.get("failed"):
        return result
    return {"id": result["id"], "name": result["name"], "state": "unknown", "error": result["msg"]}


def _with_pending(vm: VM) -> Result:
    result = visible(vm)
    if "pending" in vm:
        result["pending"] = [
            {"setting": name, "running": shown_at(name.split("."), value)}
            for name, value in sorted(vm["pending"].items())
        ]
    return result
