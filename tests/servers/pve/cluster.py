# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads of the cluster and its nodes, and the resource list with its staleness."""

from __future__ import annotations

from typing import Any

from .errors import ApiError, parameter_error
from .guests import common_row
from .routes import Answer, Call, route
from .state import GIB, VERSIONS, Cluster, Guest, Node
from .text import words
from .volumes import storage

ROUND_SECONDS = 10.0
CACHE_SECONDS = 2.0
_FINGERPRINT = ":".join(["00"] * 32)
_NODE_INDEX = words(
    "aplinfo apt capabilities ceph certificates config disks dns firewall hardware hosts journal lxc migrateall"
    " netstat network qemu query-url-metadata replication report rrd rrddata scan sdn services spiceshell startall"
    " status stopall storage subscription suspendall syslog tasks termproxy time version vncshell vzdump wakeonlan"
)
_CPUS = (
    "kvm64",
    "qemu64",
    "host",
    "max",
    "x86-64-v2-AES",
    "x86-64-v3",
    "EPYC-Rome",
    "Skylake-Server",
    "Icelake-Server",
)
_MEMORY = {"total": 16 * GIB, "used": 2 * GIB, "free": 14 * GIB}
_DISK = {"total": 100 * GIB, "used": 10 * GIB, "free": 90 * GIB, "avail": 90 * GIB}


@route("GET", "/version")
def version(call: Call) -> dict[str, str]:
    return VERSIONS[call.cluster.version]


@route("GET", "/nodes/{node}/version")
def node_version(call: Call) -> dict[str, str]:
    return version(call)


def _usage(call: Call, node: Node) -> dict[str, Any]:
    """The numbers of a node, for who may see them; an offline one tells little."""
    if not call.may(f"/nodes/{node.name}", "Sys.Audit"):
        return {}
    row: dict[str, Any] = {"maxcpu": node.maxcpu, "maxmem": node.maxmem, "maxdisk": 100 * GIB}
    if node.online:
        row.update(cpu=0.01, mem=2 * GIB, disk=10 * GIB, uptime=86400)
    return row


def _node_row(call: Call, node: Node) -> dict[str, Any]:
    status = "online" if node.online else "offline"
    row = {"id": f"node/{node.name}", "node": node.name, "type": "node", "status": status, "level": ""}
    return {**row, **_usage(call, node)}


@route("GET", "/nodes")
def nodes(call: Call) -> Answer:
    rows = [{**_node_row(call, node), "ssl_fingerprint": _FINGERPRINT} for node in call.cluster.nodes.values()]
    return Answer(rows, ordered=False)


@route("GET", "/nodes/{node}")
def node_index(_call: Call) -> Answer:
    return Answer([{"name": name} for name in _NODE_INDEX])


@route("GET", "/nodes/{node}/status")
def node_status(call: Call) -> dict[str, Any]:
    current = VERSIONS[call.cluster.version]
    kernel = {"sysname": "Linux", "release": "0.0.0-example", "version": "#1 SMP example", "machine": "x86_64"}
    cpu: dict[str, Any] = {
        "cores": 4, "cpus": 4, "flags": "fpu sse2", "hvm": "", "mhz": "2000.000", "sockets": 1,
        "model": "Example CPU", "user_hz": 100,
    }  # fmt: skip
    memory = dict(_MEMORY)
    if call.cluster.new:
        cpu.update(family="6", vendor="ExampleVendor")
        memory["available"] = memory["free"]
    return {
        "boot-info": {"mode": "legacy-bios"},
        "cpu": 0.01,
        "cpuinfo": cpu,
        "current-kernel": kernel,
        "idle": 0,
        "ksm": {"shared": 0},
        "kversion": "Linux 0.0.0-example",
        "loadavg": ["0.10", "0.10", "0.10"],
        "memory": memory,
        "pveversion": f"pve-manager/{current['version']}/{current['repoid']}",
        "rootfs": dict(_DISK),
        "swap": {"free": 0, "total": 0, "used": 0},
        "uptime": 86400,
        "wait": 0,
    }


@route("GET", "/cluster/status")
def cluster_status(call: Call) -> Answer:
    cluster = call.cluster
    rows: list[dict[str, Any]] = [
        {
            "type": "node",
            "id": f"node/{node.name}",
            "name": node.name,
            "nodeid": node.number,
            "ip": node.address,
            "online": int(node.online),
            "local": int(node.name == call.local),
            "level": "",
        }
        for node in cluster.nodes.values()
    ]
    if len(rows) > 1:
        top = {"type": "cluster", "id": "cluster", "name": cluster.name, "version": len(rows), "nodes": len(rows)}
        rows.append({**top, "quorate": int(cluster.quorate)})
    return Answer(rows, ordered=False)


@route("GET", "/cluster/nextid")
def next_id(call: Call) -> str:
    wish = call.params.get("vmid")
    if wish is not None:
        if wish in call.cluster.guests:
            raise parameter_error(vmid=f"VM {wish} already exists")
        return str(wish)
    return str(next(number for number in range(100, 10**9) if number not in call.cluster.guests))


# -- resources --------------------------------------------------------------------------------------------------------


def observe(cluster: Cluster, guest: Guest) -> dict[str, Any]:
    """What the status daemon of a node tells about a guest in one of its rounds."""
    row = common_row(cluster, guest)
    row["status"] = "paused" if guest.paused and guest.running else row["status"]
    row.update(diskread=0, diskwrite=0, template=int(guest.template), maxcpu=row.pop("cpus"))
    for key in ("vmid", "tags", "lock"):
        row.pop(key, None)
    return row


class Resources:
    """The resource list: existence, node, pool, tags and lock are live, all else is as old as the last round."""

    def __init__(self, cluster: Cluster, stale: bool, workers: int) -> None:
        self.cluster = cluster
        self.stale = stale
        self.workers = workers
        self._caches: dict[int, tuple[float, list[dict[str, Any]]]] = {}
        self._round()

    def _round(self) -> None:
        cluster = self.cluster
        if self.stale:
            away = {name for name, node in cluster.nodes.items() if not node.online}
            old = cluster.seen
            cluster.seen = {
                vmid: old.get(vmid, {}) if guest.node in away else observe(cluster, guest)
                for vmid, guest in cluster.guests.items()
            }
        missed = max(int(cluster.clock.behind() // ROUND_SECONDS), 0)
        cluster.clock.after(ROUND_SECONDS * max(missed, 1), self._round)

    def guest_rows(self) -> list[dict[str, Any]]:
        if self.workers <= 1:
            return self._live()
        worker = self.cluster.random.randrange(self.workers)
        made, rows = self._caches.get(worker, (-CACHE_SECONDS, []))
        if self.cluster.clock.now() - made >= CACHE_SECONDS:
            made, rows = self.cluster.clock.now(), self._live()
            self._caches[worker] = (made, rows)
        return [dict(row) for row in rows]

    def _live(self) -> list[dict[str, Any]]:
        pools = self.cluster.pools_of()
        return [self._row(guest, pools.get(guest.vmid)) for guest in self.cluster.guests.values()]

    def _row(self, guest: Guest, pool: str | None) -> dict[str, Any]:
        cluster = self.cluster
        late = cluster.seen.get(guest.vmid) if self.stale else observe(cluster, guest)
        row = {"id": f"qemu/{guest.vmid}", "vmid": guest.vmid, "node": guest.node, "type": "qemu"}
        row.update(late or {"status": "unknown"})
        if pool:
            row["pool"] = pool
        for key in ("tags", "lock"):
            if key in guest.config:
                row[key] = guest.config[key]
        if guest.ha:
            row["hastate"] = guest.ha["state"]
        return row


def storage_row(cluster: Cluster, name: str, node: str) -> dict[str, Any]:
    where = storage(cluster, name)
    content = list(where.content)
    cluster.random.shuffle(content)
    return {
        "id": f"storage/{node}/{name}",
        "type": "storage",
        "storage": name,
        "node": node,
        "status": "available",
        "plugintype": where.type,
        "shared": int(where.shared),
        "content": ",".join(content),
        "disk": 10 * GIB,
        "maxdisk": 100 * GIB,
    }


@route("GET", "/cluster/resources")
def resources(call: Call) -> Answer:
    wanted = call.params.get("type")
    rows: list[dict[str, Any]] = []
    if wanted is None:
        rows += _pools(call)
    if wanted in (None, "vm"):
        guests = call.cluster.resources.guest_rows() + call.cluster.containers
        rows += [row for row in guests if call.may(f"/vms/{row['vmid']}", "VM.Audit")]
    if wanted in (None, "node"):
        rows += [{**_node_row(call, node), "cgroup-mode": 2} for node in call.cluster.nodes.values()]
    if wanted in (None, "storage"):
        rows += _storages(call)
    if wanted is None or (wanted == "sdn" and not call.cluster.new):
        rows += _zones(call)
    return Answer(rows, ordered=False)


def _pools(call: Call) -> list[dict[str, Any]]:
    names = [name for name in call.cluster.pools if call.may(f"/pool/{name}", "Pool.Audit")]
    return [{"id": f"/pool/{name}", "pool": name, "type": "pool"} for name in names]


def _storages(call: Call) -> list[dict[str, Any]]:
    cluster = call.cluster
    return [
        storage_row(cluster, where.name, node)
        for where in cluster.storages.values()
        for node in cluster.nodes
        if where.on(node) and call.may(f"/storage/{where.name}", "Datastore.Audit", "Datastore.AllocateSpace")
    ]


def _zones(call: Call) -> list[dict[str, Any]]:
    if not call.may("/sdn/zones/localnetwork", "SDN.Audit"):
        return []
    rows = []
    for node in call.cluster.nodes:
        row = {"node": node, "status": "ok"}
        if call.cluster.new:
            row.update(type="network", network="localnetwork", id=f"network/{node}/zone/localnetwork")
            row["network-type"] = "zone"
        else:
            row.update(type="sdn", sdn="localnetwork", id=f"sdn/{node}/localnetwork")
        rows.append(row)
    return rows


# -- network and capabilities -----------------------------------------------------------------------------------------


def _bridge(node: Node, name: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "iface": name, "type": "bridge", "active": 1, "autostart": 1, "bridge_fd": "0", "bridge_ports": "",
        "bridge_stp": "off", "families": ["inet"], "method": "manual", "method6": "manual", "priority": 3,
    }  # fmt: skip
    if name == node.bridges[0]:
        row.update(method="static", address=node.address, cidr=f"{node.address}/24", netmask="24")
    return row


@route("GET", "/nodes/{node}/network")
def network(call: Call) -> Answer:
    node, wanted = call.cluster.nodes[call.node], call.params.get("type")
    bridges = wanted in (None, "bridge", "any_bridge", "any_local_bridge", "include_sdn")
    may = [name for name in node.bridges if call.may(f"/sdn/zones/localnetwork/{name}", "SDN.Audit", "SDN.Use")]
    return Answer([_bridge(node, name) for name in may] if bridges else [], ordered=False)


@route("GET", "/nodes/{node}/network/{iface}")
def interface(call: Call) -> dict[str, Any]:
    node = call.cluster.nodes[call.node]
    if call.params["iface"] not in node.bridges:
        raise parameter_error(iface="interface does not exist")
    row = _bridge(node, call.params["iface"])
    del row["iface"]
    return row


@route("GET", "/nodes/{node}/capabilities")
def capabilities(_call: Call) -> Answer:
    return Answer([{"name": "qemu"}])


@route("GET", "/nodes/{node}/capabilities/qemu")
def qemu_capabilities(call: Call) -> Answer:
    names = ["cpu", "cpu-flags", "machines", "migration"] if call.cluster.new else ["cpu", "machines"]
    return Answer([{"name": name} for name in names])


@route("GET", "/nodes/{node}/capabilities/qemu/cpu")
def cpu_models(_call: Call) -> Answer:
    return Answer([{"name": name, "custom": 0, "vendor": "default"} for name in _CPUS], ordered=False)


@route("GET", "/nodes/{node}/capabilities/qemu/cpu-flags")
def cpu_flags(_call: Call) -> Answer:
    return Answer([{"name": "aes", "description": "Activate AES instruction set"}], ordered=False)


@route("GET", "/nodes/{node}/capabilities/qemu/machines")
def machines(_call: Call) -> Answer:
    kinds = (("i440fx", "pc-i440fx"), ("q35", "pc-q35"))
    rows = [{"id": f"{name}-{v}", "type": kind, "version": v} for v in ("7.2", "7.1", "7.0") for kind, name in kinds]
    return Answer(rows)


@route("GET", "/nodes/{node}/capabilities/qemu/migration")
def migration_capabilities(_call: Call) -> dict[str, int]:
    return {"has-dbus-vmstate": 1}


def check_node(cluster: Cluster, name: str) -> None:
    if name not in cluster.nodes:
        raise ApiError(f"no such cluster node '{name}'\n")
