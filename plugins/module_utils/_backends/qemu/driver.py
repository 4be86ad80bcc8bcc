# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""QEMU on the host where the module runs: no server, no daemon, nothing beside the VMs' own processes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar

from ..._errors import BackendError, Conflict, Error
from ..._plan import VM, Change, Op, Plan, Step, differences
from ..._task import Deadline, Task, TaskState
from ..base import Apply, Backend, Capabilities, Identity
from . import process
from .locks import is_held
from .machine import Machine
from .shutdown import RESEND, Shutdown
from .store import Record, Store

if TYPE_CHECKING:
    from .images import ImageCache

_LIVE = ("description", "tags", "guest_agent", "template", "disks", "disks.slot", "disks.size", "nics", "nics.slot")
_LIVE_PARTS = ("nics.connected", "nics.forwards", "cdrom.image")
_RESTART = ("memory", "cores", "sockets", "cpu_type", "boot_order", "native", "nics.network", "nics.model", "nics.mac")
_RESTART_PARTS = (
    "cdrom",
    "cdrom.slot",
    "cloud_init",
    *tuple(
        f"cloud_init.{part}"
        for part in (
            "user",
            "password",
            "ssh_keys",
            "hostname",
            "nameservers",
            "search_domains",
            "ip_config",
            "user_data",
        )
    ),
)
_NEVER = ("name", "firmware", "disks.format", "disks.source", "disks.checksum")

_ABSENT = {
    Op.CLONE_STORAGE,
    *(Op.RESTART, Op.MIGRATE, Op.MIGRATE_ONLINE, Op.MIGRATE_LOCAL_DISKS),
    *(Op.CLUSTER_INFO, Op.NODE_INFO, Op.TASK_INFO),
}
"""It is shut down and started instead of restarted, and a single host has no cluster."""

CAPABILITIES = Capabilities(
    operations=frozenset(Op) - _ABSENT,
    fields={
        **dict.fromkeys(_LIVE + _LIVE_PARTS, Apply.LIVE),
        **dict.fromkeys(_RESTART + _RESTART_PARTS, Apply.RESTART),
        **dict.fromkeys(_NEVER, Apply.NEVER),
    },
)


def default_state_dir() -> str:
    if os.geteuid() == 0:
        return "/var/lib/anyvirt"
    return os.path.expanduser("~/.local/state/anyvirt")


class QemuBackend(Backend):
    name: ClassVar[str] = "qemu"
    capabilities: ClassVar[Capabilities] = CAPABILITIES
    name_pattern: ClassVar[re.Pattern[str]] = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
    name_rule: ClassVar[str] = "It has 1 to 63 letters, digits, dots, - and _, and begins with a letter or digit."
    poll_interval: ClassVar[tuple[float, float]] = (0.02, 0.5)
    console_options: ClassVar[Mapping[str, Any]] = {
        "web_port": 6080,
        "listen": "127.0.0.1",
        "expires_after": 3600,
        "novnc_path": None,
        "websocket": True,
    }

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.store = Store(os.path.abspath(options.get("state_dir") or default_state_dir()))
        self._asked: dict[str, float] = {}
        self._cut: dict[str, tuple[str, ...]] = {}
        self._held: set[str] = set()

    # --- questions

    def list(self) -> list[VM]:
        return [row for row in map(self._row_named, self.store.names()) if row]

    def find(self, identity: Identity, gather: Sequence[str] = ()) -> VM | None:
        record = self._record(identity)
        if record is None:
            return None
        try:
            return self._gathered(Machine(self.store, record), gather)
        except BackendError:
            if self.store.load(record.name) is None:
                # another run deleted it meanwhile
                return None
            raise

    def _gathered(self, machine: Machine, gather: Sequence[str]) -> VM:
        record = machine.record
        vm = self._row(machine)
        if "config" in gather:
            vm.update(record.config)
        if "pending" in gather:
            vm["pending"] = _pending(machine)
        if "snapshots" in gather:
            from . import snapshots

            vm["snapshots"] = snapshots.read(machine)
        if "console" in gather:
            from . import consoles

            console = consoles.read(machine)
            if console is not None:
                vm["console"] = console
        if "agent" in gather:
            vm.update(_agent_facts(machine, vm["state"]))
        return vm

    def _row_named(self, name: str) -> VM:
        """A row, also of a VM whose vm.json cannot be read: one must not hide the others, nor itself."""
        try:
            record = self.store.load(name)
        except BackendError as error:
            unreadable = {"id": "", "name": name, "backend": self.name, "node": os.uname().nodename, "state": "unknown"}
            return {**unreadable, "template": False, "tags": [], "pool": None, "error": error.message}
        return self._row(Machine(self.store, record)) if record else {}

    def _record(self, identity: Identity) -> Record | None:
        named = None
        if identity.name is not None and self.name_pattern.fullmatch(identity.name):
            named = self.store.load(identity.name)
        if identity.id is None or (named is not None and identity.id in (named.uuid, named.name)):
            return named
        return next((record for record in self._records() if record.uuid == identity.id), None)

    def _records(self) -> Iterator[Record]:
        """Every VM that can be read; a damaged one hides no other."""
        for name in self.store.names():
            with suppress(BackendError):
                record = self.store.load(name)
                if record is not None:
                    yield record

    def _row(self, machine: Machine) -> VM:
        record = machine.record
        state, native = machine.status()
        return {
            "id": record.uuid,
            "name": record.name,
            "backend": self.name,
            "node": os.uname().nodename,
            "state": state,
            "native_state": native,
            "template": bool(record.config.get("template")),
            "tags": record.config.get("tags", []),
            "pool": None,
            **{name: record.config[name] for name in ("memory", "cores", "sockets")},
        }

    # --- checks, locks

    def preflight(self, step: Step) -> None:
        from .preflight import Preflight

        Preflight(self.store, self.images).check(step)

    def apply_of(self, change: Change, vm: VM) -> Apply:
        from .change import can_plug

        declared = super().apply_of(change, vm)
        if change.setting not in ("disks", "nics", "nics.forwards") or vm.get("state") not in ("running", "paused"):
            return declared
        running = process.read_running(self.store.vm_dir(vm["name"]))
        slot = change.path[1]
        if not running:
            return declared
        if change.setting == "nics.forwards":
            nic = running["config"].get("nics", {}).get(slot, {})
            return declared if nic.get("network") == "user" else Apply.RESTART
        return declared if can_plug(slot, running) else Apply.RESTART

    @property
    def images(self) -> ImageCache:
        from .images import ImageCache

        return ImageCache(self.store.path("images"), self.options)

    @contextmanager
    def exclusive(self, plan: Plan, deadline: Deadline) -> Iterator[bool]:
        """The operation locks of all VMs of the plan, in the order of their names.

        A stopped VM may be copied by several at once; of a running one the monitor is needed.
        """
        self.store.prepare()
        self.store.sweep()
        shared: dict[str, bool] = {}
        for step in plan.steps:
            shared[step.vm["name"]] = False
            if step.source is not None:
                shared.setdefault(step.source["name"], step.source["state"] == "stopped")
        with ExitStack() as stack:
            for name in sorted(shared):
                stack.enter_context(self.store.operation(name, shared[name], deadline))
                if not shared[name]:
                    self._held.add(name)
                    stack.callback(self._held.discard, name)
                record = None if shared[name] else self.store.load(name)
                if record is not None:
                    Machine(self.store, record).settle()
            yield True

    def held_by(self, identity: Identity) -> str | None:
        record = self._record(identity)
        if record is not None and is_held(self.store.path(".locks", record.name)):
            return "an operation of another run"
        return None

    # --- operations

    def perform(self, step: Step, deadline: Deadline) -> Task:
        from .operations import Operations

        return Operations(self).perform(step, deadline)

    # --- tasks

    def poll(self, tasks: Sequence[Task]) -> Sequence[Task]:
        return [self._state_of(task) for task in tasks]

    def _state_of(self, task: Task) -> Task:
        shutdown = Shutdown.of(task)
        if shutdown is None:
            return Task(task.id, self.name, TaskState.SUCCEEDED)
        return shutdown.task(self._machine_of(shutdown.uuid), self._cut.get(task.id, ()))

    def _machine_of(self, uuid: str) -> Machine | None:
        record = self._record(Identity(id=uuid))
        return Machine(self.store, record) if record else None

    def tend(self, tasks: Sequence[Task]) -> None:
        """Ask guests again to shut down, and cut the power of those that may be forced and did not."""
        from . import power

        for task in tasks:
            shutdown = Shutdown.of(task)
            machine = self._machine_of(shutdown.uuid) if shutdown else None
            if shutdown is None or machine is None or shutdown.is_done(machine):
                continue
            if shutdown.is_overdue:
                if shutdown.force:
                    self._cut_power(shutdown, machine)
            elif time.monotonic() - self._asked.get(task.id, -RESEND) >= RESEND:
                self._asked[task.id] = time.monotonic()
                power.press_power_button(machine)

    def _cut_power(self, shutdown: Shutdown, machine: Machine) -> None:
        """Inside the operation lock, since the VM may be being started again; where it is held, at a later poll."""
        name = machine.record.name
        with ExitStack() as stack:
            if name not in self._held:
                try:
                    stack.enter_context(self.store.operation(name, False, Deadline(0)))
                except Conflict:
                    return
            if not shutdown.is_done(machine):
                process.kill(machine.dir)
                text = f"The guest of VM {name} did not shut down in time; its power was cut."
                self._cut[shutdown.id] = (text,)


def _pending(machine: Machine) -> dict[str, Any]:
    """What was changed since the live process was started, with the values that it runs with."""
    if not machine.is_alive:
        return {}
    running = process.read_running(machine.dir)
    if not running:
        return {}
    return {".".join(change.path): change.before for change in differences(running["config"], machine.record.config)}


def _agent_facts(machine: Machine, state: str) -> dict[str, Any]:
    """What the guest's agent tells; of a guest that is off, or has none, that it tells nothing."""
    from ..addresses import usable

    if state == "running":
        # a guest can send anything, also what is no list of interfaces
        with suppress(Error, AttributeError, KeyError, TypeError), machine.agent() as agent:
            interfaces = agent.command("guest-network-get-interfaces")
            return {"agent": {"running": True, "interfaces": interfaces}, "addresses": usable(interfaces)}
    return {"agent": {"running": False, "interfaces": []}, "addresses": []}
