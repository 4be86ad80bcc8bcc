# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VSD, the VMs of TopHC with its built-in storage, by the documents of its API that are public.

The snapshots follow the document that this collection was asked to cover. All the rest follows pages of 2021. Nothing
of it was ever tried on a real platform.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, ClassVar

from ..._errors import BackendError
from ..._plan import VM, Change, Op, Plan, Step
from ..._task import Deadline, Task
from ..base import Apply, Backend, Capabilities, Identity
from . import words
from .api import UUID, Api
from .together import Together

CAPABILITIES = Capabilities(
    operations=frozenset(
        {
            *(Op.SNAPSHOT, Op.SNAPSHOT_MEMORY, Op.SNAPSHOT_DESCRIBE, Op.SNAPSHOT_DELETE, Op.REVERT, Op.REVERT_DISKS),
            *(Op.START, Op.SHUTDOWN, Op.STOP, Op.RESET, Op.PAUSE, Op.RESUME),
            *(Op.CLONE, Op.CLONE_LINKED, Op.CLONE_SNAPSHOT, Op.MIGRATE, Op.MIGRATE_ONLINE, Op.UPDATE, Op.DELETE),
        }
    ),
    fields=dict.fromkeys(("name", "memory", "cores", "sockets"), Apply.LIVE),
)

_SETTLE_TIME = 15.0


class VsdBackend(Backend):
    name: ClassVar[str] = "vsd"
    capabilities: ClassVar[Capabilities] = CAPABILITIES
    name_pattern: ClassVar[re.Pattern[str]] = re.compile(r"[^\W_][\w .()-]{0,126}")
    name_rule: ClassVar[str] = "It has letters, digits, blanks and . _ - ( ), and begins with a letter or digit."
    poll_interval: ClassVar[tuple[float, float]] = (0.5, 3.0)

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.api = Api(options)
        self.told: dict[str, Mapping[str, Any]] = {}
        """What VMs told of themselves last, by id."""
        self._seen: dict[str, VM] = {}
        self._hosts: dict[str, str] | None = None
        self.power = Together(self.api)
        """Sends changes of power, in one request where many are wanted at once."""
        self.cloning: dict[str, threading.Lock] = {}
        """By the id of a VM: held by the thread that begins a clone of it."""
        self.quiet_since: dict[str, float] = {}
        """Since when nothing is seen of the work of a task, by its id."""

    # --- questions

    def list(self) -> list[VM]:
        return [*self._rows()]

    def _rows(self, **filters: str) -> Sequence[VM]:
        """
        :raises BackendError: the list is not whole.
        """
        found = self.api.rows("/v1/compute/list", "domains", itemgetter("uuid"), **self.api.scope, **filters)
        return [self._row(told) for told in found]

    def named(self, name: str) -> Sequence[VM]:
        """Whether a filter takes parts of names is not documented."""
        return [row for row in self._rows(filter_name=name) if row["name"] == name]

    def _row(self, told: Mapping[str, Any]) -> VM:
        self.told[told["uuid"]] = words.without_secrets({**self.told.get(told["uuid"], {}), **told})
        return words.row_of(told, self.hosts if told.get("machine_uuid") else {})

    @property
    def hosts(self) -> Mapping[str, str]:
        """The names of the hosts by uuid; empty for a user who may not see hosts."""
        if self._hosts is None:
            query = {"cluster_uuid": self.api.scope["cluster_uuid"], "filter_service_type": ""}
            try:
                rows = self.api.rows("/v1/host/list/overview", "list", lambda row: row["node"]["host_uuid"], **query)
                self._hosts = {row["node"]["host_uuid"]: row["node"]["host_name"] for row in rows}
            except BackendError:
                self._hosts = {}
        return self._hosts

    def find(self, identity: Identity, gather: Sequence[str] = ()) -> VM | None:
        vm = self._locate(identity)
        if vm is not None and {"config", "pending"} & set(gather):
            vm = self.inspect(vm["id"])
        if vm is None:
            return None
        told = self.told[vm["id"]]
        if {"config", "pending"} & set(gather):
            vm.update(words.settings_of(told))
        if "pending" in gather:
            vm["pending"] = {}
        if "snapshots" in gather:
            vm["snapshots"] = self.snapshots(vm["id"])
        if "agent" in gather:
            vm["agent"] = {"running": told.get("ga_state") == "connected", "interfaces": []}
            vm["addresses"] = [ip for ip in told.get("interface_ips") or [] if isinstance(ip, str)]
        return vm

    def _locate(self, identity: Identity) -> VM | None:
        """The VM as a row. One that was just listed is not asked for again, once."""
        for word in (identity.id, identity.name):
            seen = self._seen.pop(word, None) if word else None
            if seen is not None:
                self._seen.pop(seen["id"], None)
                self._seen.pop(seen["name"], None)
                return seen
        if identity.id is not None and UUID.fullmatch(identity.id.lower()):
            vm = self.inspect(identity.id.lower())
            if vm is not None or identity.name is None:
                return vm
        return identity.pick(self.named(identity.name)) if identity.name is not None else None

    def inspect(self, uuid: str) -> VM | None:
        """A VM as a row by what it tells of itself.

        No code is documented for one that does not exist: where the platform refuses to tell, its list decides.
        """
        try:
            told = self.api.get("/v1/compute/inspect", **self.api.scope, compute_uuid=uuid)
        except BackendError as error:
            if "code" not in error.facts or any(row["id"] == uuid for row in self._rows(filter_uuid=uuid)):
                raise
            return None
        return self._row(told) if told else None

    def snapshots(self, uuid: str) -> dict[str, dict[str, Any]]:
        where = {**self.api.scope, "compute_uuid": uuid}
        rows = self.api.rows("/v1/compute/vsd/snapshot/list", "list", itemgetter("name"), **where, filter_name="")
        if not rows:
            return {}
        told = self.api.get("/v1/compute/vsd/snapshot/tree", **where) or {}
        return words.snapshots_of(rows, (told.get("tree") or {}).get("Parents") or {})

    def snapshot(self, uuid: str, name: str) -> Mapping[str, Any]:
        """All that is told of one snapshot."""
        return self.api.get("/v1/compute/vsd/snapshot/get", **self.api.scope, compute_uuid=uuid, name=name)

    def load_snapshot(self, vm: VM, name: str) -> None:
        if name in vm["snapshots"]:
            detail = self.snapshot(vm["id"], name).get("vm_detail")
            if detail and "mem_size" in detail:
                vm["snapshots"][name]["config"] = words.settings_of(detail)

    def prefetch(self, identities: Sequence[Identity]) -> None:
        """One list costs less than a request for each VM. A name that two VMs have is left to be found out."""
        self._seen = {}
        if len(identities) > 1:
            rows = self._rows()
            names = Counter(row["name"] for row in rows)
            self._seen = {row["name"]: row for row in rows if names[row["name"]] == 1}
            self._seen.update((row["id"], row) for row in rows)

    def settle_time_of(self, plan: Plan) -> float:
        return _SETTLE_TIME

    def absent_advice(self, identity: Identity) -> str:
        return "Check the name, the cluster and the tenant."

    def held_by(self, identity: Identity) -> str | None:
        vm = self._locate(identity)
        return f"action {vm['lock']}" if vm and vm["lock"] else None

    # --- checks

    def clone_of(self, source: VM, name: str) -> VM:
        """Neither its place nor what works on the source is passed on; its disks become other volumes."""
        disks = source.get("disks") or {}
        copies = {
            slot: {part: value for part, value in disk.items() if part != "volume"} for slot, disk in disks.items()
        }
        return {**super().clone_of({**source, "disks": copies}, name), "lock": None, "node": None}

    def foreseen(self, plan: Plan) -> Plan:
        from .foresight import after_all, in_order

        return replace(in_order(plan), after=after_all(plan)) if plan.changed else plan

    def apply_of(self, change: Change, vm: VM) -> Apply:
        """What a running VM does not get waits for a restart; the platform itself keeps nothing that waits."""
        from .preflight import needs_stop

        return Apply.RESTART if vm and needs_stop(self, vm, change) else super().apply_of(change, vm)

    def preflight(self, step: Step) -> None:
        from .preflight import check

        check(self, step)

    # --- operations

    def perform(self, step: Step, deadline: Deadline) -> Task:
        from .operations import Operations

        return Operations(self, deadline).perform(step)

    def poll(self, tasks: Sequence[Task]) -> Sequence[Task]:
        from .tasks import poll

        return [poll(self, task) for task in tasks]

    def tend(self, tasks: Sequence[Task]) -> None:
        from .tasks import tend

        for task in tasks:
            tend(self, task)

    def close(self) -> None:
        self.api.close()
