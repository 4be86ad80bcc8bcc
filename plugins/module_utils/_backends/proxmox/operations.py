# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changes a cluster: one method for each operation, named like it.

A write is sent once. Where its answer is lost, the cluster is asked whether it was done.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..._errors import Conflict, InvalidRequest, NotFound, TransportError
from ..._fields import MIB
from ..._plan import VM, Change, Op, Step, differences
from ..._task import Deadline, Task, TaskState
from ..base import Identity
from . import config as translation
from . import tasks as upids

if TYPE_CHECKING:
    from .driver import ProxmoxBackend

_KINDS_OF_HA = {"qmstart": "hastart", "qmstop": "hastop", "qmshutdown": "hastop", "qmigrate": "hamigrate"}
"""The tasks that begin instead where a VM is managed by HA."""

_TEXTS_ONLY = frozenset({"description", "name", "onboot", "protection", "tags"})
"""Settings that touch no device. PUT has written them when it answers, so there is no task to wait for."""

_CLAIMS = 10
"""How often a new id is tried when others take it first."""


class Operations:
    """The writes of one step.

    :param backend: for what has to be read beside.
    :param deadline: for steps that need several tasks, one after the other.
    """

    def __init__(self, backend: ProxmoxBackend, deadline: Deadline) -> None:
        self._backend = backend
        self._api = backend.api
        self._deadline = deadline

    def perform(self, step: Step) -> Task:
        """Begin the step; of several tasks the last one."""
        operation: Callable[[Step], Task] = getattr(self, step.op.value)
        if step.op is not Op.CONSOLE:
            self._wait_unlocked(step)
        return operation(step)

    def _wait_unlocked(self, step: Step) -> None:
        """
        :raises Conflict: another task holds the VM until the deadline.
        """
        lock = step.vm.get("lock")
        if not lock or lock == "suspended":
            return
        for _turn in self._deadline.intervals(*self._backend.poll_interval):
            lock = self._backend.held_by(Identity(id=step.vm["id"]))
            if lock is None:
                return
        raise Conflict(f"VM {step.vm['name']} is held by {lock} for more than {self._deadline.seconds:g} s.")

    def _path(self, vm: VM) -> tuple[str, ...]:
        return ("nodes", self._backend.node_of(vm), "qemu", vm["id"])

    def _send(self, kind: str, node: str, vmid: str, write: Callable[[], Any]) -> Task:
        """Send a write once. A lost answer is settled by the node's list of tasks before anything else is done.

        :param kind: the type of task that the write begins.
        :raises TransportError: no answer came, and no such task began.
        """
        begun = time.time()
        try:
            return self._begun(write())
        except TransportError as error:
            for row in self._recent_tasks(node, vmid, kind, begun):
                return self._begun(row["upid"])
            error.advice = f"No task {kind} of VM {vmid} began: nothing was done. Run the task again."
            raise

    def _begun(self, upid: str) -> Task:
        self._backend.begun.add(upid)
        return upids.begun(upid)

    def _recent_tasks(self, node: str, vmid: str, kind: str, begun: float) -> Sequence[Mapping[str, Any]]:
        """The tasks that began at a moment of ours or later, by the server's clock, and that we do not know yet."""
        since = int(begun + self._api.clock_ahead) - 2
        try:
            rows = self._api.get("nodes", node, "tasks", source="all", vmid=vmid, since=since, limit=20)
        except TransportError as error:
            error.advice = f"It is not known whether task {kind} of VM {vmid} began: see the tasks of node {node}."
            raise
        kinds = (kind, _KINDS_OF_HA.get(kind))
        return [row for row in rows if row["type"] in kinds and row["upid"] not in self._backend.begun]

    def _repeat(self, write: Callable[[], Any]) -> None:
        """Send what may be sent twice, since it sets what it sets; once more when its answer is lost."""
        try:
            write()
        except TransportError:
            write()

    def _done(self, step: Step) -> Task:
        return Task(f"proxmox:{step.op.value}:{step.vm['id']}", "proxmox", TaskState.SUCCEEDED)

    def _wait(self, task: Task) -> Task:
        return self._backend.poller.wait(task, self._deadline).require_success()

    def create(self, step: Step) -> Task:
        settings = dict(step.arguments["settings"])
        node = settings.pop("node", None) or self._roomiest_node(settings.get("memory", 512))
        changes = tuple(differences({}, settings))
        write = translation.write_of(changes, {})
        values, mark = dict(write.values), str(uuid.uuid4())
        values["smbios1"] = ",".join(filter(None, [f"uuid={mark}", values.get("smbios1")]))
        if settings.get("firmware") == "uefi":
            values.setdefault("efidisk0", f"{translation.shared_storage(changes, {})}:1,efitype=4m")
        if settings.get("pool"):
            values["pool"] = settings["pool"]

        def begin(vmid: str) -> Task:
            return self._claim(node, vmid, mark, lambda: self._api.post("nodes", node, "qemu", vmid=vmid, **values))

        task = self._with_new_id(step, node, begin)
        if write.resize or settings.get("template"):
            self._wait(task)
            vm = {**step.vm, "node": node}
            task = self._resize(vm, write) or task
            if settings.get("template"):
                task = self._make_template(vm)
        return task

    def _with_new_id(self, step: Step, node: str, begin: Callable[[str], Task]) -> Task:
        """Take the id that was asked for, or a free one; another run may take that first, then the next."""
        wish = step.arguments.get("id")
        for _attempt in range(_CLAIMS):
            vmid = wish or self._backend.free_id()
            try:
                task = begin(vmid)
            except (Conflict, InvalidRequest) as error:
                if wish or "already exists" not in error.message:
                    raise
                continue
            step.vm["id"] = vmid
            self._backend.pools[vmid] = (step.arguments.get("settings") or step.arguments).get("pool")
            self._backend.made[step.vm["name"]] = vmid
            self._backend.remember(vmid, node)
            return task
        raise Conflict(f"{_CLAIMS} ids in a row were taken by others.", advice="Run the task again, or choose an id.")

    def _claim(self, node: str, vmid: str, mark: str, write: Callable[[], Any]) -> Task:
        """A create whose lost answer is ours only if the guest bears our mark."""
        begun = time.time()
        try:
            return self._begun(write())
        except TransportError as error:
            tasks = self._recent_tasks(node, vmid, "qmcreate", begun)
            if tasks and self._is_made(node, vmid, lambda config: mark in str(config.get("smbios1", ""))):
                return self._begun(tasks[0]["upid"])
            error.advice = f"VM {vmid} was not made by this: nothing was done. Run the task again."
            raise

    def _is_made(self, node: str, vmid: str, is_ours: Callable[[Mapping[str, Any]], bool]) -> bool:
        """Whether a guest whose making is under way is ours: before the end its configuration may be a mere stub."""
        for _turn in self._deadline.intervals(*self._backend.poll_interval):
            try:
                config = self._api.get("nodes", node, "qemu", vmid, "config")
            except NotFound:
                return False
            if is_ours(config) or not config.get("lock"):
                return is_ours(config)
        return False

    def _roomiest_node(self, memory: int) -> str:
        """The one with the most free memory, less what this run has put there.

        :param memory: the MiB that the new VM will have.
        """
        rows = [row for row in self._api.get("nodes") if row.get("status") == "online"]
        if not rows:
            raise NotFound("No node of the cluster is online.")
        with self._backend.claiming:
            placed = self._backend.placed
            free = {row["node"]: row.get("maxmem", 0) - row.get("mem", 0) - placed.get(row["node"], 0) for row in rows}
            node = max(free, key=lambda name: (free[name], name))
            placed[node] = placed.get(node, 0) + memory * MIB
        return node

    def clone(self, step: Step) -> Task:
        source = step.source or {}
        options: dict[str, Any] = {
            "name": step.vm["name"],
            # of a snapshot only its own description is known
            "description": source.get("description") or None if step.arguments.get("snapshot") else None,
            "full": int(not step.arguments.get("linked")),
            "snapname": step.arguments.get("snapshot"),
            "target": step.arguments.get("node"),
            "storage": step.arguments.get("storage"),
            "pool": step.arguments.get("pool"),
        }
        target = options["target"] or self._path(source)[1]

        def begin(vmid: str) -> Task:
            try:
                return self._begun(self._api.post(*self._path(source), "clone", newid=vmid, **options))
            except TransportError as error:
                # its task is named after the source, of which others may make clones at the same time
                if self._is_made(target, vmid, lambda config: config.get("name") == step.vm["name"]):
                    return Task(f"proxmox:clone:{vmid}", "proxmox", TaskState.SUCCEEDED)
                error.advice = f"VM {vmid} was not made by this: nothing was done. Run the task again."
                raise

        return self._with_new_id(step, target, begin)

    def update(self, step: Step) -> Task:
        vm = self._found(step.vm)
        changes = step.arguments["changes"]
        write, task = self._write_config(vm, changes)
        task = self._resize(vm, write) or task
        if write.cloud_init and translation.cloud_init_drive(self._backend.configurations(vm)[0]):
            self._repeat(lambda: self._api.put(*self._path(vm), "cloudinit"))
        if any(change.path == ("template",) and change.after for change in changes):
            return self._make_template(vm)
        return task or self._done(Step(step.op, vm))

    def _found(self, vm: VM) -> VM:
        """The VM of a step; of one that an earlier step made it is known what that made.

        :raises NotFound: it was not made, or is gone.
        """
        if "id" in vm:
            return vm
        made = self._backend.made.get(vm["name"])
        found = self._backend.locate(Identity(id=made) if made else Identity(name=vm["name"]))
        if found is None:
            raise NotFound(f"VM {vm['name']} is gone since it was made.")
        return found

    def _write_config(self, vm: VM, changes: Sequence[Change]) -> tuple[translation.Write, Task | None]:
        """Send what differs, with the digest of what it was compared with; after a change by others once more."""
        try:
            write, begun = self._post_config(vm, changes)
        except Conflict as error:
            if "checksum" not in error.message:
                raise
            write, begun = self._post_config(vm, changes)
        return write, self._wait(begun) if begun else None

    def _post_config(self, vm: VM, changes: Sequence[Change]) -> tuple[translation.Write, Task | None]:
        now, known = self._backend.configurations(vm)
        # a cloud-init drive that goes at the next start has its name until then, so it is kept rather than made anew
        drive = translation.cloud_init_drive(now) if translation.needs_drive(changes) else ""
        kept = {drive: now[drive]} if drive else {}
        write = translation.write_of(changes, {**kept, **known})
        delete = ",".join(key for key in write.delete if key in known)
        sent = {**write.values, "delete": delete or None, "revert": ",".join(kept) or None}
        if not write.values and not delete and not kept:
            return write, None
        path, sent["digest"] = self._path(vm), known.get("digest")
        if _TEXTS_ONLY.issuperset([*write.values, *write.delete]):
            self._repeat(lambda: self._api.put(*path, "config", **sent))
            return write, None
        return write, self._send("qmconfig", path[1], vm["id"], lambda: self._api.post(*path, "config", **sent))

    def _resize(self, vm: VM, write: translation.Write) -> Task | None:
        task = None
        path = self._path(vm)
        for slot, size in write.resize.items():
            resize = partial(self._api.put, *path, "resize", disk=slot, size=f"{int(size * 1024 * 1024)}K")
            task = self._wait(self._send("resize", path[1], vm["id"], resize))
        return task

    def _make_template(self, vm: VM) -> Task:
        return self._send(
            "qmtemplate", self._path(vm)[1], vm["id"], lambda: self._api.post(*self._path(vm), "template")
        )

    def delete(self, step: Step) -> Task:
        path = self._path(step.vm)
        if step.vm["state"] in ("running", "paused"):
            self._wait(self.stop(step))
            self._wait_stopped(step.vm)
        return self._send("qmdestroy", path[1], step.vm["id"], lambda: self._api.delete(*path, purge=1))

    def _wait_stopped(self, vm: VM) -> None:
        """HA stops a VM on its own time, after the task that asked for it.

        :raises Conflict: it still runs at the deadline.
        """
        for _turn in self._deadline.intervals(*self._backend.poll_interval):
            found = self._backend.locate(Identity(id=vm["id"]))
            if found is None or found["state"] == "stopped":
                return
        raise Conflict(f"VM {vm['name']} still runs after it was stopped.", advice="Look at its console.")

    def _power(self, step: Step, word: str, kind: str, **options: Any) -> Task:
        vm = self._found(step.vm)
        path = self._path(vm)
        return self._send(kind, path[1], vm["id"], lambda: self._api.post(*path, "status", word, **options))

    def start(self, step: Step) -> Task:
        if step.vm.get("state") in ("running", "paused"):
            # it was shut down just now
            self._wait_stopped(step.vm)
        return self._power(step, "start", "qmstart")

    def shutdown(self, step: Step) -> Task:
        if step.vm.get("state") == "paused":
            # a guest that stands still cannot hear it
            self._wait(self.resume(step))
        force, patience = step.arguments["force"], step.arguments["shutdown_timeout"]
        return self._power(step, "shutdown", "qmshutdown", timeout=patience, forceStop=int(force))

    def stop(self, step: Step) -> Task:
        if step.vm.get("state") == "suspended":
            # there is no other way to give up its memory: a stop leaves it, and only root may remove the lock
            self._wait(self.resume(step))
        return self._power(step, "stop", "qmstop", **{"overrule-shutdown": 1})

    def restart(self, step: Step) -> Task:
        """A reboot cannot cut the power of a guest that does not hear it, and so does not do with ``force``."""
        patience = step.arguments["shutdown_timeout"]
        if not step.arguments["force"]:
            if step.vm["state"] == "paused":
                self._wait(self.resume(step))
            return self._power(step, "reboot", "qmreboot", timeout=patience)
        awake = replace(step, vm={**step.vm, "state": "running"}) if step.vm["state"] == "suspended" else step
        self._wait(self.shutdown(awake) if patience else self.stop(awake))
        self._wait_stopped(step.vm)
        return self._power(step, "start", "qmstart")

    def reset(self, step: Step) -> Task:
        return self._power(step, "reset", "qmreset")

    def pause(self, step: Step) -> Task:
        return self._power(step, "suspend", "qmpause")

    def resume(self, step: Step) -> Task:
        return self._power(step, "resume", "qmresume")

    def suspend(self, step: Step) -> Task:
        return self._power(step, "suspend", "qmsuspend", todisk=1)

    def snapshot(self, step: Step) -> Task:
        path, wanted = self._path(step.vm), step.arguments
        options = {
            "snapname": wanted["snapshot"],
            "description": wanted.get("description") or None,
            "vmstate": int(bool(wanted.get("memory"))),
        }
        return self._send("qmsnapshot", path[1], step.vm["id"], lambda: self._api.post(*path, "snapshot", **options))

    def snapshot_describe(self, step: Step) -> Task:
        wanted = step.arguments
        path = (*self._path(step.vm), "snapshot", wanted["snapshot"], "config")
        self._repeat(lambda: self._api.put(*path, description=wanted["description"]))
        return self._done(step)

    def snapshot_delete(self, step: Step) -> Task:
        path = (*self._path(step.vm), "snapshot", step.arguments["snapshot"])
        return self._send("qmdelsnapshot", path[1], step.vm["id"], lambda: self._api.delete(*path))

    def revert(self, step: Step) -> Task:
        path = (*self._path(step.vm), "snapshot", step.arguments["snapshot"], "rollback")
        start = int(bool(step.arguments.get("start")))
        return self._send("qmrollback", path[1], step.vm["id"], lambda: self._api.post(*path, start=start))

    def migrate(self, step: Step) -> Task:
        path, wanted = self._path(step.vm), step.arguments
        options = {
            "target": wanted["node"],
            "online": int(wanted["online"]),
            "with-local-disks": 1 if wanted["with_local_disks"] and wanted["online"] else None,
            "targetstorage": wanted.get("target_storage"),
            "bwlimit": wanted.get("bandwidth_limit"),
        }
        task = self._send("qmigrate", path[1], step.vm["id"], lambda: self._api.post(*path, "migrate", **options))
        self._backend.remember(step.vm["id"], None)
        return task

    def console(self, step: Step) -> Task:
        """The task of the proxy goes on until somebody has come and gone, so it is not waited for."""
        self._backend.consoles.open(step.vm, self._backend.node_of(step.vm))
        return self._done(step)
