# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Snapshots: the tree, taking, rolling back, deleting; and what supports them."""

from __future__ import annotations

from typing import Any

from .errors import ApiError
from .power import running_keys, save_state, start_task, switch_on
from .routes import VM, Answer, Call, route
from .state import Cluster, Guest
from .tasks import Task
from .volumes import find, free, is_cdrom, split

_SNAPSHOT = VM + "/snapshot/{snapname}"
_NOT_KEPT = ("parent", "lock", "description", "vmstate", "snaptime", "runningmachine", "runningcpu")
_STATE = (*_NOT_KEPT, "running-nets-host-mtu")


def _missing(name: str) -> ApiError:
    return ApiError(f"snapshot '{name}' does not exist\n")


def disks(cluster: Cluster, config: dict[str, Any], guest: Guest) -> list[tuple[str, str]]:
    """Key and volume of every drive that holds data."""
    found = []
    for key in guest.drives(config):
        options = cluster.contract.options(key, config[key])
        if not is_cdrom(options):
            found.append((key, options["file"]))
    return found


def can_snapshot(cluster: Cluster, guest: Guest) -> bool:
    for _key, volid in disks(cluster, guest.config, guest):
        volume = find(cluster, guest.node, volid)
        kind = cluster.storages[split(volid)[0]].type
        if volume and volume.format == "raw" and kind in ("dir", "nfs", "cifs", "lvm"):
            return False
    return True


@route("GET", VM + "/snapshot")
def listing(call: Call) -> Answer:
    guest = call.guest()
    rows: list[dict[str, Any]] = []
    for name, config in guest.snapshots.items():
        row = {"name": name, "snaptime": config["snaptime"], "description": config.get("description", "")}
        row["vmstate"] = int("vmstate" in config)
        rows.append({**row, **{key: config[key] for key in ("parent", "snapstate") if key in config}})
    current: dict[str, Any] = {"name": "current", "description": "You are here!", "digest": guest.digest()}
    current["running"] = int(guest.running)
    if "parent" in guest.config:
        current["parent"] = guest.config["parent"]
    return Answer([*rows, current], ordered=False)


@route("GET", _SNAPSHOT)
def index(_call: Call) -> Answer:
    return Answer([{"cmd": "rollback"}, {"cmd": "config"}])


def _config(call: Call) -> dict[str, Any]:
    name = call.params["snapname"]
    snapshots = call.guest().snapshots
    if name not in snapshots:
        raise _missing(name)
    return snapshots[name]


@route("GET", _SNAPSHOT + "/config")
def read_config(call: Call) -> dict[str, Any]:
    return dict(_config(call))


@route("PUT", _SNAPSHOT + "/config")
def describe(call: Call) -> None:
    call.cluster.tasks.wait_lock(call.vmid)
    call.guest().check_lock()
    config = _config(call)
    call.cluster.check_writable(call.node, call.vmid)
    if "description" in call.params:
        config["description"] = call.params["description"]


@route("POST", VM + "/snapshot")
def take(call: Call) -> str:
    cluster, name = call.cluster, call.params["snapname"]
    call.guest()
    if name in ("current", "pending"):
        raise ApiError(f"unable to use snapshot name '{name}' (reserved name)\n")

    def begin(_task: Task) -> None:
        guest = call.guest()
        guest.check_lock()
        if name in guest.snapshots:
            raise ApiError(f"snapshot name '{name}' already used\n")
        if guest.template:
            raise ApiError("you can't take a snapshot if it's a template\n")
        if not can_snapshot(cluster, guest):
            raise ApiError("snapshot feature is not available\n")
        cluster.check_writable(call.node, call.vmid)
        guest.config["lock"] = "snapshot"

    def work(task: Task) -> None:
        guest = call.guest()
        guest.config.pop("lock", None)
        kept = {k: v for k, v in guest.config.items() if k not in _NOT_KEPT and not k.startswith("unused")}
        kept["snaptime"] = cluster.clock.seconds()
        if "parent" in guest.config:
            kept["parent"] = guest.config["parent"]
        if call.params.get("description"):
            kept["description"] = call.params["description"]
        if call.params.get("vmstate") and guest.running:
            where = guest.config.get("vmstatestorage") or "local"
            kept.update(running_keys(cluster, guest), vmstate=save_state(cluster, guest, where, name, task))
        task.log += [f"snapshotting 'drive-{key}' ({volume})" for key, volume in disks(cluster, guest.config, guest)]
        guest.snapshots[name] = kept
        guest.config["parent"] = name

    return call.spawn("qmsnapshot", work, lock=call.vmid, begin=begin)


@route("POST", _SNAPSHOT + "/rollback")
def rollback(call: Call) -> str:
    cluster, name = call.cluster, call.params["snapname"]
    call.guest()

    def begin(_task: Task) -> None:
        guest = call.guest()
        if name not in guest.snapshots:
            raise _missing(name)
        guest.check_lock()
        if guest.template:
            raise ApiError("you can't rollback if vm is a template\n")
        cluster.check_writable(call.node, call.vmid)
        guest.config["lock"] = "rollback"

    def work(_task: Task) -> None:
        guest = call.guest()
        restore(cluster, guest, name)

    def start(task: Task) -> None:
        work(task)
        if not call.guest().running:
            start_task(cluster, task.caller, call.node, call.vmid)

    return call.spawn("qmrollback", start if call.params.get("start") else work, lock=call.vmid, begin=begin)


def restore(cluster: Cluster, guest: Guest, name: str) -> None:
    """The whole configuration of that time; the guest is off unless its memory was kept."""
    snapshot = guest.snapshots[name]
    stays = {k: v for k, v in guest.config.items() if k == "description" or k.startswith("unused")}
    guest.config = {k: v for k, v in snapshot.items() if k not in _STATE} | stays | {"parent": name}
    if "vmgenid" in guest.config:
        guest.config["vmgenid"] = cluster.new_uuid()
    guest.pending.clear()
    guest.pending_delete.clear()
    guest.running = guest.paused = False
    if "vmstate" in snapshot:
        switch_on(cluster, guest)


@route("DELETE", _SNAPSHOT)
def delete(call: Call) -> str:
    cluster, name = call.cluster, call.params["snapname"]
    call.guest()

    def begin(_task: Task) -> None:
        guest = call.guest()
        if name not in guest.snapshots:
            raise _missing(name)
        guest.check_lock()
        cluster.check_writable(call.node, call.vmid)
        guest.config["lock"] = "snapshot-delete"

    def work(_task: Task) -> None:
        guest = call.guest()
        guest.config.pop("lock", None)
        gone = guest.snapshots.pop(name)
        for config in (guest.config, *guest.snapshots.values()):
            if config.get("parent") == name:
                config.pop("parent")
                if "parent" in gone:
                    config["parent"] = gone["parent"]
        if "vmstate" in gone:
            free(cluster, guest.node, gone["vmstate"])

    return call.spawn("qmdelsnapshot", work, lock=call.vmid, begin=begin)


@route("GET", VM + "/feature")
def feature(call: Call) -> dict[str, Any]:
    cluster, guest, what = call.cluster, call.guest(), call.params["feature"]
    name = call.params.get("snapname")
    if name is not None and name not in guest.snapshots:
        raise _missing(name)
    config = guest.snapshots[name] if name else guest.config
    volumes = [volume for _key, volume in disks(cluster, config, guest)]
    has = {"snapshot": can_snapshot(cluster, guest), "copy": True}.get(what, guest.template and name is None)
    nodes = [node for node in cluster.nodes if _everywhere(cluster, volumes) or node == call.node]
    return {"hasFeature": int(has), "nodes": nodes}


def _everywhere(cluster: Cluster, volumes: list[str]) -> bool:
    return all(cluster.storages[split(volume)[0]].shared for volume in volumes)
