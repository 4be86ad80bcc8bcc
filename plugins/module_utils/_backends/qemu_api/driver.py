# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP manager of QEMU VMs: the API of its document, and that of the open-source server."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from ..._errors import InvalidRequest, NotFound, Unsupported
from ..._plan import VM, Change, Op, Plan, Step
from ..._task import Deadline, Task, TaskState
from ..base import Apply, Backend, Capabilities, Identity
from .api import Manager
from .dialects import FIRST_PORT, SNAPSHOTS, STATES, Row, waiting

_RESTART = ("memory", "cores", "cdrom", "cdrom.image", "native")
_DISKS = ("disks", "disks.slot", "disks.size")
_NICS = ("nics", "nics.slot", "nics.network", "nics.mac", "nics.forwards")

CAPABILITIES = Capabilities(
    operations=SNAPSHOTS | {Op.CREATE, Op.UPDATE, Op.DELETE, Op.START, Op.STOP, Op.RESTART, Op.CONSOLE},
    fields={
        **dict.fromkeys(_RESTART, Apply.RESTART),
        **dict.fromkeys(("name", *_DISKS, *_NICS), Apply.NEVER),
    },
)

_ADVICE = {
    Op.SHUTDOWN.value: "The server can only cut the power: use vm_power with force: true and shutdown_timeout: 0.",
    **{op.value: "The API document has no snapshots, only the open-source server has." for op in SNAPSHOTS},
}


class QemuApiBackend(Backend):
    name: ClassVar[str] = "qemu_api"
    capabilities: ClassVar[Capabilities] = CAPABILITIES
    name_pattern: ClassVar[re.Pattern[str]] = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
    name_rule: ClassVar[str] = (
        "It has letters, digits, - and _, at most 64, and begins with a letter or digit. The server cuts a name"
        " at a dot, and would delete another VM's folder."
    )
    console_options: ClassVar[Mapping[str, Any]] = {"vnc_port": None, "web_port": None}

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.manager = Manager(options)
        self.rows: Mapping[str, Row] = {}
        """The VMs as they were listed last."""
        self._ahead: dict[str, Row] = {}
        self.known: dict[str, VM] = {}
        """Settings that this run has made, by name, as far as the list does not tell them."""
        self.waiting: dict[str, dict[str, Any]] = {}
        """Settings that this run has changed of running VMs, where the list does not tell what they run with."""
        self.consoles: dict[str, dict[str, Any]] = {}
        self.claiming, self.claimed = threading.Lock(), set[int]()
        """The VNC ports that this run has given to new VMs."""

    @property
    def abilities(self) -> Capabilities:
        return Capabilities(self.capabilities.operations - self.manager.dialect.lacks, self.capabilities.fields)

    # --- questions

    def read_rows(self) -> Mapping[str, Row]:
        self.rows = {str(row.get("name")): row for row in self.manager.rows()}
        return self.rows

    def list(self) -> list[VM]:
        return [self._vm(row) for row in self.read_rows().values()]

    def find(self, identity: Identity, gather: Sequence[str] = ()) -> VM | None:
        word = identity.id if identity.id is not None else identity.name
        row = self._ahead.pop(word or "", None) or self.read_rows().get(word or "")
        if row is None:
            return None
        vm = self._vm(row)
        self.add_facts(vm, gather)
        return vm

    def prefetch(self, identities: Sequence[Identity]) -> None:
        """Each VM of this list is used once."""
        if identities:
            self._ahead = dict(self.read_rows())

    def state_of(self, row: Row) -> str:
        return STATES.get(str(row.get("status")), "unknown")

    def _vm(self, row: Row) -> VM:
        settings = self.manager.dialect.settings(row)
        return {
            "id": str(row.get("name")),
            "name": str(row.get("name")),
            "backend": self.name,
            "node": self.manager.host,
            "state": self.state_of(row),
            "native_state": str(row.get("status")),
            "template": False,
            "tags": [],
            "pool": None,
            "memory": settings.get("memory"),
            "cores": settings.get("cores"),
        }

    def add_facts(self, vm: VM, gather: Sequence[str]) -> None:
        row, dialect = self.rows.get(vm["name"]) or self.read_rows().get(vm["name"]), self.manager.dialect
        if row is None:
            raise NotFound(f"VM {vm['name']} is gone.")
        if {"config", "pending"} & set(gather):
            vm.update({"disks": {}, "nics": {}, **dialect.settings(row), **self.known.get(vm["name"], {})})
        if "pending" in gather:
            vm["pending"] = {}
            if vm["state"] == "running":
                vm["pending"] = {**waiting(dialect, row), **self.waiting.get(vm["name"], {})}
        if "snapshots" in gather:
            from . import snapshots

            is_there = Op.SNAPSHOT in self.abilities.operations
            vm["snapshots"] = snapshots.read(self.manager, row) if is_there else {}
        if "agent" in gather:
            vm.update({"agent": {"running": False, "interfaces": []}, "addresses": []})
        if "console" in gather and vm["name"] in self.consoles:
            vm["console"] = self.consoles[vm["name"]]

    def at_vnc_port(self, port: int) -> Identity | None:
        wanted = port if port >= FIRST_PORT else FIRST_PORT + port
        settings = {name: self.manager.dialect.settings(row) for name, row in self.read_rows().items()}
        found = [name for name, told in settings.items() if told.get("native", {}).get("vncPort") == wanted]
        running = [name for name in found if self.state_of(self.rows[name]) == "running"]
        return next((Identity(name=name) for name in [*running, *found]), None)

    # --- checks

    def normal_settings(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """``native.vncPort`` as a port, also where it was told as the number of a display."""
        if "native" not in wanted:
            return wanted
        unknown, port = set(wanted["native"]) - {"vncPort"}, str(wanted["native"].get("vncPort"))
        if unknown or not port.isdigit() or int(port) > 65535:
            raise InvalidRequest(
                f"native: {wanted['native']} is not what this backend takes.", advice="Such as native: {vncPort: 5901}."
            )
        number = int(port)
        return {**wanted, "native": {"vncPort": number if number >= FIRST_PORT else FIRST_PORT + number}}

    def foreseen(self, plan: Plan) -> Plan:
        """Without what changes nothing: a tray that is empty already, and what this server does not tell back."""
        dialect = self.manager.dialect
        unread = [name for name in dialect.unread if plan.before and name in plan.after]
        idle = [
            one
            for one in plan.changes
            if (one.path[0] in unread and set(one.settings) <= set(self.capabilities.fields))
            or (dialect.tells_cdrom and _leaves_tray_empty(one))
        ]
        after = {name: plan.before.get(name, value) if name in unread else value for name, value in plan.after.items()}
        if not (after.get("cdrom") or {}).get("image"):
            after.pop("cdrom", None)
        kept = tuple(one for one in plan.changes if one not in idle)
        steps = tuple(one for one in (self._without(step, idle) for step in plan.steps) if one is not None)
        return replace(plan, after=after, changes=kept, steps=steps)

    @staticmethod
    def _without(step: Step, idle: Sequence[Change]) -> Step | None:
        if step.op is not Op.UPDATE:
            return step
        changes = tuple(one for one in step.arguments["changes"] if one not in idle)
        return replace(step, arguments={**step.arguments, "changes": changes}) if changes else None

    def check(self, plan: Plan) -> None:
        try:
            super().check(plan)
        except Unsupported as error:
            error.advice = error.advice or _ADVICE.get(error.facts.get("operation", ""), "")
            raise

    def preflight(self, step: Step) -> None:
        from .preflight import check

        check(self, step)

    # --- operations

    def perform(self, step: Step, deadline: Deadline) -> Task:
        from .operations import Operations

        return Operations(self, deadline).perform(step)

    def poll(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """All is done before a task is told."""
        for task in tasks:
            if not task.id.startswith(f"{self.name}:"):
                raise NotFound(f"'{task.id}' is no task of backend {self.name}.")
        return [replace(task, state=TaskState.SUCCEEDED) for task in tasks]

    def close(self) -> None:
        self.manager.close()


def _leaves_tray_empty(change: Change) -> bool:
    return change.path == ("cdrom",) and not any((one or {}).get("image") for one in (change.before, change.after))
