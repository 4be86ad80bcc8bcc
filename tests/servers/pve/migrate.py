# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Migration: the precheck, offline, online, local disks along."""

from __future__ import annotations

import time
from typing import Any

from .cluster import check_node
from .errors import ApiError, parameter_error
from .options import DRIVE
from .routes import VM, Call, route
from .schema import split_list
from .state import ROOT, Cluster, Guest
from .tasks import Task
from .volumes import drive_volume, find, is_cdrom, is_cloudinit, parse_size, size_text, split, storage


def local_disks(cluster: Cluster, guest: Guest) -> list[dict[str, Any]]:
    """What would have to be copied."""
    rows = []
    for key, value in guest.config.items():
        volume = drive_volume(cluster, key, str(value)) if DRIVE.fullmatch(key) else None
        if not volume or cluster.storages[split(volume)[0]].shared:
            continue
        options = {} if key.startswith("unused") else cluster.contract.options(key, value)
        rows.append(_local_disk(guest, key, volume, options, cluster))
    return rows


def _local_disk(guest: Guest, key: str, volume: str, options: dict[str, str], cluster: Cluster) -> dict[str, Any]:
    unused = key.startswith("unused")
    row: dict[str, Any] = {
        "volid": volume, "drivename": key, "cdrom": int(is_cdrom(options)), "is_attached": int(not unused),
        "is_unused": int(unused), "is_vmstate": 0,
        "is_tpmstate": int(key == "tpmstate0"), "shared": 0, "replicate": int(options.get("replicate", "1")),
    }  # fmt: skip
    if cluster.new:
        row["is_cloudinit"] = int(is_cloudinit(volume))
    found = find(cluster, guest.node, volume)
    if "size" in options:
        row["size"] = parse_size(options["size"])
    elif unused and found:
        row["size"] = found.size
    named = {name: 1 for name, config in guest.snapshots.items() if volume in str(config.get(key, ""))}
    if named:
        row["referenced_in_snapshot"] = named
    return row


def _unavailable(cluster: Cluster, guest: Guest, node: str) -> list[str]:
    """Storages of the guest that the node does not have."""
    volumes = [drive_volume(cluster, key, str(value)) for key, value in guest.config.items() if DRIVE.fullmatch(key)]
    names = {split(volume)[0] for volume in volumes if volume}
    return sorted(name for name in names if not cluster.storages[name].on(node))


@route("GET", VM + "/migrate")
def precheck(call: Call) -> dict[str, Any]:
    cluster, guest = call.cluster, call.guest()
    others = [name for name in cluster.nodes if name != call.node]
    missing = {name: _unavailable(cluster, guest, name) for name in others}
    answer: dict[str, Any] = {
        "running": int(guest.running),
        "allowed_nodes": [name for name in others if not missing[name]],
        "not_allowed_nodes": {name: {"unavailable_storages": gone} if gone else {} for name, gone in missing.items()},
        "local_disks": local_disks(cluster, guest),
        "local_resources": [key for key in guest.config if key.startswith(("hostpci", "usb"))],
        "mapped-resources": [],
        "mapped-resource-info": {},
    }
    if cluster.new:
        answer["has-dbus-vmstate"] = 1
    return answer


@route("POST", VM + "/migrate")
def migrate(call: Call) -> str:
    cluster, target, params = call.cluster, call.params["target"], call.params
    if target == call.node:
        raise parameter_error(target="target is local node.")
    cluster.check_quorum()
    check_node(cluster, target)
    call.root_only("force", "migration_type", "migration_network")
    guest = call.guest()
    guest.check_lock()
    if guest.running and not params.get("online"):
        raise ApiError("can't migrate running VM without --online\n")
    mapping = _mapping(call)
    for name in [] if mapping else _unavailable(cluster, guest, target):
        raise ApiError(f"storage '{name}' is not available on node '{target}'\n")
    if guest.ha:
        return call.spawn("hamigrate", lambda _task: _later(cluster, guest, target))

    def begin(task: Task) -> None:
        _say(
            cluster, task, f"starting migration of VM {call.vmid} to node '{target}' ({cluster.nodes[target].address})"
        )
        here = call.guest()
        here.check_lock()
        _check_local(call, here, task)
        here.config["lock"] = "migrate"

    def work(task: Task) -> None:
        move(cluster, guest, target, mapping)
        guest.config.pop("lock", None)
        if guest.running:
            cluster.tasks.record(ROOT, target, "qmstart", str(guest.vmid))
        _say(cluster, task, "migration finished successfully (duration 00:00:01)")

    return call.spawn("qmigrate", work, lock=call.vmid, begin=begin, undo=lambda: _unlock(guest, "migrate"))


def _unlock(guest: Guest, lock: str) -> None:
    if guest.lock == lock:
        del guest.config["lock"]


def _later(cluster: Cluster, guest: Guest, target: str) -> None:
    """HA moves the guest in its own time, in a task of the manager's."""

    def step(_task: Any) -> Any:
        return move(cluster, guest, target, {})

    def act() -> None:
        if guest.vmid in cluster.guests and guest.node != target:
            cluster.tasks.spawn(ROOT, guest.node, "qmigrate", guest.vmid, step, lock=guest.vmid)

    cluster.clock.after(guest.ha_seconds, act)


def _say(cluster: Cluster, task: Task, text: str) -> None:
    task.log.append(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(cluster.clock.now()))} {text}")


def _mapping(call: Call) -> dict[str, str]:
    """Where volumes go: storage to storage, or "" for all."""
    mapping = {}
    for pair in split_list(call.params.get("targetstorage", "")):
        source, _colon, target = pair.rpartition(":")
        if pair == "1":
            mapping[""] = ""
            continue
        storage(call.cluster, target)
        call.require(f"/storage/{target}", "Datastore.AllocateSpace")
        mapping[source] = target
    return mapping


def _check_local(call: Call, guest: Guest, task: Task) -> None:
    disks = local_disks(call.cluster, guest)
    for row in disks:
        how = "generated disk" if is_cloudinit(row["volid"]) else "local disk"
        _say(call.cluster, task, f"found {how} '{row['volid']}' (attached)")
    if (
        guest.running
        and any(not is_cloudinit(row["volid"]) for row in disks)
        and not call.params.get("with-local-disks")
    ):
        _say(call.cluster, task, "can't migrate attached local disks without with-local-disks option")
        raise ApiError("migration aborted\n")
    if any(key.startswith("hostpci") for key in guest.config) and guest.running:
        raise ApiError("migration aborted\n")


def move(cluster: Cluster, guest: Guest, target: str, mapping: dict[str, str]) -> None:
    """The guest is on the other node from now on, with its local volumes; the old one forgets it."""
    moved: dict[str, str] = {}
    for row in local_disks(cluster, guest):
        moved[row["volid"]] = _move_volume(cluster, guest, row["volid"], target, mapping)
    for config in (guest.config, guest.pending, *guest.snapshots.values()):
        for key, value in config.items():
            volume = drive_volume(cluster, key, str(value)) if DRIVE.fullmatch(key) else None
            if volume in moved:
                config[key] = _renamed(cluster, key, value, volume, moved[volume], target)
    guest.node = target
    if guest.running:
        guest.pid = cluster.random.randint(10000, 40000)


def _renamed(cluster: Cluster, key: str, value: str, old: str, new: str, node: str) -> str:
    if key.startswith("unused"):
        return new
    options = cluster.contract.options(key, value.replace(old, new))
    found = find(cluster, node, new)
    if found:
        options["size"] = size_text(found.size)
    return cluster.contract.text(key, options)


def _move_volume(cluster: Cluster, guest: Guest, volid: str, target: str, mapping: dict[str, str]) -> str:
    name, volume = split(volid)
    source = cluster.storages[name]
    where = cluster.storages[mapping.get(name) or mapping.get("") or name]
    taken = source.volumes.pop(source.key(guest.node, volume))
    new = volume
    while where.key(target, new) in where.volumes:
        head, _disk, tail = new.rpartition("-disk-")
        number, _dot, suffix = tail.partition(".")
        new = f"{head}-disk-{int(number) + 1}.{suffix}"
    where.volumes[where.key(target, new)] = taken
    return f"{where.name}:{new}"
