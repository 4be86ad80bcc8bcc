# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The edge between a module and everything else.

The only place that knows AnsibleModule: check mode is read here, modules end here, and every write goes through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from threading import BoundedSemaphore, Event
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ._backends.base import Backend, Identity
from ._backends.connect import connect
from ._errors import Error, InvalidRequest, NotFound, SomeFailed, TaskFailed
from ._fields import named, normalised
from ._plan import VM, Op, Plan
from ._spec import own_options, settings_of
from ._task import Deadline, Task
from ._visible import visible, with_pending

Decide = Callable[["VM | None"], Plan]
"""From a VM's present state, None where there is no such VM, to what shall be done."""

Result = dict[str, Any]
Options = Mapping[str, Any]

_READERS = 16
"""How many VMs are read at once."""


def run_module(
    run: Callable[[Session], Result],
    needs: Callable[[Options], Iterable[Op]] = lambda options: (),
    settings: Callable[[Options], Mapping[str, Any]] = lambda options: {},
    **arguments: Any,
) -> None:
    """A module's ``main``: parse the options, run, and end with a result or a failure.

    :param needs: the operations that options of a VM ask for, whatever its state.
    :param settings: the settings among them.
    """
    module = AnsibleModule(supports_check_mode=True, **arguments)
    session = Session(module)
    try:
        session.check_options()
        session.check_asked(needs, settings)
        result = run(session)
    except Error as error:
        session.close()
        module.fail_json(**error.to_failure())
    session.close()
    module.exit_json(**result)


@dataclass
class Outcome:
    """What became of a plan; in check mode, what would."""

    identity: Identity
    plan: Plan
    vm: VM
    pending: Sequence[str] | None
    tasks: list[Task] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether something was carried out, to its end."""
        return bool(self.tasks) and self.tasks[-1].is_finished

    def to_result(self) -> Result:
        after = visible(self.plan.after)
        result: Result = {
            "changed": self.plan.changed,
            "vm": after if self.vm is self.plan.after else visible(self.vm),
            "diff": {"before": visible(self.plan.before) if self.plan.changed else after, "after": after},
        }
        if self.pending is not None:
            result.update(pending=list(self.pending), restart_required=bool(self.pending))
        if self.tasks:
            result["task"] = self.tasks[-1].to_result()
        return result


class Session:
    """One run of a module: its options, its backend, and the one door for writes."""

    def __init__(self, module: AnsibleModule) -> None:
        self.params: Mapping[str, Any] = module.params
        self._module = module
        self._turns: dict[str | None, BoundedSemaphore] = {}
        self._halt = Event()

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
        for name in ("timeout", "max_parallel", "max_parallel_per_node"):
            if self.params.get(name) is not None and self.params[name] < 1:
                raise InvalidRequest(f"{name}: {self.params[name]} is too small: it must be at least 1.")
        for options in (self.params, *(self.params.get("each") or ())):
            if options.get("wait_for"):
                from ._readiness import check

                check(options["wait_for"])

    def check_asked(
        self, needs: Callable[[Options], Iterable[Op]], settings: Callable[[Options], Mapping[str, Any]]
    ) -> None:
        """What can be told without asking the backend, of all VMs before any of them is looked at.

        :raises Unsupported: no server of this backend can do what is asked.
        :raises InvalidRequest: a value is wrong, whatever the VM is.
        """
        lists = [name for name in ("each", "clones") if self.params.get(name) is not None]
        vms = own_options(self.params, lists[0]) if lists else [self.params]
        ops = {op for options in vms for op in needs(options)}
        named_settings = {name for options in vms for name in named(settings(options))}
        if ops or named_settings:
            self.backend.check_declared(sorted(ops), sorted(named_settings))
        for options in vms:
            try:
                normalised(settings(options))
            except InvalidRequest as error:
                whose = f"{options['name'] or options['id']}: " if lists else ""
                raise InvalidRequest(f"{whose}{error.message}", advice=error.advice) from error

    @property
    def identity(self) -> Identity:
        return self.identity_of(self.params)

    def identity_of(self, params: Mapping[str, Any]) -> Identity:
        """The VM that ``id`` or ``name`` addresses; with both, ``name`` is the name it shall have.

        :raises InvalidRequest: no VM can have this name.
        """
        if params.get("name") is not None:
            self.backend.check_name(params["name"])
        if params.get("id") is not None:
            return Identity(id=params["id"])
        return Identity(name=params["name"])

    def wanted(self, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The settings that are named, in normal form; ``name`` is one of them where ``id`` addresses the VM.

        :param params: of one VM of several; None means those of the task.
        """
        params = self.params if params is None else params
        name = {"name": params["name"]} if params.get("id") is not None else {}
        return self.backend.normal_settings(normalised({**settings_of(params), **name}))

    def new_name(self, params: Mapping[str, Any] | None = None) -> str:
        """The name of a VM that is to be made.

        :param params: as for ``wanted``.
        :raises NotFound: it is addressed by an id alone, or this backend gives ids itself.
        :raises InvalidRequest: there is neither an id nor a name.
        """
        params = self.params if params is None else params
        if params.get("id") is not None and (self.backend.chooses_ids or params.get("name") is None):
            self.existing(self.identity_of(params), None)
        if params.get("name") is None:
            raise InvalidRequest("A new VM needs a name.")
        return params["name"]

    def existing(self, identity: Identity, vm: VM | None) -> VM:
        """
        :raises NotFound: the VM is None.
        """
        if vm is None:
            advice = self.backend.absent_advice(identity)
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
        """The VMs that the task addresses, all where it addresses none; one that is not there is left out.

        :raises Error: the one VM of the task cannot be read. Of several each tells it in its own row.
        """
        if self.params["name"] is not None or self.params["id"] is not None:
            vm = self.backend.find(self.identity, gather)
            return [] if vm is None else [with_pending(vm)]
        from ._fleet import addressed, for_each, read_rows

        if self.params["vms"] is None and not gather:
            return [with_pending(row) for row in read_rows(self.params["select"] or {}, self.backend)]
        identities = addressed({**self.params, "select": self.params["select"] or {}}, self.backend)
        self.backend.prefetch(identities)
        found = for_each(identities, lambda one: self.backend.find(one, gather), max_parallel=_READERS)
        return [_row(one, vm) for one, vm in zip(identities, found) if vm is not None]

    def inquire(self, op: Op, **arguments: Any) -> Result:
        """What the backend tells beside VMs.

        :raises Unsupported: it has no such thing.
        """
        return {"changed": False, **self.backend.inquire(op, arguments)}

    def warn(self, text: str) -> None:
        self._module.warn(text)

    def converge(self, identity: Identity, decide: Decide, gather: Sequence[str] = ("config", "pending")) -> Outcome:
        """Read a VM, decide, check, carry the plan out unless in check mode, and read again.

        The decision is free of effects: where the backend has locks of its own it is made anew inside the lock.
        """
        return self._read_back(self._carry_out_plan(identity, decide, gather), gather)

    def _carry_out_plan(self, identity: Identity, decide: Decide, gather: Sequence[str]) -> Outcome:
        plan = self._decide(identity, decide, gather)
        if not plan.changed or self._module.check_mode:
            return Outcome(identity, plan, plan.after, self._predicted_pending(plan))
        with self._turn_of(plan):
            deadline = Deadline(self.params["timeout"])
            with self.backend.exclusive(plan, deadline) as is_outdated:
                if is_outdated:
                    plan = self._decide(identity, decide, gather)
                tasks = self._carry_out(plan, deadline)
        for text in [*plan.warnings, *(warning for task in tasks for warning in task.warnings)]:
            self.warn(text)
        return Outcome(identity, plan, plan.after, self._predicted_pending(plan), tasks)

    @contextmanager
    def _turn_of(self, plan: Plan) -> Iterator[None]:
        """A place among those that the plan's node takes at once; where there is but one VM nobody waits."""
        limit = self.params.get("max_parallel_per_node")
        if limit is None:
            yield
            return
        from ._fleet import NotBegun

        node = (plan.before or plan.steps[0].source or plan.after).get("node")
        with self._turns.setdefault(node, BoundedSemaphore(limit)):
            if self._halt.is_set():
                raise NotBegun
            yield

    def _predicted_pending(self, plan: Plan) -> Sequence[str] | None:
        """None where what is pending was not read."""
        was_read = "pending" in plan.before or "id" not in plan.before or plan.before["state"] == "absent"
        return self.backend.pending_after(plan) if was_read else None

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

        def decide_of(identity: Identity) -> Decide:
            return lambda vm: decide(self.existing(identity, vm))

        if self.params.get("vms") is None and self.params.get("select") is None:
            identity = self.identity
            return finish(self.converge(identity, decide_of(identity), gather))
        from ._fleet import addressed

        return self.converge_all(addressed(self.params, self.backend), decide_of, gather, finish)

    def converge_own(
        self,
        option: str,
        decide: Callable[[VM | None, Options], Plan],
        finish: Callable[[Outcome, Options], Result] = lambda outcome, _options: outcome.to_result(),
    ) -> Result:
        """The same for the one VM of the task, or for those of a list that have options of their own.

        :param option: the list.
        :param decide: is told the VM's options, and so is ``finish``.
        :raises InvalidRequest: a name or id is given twice.
        :raises SomeFailed: at the end, with the results of all. A VM that is given by name and by id is one failure.
        """
        several = self.params[option] is not None
        given = own_options(self.params, option) if several else [self.params]
        vms = {self.identity_of(one): one for one in given}
        names = [one["name"] for one in given if one["name"] is not None]
        if len(set(names)) < len(names) or len(vms) < len(given):
            raise InvalidRequest(f"{option}: a name or id is given twice.")

        seen: dict[str, Identity] = {}

        def decide_of(identity: Identity) -> Decide:
            def decide_once(vm: VM | None) -> Plan:
                if vm is not None and seen.setdefault(vm["id"], identity) != identity:
                    raise InvalidRequest(f"{option}: VM {vm['name']} is given twice, by its name and by its id.")
                return decide(vm, vms[identity])

            return decide_once

        def finished(outcome: Outcome) -> Result:
            return finish(outcome, vms[outcome.identity])

        if several:
            return self.converge_all(list(vms), decide_of, finish=finished)
        (identity,) = vms
        return finished(self.converge(identity, decide_of(identity)))

    def converge_all(
        self,
        identities: Sequence[Identity],
        decide_of: Callable[[Identity], Decide],
        gather: Sequence[str] = ("config", "pending"),
        finish: Callable[[Outcome], Result] = Outcome.to_result,
    ) -> Result:
        """Several VMs in one task: read together, carried out side by side, and read together again.

        :raises SomeFailed: at the end, with the results of all.
        """
        from ._fleet import for_each

        at_once, halt = self.params["max_parallel"], self._halt if self.params["fail_fast"] else None
        self.backend.prefetch(identities)

        def carry_out(one: Identity) -> Outcome:
            return self._carry_out_plan(one, decide_of(one), gather)

        ends = for_each(identities, carry_out, max_parallel=at_once, halt=halt)
        outcomes = {one: end for one, end in zip(identities, ends) if isinstance(end, Outcome)}
        self.backend.prefetch([one for one, outcome in outcomes.items() if outcome.is_done])
        read = for_each(
            list(outcomes), lambda one: finish(self._read_back(outcomes[one], gather)), max_parallel=at_once
        )
        results = dict(zip(outcomes, read))
        return self._together([(one, results.get(one, end)) for one, end in zip(identities, ends)])

    def _together(self, ends: Sequence[tuple[Identity, Any]]) -> Result:
        """``results`` with an entry for each VM, and one ``diff`` of all that change."""
        results, diffs = [], []
        for identity, end in ends:
            label = {"id": identity.id, "name": identity.name}
            if end is None:
                results.append({**label, "changed": False, "skipped": True})
            elif isinstance(end, Error):
                results.append({**label, "failed": True, **end.to_failure()})
            else:
                diff = end.pop("diff")
                result = {"id": end["vm"].get("id"), "name": end["vm"]["name"], **end}
                results.append(result)
                if result["changed"]:
                    diffs.append({**diff, "before_header": result["name"], "after_header": result["name"]})
        changed = any(result["changed"] for result in results)
        failed = [result for result in results if result.get("failed")]
        if failed:
            reasons = " ".join(f"{result['name'] or result['id']}: {result['msg']}" for result in failed)
            error = SomeFailed(f"{len(failed)} of {len(results)} VMs failed. {reasons}", results=results, diff=diffs)
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
        plan = self.backend.foreseen(decide(self.backend.find(identity, gather)))
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
            error.changed = error.changed or any(task.is_finished and task.error is None for task in tasks)
            raise
        return tasks

    def _finish(self, task: Task, deadline: Deadline) -> Task:
        return (task if task.is_finished else self.backend.poller.wait(task, deadline)).require_success()

    def _read_back(self, outcome: Outcome, gather: Sequence[str]) -> Outcome:
        """The VM as it is when everything is done; a state may need moments to show after the task has ended.

        :raises TaskFailed: it is not there, or not in the state that its task was to lead to.
        """
        plan = outcome.plan
        if not outcome.is_done or plan.after.get("state") == "absent":
            return outcome
        made = plan.steps[0].op in (Op.CREATE, Op.CLONE)
        identity = Identity(name=plan.after["name"], id=plan.steps[0].vm.get("id") if made else plan.before["id"])
        settle_time = self.backend.settle_time_of(plan)
        for _turn in Deadline(settle_time).intervals(*self.backend.poll_interval):
            vm = self.backend.find(identity, gather)
            if vm is not None and _is_reached(vm, plan):
                break
        if vm is None:
            raise TaskFailed(
                f"The task succeeded, but VM {identity} is not there.", advice="Something else removed it meanwhile."
            )
        if settle_time and not _is_reached(vm, plan):
            key = "node" if vm["state"] == plan.after["state"] else "state"
            raise TaskFailed(
                f"The task succeeded, but the {key} of VM {vm['name']} is {vm[key]} and not {plan.after[key]},"
                f" {settle_time:g} s later.",
                advice="It may have ended by itself; see its console and the log of its node.",
            )
        outcome.vm = vm
        outcome.pending = sorted(vm["pending"]) if "pending" in vm else None
        return outcome


def _is_reached(vm: VM, plan: Plan) -> bool:
    """Whether the VM is as the plan's tasks were to leave it, and where."""
    is_there = plan.after.get("node") in (plan.before.get("node"), vm.get("node"))
    return vm["state"] == plan.after["state"] and is_there


def _row(identity: Identity, vm: VM | Error) -> Result:
    """One VM that cannot be read does not hide the others."""
    if isinstance(vm, Error):
        return {"id": identity.id, "name": identity.name, "state": "unknown", "error": str(vm)}
    return with_pending(vm)
