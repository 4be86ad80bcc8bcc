# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Snapshots of single volumes, and the tree that they make."""

from __future__ import annotations

from typing import Any

from .errors import ApiError, refused
from .jobs import Steps
from .routes import Call, handles
from .rows import inventory
from .state import Cloud, Row

_WITH_SNAPSHOTS = ("Running", "Stopped", "Paused")


def latest(cloud: Cloud, volume: str) -> Row | None:
    """The snapshot that the volume goes on from."""
    found = cloud.rows("VolumeSnapshot", volumeUuid=volume, latest=True)
    return found[0] if found else None


def check_ready(cloud: Cloud, volume: Row) -> None:
    """Refuse a snapshot of what is not ready, or of a VM in between."""
    vm = cloud.table("VmInstance").get(volume["vmInstanceUuid"] or "")
    if vm and vm["state"] not in _WITH_SNAPSHOTS:
        cause = ApiError("VM.1010", f"vm[uuid:{vm['uuid']}] is in state {vm['state']}")
        raise refused("volume snapshots need a vm that is Running, Stopped or Paused", cause)
    if volume["status"] != "Ready":
        raise refused(f"volume[uuid:{volume['uuid']}] is not in status Ready, current status is {volume['status']}")


def take(cloud: Cloud, volume: Row, name: str, description: str | None = None, group: str | None = None) -> Row:
    """A new snapshot, child of the latest one."""
    parent = latest(cloud, volume["uuid"])
    tree = cloud.table("VolumeSnapshotTree").get(parent["treeUuid"]) if parent else None
    if tree is None:
        tree = cloud.add("VolumeSnapshotTree", volumeUuid=volume["uuid"], current=True, status="Completed")
    if parent:
        parent["latest"] = False
    row = cloud.add(
        "VolumeSnapshot", name=name, description=description, type="Hypervisor", volumeUuid=volume["uuid"],
        treeUuid=tree["uuid"], parentUuid=parent and parent["uuid"], primaryStorageUuid=volume["primaryStorageUuid"],
        volumeType=volume["type"], format=volume["format"], latest=True, size=volume["actualSize"],
        distance=parent["distance"] + 1 if parent else 1, state="Enabled", status="Ready", groupUuid=group,
        _size=volume["size"], backupStorageRefs=[],
    )  # fmt: skip
    row["primaryStorageInstallPath"] = f"{volume['installPath']}.{row['uuid']}"
    return row


def family(cloud: Cloud, snapshot: Row) -> list[Row]:
    """The snapshot and all that came after it."""
    children = cloud.rows("VolumeSnapshot", parentUuid=snapshot["uuid"])
    return [snapshot, *(row for child in children for row in family(cloud, child))]


def drop(cloud: Cloud, snapshot: Row) -> None:
    """Remove the snapshot and all that came after it; groups that miss one of theirs are marked."""
    gone = family(cloud, snapshot)
    parent = cloud.table("VolumeSnapshot").get(snapshot["parentUuid"] or "")
    if parent and any(row["latest"] for row in gone):
        parent["latest"] = True
    for row in gone:
        cloud.remove("VolumeSnapshot", row["uuid"])
        _mark_deleted(cloud, row["uuid"])
    if not cloud.rows("VolumeSnapshot", treeUuid=snapshot["treeUuid"]):
        cloud.remove("VolumeSnapshotTree", snapshot["treeUuid"])


def _mark_deleted(cloud: Cloud, uuid: str) -> None:
    for group in list(cloud.table("VolumeSnapshotGroup").values()):
        for ref in group["volumeSnapshotRefs"]:
            if ref["volumeSnapshotUuid"] == uuid:
                ref["snapshotDeleted"] = True
        if all(ref["snapshotDeleted"] for ref in group["volumeSnapshotRefs"]):
            cloud.remove("VolumeSnapshotGroup", group["uuid"])


def go_back(cloud: Cloud, snapshot: Row) -> None:
    """The volume is what it was; the size too."""
    volume = cloud.row("Volume", snapshot["volumeUuid"])
    now = latest(cloud, volume["uuid"])
    if now:
        now["latest"] = False
    snapshot["latest"] = True
    volume["size"] = snapshot["_size"]
    cloud.touch(volume)


def check_stopped(cloud: Cloud, volume: Row) -> None:
    vm = cloud.table("VmInstance").get(volume["vmInstanceUuid"] or "")
    if vm and vm["state"] != "Stopped":
        raise refused(
            f"unable to reset volume[uuid:{volume['uuid']}] to snapshot, the vm[uuid:{vm['uuid']}] volume attached to"
            f" is not in Stopped state, current state is {vm['state']}"
        )


# -- the API ----------------------------------------------------------------------------------------------------------


@handles("CreateVolumeSnapshot")
def create_snapshot(call: Call) -> Steps:
    cloud, volume = call.cloud, call.row("Volume", "volumeUuid")
    check_ready(cloud, volume)
    yield None
    row = take(cloud, volume, call.params["name"], call.params.get("description"))
    return inventory(cloud, "VolumeSnapshot", row)


@handles("UpdateVolumeSnapshot")
def update_snapshot(call: Call) -> dict[str, Any]:
    row = call.row("VolumeSnapshot")
    row.update(call.given("name", "description"))
    call.cloud.touch(row)
    return inventory(call.cloud, "VolumeSnapshot", row)


@handles("RevertVolumeFromSnapshot")
def revert(call: Call) -> Steps:
    cloud, snapshot = call.cloud, call.row("VolumeSnapshot")
    check_stopped(cloud, cloud.row("Volume", snapshot["volumeUuid"]))
    if snapshot["state"] != "Enabled":
        raise refused(f"snapshot[uuid:{snapshot['uuid']}] is not Enabled")
    yield None
    go_back(cloud, snapshot)
    return {}


@handles("DeleteVolumeSnapshot")
def delete_snapshot(call: Call) -> Steps:
    yield None
    snapshot = call.cloud.table("VolumeSnapshot").get(call.params["uuid"])
    if snapshot:
        drop(call.cloud, snapshot)
    return {}


@handles("BatchDeleteVolumeSnapshot")
def delete_snapshots(call: Call) -> Steps:
    cloud, uuids, results = call.cloud, call.params["uuids"], []
    rows = [cloud.table("VolumeSnapshot")[uuid] for uuid in uuids if uuid in cloud.table("VolumeSnapshot")]
    if len({row["volumeUuid"] for row in rows}) > 1:
        raise refused("the snapshots of one call must belong to one volume")
    yield None
    for row in rows:
        code, _kept = cloud.failing.pop((call.api.name, row["volumeUuid"]), ("", False))
        if not code and row["uuid"] in cloud.table("VolumeSnapshot"):
            drop(cloud, row)
        error = {"error": ApiError(code, "the storage refused").row()} if code else {}
        results.append({"snapshotUuid": row["uuid"], "success": not code, **error})
    return {"success": True, "results": results}


@handles("GetVolumeSnapshotSize")
def snapshot_size(call: Call) -> dict[str, Any]:
    row = call.row("VolumeSnapshot")
    return {"success": True, "size": row["_size"], "actualSize": row["size"]}
