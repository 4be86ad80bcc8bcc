# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changes VMs: one method for each operation, named like it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..._errors import TaskTimeout, TransportError
from ..._plan import VM, Step
from ..._task import Deadline, Task
from . import settings
from .changes import Changes
from .console import console_of, session_of
from .creation import body_of_create
from .tasks import Request, action, done, stop_request

if TYPE_CHECKING:
    from .driver import ZStackBackend


class Operations:
    """The writes of one step.

    :param backend: for what has to be read beside.
    :param deadline: for steps that need several jobs, one after the other.
    """

    def __init__(self, backend: ZStackBackend, deadline: Deadline) -> None:
        self._backend = backend
        self._deadline = deadline

    def perform(self, step: Step) -> Task:
        """Begin the step; of several jobs the last one."""
        operation: Callable[[Step], Task] = getattr(self, step.op.value)
        return operation(step)

    def _begin(
        self,
        what: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        done: Callable[[Mapping[str, Any]], None] = lambda result: None,
    ) -> Task:
        return self._backend.tasks.begin(Request(what, method, path, body, params, done))

    def _act(self, vm: VM, what: str, name: str, **parameters: Any) -> Task:
        """An action of a VM."""
        uuid = self._backend.uuid_of(vm)
        return self._begin(_words(what, vm), *action(uuid, name, **parameters))

    def _wait(self, task: Task) -> Task:
        return self._backend.poller.wait(task, self._deadline).require_success()

    # --- making and removing

    def create(self, step: Step) -> Task:
        vm = step.vm
        # an id of our own makes a create that is sent twice one create
        vm["id"] = step.arguments.get("id") or uuid.uuid4().hex
        self._backend.made[vm["name"]] = vm["id"]
        if step.arguments.get("recover"):
            return self._act(vm, "recover", "recoverVmInstance")
        wanted = step.arguments["settings"]
        body = body_of_create(wanted, vm["id"], vm["name"], self._backend.names)
        return self._begin(f"make VM {vm['name']}", "POST", "/vm-instances", body)

    def clone(self, step: Step) -> Task:
        """One call for each clone: so what becomes of one says nothing of the others."""
        source, vm, wanted = step.source or {}, step.vm, step.arguments
        native = wanted.get("native") or {}
        more = dict(native.get("clone", {}))
        names = self._backend.names
        params: dict[str, Any] = {"names": [vm["name"]], "full": True}
        params["strategy"] = native.get("strategy", "CreateStopped")
        if wanted.get("storage"):
            storage = names.uuid("storage", wanted["storage"])
            params.update(primaryStorageUuidForRootVolume=storage, primaryStorageUuidForDataVolume=storage)
        if wanted.get("node"):
            params["hostUuid"] = names.uuid("node", wanted["node"])
        if native.get("cluster"):
            params["clusterUuid"] = names.uuid("cluster", native["cluster"])
        lists = {"systemTags": more.pop("systemTags", []), "userTags": source.get("tags")}
        method, path, body = action(source["id"], "cloneVmInstance", **{**params, **more})
        body.update({name: value for name, value in lists.items() if value})

        def note(result: Mapping[str, Any]) -> None:
            for item in result.get("result", {}).get("inventories") or ():
                if item.get("inventory"):
                    vm["id"] = self._backend.made[vm["name"]] = item["inventory"]["uuid"]

        return self._begin(f"clone VM {source['name']} to {vm['name']}", method, path, body, done=note)

    def delete(self, step: Step) -> Task:
        """Destroy the VM with its disks. ZStack keeps them for some days; with ``purge`` it does not."""
        vm, purge = step.vm, step.arguments["purge"]
        row, _tags = self._backend.known(vm)
        data = [
            one for one in settings.volumes_of(row).values() if one["type"] == "Data" and not one.get("isShareable")
        ]
        task = self._begin(_words("destroy", vm), "DELETE", f"/vm-instances/{vm['id']}")
        for volume in data:
            # a destroyed VM leaves them behind, attached to nothing
            self._wait(task)
            task = self._begin(f"delete disk {volume['name']}", "DELETE", f"/volumes/{volume['uuid']}")
        if purge:
            self._wait(task)
            task = self._purge(vm, data)
        return task

    def _purge(self, vm: VM, data: list[Mapping[str, Any]]) -> Task:
        """What is gone at once, since the server's policy is so, is not expunged."""
        volumes = {one["uuid"] for one in data}
        uuids = "', '".join([vm["id"], *volumes])
        rows = self._backend.api.zql(
            f"query vminstance where uuid = '{vm['id']}'", f"query volume where uuid in ('{uuids}')"
        )
        task = done("delete", vm["id"])
        for volume in rows[1]:
            if volume["uuid"] in volumes:
                body: dict[str, Any] = {"expungeDataVolume": {}}
                path = f"/volumes/{volume['uuid']}/actions"
                task = self._wait(self._begin(f"expunge disk {volume['name']}", "PUT", path, body))
        if rows[0]:
            task = self._act(vm, "expunge", "expungeVmInstance")
        return task

    # --- changing

    def update(self, step: Step) -> Task:
        changes = Changes(self._backend, lambda *request: self._wait(self._begin(*request)))
        changes.apply(step.vm, step.arguments["changes"])
        return done("update", self._backend.uuid_of(step.vm))

    # --- power

    def start(self, step: Step) -> Task:
        return self._act(step.vm, "start", "startVmInstance")

    def shutdown(self, step: Step) -> Task:
        """Ask the guest; the driver cuts the power when its time is over, if it may."""
        if step.vm.get("native_state") == "Paused":
            # a guest that stands still cannot hear it
            self._wait(self.resume(step))
        patience, force = step.arguments["shutdown_timeout"], step.arguments["force"]
        vm = self._backend.uuid_of(step.vm)
        request = stop_request(vm, _words("shut down", step.vm), "grace")
        return self._backend.tasks.begin_shutdown(request, vm, patience, force)

    def stop(self, step: Step) -> Task:
        vm = self._backend.uuid_of(step.vm)
        return self._backend.tasks.begin(stop_request(vm, _words("cut the power of", step.vm), "cold"))

    def restart(self, step: Step) -> Task:
        """A reboot does not cut the power of a guest that does not hear it, and so does not do with ``force``."""
        if step.arguments["force"]:
            self._wait(self.shutdown(step) if step.arguments["shutdown_timeout"] else self.stop(step))
            return self.start(step)
        if step.vm.get("native_state") == "Paused":
            self._wait(self.resume(step))
        return self._act(step.vm, "restart", "rebootVmInstance")

    def pause(self, step: Step) -> Task:
        return self._act(step.vm, "pause", "pauseVmInstance")

    def resume(self, step: Step) -> Task:
        return self._act(step.vm, "resume", "resumeVmInstance")

    def migrate(self, step: Step) -> Task:
        names, wanted = self._backend.names, step.arguments
        host = names.uuid("node", wanted["node"])
        if wanted.get("target_storage"):
            storage = names.uuid("storage", wanted["target_storage"])
            name, parameters = "primaryStorageMigrateVm", {"dstPrimaryStorageUuid": storage, "dstHostUuid": host}
        else:
            name, parameters = "migrateVm", {"hostUuid": host}
        return self._act(step.vm, f"move to {wanted['node']}", name, **parameters)

    def console(self, step: Step) -> Task:
        """A new token, or more time for the one that there is. Who knows its job can ask for it, so that is not told.

        :raises TaskTimeout, TransportError: it may have been opened.
        """
        vm, api = step.vm, self._backend.api

        def note(result: Mapping[str, Any]) -> None:
            told = result["inventory"]
            self._backend.consoles[vm["id"]] = console_of(told, vm["name"], api.host, api.server_offset)
            api.keep_session(session_of(told["token"]))

        body = {"params": {"vmInstanceUuid": vm["id"]}}
        try:
            self._wait(self._begin(_words("open the console of", vm), "POST", "/consoles", body, done=note))
        except (TaskTimeout, TransportError) as error:
            message = f"The server did not say in time whether it opened the console of VM {vm['name']}."
            raise type(error)(message, advice="Run the task again.") from error
        return done("console", vm["id"])

    # --- snapshots

    def snapshot(self, step: Step) -> Task:
        """The group is asked for with the root volume, not with the VM."""
        row, _tags = self._backend.known(step.vm)
        wanted = step.arguments
        params = {"rootVolumeUuid": row["rootVolumeUuid"], "name": wanted["snapshot"]}
        params.update(withMemory=bool(wanted.get("memory")))
        if wanted.get("description"):
            params["description"] = wanted["description"]
        what = _words(f"take snapshot {wanted['snapshot']} of", step.vm)
        return self._begin(what, "POST", "/volume-snapshots/group", {"params": params})

    def snapshot_describe(self, step: Step) -> Task:
        taken, name = self._taken(step), step.arguments["snapshot"]
        key = "updateVolumeSnapshotGroup" if taken.is_group else "updateVolumeSnapshot"
        body = {key: {"description": step.arguments["description"]}}
        return self._begin(_words(f"describe snapshot {name} of", step.vm), "PUT", f"{_path(taken)}/actions", body)

    def snapshot_delete(self, step: Step) -> Task:
        what = _words(f"delete snapshot {step.arguments['snapshot']} of", step.vm)
        return self._begin(what, "DELETE", _path(self._taken(step)))

    def revert(self, step: Step) -> Task:
        """ZStack reverts stopped VMs only; one with its memory goes on when it is started."""
        vm, taken = step.vm, self._taken(step)
        if vm["state"] in ("running", "paused"):
            self._wait(self.stop(step))
        name = "revertVmFromSnapshotGroup" if taken.is_group else "revertVolumeFromSnapshot"
        what = _words(f"revert to {step.arguments['snapshot']}", vm)
        task = self._begin(what, "PUT", f"{_path(taken)}/actions", {name: {}})
        if step.arguments.get("start") or taken.has_memory:
            self._wait(task)
            task = self.start(step)
        return task

    def revert_disks(self, step: Step) -> Task:
        taken, task = self._taken(step), done("revert_disks", step.vm["id"])
        for slot in step.arguments["disks"]:
            what = _words(f"revert disk {slot} to {step.arguments['snapshot']} of", step.vm)
            path = f"/volume-snapshots/{taken.members[slot]}/actions"
            task = self._wait(self._begin(what, "PUT", path, {"revertVolumeFromSnapshot": {}}))
        return task

    def _taken(self, step: Step) -> Any:
        return self._backend.snapshots[step.vm["id"]][step.arguments["snapshot"]]


def _words(what: str, vm: VM) -> str:
    """What was asked of which VM, and in which state it was then."""
    state = f", which was {vm['native_state']}" if vm.get("native_state") else ""
    return f"{what} VM {vm['name']}{state}"


def _path(taken: Any) -> str:
    return f"/volume-snapshots/{'group/' if taken.is_group else ''}{taken.uuid}"
