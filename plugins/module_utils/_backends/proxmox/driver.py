# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proxmox VE 8.4 and 9: guests of a cluster, wherever in it they are."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from ..._errors import InvalidRequest, NotFound, PermissionDenied
from ..._plan import VM, Change, Op, Plan, Step
from ..._task import Deadline, Task, TaskState
from ..base import Apply, Backend, Capabilities, Identity
from . import config as translation
from . import tasks as upids
from .api import Api
from .foresight import after_all, is_plugged, waiting
from .words import is_live, native_settings

if TYPE_CHECKING:
    from .console import Consoles

_LIVE = ("name", "description", "tags", "template")
_LIVE_PARTS = ("disks", "disks.slot", "disks.size", "nics", "nics.slot", "nics.connected", "cdrom.image")
_LIVE_NIC = ("nics.network", "nics.vlan", "nics.model", "nics.mac")
_RESTART = ("memory", "cores", "sockets", "cpu_type", "firmware", "boot_order", "native")
_RESTART_PARTS = ("guest_agent", "cdrom", "cdrom.slot")
_CLOUD_INIT = ("user", "password", "ssh_keys", "nameservers", "search_domains", "ip_config")
_NEVER = ("disks.storage", "disks.format", "disks.source", "node", "pool")

CAPABILITIES = Capabilities(
    operations=frozenset(Op) - {Op.REVERT_DISKS, Op.CLOSE_CONSOLE},
    fields={
        **dict.fromkeys((*_LIVE, *_LIVE_PARTS, *_LIVE_NIC), Apply.LIVE),
        **dict.fromkeys(("cloud_init", *(f"cloud_init.{part}" for part in _CLOUD_INIT)), Apply.LIVE),
        **dict.fromkeys((*_RESTART, *_RESTART_PARTS), Apply.RESTART),
        **dict.fromkeys(_NEVER, Apply.NEVER),
    },
)

_MAKING = ("create", "clone")
_SETTLE_TIME, _HA_TIME = 15.0, 120.0


class ProxmoxBackend(Backend):
    name: ClassVar[str] = "proxmox"
    capabilities: ClassVar[Capabilities] = CAPABILITIES
    name_pattern: ClassVar[re.Pattern[str]] = re.compile(
        r"(?=.{1,63}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
    )
    name_rule: ClassVar[str] = "It is a DNS name: letters, digits, - and dots, at most 63 in all."
    poll_interval: ClassVar[tuple[float, float]] = (0.25, 2.0)
    chooses_ids: ClassVar[bool] = False
    places_clones: ClassVar[tuple[str, ...]] = ("node", "pool")
    console_options: ClassVar[Mapping[str, Any]] = {"websocket": False}

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.api = Api(options)
        self._nodes: dict[str, str] = {}
        self._listed: Sequence[VM] = ()
        self._seen: dict[str, list[VM]] = {}
        self.in_error: set[str] = set()
        """VMs that HA has given up."""
        self._used: set[str] = set()
        self._missing: set[Identity] = set()
        self._unnamed: set[str] = set()
        """Guests that were seen while they were being made: the name comes later than the rest."""
        self.claiming, self._claimed = threading.Lock(), set[int]()
        self.placed: dict[str, int] = {}
        """The bytes of memory of the VMs that this run has put on nodes of its own choice."""
        self.made: dict[str, str] = {}
        """Ids of the VMs that this run made, by name."""
        self.pools: dict[str, str | None] = {}
        """Only lists tell them, and so they are remembered from there."""
        self.begun: set[str] = set()
        """Tasks that this run began."""

    @cached_property
    def consoles(self) -> Consoles:
        from .console import Consoles

        return Consoles(self.api)

    def node_of(self, vm: VM) -> str:
        """Where a guest was seen last."""
        return self._nodes.get(vm["id"]) or vm["node"]

    def remember(self, vmid: str, node: str | None) -> None:
        """Where a guest is from now on; None if that has to be looked up."""
        if node is None:
            self._nodes.pop(vmid, None)
        else:
            self._nodes[vmid] = node

    # --- questions

    def list(self) -> list[VM]:
        found = self._rows()
        self._listed = found
        return list(found)

    def _rows(self) -> Sequence[VM]:
        """Two kinds of request: the cluster's list for nodes and pools, and each node's own, which is never stale.

        Of a node that is away the guests are told as they were seen last, in state unknown: they are not gone.
        """
        rows = self.api.get("cluster", "resources")
        guests = {str(row["vmid"]): row for row in rows if row.get("type") == "qemu"}
        online = sorted(row["node"] for row in rows if row.get("type") == "node" and row.get("status") == "online")
        told = self.api.of_nodes(online, "qemu", full=1)
        found = [self._row(node, guest, guests.get(str(guest["vmid"]), {})) for node in told for guest in told[node]]
        known = {vm["id"] for vm in found}
        away = [row for vmid, row in guests.items() if row["node"] not in told and vmid not in known]
        self._unnamed.update(vm["id"] for vm in found if _is_being_made(vm))
        return found + [self._row(row["node"], {**row, "status": "unknown"}, row) for row in away]

    def _row(self, node: str, guest: Mapping[str, Any], listed: Mapping[str, Any]) -> VM:
        vmid = str(guest["vmid"])
        self._nodes[vmid] = node
        if listed:
            self.pools[vmid] = listed.get("pool")
        if "error" in (listed.get("hastate"), guest.get("ha", {}).get("state")):
            self.in_error.add(vmid)
        return {
            "id": vmid,
            "name": guest.get("name") or _stand_in(vmid),
            "backend": self.name,
            "node": node,
            "state": _state(guest),
            "native_state": guest.get("qmpstatus") or guest.get("status"),
            "template": str(guest.get("template", 0)) == "1",
            "tags": translation.tags_of(guest.get("tags")),
            "pool": self.pools.get(vmid),
            "ha": listed.get("hastate") not in (None, "ignored"),
            "lock": guest.get("lock"),
            "memory": int(guest.get("maxmem", 0)) >> 20,
            "cores": guest.get("cpus"),
        }

    def find(self, identity: Identity, gather: Sequence[str] = ()) -> VM | None:
        vm = self.locate(identity)
        if vm is not None:
            self.add_facts(vm, gather)
        return vm

    def add_facts(self, vm: VM, gather: Sequence[str]) -> None:
        if {"config", "pending"} & set(gather):
            self._add_settings(vm, "pending" in gather)
        if "snapshots" in gather:
            vm["snapshots"] = self._snapshots(vm)
        if "agent" in gather:
            from . import agent

            vm.update(agent.facts(self.api, vm))
        if "console" in gather:
            vm["console"] = self.consoles.of(vm)

    def overview(self) -> Sequence[VM]:
        from . import overview

        return overview.rows(self.api)

    def node_addresses(self) -> Mapping[str, str | None]:
        from . import overview

        return overview.node_addresses(self.api)

    def absent_advice(self, identity: Identity) -> str:
        hidden = "" if identity.name is None else " One that this user may not see (VM.Audit) looks the same."
        return super().absent_advice(identity) + hidden

    def prefetch(self, identities: Sequence[Identity]) -> None:
        """All VMs of a few nodes cost less than a request for each of many VMs. What was just listed is used once."""
        if len(identities) > 1:
            self._seen, self._used = {}, set()
            for vm in self._listed or self._rows():
                for word in (vm["id"], vm["name"]):
                    self._seen.setdefault(word, []).append(vm)
            self._missing = {one for one in identities if not {one.id, one.name} & self._seen.keys()}
        self._listed = ()

    def settle_time_of(self, plan: Plan) -> float:
        """The API may tell of a task's end before of the new state; HA acts on its own time after the task."""
        return _HA_TIME if plan.before.get("ha") else _SETTLE_TIME

    def locate(self, identity: Identity) -> VM | None:
        known = [vm for word in (identity.id, identity.name) if word for vm in self._seen.get(word, ())]
        seen = identity.pick(list({vm["id"]: vm for vm in known}.values()))
        if seen is not None and seen["id"] not in self._used:
            self._used.add(seen["id"])
            return seen
        if identity in self._missing:
            self._missing.discard(identity)
            return None
        if identity.id is not None and identity.id.isdigit():
            vm = self._by_id(identity.id)
            if vm is not None or identity.name is None:
                return vm
        if seen is not None:
            vm = self._by_id(seen["id"])
            if vm is not None and identity.matches(vm):
                return vm
        return identity.pick(self._rows()) if identity.name is not None else None

    def _by_id(self, vmid: str) -> VM | None:
        """A guest by its id. It may have moved since it was seen: then it is looked for once more."""
        for known in (self._nodes.get(vmid), None):
            node = known or self._node_of(vmid)
            if node is None:
                return None
            try:
                current = self.api.get("nodes", node, "qemu", vmid, "status", "current")
            except NotFound:
                self._nodes.pop(vmid, None)
                continue
            vm = self._row(node, {**current, "vmid": vmid}, {})
            vm["ha"] = bool(int(current.get("ha", {}).get("managed", 0)))
            return vm
        return None

    def _node_of(self, vmid: str) -> str | None:
        """
        :raises PermissionDenied: the guest is there, and we may not see it.
        """
        for row in self.api.get("cluster", "resources", type="vm"):
            if row.get("type") == "qemu" and str(row["vmid"]) == vmid:
                self.pools[vmid] = row.get("pool")
                return row["node"]
        try:
            self.api.get("cluster", "nextid", vmid=vmid)
        except InvalidRequest as error:
            if "already exists" in error.message:
                raise PermissionDenied(
                    f"VM {vmid} exists, but is not shown to this user.", advice="Give VM.Audit on it, to the token too."
                ) from error
        return None

    def _add_settings(self, vm: VM, with_pending: bool) -> None:
        """One request tells what runs and what waits for a restart."""
        now, next_boot = self.configurations(vm)
        settings = translation.settings_of(next_boot)
        vm.update(settings)
        if with_pending:
            runs = vm["state"] in ("running", "paused")
            vm["pending"] = waiting(translation.settings_of(now), settings) if runs else {}

    def configurations(self, vm: VM) -> tuple[dict[str, Any], dict[str, Any]]:
        rows = self.api.get("nodes", vm["node"], "qemu", vm["id"], "pending")
        now = {row["key"]: row["value"] for row in rows if "value" in row}
        next_boot = {row["key"]: row.get("pending", row.get("value")) for row in rows if not row.get("delete")}
        return now, next_boot

    def _snapshots(self, vm: VM) -> dict[str, dict[str, Any]]:
        rows = self.api.get("nodes", vm["node"], "qemu", vm["id"], "snapshot")
        return {
            row["name"]: {
                "parent": row.get("parent"),
                "time": row.get("snaptime"),
                "description": row.get("description", "").rstrip("\n"),
                "memory": str(row.get("vmstate", 0)) == "1",
                "complete": "snapstate" not in row,
            }
            for row in rows
            if row["name"] != "current"
        }

    def load_snapshot(self, vm: VM, name: str) -> None:
        if name in vm["snapshots"]:
            told = self.api.get("nodes", vm["node"], "qemu", vm["id"], "config", snapshot=name)
            # a revert leaves the VM its description; the one in there is the snapshot's
            config = {key: value for key, value in told.items() if key != "description"}
            kept = {key: vm[key] for key in ("description",) if key in vm}
            vm["snapshots"][name]["config"] = {**translation.settings_of(config), **kept}

    def inquire(self, op: Op, arguments: Mapping[str, Any]) -> dict[str, Any]:
        from . import queries

        return queries.QUERIES[op](self.api, arguments)

    # --- checks

    def normal_settings(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """As the server stores them: tags in lower case, property strings in parts, texts without a blank end."""
        result = dict(wanted)
        if "tags" in result:
            result["tags"] = sorted({tag.lower() for tag in result["tags"]})
        if "description" in result:
            result["description"] = result["description"].rstrip()
        if "native" in result:
            result["native"] = native_settings(result["native"])
        if "cloud_init" in result:
            result["cloud_init"] = translation.stored_cloud_init(result["cloud_init"])
        return result

    def clone_of(self, source: VM, name: str) -> VM:
        """Neither the pool nor what HA and locks do with the source is passed on; its disks become other volumes."""
        clone = {**super().clone_of(source, name), "pool": None, "ha": False, "lock": None}
        disks = clone.get("disks") or {}
        clone["disks"] = {
            slot: {part: value for part, value in disk.items() if part != "volume"} for slot, disk in disks.items()
        }
        return clone

    def foreseen(self, plan: Plan) -> Plan:
        return replace(plan, after=after_all(plan)) if plan.changed else plan

    def pending_after(self, plan: Plan) -> Sequence[str]:
        """A cloud-init drive that was to go can be kept, and then nothing waits."""
        pending = super().pending_after(plan)
        goes = (plan.before.get("pending") or {}).get("cloud_init") is not None
        return [name for name in pending if name != "cloud_init"] if goes and "cloud_init" in plan.after else pending

    def apply_of(self, change: Change, vm: VM) -> Apply:
        """The cloud-init drive itself comes and goes with a start; what is in it is changed at once."""
        if change.setting == "disks" and not is_plugged(change.path[1]):
            return Apply.RESTART
        if change.path == ("cloud_init",) and None in (change.before, change.after):
            return Apply.RESTART
        if change.path == ("native",) and is_live(change.before or {}, change.after or {}):
            return Apply.LIVE
        return super().apply_of(change, vm)

    def preflight(self, step: Step) -> None:
        from .preflight import Preflight

        Preflight(self).check(step)

    # --- operations

    def free_id(self) -> str:
        """An id that nobody is known to have, and that no other thread of this run is trying to take."""
        with self.claiming:
            vmid = int(self.api.get("cluster", "nextid"))
            while vmid in self._claimed or str(vmid) in self._nodes:
                vmid += 1
            self._claimed.add(vmid)
        return str(vmid)

    def perform(self, step: Step, deadline: Deadline) -> Task:
        from .operations import Operations

        return Operations(self, deadline).perform(step)

    @contextmanager
    def exclusive(self, plan: Plan, deadline: Deadline) -> Iterator[bool]:
        """Nobody is kept away, ids are taken by trying. But a guest that a killed run began may be the one to make."""
        if plan.steps[0].op not in (Op.CREATE, Op.CLONE) or not self._unnamed - {*self.made.values()}:
            yield False
            return
        for _turn in deadline.intervals(*self.poll_interval):
            if not self._is_one_being_made():
                break
        yield True

    def _is_one_being_made(self) -> bool:
        """Whether a task is at work on a guest without a name. One that a node left behind when it died stays so."""
        strangers = {vm["id"] for vm in self._rows() if _is_being_made(vm)} - {*self.made.values()}
        if not strangers:
            return False
        at_work = [row for row in self.api.get("cluster", "tasks") if not row.get("endtime")]
        return any(row["type"] == "qmclone" or row["id"] in strangers for row in at_work)

    def poll(self, tasks: Sequence[Task]) -> Sequence[Task]:
        ours = [task for task in tasks if not task.id.startswith("proxmox:")]
        told = {task.id: task for task in upids.poll(self.api, ours)} if ours else {}
        told.update((upid, upids.excused(task)) for upid, task in told.items() if upid in self.begun)
        return [told.get(task.id) or Task(task.id, self.name, TaskState.SUCCEEDED) for task in tasks]

    def held_by(self, identity: Identity) -> str | None:
        vm = self.locate(identity)
        return f"lock {vm['lock']}" if vm and vm["lock"] and vm["lock"] != "suspended" else None


def _stand_in(vmid: str) -> str:
    """What a guest is called that has no name."""
    return f"VM {vmid}"


def _is_being_made(vm: VM) -> bool:
    return vm["lock"] in _MAKING and vm["name"] == _stand_in(vm["id"])


def _state(guest: Mapping[str, Any]) -> str:
    """A row's power state: to Proxmox VE a paused guest runs, and one suspended to disk is stopped and locked."""
    if guest.get("status") == "running":
        return "paused" if guest.get("qmpstatus") in ("paused", "prelaunch", "io-error") else "running"
    if guest.get("status") == "stopped":
        return "suspended" if guest.get("lock") == "suspended" else "stopped"
    return "unknown"
