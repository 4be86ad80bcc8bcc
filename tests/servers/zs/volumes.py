# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Volumes: data volumes made, attached, detached, deleted; volumes resized."""

from __future__ import annotations

from typing import Any

from .errors import ApiError, bad_argument, missing, refused
from .jobs import Steps
from .placement import drop_volume, make_volume, release
from .routes import Call, handles
from .rows import inventory, view
from .state import Cloud, Row
from .tags import add_tags, check_tags

_WITH_VOLUMES = ("Running", "Stopped", "Paused")


def _answer(cloud: Cloud, volume: Row) -> dict[str, Any]:
    return inventory(cloud, "Volume", volume)


def _check_vm(vm: Row, outer: str) -> None:
    if vm["state"] not in _WITH_VOLUMES:
        raise ApiError(outer, "the vm may not change volumes now", ApiError("VM.1010", f"vm is {vm['state']}"))


def _check_data(volume: Row) -> None:
    if volume["type"] != "Data":
        raise bad_argument(f"volume[uuid:{volume['uuid']}] is not a data volume, but of type {volume['type']}")


@handles("CreateDataVolume")
def create_volume(call: Call) -> Steps:
    cloud, params = call.cloud, call.params
    if bool(params.get("diskSize")) == bool(params.get("diskOfferingUuid")):
        raise bad_argument("either diskSize or diskOfferingUuid must be set")
    if params.get("resourceUuid") in cloud.table("Volume"):
        raise bad_argument(f"resourceUuid[{params['resourceUuid']}] is already used")
    check_tags("VolumeVO", call.tags)
    yield None
    size = params.get("diskSize") or call.row("DiskOffering", "diskOfferingUuid")["diskSize"]
    about = call.given("description", "diskOfferingUuid")
    if params.get("resourceUuid"):
        about["uuid"] = params["resourceUuid"]
    volume = make_volume(cloud, params["name"], size, storage=params.get("primaryStorageUuid"), **about)
    if "primaryStorageUuid" not in params:
        volume["status"] = "NotInstantiated"
    add_tags(cloud, "VolumeVO", volume["uuid"], call.tags, call.user_tags)
    return _answer(cloud, volume)


@handles("UpdateVolume")
def update_volume(call: Call) -> dict[str, Any]:
    volume = call.row("Volume")
    volume.update(call.given("name", "description"))
    call.cloud.touch(volume)
    return _answer(call.cloud, volume)


@handles("AttachDataVolumeToVm")
def attach(call: Call) -> Steps:
    cloud, volume, vm = call.cloud, call.row("Volume", "volumeUuid"), call.row("VmInstance", "vmInstanceUuid")
    _check_data(volume)
    if volume["vmInstanceUuid"]:
        raise refused(f"data volume[uuid:{volume['uuid']}] has been attached to vm[uuid:{volume['vmInstanceUuid']}]")
    if volume["status"] not in ("Ready", "NotInstantiated"):
        raise refused(f"data volume[uuid:{volume['uuid']}] is in status {volume['status']}")
    _check_vm(vm, "VM.1005")
    yield None
    used = {other["deviceId"] for other in cloud.rows("Volume", vmInstanceUuid=vm["uuid"])}
    volume.update(vmInstanceUuid=vm["uuid"], deviceId=min({*range(1, 100)} - used), status="Ready")
    volume["lastAttachDate"] = cloud.stamp()
    cloud.touch(volume)
    return _answer(cloud, volume)


@handles("DetachDataVolumeFromVm")
def detach(call: Call) -> Steps:
    cloud, volume = call.cloud, call.row("Volume")
    _check_data(volume)
    if not volume["vmInstanceUuid"]:
        raise refused(f"data volume[uuid:{volume['uuid']}] is not attached to any vm, can't detach")
    if call.params.get("vmUuid") not in (None, volume["vmInstanceUuid"]):
        raise refused(f"data volume[uuid:{volume['uuid']}] is not attached to vm[uuid:{call.params['vmUuid']}]")
    _check_vm(cloud.row("VmInstance", volume["vmInstanceUuid"]), "VM.1006")
    yield None
    release(cloud, volume)
    return _answer(cloud, volume)


# -- the end ----------------------------------------------------------------------------------------------------------


@handles("DeleteDataVolume")
def delete_volume(call: Call) -> Steps:
    """A volume that is attached is taken off before."""
    cloud, volume = call.cloud, call.cloud.table("Volume").get(call.params["uuid"])
    if volume:
        _check_data(volume)
        if volume["status"] == "Deleted":
            raise refused(f"volume[uuid:{volume['uuid']}] is already in status of Deleted")
    yield None
    if volume:
        if volume["vmInstanceUuid"]:
            release(cloud, volume)
        if volume["status"] == "NotInstantiated" or cloud.config("volume", "deletionPolicy") == "Direct":
            drop_volume(cloud, volume)
        else:
            volume["status"] = "Deleted"
    return {}


@handles("ExpungeDataVolume")
def expunge_volume(call: Call) -> Steps:
    volume = call.cloud.table("Volume").get(call.params["uuid"])
    if volume is None:
        raise missing("Volume", call.params["uuid"])
    if volume["status"] != "Deleted":
        raise refused(f"volume[uuid:{volume['uuid']}] is not in status of Deleted, can't expunge")
    yield None
    drop_volume(call.cloud, volume)
    return {}


@handles("RecoverDataVolume")
def recover_volume(call: Call) -> Steps:
    volume = call.row("Volume")
    if volume["status"] != "Deleted":
        raise refused(f"volume[uuid:{volume['uuid']}] is not in status of Deleted, can't recover")
    yield None
    volume["status"] = "Ready"
    return _answer(call.cloud, volume)


# -- size -------------------------------------------------------------------------------------------------------------


def _resize(call: Call, volume: Row) -> Steps:
    cloud, size = call.cloud, call.params["size"]
    if size <= volume["size"]:
        raise refused(f"expand volume failed: new size[{size}] should be larger than the current[{volume['size']}]")
    if volume["vmInstanceUuid"]:
        _check_vm(cloud.row("VmInstance", volume["vmInstanceUuid"]), "SYS.1006")
    yield None
    where = cloud.row("PrimaryStorage", volume["primaryStorageUuid"])
    where["availableCapacity"] -= size - volume["size"]
    volume["size"] = size
    cloud.touch(volume)
    return _answer(cloud, volume)


@handles("ResizeRootVolume")
def resize_root(call: Call) -> Steps:
    return _resize(call, call.row("Volume"))


@handles("ResizeDataVolume")
def resize_data(call: Call) -> Steps:
    volume = call.row("Volume")
    _check_data(volume)
    return _resize(call, volume)


@handles("GetVmAttachableDataVolume")
def attachable(call: Call) -> dict[str, Any]:
    call.row("VmInstance", "vmInstanceUuid")
    cloud, good = call.cloud, ("Ready", "NotInstantiated")
    rows = cloud.rows("Volume", type="Data", vmInstanceUuid=None)
    return {"inventories": [view(cloud, "Volume", row) for row in rows if row["status"] in good]}
