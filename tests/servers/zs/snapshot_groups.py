# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Snapshots of a whole VM: one snapshot for each volume, and one of the memory if it is asked for."""

from __future__ import annotations

from typing import Any

from .errors import ApiError, refused
from .jobs import Steps
from .placement import drop_volume, make_volume
from .routes import Call, handles
from .rows import inventory
from .snapshots import check_ready, drop, go_back, take
from .state import Cloud, Row


def _disks(cloud: Cloud, vm: Row) -> list[Row]:
    rows = cloud.rows("Volume", vmInstanceUuid=vm["uuid"])
    return sorted((row for row in rows if row["type"] in ("Root", "Data")), key=lambda row: row["deviceId"])


def _reference(group: Row, snapshot: Row, volume: Row) -> dict[str, Any]:
    ref = {
        "volumeSnapshotUuid": snapshot["uuid"],
        "volumeSnapshotGroupUuid": group["uuid"],
        "deviceId": volume["deviceId"] or 0,
        "snapshotDeleted": False,
        "volumeUuid": volume["uuid"],
        "volumeName": volume["name"],
        "volumeType": volume["type"],
        "volumeSnapshotInstallPath": snapshot["primaryStorageInstallPath"],
        "volumeSnapshotName": snapshot["name"],
        "createDate": group["createDate"],
        "lastOpDate": group["createDate"],
    }
    return {**ref, "volumeLastAttachDate": volume["lastAttachDate"]} if volume["lastAttachDate"] else ref


@handles("CreateVolumeSnapshotGroup")
def create_group(call: Call) -> Steps:
    cloud, root = call.cloud, call.row("Volume", "rootVolumeUuid")
    vm = cloud.table("VmInstance").get(root["vmInstanceUuid"] or "")
    if root["type"] != "Root" or vm is None:
        raise refused(f"volume[uuid:{root['uuid']}] is not the root volume of a vm")
    check_ready(cloud, root)
    memory = bool(call.params.get("withMemory"))
    if memory and vm["state"] != "Running":
        raise refused(f"a snapshot with memory needs a Running vm, vm[uuid:{vm['uuid']}] is {vm['state']}")
    yield None
    row = take_group(cloud, vm, call.params["name"], call.params.get("description"), memory)
    return inventory(cloud, "VolumeSnapshotGroup", row)


def take_group(cloud: Cloud, vm: Row, name: str, description: str | None, memory: bool) -> Row:
    volumes = _disks(cloud, vm)
    if memory:
        volumes.append(make_volume(cloud, f"memory-volume-{name}", vm["memorySize"], "Memory", vm))
        volumes[-1]["deviceId"] = None
    group = cloud.add("VolumeSnapshotGroup", name=name, description=description, vmInstanceUuid=vm["uuid"])
    group["snapshotCount"] = len(volumes)
    group["volumeSnapshotRefs"] = []
    for volume in volumes:
        snapshot = take(cloud, volume, name, description, group["uuid"])
        group["volumeSnapshotRefs"].append(_reference(group, snapshot, volume))
    return group


def unavailable(cloud: Cloud, group: Row) -> str:
    """Why the group cannot be reverted to; empty: it can."""
    deleted = [ref["volumeSnapshotUuid"] for ref in group["volumeSnapshotRefs"] if ref["snapshotDeleted"]]
    if deleted:
        return f"snapshot(s) {deleted} in the group has been deleted, can only revert one by one."
    vm = cloud.row("VmInstance", group["vmInstanceUuid"])
    then = {ref["volumeUuid"] for ref in group["volumeSnapshotRefs"] if ref["volumeType"] != "Memory"}
    now = {volume["uuid"] for volume in _disks(cloud, vm)}
    if then != now:
        return f"volume(s) {sorted(then ^ now)} were attached or detached after the snapshot group was taken."
    return ""


def _each(call: Call, group: Row, act: Any) -> dict[str, Any]:
    """Carry it out snapshot by snapshot; one that fails is told in its place."""
    cloud, results = call.cloud, []
    for ref in list(group["volumeSnapshotRefs"]):
        snapshot = cloud.table("VolumeSnapshot").get(ref["volumeSnapshotUuid"])
        if snapshot is None:
            continue
        code, _kept = cloud.failing.pop((call.api.name, ref["volumeUuid"]), ("", False))
        if not code:
            act(cloud, snapshot)
        error = {"error": ApiError(code, "the storage refused").row()} if code else {}
        known = {"snapshotUuid": ref["volumeSnapshotUuid"], "volumeUuid": ref["volumeUuid"]}
        results.append({**known, "success": not code, **error})
    return {"results": results}


@handles("RevertVmFromSnapshotGroup")
def revert_group(call: Call) -> Steps:
    cloud, group = call.cloud, call.row("VolumeSnapshotGroup")
    vm = cloud.row("VmInstance", group["vmInstanceUuid"])
    if vm["state"] != "Stopped":
        raise refused(f"unable to revert vm[uuid:{vm['uuid']}], it is not in Stopped state but in {vm['state']}")
    reason = unavailable(cloud, group)
    if reason:
        raise refused(reason)
    yield None
    return _each(call, group, go_back)


@handles("DeleteVolumeSnapshotGroup")
def delete_group(call: Call) -> Steps:
    cloud, group = call.cloud, call.cloud.table("VolumeSnapshotGroup").get(call.params["uuid"])
    yield None
    if group is None:
        return {"results": []}
    results = _each(call, group, drop)
    for ref in group["volumeSnapshotRefs"]:
        if ref["volumeType"] == "Memory" and ref["snapshotDeleted"]:
            drop_volume(cloud, cloud.row("Volume", ref["volumeUuid"]))
    return results


@handles("UngroupVolumeSnapshotGroup")
def ungroup(call: Call) -> dict[str, Any]:
    cloud = call.cloud
    for snapshot in cloud.rows("VolumeSnapshot", groupUuid=call.params["uuid"]):
        snapshot["groupUuid"] = None
    cloud.remove("VolumeSnapshotGroup", call.params["uuid"])
    return {}


@handles("UpdateVolumeSnapshotGroup")
def update_group(call: Call) -> dict[str, Any]:
    group = call.row("VolumeSnapshotGroup")
    group.update(call.given("name", "description"))
    call.cloud.touch(group)
    return inventory(call.cloud, "VolumeSnapshotGroup", group)


@handles("CheckVolumeSnapshotGroupAvailability")
def check_group(call: Call) -> dict[str, Any]:
    results = []
    for uuid in call.params["uuids"]:
        reason = unavailable(call.cloud, call.cloud.row("VolumeSnapshotGroup", uuid))
        results.append({"uuid": uuid, "available": not reason, **({"reason": reason} if reason else {})})
    return {"results": results}
