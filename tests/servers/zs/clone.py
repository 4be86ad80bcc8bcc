# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Cloning: several names in one call, of which some may fail inside an answer of success."""

from __future__ import annotations

from typing import Any

from .create import add_drives, new_vm, nic_params
from .errors import ApiError, bad_argument
from .jobs import Steps
from .placement import allocate, make_nic, make_volume
from .power import off, on, vanish
from .routes import Call, handles
from .rows import mapped, view
from .snapshots import drop, take
from .state import Cloud, Row
from .tags import add_tags, check_tags, system_tags

_COPIED = (
    "description", "zoneUuid", "clusterUuid", "imageUuid", "instanceOfferingUuid", "platform", "architecture",
    "cpuNum", "memorySize", "reservedMemorySize", "guestOsType", "defaultL3NetworkUuid",
)  # fmt: skip
# Options of the source that a clone must not share.
_OWN = ("hostname", "staticIp", "customMac", "cdroms")
_STORAGE = (
    "primaryStorageUuidForRootVolume", "primaryStorageUuidForDataVolume",
    "rootVolumeSystemTags", "dataVolumeSystemTags",
)  # fmt: skip


@handles("CloneVmInstance")
def clone(call: Call) -> Steps:
    params, names = call.params, call.params["names"]
    if any(not isinstance(name, str) or not 0 < len(name) <= 255 for name in names):
        raise bad_argument("each of the names must have 1 to 255 characters")
    if params.get("diskAOs") and any(params.get(key) for key in _STORAGE):
        raise bad_argument("diskAOs excludes parameters of primary storage and of volume system tags")
    check_tags("VmInstanceVO", call.tags)
    nics = nic_params(params.get("vmNicParams"))
    vm = call.vm
    if vm["type"] != "UserVm":
        raise bad_argument(f"vm[uuid:{vm['uuid']}] is not a user vm")
    call.check_state(vm)
    return _clone(call, vm, names, nics)


def _clone(call: Call, vm: Row, names: list[str], nics: list[dict[str, Any]]) -> Steps:
    cloud, params = call.cloud, call.params
    where = {"uuid": params.get("hostUuid"), "clusterUuid": params.get("clusterUuid")}
    if params.get("strategy") != "JustCreate":
        allocate(cloud, {**vm, "lastHostUuid": None}, **where)
    root = cloud.row("Volume", vm["rootVolumeUuid"])
    base = take(cloud, root, f"for-clone-vm-{names[0]}")
    items = [_item(call, vm, name, nics) for name in names]
    yield None
    drop(cloud, base)
    for item in items:
        if "_vm" in item:
            _finish(call, item, where)
    done = sum("error" not in item for item in items)
    answer = [{key: item[key] for key in ("error", "inventory") if key in item} for item in items]
    return {"success": True, "result": mapped({"numberOfClonedVm": done, "inventories": answer})}


def _item(call: Call, vm: Row, name: str, nics: list[dict[str, Any]]) -> dict[str, Any]:
    """The copy of the VM, not started yet; or the error."""
    cloud = call.cloud
    code, kept = cloud.failing.pop(("CloneVmInstance", name), ("", False))
    error = ApiError(code, f"failed to clone {name}") if code else None
    if error and not kept:
        return {"error": error.row()}
    copy = new_vm(cloud, name, **{key: vm[key] for key in _COPIED})
    try:
        _furnish(call, vm, copy, nics)
    except ApiError as exc:
        vanish(cloud, copy)
        return {"error": exc.row()}
    return {"_vm": copy, **({"error": error.row()} if error else {})}


def _furnish(call: Call, vm: Row, copy: Row, nics: list[dict[str, Any]]) -> None:
    cloud, params = call.cloud, call.params
    if params.get("description") is not None:
        copy["description"] = params["description"]
    inherited = [tag for tag in system_tags(cloud, vm["uuid"]) if tag.partition("::")[0] not in _OWN]
    add_tags(cloud, "VmInstanceVO", copy["uuid"], [*inherited, *call.tags], call.user_tags)
    copy["_ha"] = vm.get("_ha")
    root = cloud.row("Volume", vm["rootVolumeUuid"])
    made = _copy(cloud, root, copy, params.get("primaryStorageUuidForRootVolume"))
    copy["rootVolumeUuid"] = made["uuid"]
    if params.get("full"):
        for volume in cloud.rows("Volume", vmInstanceUuid=vm["uuid"], type="Data"):
            _copy(cloud, volume, copy, params.get("primaryStorageUuidForDataVolume"))
    wanted = {item.get("l3NetworkUuid"): item for item in nics}
    for nic in cloud.rows("VmNic", vmInstanceUuid=vm["uuid"]):
        own = wanted.get(nic["l3NetworkUuid"], {})
        make_nic(
            cloud, copy, cloud.row("L3Network", nic["l3NetworkUuid"]), own.get("ip"), own.get("mac"), nic["driverType"]
        )
    add_drives(cloud, copy, [], None)


def _copy(cloud: Cloud, volume: Row, vm: Row, storage: str | None) -> Row:
    name = f"{'ROOT' if volume['type'] == 'Root' else 'DATA'}-for-{vm['name']}"
    where = storage or volume["primaryStorageUuid"]
    return make_volume(cloud, name, volume["size"], volume["type"], vm, where, rootImageUuid=volume["rootImageUuid"])


def _finish(call: Call, item: dict[str, Any], where: dict[str, Any]) -> None:
    """Start the clone as the strategy says; one that does not start is there all the same."""
    cloud, vm, strategy = call.cloud, item["_vm"], call.params.get("strategy", "InstantStart")
    if strategy != "JustCreate":
        try:
            host = allocate(cloud, vm, **where)
        except ApiError as exc:
            item.setdefault("error", exc.row())
            host = None
        if host and "error" not in item:
            on(cloud, vm, host)
            if strategy == "CreateStopped":
                off(cloud, vm)
        else:
            cloud.set_state(vm, "Stopped")
    item["inventory"] = view(cloud, "VmInstance", vm)
