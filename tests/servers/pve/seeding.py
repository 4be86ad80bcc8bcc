# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Guests, users and tasks that a test starts from."""

from __future__ import annotations

from typing import Any

from .auth import Caller
from .cluster import observe
from .options import DRIVE, default_boot, stored
from .power import switch_on
from .state import GIB, MIB, Cluster, Guest, Storage
from .tasks import Task
from .volumes import make_drive


class Seeding:
    """The part of the server that puts things into the state."""

    state: Cluster

    def add_vm(
        self, vmid: int, name: str | None = None, node: str = "pve1", *, running: bool = False, **config: Any
    ) -> Guest:
        """A guest that has been there for long. config: options of the API, dashes as underscores; also the
        attributes of Guest (shutdown_seconds, agent_seconds, addresses, ...; the agent's state as agent_state)."""
        cluster = self.state
        with cluster.lock:
            guest = Guest(vmid, node)
            for key, attribute in (
                ("agent_state", "agent"),
                *((k, k) for k in Guest.__dataclass_fields__ if k != "agent"),
            ):
                if key in config and key not in ("config", "vmid", "node"):
                    setattr(guest, attribute, config.pop(key))
            if name:
                config["name"] = name
            for key, value in config.items():
                option = key.replace("_", "-")
                option = option if option in cluster.contract.config else key
                text = str(int(value)) if isinstance(value, bool) else value
                if DRIVE.fullmatch(option):
                    text = make_drive(cluster, node, vmid, option, str(text), [])
                elif isinstance(text, str):
                    text = stored(cluster, option, text)
                guest.config[option] = self._typed(option, text)
            if "boot" not in guest.config:
                guest.config["boot"] = default_boot(cluster, guest)
            guest.config.setdefault("meta", f"creation-qemu=7.2.22,ctime={cluster.clock.seconds()}")
            for key, value in cluster.identity().items():
                guest.config.setdefault(key, value)
            paused = guest.paused
            if running or paused:
                switch_on(cluster, guest)
                guest.paused = paused
            cluster.guests[vmid] = guest
            cluster.seen[vmid] = observe(cluster, guest)
        return guest

    def _typed(self, key: str, value: Any) -> Any:
        kind = self.state.contract.config.get(key, {}).get("type")
        return int(value) if kind in ("integer", "boolean") else str(value)

    def add_container(self, vmid: int, name: str, node: str = "pve1", status: str = "running", **told: Any) -> None:
        """A container, as the resource list tells it; nothing else knows of it."""
        row = {"id": f"lxc/{vmid}", "type": "lxc", "vmid": vmid, "name": name, "node": node, "status": status}
        usage = {"cpu": 0, "maxcpu": 1, "mem": 0, "maxmem": 512 * MIB, "disk": 0, "maxdisk": 8 * GIB, "uptime": 60}
        self.state.containers.append({**row, **usage, "template": 0, **told})

    def add_storage(
        self, name: str, kind: str = "dir", *, shared: bool = False, nodes: tuple[str, ...] | None = None
    ) -> Storage:
        """A storage for disks; kinds without files, such as lvmthin or rbd, name their volumes without folders."""
        storage = Storage(name, kind, shared, ("images", "rootdir"), f"/mnt/{name}", nodes)
        self.state.storages[name] = storage
        return storage

    def vm(self, vmid: int) -> Guest:
        """A guest as it is now."""
        with self.state.lock:
            self.state.clock.settle()
            return self.state.guests[vmid]

    def add_user(self, user: str, *rights: str, path: str = "/") -> tuple[str, str]:
        """A user with a token that may do what the user may; returns the token's id and secret."""
        access = self.state.access
        access.add_user(user)
        secret = access.add_token(user, "tok", privsep=False)
        if rights:
            access.grant(path, user, *rights)
        return f"{user}!tok", secret

    def add_task(
        self, kind: str, vmid: int | str, exitstatus: str = "OK", *, node: str = "pve1", age: float = 60
    ) -> Task:
        """A task of the past."""
        with self.state.lock:
            return self.state.tasks.record(Caller("root@pam", "api"), node, kind, str(vmid), exitstatus, age)


def example(server: Seeding, count: int) -> None:
    nodes = list(server.state.nodes)
    for number in range(count):
        server.add_vm(
            100 + number,
            f"vm{number:03d}",
            nodes[number % len(nodes)],
            running=number % 2 == 0,
            memory=1024,
            cores=2,
            agent="1",
            tags="demo",
            scsihw="virtio-scsi-single",
            scsi0="shared:8,format=qcow2",
            net0="virtio,bridge=vmbr0",
            addresses=[f"192.0.2.{number % 200 + 50}/24"],
        )
