# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Guests: lists, status, creating, destroying."""

from __future__ import annotations

from typing import Any

from .config import remove_now
from .errors import ApiError, permission_error
from .options import DRIVE, NET, check_values, default_boot, need_right, stored
from .power import start_task
from .routes import VM, Answer, Call, route
from .state import MIB, Cluster, Guest
from .tasks import Task
from .text import words
from .volumes import check_base, drive_volume, find, free, make_drive, storage

_NOT_CONFIG = (
    "archive", "bwlimit", "force", "ha-managed", "import-working-storage", "live-restore", "pool", "start", "storage",
    "unique",
)  # fmt: skip
_SUBDIRS = words(
    "config cloudinit pending status unlink vncproxy termproxy migrate resize move rrd rrddata monitor agent snapshot"
    " spiceproxy sendkey firewall mtunnel remote_migrate"
)
_STATUS = words("current start stop reset shutdown suspend reboot")

_PRESSURE = {f"pressure{kind}{share}": 0 for kind in ("cpu", "io", "memory") for share in ("full", "some")}

# -- rows -------------------------------------------------------------------------------------------------------------


def memory_of(config: dict[str, Any]) -> int:
    return int(str(config.get("memory", "512")).removeprefix("current=")) * MIB


def cpus_of(config: dict[str, Any]) -> int:
    return config.get("vcpus") or config.get("sockets", 1) * config.get("cores", 1)


def _disk_size(cluster: Cluster, guest: Guest) -> int:
    """The size of the disk that the guest boots from."""
    boot = str(guest.config.get("boot", "")).removeprefix("order=").split(";")
    drives = [key for key in boot if key in guest.drives()] or [
        k for k in guest.drives() if k[:3] not in ("efi", "tpm")
    ]
    for key in drives:
        options = cluster.contract.options(key, guest.config[key])
        volume = None if options.get("media") == "cdrom" else find(cluster, guest.node, options["file"])
        if volume:
            return volume.size
    return 0


def _settled(cluster: Cluster, guest: Guest) -> dict[str, Any]:
    """The parts of its rows that follow from the configuration alone; kept, since lists are long and often read."""
    sign = hash((guest.node, *guest.config.items()))
    if guest.cache[0] != sign:
        config = guest.config
        row: dict[str, Any] = {
            "vmid": guest.vmid,
            "name": guest.name,
            "maxmem": memory_of(config),
            "maxdisk": _disk_size(cluster, guest),
            "cpus": cpus_of(config),
            **{key: config[key] for key in ("tags", "lock") if key in config},
            **({"template": 1} if guest.template else {}),
        }
        guest.cache = (sign, row)
    return guest.cache[1]


def common_row(cluster: Cluster, guest: Guest) -> dict[str, Any]:
    """What a node's own list has, running or not."""
    row = {
        **_settled(cluster, guest),
        "status": "running" if guest.running else "stopped",
        "cpu": 0.01 if guest.running else 0,
        "mem": guest.cache[1]["maxmem"] // 4 if guest.running else 0,
        "disk": 0,
        "uptime": int(cluster.clock.now() - guest.started) if guest.running else 0,
        "netin": 110 if guest.running else 0,
        "netout": 0,
    }
    if cluster.new:
        row["memhost"] = 0
    return row


def live_row(cluster: Cluster, guest: Guest, full: bool) -> dict[str, Any]:
    """A row of a node's own list, or (full) the start of status/current."""
    row = common_row(cluster, guest)
    if guest.running:
        row["pid"] = guest.pid
        if cluster.new:
            row.update(_PRESSURE)
    if full:
        row["qmpstatus"] = "stopped" if not guest.running else "paused" if guest.paused else "running"
        nics = [key for key in guest.config if NET.fullmatch(key)]
        if guest.running and nics:
            row["nics"] = {f"tap{guest.vmid}i{key[3:]}": {"netin": 110, "netout": 0} for key in nics}
        if any(key.startswith("serial") for key in guest.config):
            row["serial"] = 1
    return row


@route("GET", "/nodes/{node}/qemu")
def vm_list(call: Call) -> Answer:
    cluster, full = call.cluster, bool(call.params.get("full"))
    seen = [guest for guest in cluster.guests_on(call.node) if call.may(f"/vms/{guest.vmid}", "VM.Audit")]
    return Answer([live_row(cluster, guest, full) for guest in seen], ordered=False)


@route("GET", "/nodes/{node}/lxc")
def container_list(call: Call) -> Answer:
    return Answer([row for row in call.cluster.containers if row["node"] == call.node], ordered=False)


@route("GET", VM + "/status/current")
def vm_status(call: Call) -> dict[str, Any]:
    guest = call.guest()
    row = live_row(call.cluster, guest, full=True)
    row["ha"] = {"managed": 1, **guest.ha} if guest.ha else {"managed": 0}
    if "vga" in guest.config:
        row["clipboard"] = call.cluster.contract.options("vga", guest.config["vga"]).get("clipboard")
    if agent_enabled(call.cluster, guest):
        row["agent"] = 1
    return row


def agent_enabled(cluster: Cluster, guest: Guest) -> bool:
    text = str(guest.config.get("agent") or "")
    return bool(text) and cluster.contract.options("agent", text).get("enabled") == "1"


@route("GET", VM)
def vm_index(call: Call) -> Answer:
    call.guest()
    return Answer([{"subdir": name} for name in _SUBDIRS])


@route("GET", VM + "/status")
def status_index(call: Call) -> Answer:
    call.guest()
    return Answer([{"subdir": name} for name in _STATUS])


# -- creating -------------------------------------------------------------------------------------------------------


@route("POST", "/nodes/{node}/qemu")
def create(call: Call) -> str:
    cluster, given, vmid = call.cluster, call.own(*_NOT_CONFIG), call.vmid
    _admit_create(call, given)
    guest = Guest(vmid, call.node, {"lock": "create"})
    failed = f"unable to create VM {vmid} - "
    if vmid in cluster.guests:
        raise ApiError(f"{failed}VM {vmid} already exists on node '{cluster.guests[vmid].node}'\n")
    cluster.guests[vmid] = guest

    def work(task: Task) -> None:
        guest.config = {}
        try:
            _fill(cluster, guest, given, task.log)
        except ApiError as exc:
            raise ApiError(failed + exc.message) from None
        if call.params.get("pool"):
            cluster.pools[call.params["pool"]].vms.append(vmid)
        if call.params.get("ha-managed"):
            guest.ha = {"state": "started" if call.params.get("start") else "stopped"}
        if call.params.get("start"):
            task.log.append("Execute autostart")
            start_task(cluster, task.caller, call.node, vmid)

    def undo() -> None:
        drop_volumes(cluster, guest)
        cluster.guests.pop(vmid, None)

    return call.spawn("qmcreate", work, lock=vmid, undo=undo)


def _admit_create(call: Call, given: dict[str, Any]) -> None:
    cluster, pool, path = call.cluster, call.params.get("pool"), f"/vms/{call.vmid}"
    if "archive" in call.params:
        raise ApiError("the test server does not simulate restoring from an archive\n", 501)
    cluster.check_quorum()
    if pool is not None and pool not in cluster.pools:
        raise permission_error(f"pool '{pool}' does not exist")
    if not call.may(path, "VM.Allocate") and not (pool and call.may(f"/pool/{pool}", "VM.Allocate")):
        raise permission_error()
    for key in given:
        if not DRIVE.fullmatch(key):
            need_right(call, key, given[key], None, pool)
    if call.params.get("storage"):
        storage(cluster, call.params["storage"])
    check_values(call, given)


def _fill(cluster: Cluster, guest: Guest, given: dict[str, Any], log: list[str]) -> None:
    """The configuration of a new guest from the parameters."""
    for key in sorted(given):
        if DRIVE.fullmatch(key):
            guest.config[key] = make_drive(cluster, guest.node, guest.vmid, key, given[key], log)
        else:
            guest.config[key] = stored(cluster, key, given[key], normal_tags=cluster.new)
    guest.config.setdefault("boot", default_boot(cluster, guest))
    guest.config["meta"] = f"creation-qemu=7.2.22,ctime={cluster.clock.seconds()}"
    for key, value in cluster.identity().items():
        guest.config.setdefault(key, value)


# -- destroying -----------------------------------------------------------------------------------------------------


@route("DELETE", VM)
def destroy(call: Call) -> str:
    cluster = call.cluster
    call.root_only("skiplock")
    guest = call.guest()
    if guest.config.get("protection"):
        raise ApiError(f"can't remove VM {call.vmid} - protection mode enabled\n")
    if guest.ha and not call.params.get("purge"):
        raise ApiError(f"unable to remove VM {call.vmid} - used in HA resources\n")
    if guest.running:
        raise ApiError(f"VM {call.vmid} is running - destroy failed\n")

    def work(task: Task) -> None:
        cluster.check_writable(call.node, call.vmid)
        current = cluster.guest(call.node, call.vmid)
        if current.running:
            raise ApiError(f"VM {call.vmid} is running - destroy failed\n")
        if not call.params.get("skiplock"):
            current.check_lock("suspended", "suspending")
        drop_volumes(cluster, current)
        if call.params.get("destroy-unreferenced-disks"):
            _drop_unreferenced(cluster, current)
        if call.params.get("purge"):
            task.log.append(f"purging VM {call.vmid} from related configurations..")
        del cluster.guests[call.vmid]
        for pool in cluster.pools.values():
            if call.vmid in pool.vms:
                pool.vms.remove(call.vmid)

    return call.spawn("qmdestroy", work, lock=call.vmid)


def drop_volumes(cluster: Cluster, guest: Guest) -> None:
    """Destroy what the configuration and its snapshots name, as far as it belongs to the guest."""
    volumes: set[str] = set()
    for config in [guest.config, guest.pending, *guest.snapshots.values()]:
        for key, value in config.items():
            volume = str(value) if key == "vmstate" else None
            if DRIVE.fullmatch(key):
                volume = drive_volume(cluster, key, str(value))
            found = find(cluster, guest.node, volume) if volume else None
            if volume and found and found.vmid == guest.vmid:
                volumes.add(volume)
    for volume in volumes:
        check_base(cluster, volume)
    for volume in volumes:
        free(cluster, guest.node, volume)


def _drop_unreferenced(cluster: Cluster, guest: Guest) -> None:
    for where in cluster.storages.values():
        for (node, name), volume in list(where.volumes.items()):
            if volume.vmid == guest.vmid and node in ("", guest.node) and volume.content == "images":
                free(cluster, guest.node, f"{where.name}:{name}")


@route("PUT", VM + "/unlink")
def unlink(call: Call) -> None:
    cluster = call.cluster
    cluster.tasks.wait_lock(call.vmid)
    guest = call.guest()
    guest.check_lock()
    cluster.check_writable(call.node, call.vmid)
    for name in call.params["idlist"].replace(";", ",").split(","):
        if name in guest.config:
            remove_now(cluster, guest, name, bool(call.params.get("force")))
