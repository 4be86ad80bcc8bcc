# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proxmox VE 8.4 and 9: guests of a cluster, wherever in it they are."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from ..._errors import Conflict, InvalidRequest, NotFound, PermissionDenied, TransportError, Unsupported
from ..._plan import VM, Change, Op, Plan, Step, differences
from ..._task import Deadline, Task, TaskState, wait_all
from ..base import Apply, Backend, Capabilities, Identity
from . import config as translation
from . import tasks as upids
from .api import Api

_LIVE = ("name", "description", "tags", "template")
_LIVE_PARTS = ("disks", "disks.slot", "disks.size", "nics", "nics.slot", "nics.connected", "cdrom.image")
_LIVE_NIC = ("nics.network", "nics.vlan")
_RESTART = ("memory", "cores", "sockets", "cpu_type", "firmware", "boot_order", "native", "nics.model", "nics.mac")
_RESTART_PARTS = ("guest_agent", "cdrom", "cdrom.slot")
_CLOUD_INIT = ("user", "password", "ssh_keys", "nameservers", "search_domains", "ip_config")
_NEVER = ("disks.storage", "disks.format", "disks.source", "node", "pool")

CAPABILITIES = Capabilities(
    operations=frozenset(Op) - {Op.REVERT_DISKS},
    fields={
        **dict.fromkeys((*_LIVE, *_LIVE_PARTS, *_LIVE_NIC), Apply.LIVE),
        **dict.fromkeys(("cloud_init", *(f"cloud_init.{part}" for part in _CLOUD_INIT)), Apply.LIVE),
        **dict.fromkeys((*_RESTART, *_RESTART_PARTS), Apply.RESTART),
        **dict.fromkeys(_NEVER, Apply.NEVER),
    },
)

_SETTLE_TIME, _HA_TIME = 15.0, 120.0

_CLAIMS = 10
"""How often a new id is tried when others take it first."""


class ProxmoxBackend(Backend):
    name: ClassVar[str] = "proxmox"
    capabilities: ClassVar[Capabilities] = CAPABILITIES
    name_pattern: ClassVar[re.Pattern[str]] = re.compile(
        r"(?=.{1,63}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
    )
    name_rule: ClassVar[str] = "It is a DNS name: letters, digits, - and dots, at most 63 in all."
    poll_interval: ClassVar[tuple[float, float]] = (0.25, 2.0)
    chooses_ids: ClassVar[bool] = False

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.api = Api(options)
        self._nodes: dict[str, str] = {}
        self._seen: dict[str, VM] = {}

    # --- questions

    def list(self) -> list[VM]:
        """Two kinds of request: the cluster's list for nodes and pools, and each node's own, which is never stale."""
        rows = self.api.get("cluster", "resources")
        pools = {str(row["vmid"]): row.get("pool") for row in rows if row.get("type") == "qemu"}
        nodes = [row["node"] for row in rows if row.get("type") == "node" and row.get("status") == "online"]
        found = [
            self._row(node, guest, pools.get(str(guest["vmid"])))
            for node in sorted(nodes)
            for guest in self.api.get("nodes", node, "qemu", full=1)
        ]
        self._seen = {vm["id"]: vm for vm in found}
        return found

    def _row(self, node: str, guest: Mapping[str, Any], pool: str | None) -> VM:
        vmid = str(guest["vmid"])
        self._nodes[vmid] = node
        return {
            "id": vmid,
            "name": guest.get("name") or f"VM {vmid}",
            "backend": self.name,
            "node": node,
            "state": _state(guest),
            "native_state": guest.get("qmpstatus") or guest.get("status"),
            "template": str(guest.get("template", 0)) == "1",
            "tags": translation.tags_of(guest.get("tags")),
            "pool": pool,
            "lock": guest.get("lock"),
            "memory": int(guest.get("maxmem", 0)) >> 20,
            "cores": guest.get("cpus"),
        }

    def find(self, identity: Identity, gather: Sequence[str] = ()) -> VM | None:
        vm = self._locate(identity)
        if vm is None:
            return None
        if {"config", "pending"} & set(gather):
            self._add_settings(vm)
        if "pending" not in gather:
            vm.pop("pending", None)
        if "snapshots" in gather:
            vm["snapshots"] = self._snapshots(vm)
        if "agent" in gather:
            vm.update(self._agent_facts(vm))
        return vm

    def prefetch(self, identities: Sequence[Identity]) -> None:
        """All VMs of a few nodes cost less than a request for each of many VMs."""
        if len(identities) > 1 and not all(one.id in self._seen for one in identities):
            self.list()

    def settle_time_of(self, plan: Plan) -> float:
        """The API may tell of a task's end before of the new state; HA acts on its own time after the task."""
        return _HA_TIME if plan.before.get("ha") else _SETTLE_TIME

    def _locate(self, identity: Identity) -> VM | None:
        seen = self._seen.pop(identity.id or "", None)
        if seen is None and self._seen and identity.name is not None:
            seen = identity.pick(list(self._seen.values()))
        if seen is not None:
            self._seen.pop(seen["id"], None)
            return seen
        if identity.id is not None and identity.id.isdigit():
            vm = self._by_id(identity.id)
            if vm is not None or identity.name is None:
                return vm
        return identity.pick(self.list()) if identity.name is not None else None

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
            vm = self._row(node, {**current, "vmid": vmid}, None)
            vm["ha"] = bool(int(current.get("ha", {}).get("managed", 0)))
            return vm
        return None

    def _node_of(self, vmid: str) -> str | None:
        """
        :raises PermissionDenied: the guest is there, and we may not see it.
        """
        for row in self.api.get("cluster", "resources", type="vm"):
            if row.get("type") == "qemu" and str(row["vmid"]) == vmid:
                return row["node"]
        try:
            self.api.get("cluster", "nextid", vmid=vmid)
        except InvalidRequest as error:
            if "already exists" in error.message:
                raise PermissionDenied(
                    f"VM {vmid} exists, but is not shown to this user.", advice="Give VM.Audit on it, to the token too."
                ) from error
        return None

    def _add_settings(self, vm: VM) -> None:
        """One request tells what runs and what waits for a restart."""
        now, next_boot = self._configurations(vm)
        vm.update(translation.settings_of(next_boot))
        vm["pending"] = {}
        if vm["state"] in ("running", "paused"):
            running = translation.settings_of(now)
            found = differences(running, translation.settings_of(next_boot))
            vm["pending"] = {".".join(change.path): change.before for change in found}

    def _configurations(self, vm: VM) -> tuple[dict[str, Any], dict[str, Any]]:
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

    def _agent_facts(self, vm: VM) -> dict[str, Any]:
        from ..addresses import usable

        if vm["state"] == "running":
            try:
                told = self.api.get("nodes", vm["node"], "qemu", vm["id"], "agent", "network-get-interfaces")
                interfaces = told["result"]
                return {
                    "agent": {"running": True, "interfaces": interfaces},
                    "addresses": usable(interfaces),
                }
            except (Conflict, NotFound, TransportError) as error:
                return {"agent": {"running": False, "interfaces": [], "error": error.message}, "addresses": []}
        return {"agent": {"running": False, "interfaces": []}, "addresses": []}

    # --- checks

    def normal_settings(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """As the server stores them: tags in lower case, property strings in parts, texts without a blank end."""
        result = dict(wanted)
        if "tags" in result:
            result["tags"] = sorted({tag.lower() for tag in result["tags"]})
        if "description" in result:
            result["description"] = result["description"].rstrip()
        if "native" in result:
            result["native"] = {key: translation.native_value(key, value) for key, value in result["native"].items()}
        return result

    def preflight(self, step: Step) -> None:
        if step.arguments.get("apply") == "next_boot" and step.vm.get("state") in ("running", "paused"):
            raise Unsupported("Backend proxmox applies at once what it can: apply: next_boot is not possible.")
        if step.op is Op.STOP and step.vm.get("state") == "suspended":
            raise Unsupported("Proxmox VE does not give up the memory of a suspended VM.", advice="Resume it first.")
        if step.op in (Op.CREATE, Op.UPDATE):
            changes = step.arguments.get("changes") or tuple(differences({}, step.arguments.get("settings", {})))
            translation.write_of(
                (change for change in changes if change.path[0] == "disks" and len(change.path) == 2), {}
            )

    # --- operations

    def perform(self, step: Step, deadline: Deadline) -> Task:
        operation: Callable[[Step, Deadline], Task] = getattr(self, f"_{step.op.value}")
        self._wait_unlocked(step, deadline)
        return operation(step, deadline)

    def poll(self, tasks: Sequence[Task]) -> Sequence[Task]:
        ours = [task for task in tasks if not task.id.startswith("proxmox:")]
        told = {task.id: task for task in upids.poll(self.api, ours)} if ours else {}
        return [told.get(task.id) or Task(task.id, self.name, TaskState.SUCCEEDED) for task in tasks]

    def held_by(self, identity: Identity) -> str | None:
        vm = self._locate(identity)
        return f"lock {vm['lock']}" if vm and vm["lock"] and vm["lock"] != "suspended" else None

    def _wait_unlocked(self, step: Step, deadline: Deadline) -> None:
        """
        :raises Conflict: another task holds the VM until the deadline.
        """
        lock = step.vm.get("lock")
        if not lock or lock == "suspended":
            return
        for _turn in deadline.intervals(*self.poll_interval):
            lock = self.held_by(Identity(id=step.vm["id"]))
            if lock is None:
                return
        raise Conflict(f"VM {step.vm['name']} is held by {lock} for more than {deadline.seconds:g} s.")

    def _path(self, vm: VM) -> tuple[str, ...]:
        return ("nodes", self._nodes.get(vm["id"]) or vm["node"], "qemu", vm["id"])

    def _send(self, kind: str, node: str, vmid: str, write: Callable[[], Any]) -> Task:
        """Send a write once. A lost answer is settled by the node's list of tasks before anything else is done.

        :param kind: the type of task that the write begins.
        :raises TransportError: no answer came, and no such task began.
        """
        begun = int(time.time()) - 2
        try:
            return upids.begun(write())
        except TransportError as error:
            for row in self._recent_tasks(node, vmid, kind, begun):
                return upids.begun(row["upid"])
            error.advice = f"No task {kind} of VM {vmid} began: nothing was done. Run the task again."
            raise

    def _recent_tasks(self, node: str, vmid: str, kind: str, since: int) -> Sequence[Mapping[str, Any]]:
        return self.api.get("nodes", node, "tasks", source="all", vmid=vmid, typefilter=kind, since=since, limit=5)

    def _done(self, step: Step) -> Task:
        return Task(f"proxmox:{step.op.value}:{step.vm['id']}", self.name, TaskState.SUCCEEDED)

    def _wait(self, task: Task, deadline: Deadline) -> Task:
        return wait_all([task], self.poll, deadline, self.poll_interval)[0].require_success()

    def _create(self, step: Step, deadline: Deadline) -> Task:
        settings = dict(step.arguments["settings"])
        node = settings.pop("node", None) or self._least_loaded_node()
        changes = tuple(differences({}, settings))
        write = translation.write_of(changes, {})
        values = {**write.values, **self._small_volumes(settings, changes)}
        mark = str(uuid.uuid4())
        values["smbios1"] = f"uuid={mark}"
        if settings.get("pool"):
            values["pool"] = settings["pool"]

        def begin(vmid: str) -> Task:
            return self._claim(node, vmid, mark, lambda: self.api.post("nodes", node, "qemu", vmid=vmid, **values))

        task = self._with_new_id(step, node, begin)
        if write.resize or settings.get("template"):
            self._wait(task, deadline)
            vm = {**step.vm, "node": node}
            task = self._resize(vm, write, deadline) or task
            if settings.get("template"):
                task = self._make_template(vm)
        return task

    def _small_volumes(self, settings: Mapping[str, Any], changes: Sequence[Change]) -> dict[str, str]:
        values = {}
        if settings.get("firmware") == "uefi" and "efidisk0" not in settings.get("native", {}):
            values["efidisk0"] = f"{translation.shared_storage(changes, {})}:1,efitype=4m"
        if "cloud_init" in settings:
            taken = {*settings.get("disks", {}), (settings.get("cdrom") or {}).get("slot")}
            slot = next(slot for slot in ("ide2", "ide0", "ide1", "ide3") if slot not in taken)
            values[slot] = f"{translation.shared_storage(changes, {})}:cloudinit"
        return values

    def _with_new_id(self, step: Step, node: str, begin: Callable[[str], Task]) -> Task:
        """Take the id that was asked for, or a free one; another run may take that first, then the next."""
        wish = step.arguments.get("id")
        for _attempt in range(_CLAIMS):
            vmid = wish or str(self.api.get("cluster", "nextid"))
            try:
                task = begin(vmid)
            except (Conflict, InvalidRequest) as error:
                if wish or "already exists" not in error.message:
                    raise
                continue
            step.vm["id"] = vmid
            self._nodes[vmid] = node
            return task
        raise Conflict(f"{_CLAIMS} ids in a row were taken by others.", advice="Run the task again, or choose an id.")

    def _claim(self, node: str, vmid: str, mark: str, write: Callable[[], Any]) -> Task:
        """A create whose lost answer is ours only if the guest bears our mark."""
        try:
            return upids.begun(write())
        except TransportError:
            for _turn in Deadline(20).intervals(0.5, 2.0):
                try:
                    found = self.api.get("nodes", node, "qemu", vmid, "config")
                except NotFound:
                    continue
                if mark in str(found.get("smbios1", "")):
                    rows = self._recent_tasks(node, vmid, "qmcreate", int(time.time()) - 120)
                    return upids.begun(rows[0]["upid"])
                break
            raise

    def _least_loaded_node(self) -> str:
        nodes = [row for row in self.api.get("nodes") if row.get("status") == "online"]
        if not nodes:
            raise NotFound("No node of the cluster is online.")
        return max(nodes, key=lambda row: (row.get("maxmem", 0) - row.get("mem", 0), row["node"]))["node"]

    def _clone(self, step: Step, deadline: Deadline) -> Task:
        source = step.source or {}
        options: dict[str, Any] = {
            "name": step.vm["name"],
            "full": int(not step.arguments.get("linked")),
            "snapname": step.arguments.get("snapshot"),
            "target": step.arguments.get("node"),
            "storage": step.arguments.get("storage"),
            "pool": step.arguments.get("pool"),
        }
        node = self._path(source)[1]

        def begin(vmid: str) -> Task:
            return self._send(
                "qmclone",
                node,
                source["id"],
                lambda: self.api.post(*self._path(source), "clone", newid=vmid, **options),
            )

        return self._with_new_id(step, options["target"] or node, begin)

    def _update(self, step: Step, deadline: Deadline) -> Task:
        vm = dict(step.vm)
        if "id" not in vm:
            vm.update(self._locate(Identity(name=vm["name"])) or {})
        changes = step.arguments["changes"]
        task = self._write_config(vm, changes, deadline)
        write = translation.write_of(changes, self._configurations(vm)[1])
        task = self._resize(vm, write, deadline) or task
        if write.cloud_init and translation.cloud_init_drive(self._configurations(vm)[1]):
            self.api.put(*self._path(vm), "cloudinit")
        if any(change.path == ("template",) and change.after for change in changes):
            return self._make_template(vm)
        return task or self._done(Step(step.op, vm))

    def _write_config(self, vm: VM, changes: Sequence[Change], deadline: Deadline) -> Task | None:
        """Send what differs, with the digest of what it was compared with; after a change by others once more."""
        try:
            begun = self._post_config(vm, changes)
        except Conflict as error:
            if "checksum" not in error.message:
                raise
            begun = self._post_config(vm, changes)
        return self._wait(begun, deadline) if begun else None

    def _post_config(self, vm: VM, changes: Sequence[Change]) -> Task | None:
        known = self._configurations(vm)[1]
        write = translation.write_of(changes, known)
        sent = {**write.values, "delete": ",".join(key for key in write.delete if key in known) or None}
        if not write.values and not sent["delete"]:
            return None
        path = self._path(vm)
        return self._send(
            "qmconfig", path[1], vm["id"], lambda: self.api.post(*path, "config", digest=known.get("digest"), **sent)
        )

    def _resize(self, vm: VM, write: translation.Write, deadline: Deadline) -> Task | None:
        task = None
        path = self._path(vm)
        for slot, size in write.resize.items():
            resize = partial(self.api.put, *path, "resize", disk=slot, size=f"{int(size * 1024 * 1024)}K")
            task = self._wait(self._send("resize", path[1], vm["id"], resize), deadline)
        return task

    def _make_template(self, vm: VM) -> Task:
        return self._send("qmtemplate", self._path(vm)[1], vm["id"], lambda: self.api.post(*self._path(vm), "template"))

    def _delete(self, step: Step, deadline: Deadline) -> Task:
        path = self._path(step.vm)
        if step.vm["state"] in ("running", "paused"):
            self._wait(self._stop(step, deadline), deadline)
        return self._send("qmdestroy", path[1], step.vm["id"], lambda: self.api.delete(*path, purge=1))

    def _power(self, step: Step, word: str, kind: str, **options: Any) -> Task:
        vm = step.vm
        if "id" not in vm:
            vm = self._locate(Identity(name=vm["name"])) or vm
        path = self._path(vm)
        return self._send(kind, path[1], vm["id"], lambda: self.api.post(*path, "status", word, **options))

    def _start(self, step: Step, deadline: Deadline) -> Task:
        return self._power(step, "start", "qmstart")

    def _shutdown(self, step: Step, deadline: Deadline) -> Task:
        force, patience = step.arguments["force"], step.arguments["shutdown_timeout"]
        return self._power(step, "shutdown", "qmshutdown", timeout=patience, forceStop=int(force))

    def _stop(self, step: Step, deadline: Deadline) -> Task:
        return self._power(step, "stop", "qmstop", **{"overrule-shutdown": 1})

    def _restart(self, step: Step, deadline: Deadline) -> Task:
        return self._power(step, "reboot", "qmreboot", timeout=step.arguments["shutdown_timeout"])

    def _reset(self, step: Step, deadline: Deadline) -> Task:
        return self._power(step, "reset", "qmreset")

    def _pause(self, step: Step, deadline: Deadline) -> Task:
        return self._power(step, "suspend", "qmpause")

    def _resume(self, step: Step, deadline: Deadline) -> Task:
        return self._power(step, "resume", "qmresume")

    def _suspend(self, step: Step, deadline: Deadline) -> Task:
        return self._power(step, "suspend", "qmsuspend", todisk=1)

    def _snapshot(self, step: Step, deadline: Deadline) -> Task:
        path, wanted = self._path(step.vm), step.arguments
        options = {
            "snapname": wanted["snapshot"],
            "description": wanted.get("description") or None,
            "vmstate": int(bool(wanted.get("memory"))),
        }
        return self._send("qmsnapshot", path[1], step.vm["id"], lambda: self.api.post(*path, "snapshot", **options))

    def _snapshot_describe(self, step: Step, deadline: Deadline) -> Task:
        wanted = step.arguments
        self.api.put(*self._path(step.vm), "snapshot", wanted["snapshot"], "config", description=wanted["description"])
        return self._done(step)

    def _snapshot_delete(self, step: Step, deadline: Deadline) -> Task:
        path = (*self._path(step.vm), "snapshot", step.arguments["snapshot"])
        return self._send("qmdelsnapshot", path[1], step.vm["id"], lambda: self.api.delete(*path))

    def _revert(self, step: Step, deadline: Deadline) -> Task:
        path = (*self._path(step.vm), "snapshot", step.arguments["snapshot"], "rollback")
        start = int(bool(step.arguments.get("start")))
        return self._send("qmrollback", path[1], step.vm["id"], lambda: self.api.post(*path, start=start))


def _state(guest: Mapping[str, Any]) -> str:
    """A row's power state: to Proxmox VE a paused guest runs, and one suspended to disk is stopped and locked."""
    if guest.get("status") == "running":
        return "paused" if guest.get("qmpstatus") in ("paused", "prelaunch", "io-error") else "running"
    if guest.get("status") == "stopped":
        return "suspended" if guest.get("lock") == "suspended" else "stopped"
    return "unknown"
