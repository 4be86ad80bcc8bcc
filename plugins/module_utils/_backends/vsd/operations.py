# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changes a platform: one method for each operation, named like it.

A write is sent once. Whatever its answer says, and also where that is lost, the platform is asked whether it was done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from operator import itemgetter
from threading import Lock
from typing import TYPE_CHECKING, Any

from ..._errors import BackendError, Conflict, NotFound, TaskFailed, TransportError
from ..._fields import MIB
from ..._plan import VM, Op, Step
from ..._task import Deadline, Task
from ..base import Identity
from . import preflight, words
from .api import refusal
from .tasks import Work

if TYPE_CHECKING:
    from .driver import VsdBackend

SHOWS_WITHIN = 15.0
"""Seconds after which something that was done shows."""

_SNAPSHOT = "/v1/compute/vsd/snapshot"


class Operations:
    """The writes of one step.

    :param backend: for what has to be read beside.
    :param deadline: many requests are answered only when they are done.
    """

    def __init__(self, backend: VsdBackend, deadline: Deadline) -> None:
        self._backend = backend
        self._api = backend.api
        self._deadline = deadline

    def perform(self, step: Step) -> Task:
        operation: Callable[[Step], Task] = getattr(self, step.op.value)
        vm = step.source or step.vm
        if vm.get("lock"):
            self._wait_idle(vm)
        return operation(step)

    def _wait_idle(self, vm: VM) -> None:
        """
        :raises Conflict: the platform works on the VM until the deadline.
        """
        for _turn in self._deadline.intervals(*self._backend.poll_interval):
            lock = self._inspected(vm)["lock"]
            if lock is None:
                return
        raise Conflict(f"VM {vm['name']} is busy for more than {self._deadline.seconds:g} s: {lock}.")

    def _inspected(self, vm: VM) -> VM:
        """
        :raises NotFound: the VM is gone.
        """
        found = self._backend.inspect(vm["id"])
        if found is None:
            raise NotFound(f"VM {vm['name']} is gone.")
        return found

    def _body(self, vm: VM, **more: Any) -> dict[str, Any]:
        """How a request names a VM: its id decides, the name is for the log of the platform."""
        return {**self._api.scope, "compute_uuid": vm["id"], "compute_name": vm["name"], **more}

    def _write(self, what: str, send: Callable[[], Any], is_done: Callable[[], bool], shows: bool = True) -> None:
        """Send a write once, and look whether it was done.

        :param what: what is not the case where it was not, for the message.
        :param shows: whether it looks any different afterwards.
        :raises TransportError: no answer came, and nothing is seen of it.
        :raises TaskFailed: the answer said success, and nothing is seen of it.
        """
        lost: TransportError | None = None
        try:
            send()
        except TransportError as error:
            if not shows:
                error.advice = "It is not known whether that was done. To run the task again does no harm."
                raise
            lost = error
        for _turn in Deadline(SHOWS_WITHIN).intervals(*self._backend.poll_interval):
            try:
                if is_done():
                    return
            except TransportError as error:
                error.advice = f"It was to be seen whether {what}, and that is not known now."
                raise
        if lost is not None:
            lost.advice = f"Nothing is seen of it: {what}. Run the task again."
            raise lost
        raise TaskFailed(f"The platform says success, but {what}.", advice="See the log of the platform.")

    def _post(self, path: str, vm: VM, **more: Any) -> Callable[[], Any]:
        return lambda: self._api.post(path, self._body(vm, **more), self._deadline.left)

    @staticmethod
    def _done(op: Op, vm: VM, *warnings: str) -> Task:
        return Work(op, vm["id"]).done(*warnings)

    def _found(self, vm: VM) -> VM:
        """The VM of a step; one that an earlier step made is looked for.

        :raises NotFound: it was not made, or is gone.
        """
        if "id" in vm:
            return vm
        found = self._backend.find(Identity(name=vm["name"]), ("config",))
        if found is None:
            raise NotFound(f"VM {vm['name']} is gone since it was made.")
        return found

    # --- snapshots

    def snapshot(self, step: Step) -> Task:
        vm, name, memory = step.vm, step.arguments["snapshot"], bool(step.arguments["memory"])
        wanted = {"name": name, "description": step.arguments["description"], "domain_memory": memory}
        self._write(
            f"there is no snapshot {name} of VM {vm['name']}",
            self._post(f"{_SNAPSHOT}/create", vm, **wanted),
            lambda: name in self._backend.snapshots(vm["id"]),
        )
        return Work(Op.SNAPSHOT, vm["id"], (name,)).begun() if memory else self._done(Op.SNAPSHOT, vm)

    def snapshot_describe(self, step: Step) -> Task:
        vm, name, text = step.vm, step.arguments["snapshot"], step.arguments["description"]
        self._write(
            f"snapshot {name} of VM {vm['name']} has another description",
            self._post(f"{_SNAPSHOT}/modify", vm, name=name, description=text),
            lambda: (self._backend.snapshot(vm["id"], name).get("description") or "") == text,
        )
        return self._done(step.op, vm)

    def snapshot_delete(self, step: Step) -> Task:
        vm, name = step.vm, step.arguments["snapshot"]
        self._write(
            f"snapshot {name} of VM {vm['name']} is still there",
            self._post(f"{_SNAPSHOT}/delete", vm, name=name),
            lambda: name not in self._backend.snapshots(vm["id"]),
        )
        return self._done(step.op, vm)

    def revert(self, step: Step) -> Task:
        """What happens to a VM that runs is not documented: its power is cut before, as ``force`` allows."""
        vm, name = step.vm, step.arguments["snapshot"]
        memory = bool(vm["snapshots"][name]["memory"])
        if self._inspected(vm)["state"] != "stopped":
            self._set_power("shutoff", vm, "stopped")
        self._write(
            f"VM {vm['name']} is not at snapshot {name}",
            self._post(f"{_SNAPSHOT}/rollback", vm, name=name, domain_memory=memory),
            lambda: self._head(vm) == name and (not memory or self._inspected(vm)["state"] == "running"),
            shows=memory or self._head(vm) != name,
        )
        if step.arguments["start"] and not memory:
            self._set_power("start", vm, "running")
        return self._done(step.op, vm)

    def _head(self, vm: VM) -> str:
        """The snapshot on which the VM works; what is told of a VM that is at none is not documented."""
        try:
            told = self._api.get(f"{_SNAPSHOT}/head", **self._api.scope, compute_uuid=vm["id"])
        except BackendError as error:
            if "code" not in error.facts:
                raise
            return ""
        return (told or {}).get("name") or ""

    def revert_disks(self, step: Step) -> Task:
        """The answer says success also where single disks fail. A repetition does no harm, since the VM is off."""
        vm, path = step.vm, "/v1/compute/volume/snapshot/rollback"
        wanted = preflight.chosen(self._backend, vm, step.arguments["snapshot"], step.arguments["disks"])
        try:
            told = self._post(path, vm, disk_snapshot_list=list(wanted.values()))()
        except TransportError as error:
            error.advice = "It is not known whether the disks were reverted. To run the task again does no harm."
            raise
        answers = {(one.get("data") or {}).get("VolumeUuid"): one for one in (told or {}).get("results") or []}
        faults: dict[str, str] = {}
        for slot, disk in wanted.items():
            answer = answers.get(disk["VolumeUuid"])
            fault = refusal(path, answer) if answer is not None else BackendError(f"{path}: it is not in the answer.")
            if fault is not None:
                faults[slot] = fault.message.partition(": ")[2]
        if faults:
            text = " ".join(f"{slot}: {told}" for slot, told in faults.items())
            failure = TaskFailed(
                f"{len(faults)} of {len(wanted)} disks of VM {vm['name']} were not reverted to snapshot"
                f" {step.arguments['snapshot']}. {text}",
                advice="The others were." if len(faults) < len(wanted) else "",
                disks=sorted(faults),
            )
            failure.changed = len(faults) < len(wanted)
            raise failure
        return self._done(step.op, vm)

    # --- power

    def _set_power(self, word: str, vm: VM, state: str) -> None:
        self._write(
            f"VM {vm['name']} is not {state}",
            lambda: self._backend.power.send(word, self._body(vm), self._deadline.left),
            lambda: self._inspected(vm)["state"] == state,
        )

    def _power(self, step: Step, word: str, state: str) -> Task:
        vm = self._found(step.vm)
        self._set_power(word, vm, state)
        return self._done(step.op, vm)

    def start(self, step: Step) -> Task:
        return self._power(step, "start", "running")

    def stop(self, step: Step) -> Task:
        return self._power(step, "shutoff", "stopped")

    def pause(self, step: Step) -> Task:
        return self._power(step, "suspend", "paused")

    def resume(self, step: Step) -> Task:
        return self._power(step, "resume", "running")

    def reset(self, step: Step) -> Task:
        """Nothing tells afterwards whether it was done, so a lost answer stays open."""
        try:
            self._backend.power.send("reset", self._body(step.vm), self._deadline.left)
        except TransportError as error:
            error.advice = f"It is not known whether VM {step.vm['name']} was reset. Look at its console."
            raise
        return self._done(step.op, step.vm)

    def shutdown(self, step: Step) -> Task:
        """An answer means that the guest was asked. It may never do it."""
        vm, force = step.vm, bool(step.arguments["force"])
        if self._inspected(vm)["state"] == "paused":
            # a guest that stands still cannot hear it
            self._set_power("resume", vm, "running")
        if self._backend.told[vm["id"]].get("ga_state") != "connected" and force:
            self._set_power("shutoff", vm, "stopped")
            return self._done(step.op, vm)
        try:
            self._backend.power.send("shutdown", self._body(vm), self._deadline.left)
        except TransportError:
            # whether the guest was asked shows in time, if the platform answers at all
            self._inspected(vm)
        end = int(time.time()) + step.arguments["shutdown_timeout"]
        return Work(Op.SHUTDOWN, vm["id"], (str(end), str(int(force)))).begun()

    # --- settings

    def update(self, step: Step) -> Task:
        vm = self._found(step.vm)
        wanted = {change.setting: change.after for change in step.arguments["changes"]}
        if "name" in wanted:
            self._set(vm, "meta/set", {"name": wanted["name"]}, meta={"compute_name": wanted["name"]})
        if "memory" in wanted:
            self._set(vm, "vmemory/set", {"memory": wanted["memory"]}, vmemory=wanted["memory"] * MIB)
        if {"cores", "sockets"} & set(wanted):
            cpus = {"cores": vm["cores"], "sockets": vm["sockets"], **wanted}
            told = {name: cpus[name] for name in ("cores", "sockets")}
            self._set(vm, "vcpu/set", told, **self._cpus(vm, **told))
        return self._done(step.op, vm)

    def _cpus(self, vm: VM, cores: int, sockets: int) -> dict[str, int]:
        """More cores than the VM is prepared for, or other sockets, change what it is prepared for."""
        told, total = self._backend.told[vm["id"]], cores * sockets
        if sockets == int(told["cpu_sockets"]) and total <= int(told["cpu_max_count"]):
            return {"cpu_current": total}
        return {"cpu_current": total, "cpu_max": total, "cpu_sockets": sockets, "cpu_socket_cores": cores}

    def _set(self, vm: VM, path: str, expected: Mapping[str, Any], **wanted: Any) -> None:
        """Only what changes is sent: a key that is there is taken for a wish."""

        def is_set() -> bool:
            now = {**self._inspected(vm), **words.settings_of(self._backend.told[vm["id"]])}
            return all(now[name] == value for name, value in expected.items())

        what = ", ".join(f"{name} of VM {vm['name']} is not {value}" for name, value in expected.items())
        self._write(what, self._post(f"/v1/compute/{path}", vm, **wanted), is_set)

    # --- copies, moves, the end

    def clone(self, step: Step) -> Task:
        source, name, wanted = step.source or {}, step.vm["name"], step.arguments
        options = {"clone_name": name, "link": bool(wanted["linked"]), "snapshot": wanted["snapshot"] or ""}
        work = Work(Op.CLONE, source["id"], (name,))
        with self._backend.cloning.setdefault(source["id"], Lock()):
            # of a VM that is being cloned no other clone can be begun, and one may have been since it was read
            self._wait_idle(source)
            try:
                told = self._post("/v1/compute/clone", source, **options)()
            except TransportError as error:
                if self._inspected(source)["lock"] == "cloning" or self._backend.find(Identity(name=name)):
                    return work.begun()
                error.advice = f"There is no VM {name}: nothing is seen of the request. Run the task again."
                raise
        for answer in (told or {}).get("results") or []:
            refused = refusal("POST /v1/compute/clone", answer)
            if refused is not None:
                raise refused
        return work.begun()

    def migrate(self, step: Step) -> Task:
        vm, target = step.vm, preflight.host_of(self._backend, step.arguments["node"])
        work = Work(Op.MIGRATE, vm["id"], (target,))
        try:
            self._post("/v1/compute/migrate", vm, destination=target)()
        except TransportError as error:
            found = self._inspected(vm)
            if found["lock"] != "migrating" and self._backend.told[vm["id"]].get("machine_uuid") != target:
                error.advice = f"VM {vm['name']} does not move: nothing is seen of the request. Run the task again."
                raise
        return work.begun()

    def delete(self, step: Step) -> Task:
        """Into the recycle bin, with its volumes, or with ``purge`` at once and for good."""
        vm, purge = step.vm, bool(step.arguments["purge"])
        if vm["state"] != "stopped":
            self._set_power("shutoff", vm, "stopped")
        self._write(
            f"VM {vm['name']} is still there",
            self._post("/v1/compute/delete", vm, real_delete=purge, is_delete_volumes=True),
            lambda: self._backend.inspect(vm["id"]) is None,
        )
        if purge and self._is_in_bin(vm):
            text = f"VM {vm['name']} is in the recycle bin: only administrators may delete at once."
            return self._done(step.op, vm, text)
        return self._done(step.op, vm)

    def _is_in_bin(self, vm: VM) -> bool:
        query = {**self._api.scope, "filter_object_type": 2, "filter_object_name": vm["name"]}
        return any(
            row["uuid"] == vm["id"] for row in self._api.rows("/v1/trash/list", "list", itemgetter("uuid"), **query)
        )
