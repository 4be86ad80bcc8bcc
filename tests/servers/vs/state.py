# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the platform holds: clusters, tenants, hosts, VMs with their snapshots, sessions. Time is counted in polls."""

from __future__ import annotations

import copy
import hashlib
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

GIB = 1024**3
HEAD = "head"
"""The VM's working state, a child in every tree."""


class ApiError(Exception):
    """A call that does not succeed: a code, its text in both languages, and what it is about."""

    def __init__(self, code: int, message: str, message_cn: str, desc: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.message_cn = message_cn
        self.desc = desc


@dataclass
class Disk:
    device: str
    bus: str
    volume: str
    capacity: int
    content: str = "empty"
    passthrough: bool = False


@dataclass
class Snapshot:
    """config: the VM's settings of then; contents: what was on its volumes; usable: whether memory is uploaded."""

    uuid: str
    name: str
    description: str
    ctime: int
    config: dict[str, int]
    contents: dict[str, tuple[str, str, str]]
    memory: bool = False
    usable: bool = True
    hidden: int = 0
    """So many lists do not show it yet."""


@dataclass
class Vm:
    """due: what happens after so many looks at the VM."""

    uuid: str
    name: str
    cluster: str
    tenant: str
    state: str = "shutoff"
    ga_state: str = "disconnected"
    action: str = "noaction"
    host: str = ""
    config: dict[str, int] = field(default_factory=dict)
    disks: list[Disk] = field(default_factory=list)
    interfaces: list[dict[str, Any]] = field(default_factory=list)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=lambda: {HEAD: ""})
    deleted: int = 0
    purged: bool = False
    hangs: bool = False
    agent: bool = True
    boots: int = 0
    parent_uuid: str = ""
    due: list[tuple[int, Callable[[], None]]] = field(default_factory=list)

    @property
    def is_off(self) -> bool:
        return self.state in ("shutoff", "shutdown")

    def look(self) -> None:
        """One more look: what is due happens."""
        now, self.due = self.due, []
        for left, event in now:
            if left <= 1:
                event()
            else:
                self.due.append((left - 1, event))

    def after(self, polls: int, event: Callable[[], None]) -> None:
        if polls <= 0:
            event()
        else:
            self.due.append((polls, event))

    def children(self, name: str) -> list[str]:
        return sorted(child for child, parent in self.parents.items() if parent == name)


class Platform:
    """polls: how many looks an asynchronous call takes. hidden: how many lists do not show a new snapshot yet."""

    def __init__(self, seed: int, polls: int, hidden: int) -> None:
        self.lock = threading.RLock()
        self.random = random.Random(seed)
        self.polls = polls
        self.hidden = hidden
        self.clusters: dict[str, str] = {}
        self.tenants: dict[str, str] = {}
        self.hosts: dict[str, str] = {}
        self.users: dict[tuple[str, str], str] = {}
        self.admins: set[str] = set()
        self.failures: dict[str, int] = {}
        self.tokens: dict[str, str] = {}
        self.vms: dict[str, Vm] = {}
        self.memory_space = True
        """Whether the tenants have space for memory snapshots."""
        self.failing_volumes: set[str] = set()
        """Volumes whose rollback fails, inside of an outer success."""
        self.failing_vms: set[str] = set()
        """VMs with which a call for several fails, inside of an outer success."""
        self.now = int(time.time())

    def new_uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def tick(self) -> int:
        """The time in seconds; no two moments are the same."""
        self.now += 1
        return self.now

    def add_user(self, tenant: str, user: str, password: str, *, admin: bool = True) -> None:
        self.users[tenant, user] = hashlib.md5(password.encode()).hexdigest()
        if admin:
            self.admins.add(user)

    def vm(self, params: dict[str, Any]) -> Vm:
        """The VM that a request is about."""
        if params["cluster_uuid"] not in self.clusters:
            raise ApiError(20001, "cluster not exists", "集群不存在", params["cluster_uuid"])
        found = self.vms.get(params["compute_uuid"])
        if found is None or found.cluster != params["cluster_uuid"] or (found.deleted and not params.get("trash")):
            raise ApiError(20801, "virtual machine not exists", "虚拟机不存在", params["compute_uuid"])
        if params.get("tenant") not in (None, "", found.tenant):
            raise ApiError(10302, "tenant has no such resource", "租户没有该资源", params["tenant"])
        return found

    def start(self, vm: Vm, host: str = "") -> None:
        vm.state, vm.host = "running", host or vm.host or next(iter(self.hosts))
        vm.ga_state = "connected" if vm.agent else "disconnected"
        vm.boots += 1

    @staticmethod
    def stop(vm: Vm) -> None:
        vm.state, vm.ga_state = "shutoff", "disconnected"

    def copy_of(self, source: Vm, name: str, snapshot: Snapshot | None) -> Vm:
        """A new VM with volumes, addresses and an identity of its own."""
        vm = Vm(self.new_uuid(), name, source.cluster, source.tenant, hangs=source.hangs, agent=source.agent)
        vm.config = dict(snapshot.config if snapshot else source.config)
        vm.parent_uuid = source.uuid
        for disk in source.disks:
            content = snapshot.contents[disk.device][2] if snapshot else disk.content
            vm.disks.append(Disk(disk.device, disk.bus, self.new_uuid(), disk.capacity, content))
        vm.interfaces = copy.deepcopy(source.interfaces)
        for interface in vm.interfaces:
            interface["mac_address"] = self.mac()
        self.vms[vm.uuid] = vm
        return vm

    def mac(self) -> str:
        return "52:56:ff:" + ":".join(f"{self.random.getrandbits(8):02x}" for _part in range(3))
