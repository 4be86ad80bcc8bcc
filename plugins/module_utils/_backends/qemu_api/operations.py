# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changes a VM: one method for each operation, named like it.

An answer proves nothing: the server tells success for what failed. Each write is sent once, and then the list of VMs
is read until it shows what was wanted. That also settles a write whose answer was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..._errors import BackendError, Conflict, Error, NotFound, TaskFailed, TransportError
from ..._plan import VM, Change, Op, Step
from ..._task import Deadline, Task, TaskState
from . import snapshots
from .dialects import FIRST_PORT, Row
from .preflight import refuse_unclear_process

if TYPE_CHECKING:
    from .driver import QemuApiBackend

SETTLE_TIME = 10.0
"""Seconds that a state may take to show in the list."""

_KEYS = {("memory",): "memory", ("cores",): "cpuCores"}


class Operations:
    """The writes of one step.

    :param deadline: within which the list has to show what was wanted.
    """

    def __init__(self, backend: QemuApiBackend, deadline: Deadline) -> None:
        self._backend = backend
        self._manager = backend.manager
        self._dialect = backend.manager.dialect
        self._deadline = deadline
        self._has_written = False

    def perform(self, step: Step) -> Task:
        """Do the step. Of one that takes several writes a failure tells whether the first were done."""
        operation: Callable[[Step], None] = getattr(self, step.op.value)
        try:
            operation(step)
        except Error as error:
            error.changed = error.changed or self._has_written
            raise
        return Task(f"{self._backend.name}:{step.op.value}:{step.vm['name']}", self._backend.name, TaskState.SUCCEEDED)

    # --- sending, and looking what became of it

    def _row(self, name: str) -> Row | None:
        return self._backend.read_rows().get(name)

    def _existing(self, name: str) -> Row:
        """
        :raises NotFound: the VM is gone since it was read.
        """
        row = self._row(name)
        if row is None:
            raise NotFound(f"VM {name} is gone since it was read.")
        return row

    def _settled(self, name: str, is_reached: Callable[[Row | None], bool]) -> bool:
        """Whether the list comes to show what was wanted."""
        for _turn in Deadline(min(SETTLE_TIME, self._deadline.left)).intervals(*self._backend.poll_interval):
            if is_reached(self._row(name)):
                return True
        return False

    def _was_done(self, name: str, is_reached: Callable[[Row | None], bool]) -> bool:
        """The same after a lost answer.

        :raises TransportError: nobody can be asked.
        """
        try:
            return self._settled(name, is_reached)
        except TransportError as error:
            error.advice = f"It is not known whether the last change of VM {name} was done: look at it."
            raise

    def _write(self, name: str, send: Callable[[], Any], is_reached: Callable[[Row | None], bool]) -> Any:
        """Send once, and see that it was done.

        :return: the answer, None where it was lost.
        :raises TaskFailed: the server says that it is done, and its list that it is not.
        :raises NotFound: the VM is gone.
        :raises TransportError: no answer came, and the list does not show that it was done.
        """
        try:
            answer = send()
        except TransportError as error:
            if self._was_done(name, is_reached):
                self._has_written = True
                return None
            error.advice = "The list of VMs does not show that it was done. Look at the VM, and run the task again."
            raise
        except (BackendError, NotFound) as error:
            if error.facts.get("code") != 404:
                raise
            if self._row(name) is None:
                raise NotFound(f"VM {name} is gone. {error.message}") from error
            raise BackendError(error.message, advice=error.advice, **error.facts) from error
        if not self._settled(name, is_reached):
            state = (self._row(name) or {}).get("status", "not there")
            raise TaskFailed(
                f"The server says that it has done what was asked of VM {name}, but lists it otherwise: {state}.",
                advice="See the log of the server.",
            )
        self._has_written = True
        return answer

    def _is_in(self, state: str) -> Callable[[Row | None], bool]:
        return lambda row: row is not None and self._backend.state_of(row) == state

    # --- the operations

    def create(self, step: Step) -> None:
        name, settings = step.vm["name"], step.arguments["settings"]
        port = settings.get("native", {}).get("vncPort") or self._free_port()
        body = self._dialect.new(name, settings, port)
        if self._row(name) is not None:
            raise Conflict(f"VM {name} is there meanwhile: another run has made it.", advice="Run the task again.")

        def is_made(row: Row | None) -> bool:
            found = self._dialect.settings(row) if row is not None else {}
            sizes = {slot: disk["size"] for slot, disk in settings.get("disks", {}).items()}
            return (
                bool(found)
                and found.get("native") == {"vncPort": port}
                and all(found.get(key) == settings[key] for key in ("memory", "cores") if key in settings)
                and all(found["disks"].get(slot, {}).get("size") == size for slot, size in sizes.items())
            )

        self._write(name, lambda: self._manager.write("POST", "vms", body=body), is_made)
        if self._dialect.unread:
            self._backend.known[name] = {"nics": settings.get("nics", {})}
        image = settings.get("cdrom", {}).get("image")
        if image and not self._dialect.tells_cdrom:
            self._mount(name, image)

    def _free_port(self) -> int:
        """The lowest VNC port that no listed VM has, nor one that this run is making: with the same they could not run
        side by side.
        """
        found = [self._dialect.settings(row).get("native") or {} for row in self._backend.read_rows().values()]
        with self._backend.claiming:
            taken = {native.get("vncPort") for native in found} | self._backend.claimed
            port = next(port for port in range(FIRST_PORT, 65536) if port not in taken)
            self._backend.claimed.add(port)
        return port

    def update(self, step: Step) -> None:
        name, changes = step.vm["name"], step.arguments["changes"]
        values = {_KEYS[one.path]: one.after for one in changes if one.path in _KEYS}
        trays = [one for one in changes if one.path[0] == "cdrom"]
        for one in changes:
            if one.path == ("native",):
                values["vncPort"] = self._dialect.display(one.after["vncPort"])
        image = _image_of(trays[0]) if trays else ""
        if image:
            values["isoPath"] = image
        if values:
            self._configure(name, values, changes)
        if trays:
            self._mount(name, image)
        if step.vm["state"] == "running" and self._dialect.running(self._existing(name)) is None:
            told = self._backend.waiting.setdefault(name, {})
            for change in changes:
                told.setdefault(".".join(change.path), change.before)

    def _configure(self, name: str, values: Mapping[str, Any], changes: Sequence[Change]) -> None:
        """A server may list the settings that a VM runs with until its restart: then its answer has to do."""
        wanted = {one.path[0]: one.after for one in changes if one.path in (*_KEYS, ("native",))}
        answer: dict[str, Any] = {}

        def send() -> None:
            answer.update(self._manager.write_config(name, values))

        def is_written(row: Row | None) -> bool:
            config = answer.get("config") or {}
            promised = answer.get("requiresRestart") and all(config.get(key) == values[key] for key in values)
            found = self._dialect.settings(row) if row is not None else {}
            return row is not None and bool(promised or all(found.get(key) == wanted[key] for key in wanted))

        self._write(name, send, is_written)

    def _mount(self, name: str, image: str) -> None:
        """Whether the ISO is there at the next start. Of a server that does not list that, its answer has to do."""
        answer: dict[str, Any] = {}

        def send() -> None:
            body = {"mountStatus": bool(image)}
            answer.update(self._manager.write("POST", "vms", name, "toggleMountIso", body=body))

        def is_set(row: Row | None) -> bool:
            if row is not None and self._dialect.tells_cdrom:
                return (self._dialect.settings(row).get("cdrom") or {}).get("image", "") == image
            return row is not None and (answer.get("vm") or {}).get("isMountIso") is bool(image)

        if not is_set(self._row(name)):
            self._write(name, send, is_set)
        if not self._dialect.tells_cdrom:
            known = {key: value for key, value in self._backend.known.get(name, {}).items() if key != "cdrom"}
            self._backend.known[name] = {**known, **({"cdrom": {"image": image}} if image else {})}

    def delete(self, step: Step) -> None:
        """A running VM would run on without its folder, and so is stopped first."""
        name = step.vm["name"]
        row = self._existing(name)
        if self._backend.state_of(row) != "stopped" and self._dialect.pid(row):
            self._stop(self._alone(name))
        body = self._dialect.body(Op.DELETE, row)
        self._write(name, lambda: self._manager.write("DELETE", "vms", name, body=body), lambda row: row is None)

    def start(self, step: Step) -> None:
        self._power(Op.START, self._existing(step.vm["name"]), self._is_in("running"))

    def stop(self, step: Step) -> None:
        self._stop(self._alone(step.vm["name"]))

    def _stop(self, row: Row) -> None:
        try:
            self._power(Op.STOP, row, self._is_in("stopped"))
        except BackendError as error:
            if error.facts.get("answer") is False:
                error.advice = (
                    f"It found no process {self._dialect.pid(row)}, and lists the VM as stopped now. If its QEMU runs"
                    " on under another number, end it on that host. If it does not, run the task again."
                )
            raise

    def restart(self, step: Step) -> None:
        row = self._alone(step.vm["name"])
        before, is_running = self._dialect.pid(row), self._is_in("running")
        self._power(
            Op.RESTART, row, lambda now: now is not None and is_running(now) and self._dialect.pid(now) != before
        )

    def _alone(self, name: str) -> Row:
        """The VM as it is listed at this moment, with a process of its own."""
        row = self._existing(name)
        refuse_unclear_process(self._dialect, row, [one for one in self._backend.rows.values() if one["name"] != name])
        return row

    def _power(self, op: Op, row: Row, is_reached: Callable[[Row | None], bool]) -> None:
        name, body = row["name"], self._dialect.body(op, row)
        self._write(name, lambda: self._manager.write("POST", "vms", name, op.value, body=body), is_reached)
        self._backend.waiting.pop(name, None)

    # --- snapshots, of the open-source server

    def snapshot(self, step: Step) -> None:
        wanted = step.arguments
        body = {"vmName": step.vm["name"], "snapshotName": wanted["snapshot"], "description": wanted["description"]}
        self._with_snapshots(step.vm, "POST", "create", body=body, is_there=True)

    def snapshot_delete(self, step: Step) -> None:
        self._with_snapshots(step.vm, "DELETE", step.vm["name"], step.arguments["snapshot"], is_there=False)

    def revert(self, step: Step) -> None:
        name = step.vm["name"]
        body = {"vmName": name, "snapshotName": step.arguments["snapshot"]}
        self._write(name, lambda: self._manager.write("POST", "snapshots", "load", body=body), self._is_in("running"))

    def _with_snapshots(
        self, vm: VM, method: str, *path: str, is_there: bool, body: Mapping[str, Any] | None = None
    ) -> None:
        name = path[-1] if body is None else body["snapshotName"]

        def is_reached(row: Row | None) -> bool:
            return row is not None and (name in snapshots.read(self._manager, row)) is is_there

        self._write(vm["name"], lambda: self._manager.write(method, "snapshots", *path, body=body), is_reached)

    # --- consoles

    def console(self, step: Step) -> None:
        """By the VM's own endpoint, or by the one that takes the port of any VM."""
        name, wanted = step.vm["name"], step.arguments
        port = self._dialect.settings(self._existing(name))["native"]["vncPort"]
        body = {"vncPort": self._dialect.display(port), **self._dialect.web_port(wanted.get("web_port"), port)}
        path = ("novnc", name) if wanted["vnc_port"] is None else ("novnc",)
        told = self._manager.write("POST", *path, body=body)
        if not told.get("url") or told.get("vncPort") != port:
            raise BackendError(f"The server opened no console of VNC port {port}.", advice="See the log of the server.")
        web_port = told.get("webPort")
        if wanted.get("web_port") not in (None, web_port):
            raise Conflict(
                f"The page of VM {name} is at web port {web_port} and not {wanted['web_port']}: the server moves none.",
                advice="Leave out web_port.",
            )
        self._backend.consoles[name] = {
            "url": told["url"],
            "websocket": None,
            "web_port": web_port,
            "vnc_port": port,
            "token": told.get("token"),
            "expires": None,
            "pid": told.get("pid"),
            "already_running": bool(told.get("alreadyRunning")),
        }


def _image_of(change: Change) -> str:
    """What shall be in the drive; empty where nothing shall be, or there shall be no drive."""
    return (change.after if change.path[1:] else (change.after or {}).get("image")) or ""
