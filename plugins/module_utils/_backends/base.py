# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every backend is: data that says what it can do, questions, and operations."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Optional

from .._errors import Ambiguous, InvalidRequest, NotFound, Unsupported
from .._fields import shown_at
from .._plan import VM, Change, Op, Plan, Step
from .._task import Deadline, Poller, Task


class Apply(str, Enum):
    """When a changed setting of a running VM takes effect."""

    LIVE = "live"
    RESTART = "restart"
    NEVER = "never"


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do; what is not named here it cannot.

    :param operations: the operations.
    :param fields: the settings, parts of devices as ``nics.model``.
    """

    operations: frozenset[Op]
    fields: Mapping[str, Apply]

    def to_result(self) -> dict[str, Any]:
        return {
            "operations": sorted(op.value for op in self.operations),
            "settings": {name: apply.value for name, apply in sorted(self.fields.items())},
        }


@dataclass(frozen=True)
class Identity:
    """How a user addresses a VM: by name, by id, or by a word that may be either (both are set, to the same)."""

    name: Optional[str] = None  # noqa: UP045 - evaluated by dataclasses on Python 3.9
    id: Optional[str] = None  # noqa: UP045

    @classmethod
    def either(cls, word: str) -> Identity:
        return cls(name=word, id=word)

    def __str__(self) -> str:
        return f"'{self.name}'" if self.name else f"with id {self.id}"

    def matches(self, vm: VM) -> bool:
        return (self.id is not None and vm["id"] == self.id) or (self.name is not None and vm["name"] == self.name)

    def pick(self, rows: Sequence[VM]) -> VM | None:
        """The one row that is meant; an id goes before a name.

        :raises Ambiguous: the name fits several.
        """
        found = [row for row in rows if self.id is not None and row["id"] == self.id] or [
            row for row in rows if self.matches(row)
        ]
        if len(found) > 1:
            places = ", ".join(f"{row['id']} on {row['node']}" if row.get("node") else row["id"] for row in found)
            raise Ambiguous(
                f"{len(found)} VMs are named {self}: {places}.",
                advice="Address it by id.",
                candidates=[{"id": row["id"], "node": row.get("node")} for row in found],
            )
        return found[0] if found else None


_INSTEAD = {
    Op.CREATE: "Clone a VM that is there: clone_from of module vm, or module vm_clone.",
    Op.CLOSE_CONSOLE: "Leave out state: absent. The console ends by itself.",
}
"""What to do where there is no such operation."""


class Backend(ABC):
    """One place where VMs live. Questions never change anything; only ``perform`` does."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    name_pattern: ClassVar[re.Pattern[str]]
    name_rule: ClassVar[str]
    """``name_pattern`` in words, for the message of an error."""
    poll_interval: ClassVar[tuple[float, float]] = (0.25, 2.0)
    chooses_ids: ClassVar[bool] = True
    """Whether new VMs get their ids from the backend alone."""
    places_clones: ClassVar[tuple[str, ...]] = ()
    """The settings that say where a clone shall be, and go along with the request to make it."""
    console_options: ClassVar[Mapping[str, Any]] = {}
    """The options of ``vm_console`` that this backend takes, each with what it is where the task does not say."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        self.poller = Poller(self._tend_and_poll, self.poll_interval)
        """Waits for tasks; all threads of a run share it."""

    @property
    def abilities(self) -> Capabilities:
        """What the server at hand can do: less than is declared, where servers of this backend differ."""
        return self.capabilities

    @abstractmethod
    def list(self) -> list[VM]:
        """Every VM as a row: ``id name backend node state template tags pool memory cores``."""

    @abstractmethod
    def find(self, identity: Identity, gather: Sequence[str] = ()) -> VM | None:
        """One VM, or None.

        :param gather: ``config`` all settings; ``snapshots``; ``agent`` what the guest tells, with ``addresses``;
            ``pending`` as a dict of settings to the values that are in effect until the restart; ``console`` where one
            is open, as the parts that ``_console`` names.
        :raises Ambiguous: the name fits several.
        """

    def overview(self) -> Sequence[VM]:
        """Every VM as a row, at the least cost: states may be some seconds old, and names not known yet (None).

        Beside what ``list`` tells a row may have a ``type``: vm or container.
        """
        return self.list()

    def add_facts(self, vm: VM, gather: Sequence[str]) -> None:
        """Add to a row of ``overview`` what ``find`` would gather.

        :raises NotFound: the VM is gone meanwhile.
        """
        found = self.find(Identity(id=vm["id"]), gather)
        if found is None:
            raise NotFound(f"VM {vm['name']} is gone.")
        vm.update(found)

    def node_addresses(self) -> Mapping[str, str | None]:
        """The nodes, and the addresses at which they are reached.

        :raises Unsupported: this backend has no nodes.
        """
        raise Unsupported(f"Backend {self.name} has no nodes.")

    def at_vnc_port(self, port: int) -> Identity | None:
        """The VM whose screen is at a VNC port, None where none has it.

        :raises Unsupported: this backend tells no VNC ports.
        """
        raise Unsupported(f"Backend {self.name} finds no VM by its VNC port.", advice="Use its name or id.")

    def inquire(self, op: Op, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What there is to know beside VMs: of the cluster, its nodes, its tasks.

        :raises Unsupported: this backend has no such thing.
        """
        raise self.unsupported(op)

    def load_snapshot(self, vm: VM, name: str) -> None:  # noqa: B027 - where find told it already
        """Add to ``vm["snapshots"][name]`` the settings of then, as ``config``."""

    def prefetch(self, identities: Sequence[Identity]) -> None:  # noqa: B027 - of local VMs each is read as cheaply
        """Read the states of several VMs together, for the next ``find`` of each."""

    def settle_time_of(self, plan: Plan) -> float:
        """Seconds that the state may take to show after the tasks of a plan have ended."""
        return 0.0

    @abstractmethod
    def perform(self, step: Step, deadline: Deadline) -> Task:
        """Begin a step, and finish it where the backend works synchronously."""

    @abstractmethod
    def poll(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """The present states of tasks, in the same order; ids of other plays too.

        :raises NotFound: no such task.
        """

    def tend(self, tasks: Sequence[Task]) -> None:  # noqa: B027 - most backends work on by themselves
        """Do what unfinished tasks need while they are waited for. Never called in check mode."""

    def _tend_and_poll(self, tasks: Sequence[Task]) -> Sequence[Task]:
        self.tend(tasks)
        return self.poll(tasks)

    def absent_advice(self, identity: Identity) -> str:
        """What to do when there is no such VM."""
        return "Check the name, and that the task runs on the right host and backend."

    def foreseen(self, plan: Plan) -> Plan:
        """The plan with all in its ``after`` that this backend changes beside what was asked for."""
        return plan

    def preflight(self, step: Step) -> None:  # noqa: B027 - a backend may have nothing to look at
        """Everything that would make the step fail and can be known by reading. Also runs in check mode."""

    @contextmanager
    def exclusive(self, plan: Plan, deadline: Deadline) -> Iterator[bool]:
        """Keep other runs away from the VMs of a plan, where the backend itself does not.

        Tells whether they may have changed something, so that the plan has to be made anew inside.
        """
        yield False

    def apply_of(self, change: Change, vm: VM) -> Apply:
        """When this change of this VM takes effect; of a setting that the backend lacks, never."""
        return self.capabilities.fields.get(change.setting, Apply.NEVER)

    def normal_settings(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Wanted settings as this backend stores them, so that they compare equal to what is read."""
        return wanted

    def clone_of(self, source: VM, name: str) -> VM:
        """What a clone will be before anything is changed in it: it gets addresses, and an identity, of its own."""
        personal = ("id", "template", "pending", "snapshots", "agent", "addresses", "native_state")
        settings = {key: value for key, value in source.items() if key not in personal}
        nics = settings.get("nics") or {}
        settings["nics"] = {
            slot: {key: value for key, value in nic.items() if key not in ("mac", "forwards")}
            for slot, nic in nics.items()
        }
        return {**settings, "name": name, "state": "stopped"}

    def held_by(self, identity: Identity) -> str | None:
        """What keeps a VM busy, None where nothing does."""
        return None

    def close(self) -> None:  # noqa: B027 - a backend may hold nothing
        """Give back connections."""

    def check_name(self, name: str) -> None:
        """
        :raises InvalidRequest: no VM of this backend can have the name.
        """
        if not self.name_pattern.fullmatch(name):
            short = name if len(name) <= 80 else f"{name[:77]}..."
            raise InvalidRequest(f"{short!r} cannot be the name of a VM on backend {self.name}.", advice=self.name_rule)

    def unsupported(self, op: Op) -> Unsupported:
        text = f"Operation '{op.value}' is not supported by backend {self.name}."
        return Unsupported(text, advice=_INSTEAD.get(op, ""), operation=op.value)

    def check_declared(self, ops: Iterable[Op], settings: Iterable[str]) -> None:
        """Refuse what no server of this backend can do, before anything is sent.

        :param settings: as in ``Capabilities.fields``.
        :raises Unsupported: there is no such operation or setting.
        """
        for op in ops:
            if op not in self.capabilities.operations:
                raise self.unsupported(op)
        for setting in settings:
            if setting not in self.capabilities.fields:
                raise Unsupported(f"Setting '{setting}' is not supported by backend {self.name}.", setting=setting)

    def check(self, plan: Plan) -> None:
        """Refuse what this server cannot do with this VM, before anything is sent that changes it.

        :raises Unsupported: it has no such operation or setting, or cannot change it any more.
        """
        for step in plan.steps:
            for op in (step.op, *step.needs):
                if op not in self.abilities.operations:
                    raise self.unsupported(op)
        self.check_declared((), (setting for change in plan.changes for setting in change.settings))
        exists = bool(plan.before) or any(step.op is Op.CLONE for step in plan.steps)
        for change in plan.changes:
            if exists and self.apply_of(change, plan.before) is Apply.NEVER:
                before, after = (shown_at(change.path, value) for value in (change.before, change.after))
                raise Unsupported(
                    f"Backend {self.name} cannot change '{'.'.join(change.path)}' of VM {plan.after['name']}"
                    f" from {before!r} to {after!r} once the VM exists.",
                    setting=change.setting,
                )
        for step in plan.steps:
            self.preflight(step)

    def pending_after(self, plan: Plan) -> Sequence[str]:
        """The settings that will differ from what runs, once the plan is carried out."""
        if plan.after.get("state") not in ("running", "paused"):
            return []
        if any(step.op in (Op.START, Op.RESTART, Op.CREATE, Op.REVERT) for step in plan.steps):
            return []
        in_effect = dict(plan.before.get("pending") or {})
        next_boot = any(step.arguments.get("apply") == "next_boot" for step in plan.steps)
        for change in plan.changes:
            name = ".".join(change.path)
            if name in in_effect and in_effect[name] == change.after:
                del in_effect[name]
            elif next_boot or self.apply_of(change, plan.before) is Apply.RESTART:
                in_effect.setdefault(name, change.before)
        return sorted(in_effect)
