# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ZStack Cloud 4 and 5, and ZSphere: VMs of a management node."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from ..._errors import BackendError, Conflict, NotFound, PermissionDenied
from ..._plan import VM, Change, Op, Plan, Step
from ..._task import Deadline, Task
from ..base import Apply, Backend, Capabilities, Identity
from . import preflight, settings, snapshots
from .api import LIMIT, Api, equals
from .foresight import foreseen
from .names import Names
from .settings import Tags
from .tasks import Tasks

_LIVE = ("name", "description", "memory", "cores", "tags", "native", "firmware", "boot_order")
_DISKS = ("disks", "disks.slot", "disks.size")
_NICS = ("nics", "nics.slot", "nics.network", "nics.mac", "nics.connected")
_CDROM = ("cdrom", "cdrom.slot", "cdrom.image")
_CLOUD_INIT = ("user", "password", "ssh_keys", "hostname", "user_data", "ip_config")
_NEVER = ("disks.storage", "disks.source", "nics.model", "node")

CAPABILITIES = Capabilities(
    operations=frozenset(
        {
            *(Op.CREATE, Op.UPDATE, Op.DELETE, Op.START, Op.SHUTDOWN, Op.STOP, Op.RESTART, Op.PAUSE, Op.RESUME),
            *(Op.CLONE, Op.CLONE_STORAGE, Op.MIGRATE, Op.MIGRATE_ONLINE, Op.CONSOLE),
            *(Op.SNAPSHOT, Op.SNAPSHOT_MEMORY, Op.SNAPSHOT_DESCRIBE, Op.SNAPSHOT_DELETE, Op.REVERT, Op.REVERT_DISKS),
        }
    ),
    fields={
        **dict.fromkeys((*_LIVE, *_DISKS, *_NICS, *_CDROM), Apply.LIVE),
        **dict.fromkeys(("cloud_init", *(f"cloud_init.{part}" for part in _CLOUD_INIT)), Apply.LIVE),
        **dict.fromkeys(_NEVER, Apply.NEVER),
    },
)

_UUID = re.compile(r"[0-9a-f]{32}")
_MANY = 50
"""From this many VMs on the tags of all are asked for, not of each by its uuid."""


class ZStackBackend(Backend):
    name: ClassVar[str] = "zstack"
    capabilities: ClassVar[Capabilities] = CAPABILITIES
    name_pattern: ClassVar[re.Pattern[str]] = re.compile(
        r"(?=.{1,255}$)[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?"
    )
    name_rule: ClassVar[str] = "It has 1 to 255 characters, begins and ends with no blank, and has no line break."
    poll_interval: ClassVar[tuple[float, float]] = (0.5, 5.0)
    chooses_ids: ClassVar[bool] = False
    places_clones: ClassVar[tuple[str, ...]] = ("node", "native")
    console_options: ClassVar[Mapping[str, Any]] = {"websocket": False}

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.api = Api(options)
        self.names = Names(self.api)
        self.tasks = Tasks(self.api)
        self.made: dict[str, str] = {}
        """Uuids of the VMs that this run made, by name."""
        self.snapshots: dict[str, dict[str, snapshots.Taken]] = {}
        """Snapshots as they were read last, by the uuid of their VM and their names."""
        self.consoles: dict[str, dict[str, Any]] = {}
        """Consoles that this run has opened, by the uuid of their VM: nobody can ask which there are."""
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._tags: dict[str, Tags] = {}
        self._seen: dict[str, VM] = {}
        self._used: set[str] = set()
        self._hot_plug: bool | None = None

    # --- questions

    def list(self) -> list[VM]:
        return list(self._vms(self.api.all(f"query vminstance where {_there()}")))

    def find(self, identity: Identity, gather: Sequence[str] = ()) -> VM | None:
        vm = self._locate(identity)
        if vm is not None:
            self.add_facts(vm, gather)
        return vm

    def add_facts(self, vm: VM, gather: Sequence[str]) -> None:
        if {"config", "pending"} & set(gather):
            row = self._rows[vm["id"]]
            isos = [drive["isoUuid"] for drive in row.get("vmCdRoms") or () if drive.get("isoUuid")]
            images = self.names.image_names(isos)
            vm.update(settings.settings_of(row, self._tags[vm["id"]], self.names, images))
        if "pending" not in gather:
            vm.pop("pending", None)
        if "snapshots" in gather:
            self.snapshots[vm["id"]] = snapshots.read(self.api, self._rows[vm["id"]])
            vm["snapshots"] = snapshots.entries(self.snapshots[vm["id"]], self.api.server_offset)
        if "agent" in gather:
            vm.update(self._agent_facts(vm))
        if "console" in gather and vm["id"] in self.consoles:
            vm["console"] = self.consoles[vm["id"]]

    def prefetch(self, identities: Sequence[Identity]) -> None:
        """All VMs cost a few requests, however many they are."""
        if len(identities) > 1:
            self._seen, self._used = {vm["id"]: vm for vm in self.list()}, set()

    def node_addresses(self) -> Mapping[str, str | None]:
        hosts = self.api.all("query host")
        return {host["name"]: host.get("managementIp") for host in hosts}

    def absent_advice(self, identity: Identity) -> str:
        return super().absent_advice(identity) + " A VM that was destroyed is gone, although ZStack lists it for days."

    def _locate(self, identity: Identity) -> VM | None:
        seen = identity.pick(list(self._seen.values()))
        if seen is not None and seen["id"] not in self._used:
            self._used.add(seen["id"])
            return seen
        fields = {"uuid": identity.id if _UUID.fullmatch(identity.id or "") else None, "name": identity.name}
        wanted = [
            f"query vminstance where {equals(field, [word])} and {_there()}" for field, word in fields.items() if word
        ]
        if not wanted:
            return None
        rows = {row["uuid"]: row for found in self.api.zql(*wanted) for row in found}
        # the data base compares without case, and so finds more than is picked
        return identity.pick(self._vms(list(rows.values())))

    def _vms(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[VM]:
        """VMs with their tags, in one request beside the one that found them."""
        uuids = [row["uuid"] for row in rows]
        if not uuids:
            return []
        self._read_tags(uuids)
        self._rows.update({row["uuid"]: row for row in rows})
        return [settings.row_of(row, self._tags[row["uuid"]], self.names) for row in rows]

    def _read_tags(self, uuids: Sequence[str]) -> None:
        self._tags.update({uuid: Tags() for uuid in uuids})
        told: Iterable[tuple[str, Sequence[Mapping[str, Any]]]]
        if len(uuids) > _MANY:
            self.names.ask()
            of_vms = "where resourceType = 'VmInstanceVO'"
            told = [(kind, self.api.all(f"query {kind}tag {of_vms}")) for kind in ("user", "system")]
        else:
            where = f"where {equals('resourceUuid', uuids)} limit {LIMIT * 10}"
            told = zip(("user", "system"), self.names.ask(f"query usertag {where}", f"query systemtag {where}"))
        for kind, rows in told:
            for row in rows:
                if row["resourceUuid"] in self._tags:
                    getattr(self._tags[row["resourceUuid"]], kind)[row["tag"]] = row["uuid"]

    def _agent_facts(self, vm: VM) -> dict[str, Any]:
        """The guest tools tell that they run; the addresses are those that ZStack gave."""
        nothing: dict[str, Any] = {"running": False, "interfaces": []}
        if vm["state"] == "running":
            try:
                told = self.api.get(f"/vm-instances/{vm['id']}/guest-tools-infos")
            except (BackendError, Conflict, NotFound) as error:
                return {"agent": {**nothing, "error": error.message}, "addresses": []}
            if told.get("status") == "Connected":
                from ..addresses import usable

                interfaces = settings.addresses_of(self._rows[vm["id"]])
                return {"agent": {"running": True, "interfaces": interfaces}, "addresses": usable(interfaces)}
        return {"agent": nothing, "addresses": []}

    # --- for operations

    def known(self, vm: VM) -> tuple[Mapping[str, Any], Tags]:
        """A VM in ZStack's words and its tags, as they were read last.

        :raises NotFound: it was not made, or is gone.
        """
        uuid = self.uuid_of(vm)
        if uuid not in self._rows:
            self.refresh(uuid)
        return self._rows[uuid], self._tags[uuid]

    def uuid_of(self, vm: VM) -> str:
        """Of a VM that an earlier step made it is known what that made."""
        return vm.get("id") or self.made[vm["name"]]

    def refresh(self, uuid: str) -> None:
        """Read a VM anew."""
        self._vms(self.api.zql(f"query vminstance where {equals('uuid', [uuid])}")[0])

    def destroyed(self, uuid: str | None) -> VM | None:
        """A VM that can be recovered, with its settings; its data disks have left it."""
        if not _UUID.fullmatch(uuid or ""):
            return None
        condition = equals("uuid", [uuid or ""])
        (rows,) = self.api.zql(f"query vminstance where {condition} and state = 'Destroyed'")
        found = self._vms(rows)
        if not found:
            return None
        self.add_facts(found[0], ("config",))
        return {**found[0], "state": "stopped"}

    @property
    def hot_plug(self) -> bool:
        """Whether running VMs may get more memory and cores. Who may not ask leaves that to the server."""
        if self._hot_plug is None:
            try:
                ((told, *_more),) = self.api.zql("query globalconfig where category = 'vm' and name = 'numa'")
                self._hot_plug = told["value"] == "true"
            except (PermissionDenied, ValueError):
                self._hot_plug = True
        return self._hot_plug

    # --- checks

    def normal_settings(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return settings.normal_settings(wanted, self.names)

    def clone_of(self, source: VM, name: str) -> VM:
        """Addresses and volumes are its own; of HA the server knows by a tag, which goes along."""
        clone = {**super().clone_of(source, name), "node": None}
        if "cloud_init" in clone:
            kept = {part: value for part, value in clone.pop("cloud_init").items() if part != "ip_config"}
            if kept:
                clone["cloud_init"] = kept
        if "cdrom" in clone:
            clone["cdrom"] = {"slot": "ide0", "image": ""}
        for kind, own in (("disks", ("volume",)), ("nics", ())):
            devices = clone.get(kind) or {}
            clone[kind] = {
                slot: {part: value for part, value in device.items() if part not in own}
                for slot, device in devices.items()
            }
        return clone

    def foreseen(self, plan: Plan) -> Plan:
        return foreseen(plan, self)

    def apply_of(self, change: Change, vm: VM) -> Apply:
        """What only a stopped VM takes waits for a restart; the server itself keeps nothing that waits."""
        if vm.get("state") in ("running", "paused") and preflight.needs_stop(change, vm, self):
            return Apply.RESTART
        return super().apply_of(change, vm)

    def check(self, plan: Plan) -> None:
        super().check(plan)
        preflight.check_snapshots(plan, self)

    def preflight(self, step: Step) -> None:
        preflight.check(step, self)

    # --- operations

    def perform(self, step: Step, deadline: Deadline) -> Task:
        from .operations import Operations

        return Operations(self, deadline).perform(step)

    def poll(self, tasks: Sequence[Task]) -> Sequence[Task]:
        return self.tasks.poll(tasks)

    def tend(self, tasks: Sequence[Task]) -> None:
        self.tasks.tend()

    def held_by(self, identity: Identity) -> str | None:
        vm = self._locate(identity)
        return f"state {vm['native_state']}" if vm and vm["native_state"] not in settings.SETTLED else None

    def close(self) -> None:
        self.api.close()


def _there() -> str:
    """The condition for VMs that exist: those that were destroyed are listed for days."""
    return f"state not in ({', '.join(repr(state) for state in settings.GONE)}) and type = 'UserVm'"
