# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The nine routes of snapshots."""

from __future__ import annotations

from typing import Any

from .routes import SCOPE, Call, handles, paged
from .state import HEAD, ApiError, Snapshot, Vm

_ASK = "cluster_uuid* compute_uuid* tenant"
_LIST = f"{_ASK} filter_name* page_number:int page_num:int page_size:int"


def shown(call: Call, vm: Vm, snapshot: Snapshot, *, listed: bool = False) -> dict[str, Any]:
    has_memory = snapshot.memory and snapshot.usable
    address = f"http://storage.invalid/{snapshot.uuid}"
    row: dict[str, Any] = {
        "tenant": "", "tenant_name": "", "namespace": "", "uuid": snapshot.uuid, "compute_uuid": vm.uuid,
        "name": snapshot.name, "description": snapshot.description, "ctime": snapshot.ctime, "vm_detail": None,
        "screenshot_url": f"{address}.png" if has_memory else "",
        "domain_remote_url": address if has_memory and call.entry.tells_memory else "",
        "disk_snapshot_list": [
            {"VolumeUuid": volume, "SnapshotUuid": uuid, "DiskDrive": device}
            for device, (volume, uuid, _content) in snapshot.contents.items()
        ],
        "attr": None,
    }  # fmt: skip
    if listed:
        row["screenshot_url_ssl"] = row["screenshot_url"]
    elif call.entry.tells_details:
        from .computes import inspected

        row["vm_detail"] = {**inspected(vm), **snapshot.config}
    if not call.entry.tells_memory:
        row["screenshot_url"] = ""
    return row


def named(vm: Vm, name: str) -> Snapshot:
    if name not in vm.snapshots:
        raise ApiError(22401, "snapshot not exists", "快照不存在", name)
    return vm.snapshots[name]


def check_idle(vm: Vm) -> None:
    if vm.action != "noaction":
        raise ApiError(20811, "virtual machine is busy", "虚拟机正忙", vm.action)


@handles("GET", "compute/vsd/snapshot/list", _LIST)
def list_snapshots(call: Call) -> Any:
    vm = call.vm
    vm.look()
    rows = []
    for snapshot in vm.snapshots.values():
        if snapshot.hidden:
            snapshot.hidden -= 1
        elif call.params["filter_name"] in snapshot.name:
            rows.append(shown(call, vm, snapshot, listed=True))
    page, total = paged(call, rows)
    return {"list": page, "total_count": total}


@handles("GET", "compute/vsd/snapshot/get", f"{_ASK} name*")
def get_snapshot(call: Call) -> Any:
    call.vm.look()
    return shown(call, call.vm, named(call.vm, call.params["name"]))


@handles("GET", "compute/vsd/snapshot/tree", _ASK)
def tree(call: Call) -> Any:
    vm = call.vm
    children: dict[str, Any] = {}
    for child, parent in sorted(vm.parents.items()):
        children.setdefault(parent, {"Children": []})["Children"].append(child)
    return {"tree": {"UUID": vm.uuid, "Parents": vm.parents, "Children": children}}


@handles("GET", "compute/vsd/snapshot/head", _ASK)
def head(call: Call) -> Any:
    current = call.vm.parents[HEAD]
    return shown(call, call.vm, call.vm.snapshots[current]) if current else {}


@handles("POST", "compute/vsd/snapshot/create", f"{SCOPE} name* description domain_memory:bool")
def create(call: Call) -> Any:
    platform, vm, name = call.platform, call.vm, call.params["name"]
    check_idle(vm)
    if name in vm.snapshots or name in ("", HEAD):
        raise ApiError(22402, "snapshot name already exists", "快照名称已存在", name)
    if any(disk.passthrough for disk in vm.disks):
        raise ApiError(22403, "passthrough disk has no snapshot", "透传磁盘不支持快照", vm.name)
    memory = call.flag("domain_memory")
    if memory and vm.state != "running":
        raise ApiError(22404, "virtual machine is not running", "虚拟机未运行", vm.state)
    if memory and not platform.memory_space:
        raise ApiError(22405, "tenant has no memory snapshot space", "租户未开启内存快照空间")
    contents = {disk.device: (disk.volume, platform.new_uuid(), disk.content) for disk in vm.disks}
    text, when = call.params.get("description", ""), platform.tick()
    new = Snapshot(platform.new_uuid(), name, text, when, dict(vm.config), contents, memory)
    new.hidden, new.usable = platform.hidden, not memory
    vm.snapshots[name] = new
    vm.parents[name], vm.parents[HEAD] = vm.parents[HEAD], name
    if memory:
        vm.action = "save"

        def uploaded() -> None:
            new.usable, vm.action = True, "noaction"

        vm.after(platform.polls, uploaded)
    return {}


@handles("POST", "compute/vsd/snapshot/modify", f"{SCOPE} name* description")
def modify(call: Call) -> Any:
    named(call.vm, call.params["name"]).description = call.params.get("description", "")
    return {}


@handles("POST", "compute/vsd/snapshot/rollback", f"{SCOPE} name* domain_memory:bool")
def rollback(call: Call) -> Any:
    vm, memory = call.vm, call.flag("domain_memory")
    snapshot = named(vm, call.params["name"])
    check_idle(vm)
    if memory and not (snapshot.memory and snapshot.usable):
        raise ApiError(22406, "snapshot has no usable memory", "快照没有可用内存", snapshot.name)
    if not vm.is_off and not memory and call.entry.wants_power_off:
        raise ApiError(22407, "virtual machine is not shut off", "虚拟机未关机", vm.state)
    vm.config = dict(snapshot.config)
    for disk in vm.disks:
        disk.content = snapshot.contents.get(disk.device, ("", "", disk.content))[2]
    vm.parents[HEAD] = snapshot.name
    if memory:
        call.platform.start(vm)
    elif not vm.is_off:
        call.platform.stop(vm)
    return shown(call, vm, snapshot) if call.entry.tells_rollback else {}


@handles("POST", "compute/volume/snapshot/rollback", f"{SCOPE} disk_snapshot_list:list*")
def rollback_disks(call: Call) -> Any:
    vm = call.vm
    if not vm.is_off:
        raise ApiError(22407, "virtual machine is not shut off", "虚拟机未关机", vm.state)
    results = [_rollback_disk(call, vm, wanted) for wanted in call.params["disk_snapshot_list"]]
    call.platform.random.shuffle(results)
    return call.entry.batch(results)


def _rollback_disk(call: Call, vm: Vm, wanted: dict[str, str]) -> dict[str, Any]:
    volume, uuid = wanted.get("VolumeUuid"), wanted.get("SnapshotUuid")
    kept = [one for snapshot in vm.snapshots.values() for one in snapshot.contents.values()]
    found = [content for of, known, content in kept if (of, known) == (volume, uuid)]
    disks = [disk for disk in vm.disks if disk.volume == volume]
    if not found or not disks or volume in call.platform.failing_volumes:
        error = ApiError(22408, "volume snapshot rollback failed", "卷快照回滚失败", str(volume))
        return call.entry.envelope(wanted, error)
    disks[0].content = found[0]
    return call.entry.envelope(wanted)


@handles("POST", "compute/vsd/snapshot/delete", f"{SCOPE} name*")
def delete(call: Call) -> Any:
    vm, name = call.vm, call.params["name"]
    named(vm, name)
    check_idle(vm)
    children = vm.children(name)
    if len(children) > 1:
        raise ApiError(22409, "snapshot has several children", "快照有多个子快照", ", ".join(children))
    parent = vm.parents.pop(name)
    for child in children:
        vm.parents[child] = parent
    del vm.snapshots[name]
    return {}
