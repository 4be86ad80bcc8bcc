# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cluster as data: nodes, guests, storages and pools."""

from __future__ import annotations

import hashlib
import random
import re
import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..clock import Clock
from .auth import Access, Caller
from .errors import ApiError, missing_config
from .schema import Contract, contract
from .tasks import Tasks

if TYPE_CHECKING:
    from .cluster import Resources
    from .console import Proxy

GIB = 1024**3
MIB = 1024**2
REASONS = {"refused": "Connection refused", "noroute": "No route to host", "timeout": "Connection timed out"}
VERSIONS = {
    "8.4": {"release": "8.4", "repoid": "2606ac850d46da29", "version": "8.4.21"},
    "9.2": {"release": "9.2", "repoid": "14a22df35955d97d", "version": "9.2.11"},
}
_DRIVE = re.compile(r"(ide|sata|scsi|virtio)\d+|efidisk0|tpmstate0")


@dataclass(slots=True)
class Node:
    """One node. proxy: ok, or how a request to it fails from another node: refused, noroute, timeout, hang (596)."""

    name: str
    number: int
    online: bool = True
    proxy: str = "ok"
    kvm: bool = True
    bridges: list[str] = field(default_factory=lambda: ["vmbr0"])
    maxcpu: int = 4
    maxmem: int = 16 * GIB

    @property
    def address(self) -> str:
        return f"192.0.2.{10 + self.number}"


@dataclass(slots=True)
class Volume:
    size: int
    format: str
    vmid: int
    ctime: int
    parent: str | None = None
    content: str = "images"


@dataclass(slots=True)
class Storage:
    """A storage; volumes by (node or "" when shared, volume name)."""

    name: str
    type: str = "dir"
    shared: bool = False
    content: tuple[str, ...] = ("images", "rootdir", "iso", "snippets", "vztmpl", "backup")
    path: str = "/var/lib/vz"
    nodes: tuple[str, ...] | None = None
    volumes: dict[tuple[str, str], Volume] = field(default_factory=dict)

    def on(self, node: str) -> bool:
        return self.nodes is None or node in self.nodes

    def key(self, node: str, volume: str) -> tuple[str, str]:
        return ("" if self.shared else node, volume)


@dataclass(slots=True)
class Pool:
    name: str
    comment: str | None = None
    vms: list[int] = field(default_factory=list)
    storages: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Guest:
    """A virtual machine. config is what runs (the lock among it), pending what waits for the next start.

    shutdown_seconds: how long the guest takes to switch itself off; None: nobody in it answers.
    agent: running, absent or hung; it answers agent_seconds after the start. addresses are those of its first NIC,
    interfaces are what it has beside its NICs, such as bridges of containers.
    """

    vmid: int
    node: str
    config: dict[str, Any] = field(default_factory=dict)
    pending: dict[str, Any] = field(default_factory=dict)
    pending_delete: dict[str, int] = field(default_factory=dict)
    snapshots: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: bool = False
    paused: bool = False
    started: float = 0.0
    stopped: float = 0.0
    pid: int = 0
    shutdown_seconds: float | None = 0.02
    agent: str = "running"
    agent_seconds: float = 0.0
    addresses: list[str] = field(default_factory=lambda: ["192.0.2.50/24"])
    interfaces: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    commands: dict[int, dict[str, Any]] = field(default_factory=dict)
    ha: dict[str, Any] | None = None
    ha_seconds: float = 0.2
    cache: tuple[int, dict[str, Any]] = (0, {})

    @property
    def lock(self) -> str | None:
        return self.config.get("lock")

    @property
    def name(self) -> str:
        return self.config.get("name") or f"VM {self.vmid}"

    @property
    def template(self) -> bool:
        return bool(self.config.get("template"))

    def check_lock(self, *allowed: str) -> None:
        if self.lock and self.lock not in allowed:
            raise ApiError(f"VM is locked ({self.lock})\n")

    def digest(self) -> str:
        text = [self.config, self.pending, self.pending_delete, self.snapshots]
        return hashlib.sha1(repr([sorted(part.items()) for part in text]).encode()).hexdigest()

    def drives(self, config: dict[str, Any] | None = None) -> list[str]:
        """The keys of its drives, in the order in which the server looks for one to boot from."""
        found = [key for key in (self.config if config is None else config) if _DRIVE.fullmatch(key)]
        return sorted(found, key=_drive_order)

    def merged(self) -> dict[str, Any]:
        """The configuration as it will be: what is pending counts."""
        return {k: v for k, v in {**self.config, **self.pending}.items() if k not in self.pending_delete}


def _drive_order(key: str) -> tuple[int, int]:
    stem = key.rstrip("0123456789")
    return ["ide", "scsi", "virtio", "sata", "efidisk", "tpmstate"].index(stem), int(key[len(stem) :])


class Cluster:
    """Everything that the server knows; whoever touches it holds the lock."""

    resources: Resources

    def __init__(
        self, version: str, nodes: int, *, speed: float, task_seconds: float, seed: int, start: float | None
    ) -> None:
        self.version = version
        self.contract: Contract = contract(version)
        self.new = self.contract.new
        self.name = "lab"
        self.lock = threading.RLock()
        self.clock = Clock(self.lock, speed, start)
        self.random = random.Random(seed)
        self.nodes = {f"pve{i}": Node(f"pve{i}", i) for i in range(1, nodes + 1)}
        self.guests: dict[int, Guest] = {}
        self.pools: dict[str, Pool] = {}
        shared_content = ("images", "iso", "snippets", "vztmpl", "import")
        self.storages = {
            "local": Storage("local"),
            "shared": Storage("shared", shared=True, content=shared_content, path="/mnt/shared"),
        }
        self.tasks = Tasks(self.clock, task_seconds)
        self.access = Access(self.new, self.clock.now)
        self.access.pool_of = self.pool_of
        self.quorum: bool | None = None  # None: as the nodes that are online say
        self.containers: list[dict[str, Any]] = []  # as the resource list tells them; there is no more to them
        self.seen: dict[int, dict[str, Any]] = {}  # what the status daemons last told about each guest
        self.proxies: list[Proxy] = []  # of VNC connections
        self.slow_errors = False
        self.cleanup_seconds = 0.0  # a start so soon after a stop meets the cleanup, which holds the file lock for 30 s

    @property
    def quorate(self) -> bool:
        if self.quorum is not None:
            return self.quorum
        return sum(node.online for node in self.nodes.values()) * 2 > len(self.nodes)

    def check_quorum(self) -> None:
        if not self.quorate:
            raise ApiError("cluster not ready - no quorum?\n")

    def check_writable(self, node: str, vmid: int) -> None:
        """What a write to a configuration file runs into without quorum."""
        if not self.quorate:
            path = f"/etc/pve/nodes/{node}/qemu-server/{vmid}.conf.tmp.{self.random.randint(1000, 30000)}"
            raise ApiError(f"unable to open file '{path}' - Permission denied\n")

    def guest(self, node: str, vmid: int) -> Guest:
        found = self.guests.get(vmid)
        if found is None or found.node != node:
            raise missing_config(node, vmid)
        return found

    def guests_on(self, node: str) -> list[Guest]:
        return [guest for guest in self.guests.values() if guest.node == node]

    def pools_of(self) -> dict[int, str]:
        return {vmid: pool.name for pool in self.pools.values() for vmid in pool.vms}

    def pool_of(self, vmid: int) -> str | None:
        return next((pool.name for pool in self.pools.values() if vmid in pool.vms), None)

    def new_mac(self) -> str:
        return "BC:24:11:" + ":".join(f"{self.random.randrange(256):02X}" for _byte in range(3))

    def new_uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def identity(self) -> dict[str, str]:
        """What every new guest gets."""
        return {"smbios1": f"uuid={self.new_uuid()}", "vmgenid": self.new_uuid()}

    def sleep(self, seconds: float) -> None:
        """A deliberate delay of the server, when it is switched on."""
        if self.slow_errors:
            self.clock.wait(seconds, lambda: False)


ROOT = Caller("root@pam")
