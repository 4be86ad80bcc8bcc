# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Moving a VM to another host or another primary storage, and where it could go."""

from __future__ import annotations

from typing import Any

from .errors import ApiError, bad_argument
from .jobs import Steps
from .placement import allocate, candidates
from .power import on
from .routes import Call, handles
from .rows import inventory, view
from .state import Cloud, Row

# States in which storage can move, and what is seen meanwhile.
_MOVING = {"Running": "Migrating", "Stopped": "VolumeMigrating"}


def _others(cloud: Cloud, vm: Row) -> list[Row]:
    found = candidates(cloud, vm, clusterUuid=vm["clusterUuid"])
    return [host for host in found if host["uuid"] != vm["hostUuid"]]


@handles("MigrateVm")
def migrate(call: Call) -> Steps:
    cloud, vm, wanted = call.cloud, call.vm, call.params.get("hostUuid")
    if wanted and wanted == vm["hostUuid"]:
        raise bad_argument(f"the vm[uuid:{vm['uuid']}] is already on host[uuid:{wanted}]")
    call.check_state(vm, "VM.1008")
    others = _others(cloud, vm)
    found = [host for host in others if wanted in (None, host["uuid"])]
    if not found:
        cause = ApiError(
            "HOST_ALLOCATION.1000", f"no host can take the vm, candidates are {[h['name'] for h in others]}"
        )
        raise ApiError("VM.1008", f"failed to migrate vm[uuid:{vm['uuid']}]", cause)
    before = vm["state"]
    cloud.set_state(vm, "Migrating")
    yield None
    vm["lastHostUuid"] = vm["hostUuid"]
    on(cloud, vm, found[0])
    if before == "Paused":
        cloud.set_state(vm, "Paused")
    return inventory(cloud, "VmInstance", vm)


@handles("GetVmMigrationCandidateHosts")
def target_hosts(call: Call) -> dict[str, Any]:
    call.check_state(call.vm)
    return {"inventories": [view(call.cloud, "Host", host) for host in _others(call.cloud, call.vm)]}


# -- storage ----------------------------------------------------------------------------------------------------------


def _storages(cloud: Cloud, vm: Row) -> list[Row]:
    """Other primary storages of the VM's cluster, with room."""
    root = cloud.row("Volume", vm["rootVolumeUuid"])
    rows = [row for row in cloud.table("PrimaryStorage").values() if row["uuid"] != root["primaryStorageUuid"]]
    return [row for row in rows if row["status"] == "Connected" and row["availableCapacity"] >= root["size"]]


@handles("PrimaryStorageMigrateVm")
def migrate_storage(call: Call) -> Steps:
    cloud, vm, target = call.cloud, call.vm, call.row("PrimaryStorage", "dstPrimaryStorageUuid")
    root = cloud.row("Volume", vm["rootVolumeUuid"])
    if root["primaryStorageUuid"] == target["uuid"]:
        raise bad_argument(f"the root volume is already on primary storage[uuid:{target['uuid']}]")
    if vm["state"] not in _MOVING:
        cause = ApiError("VM.1010", f"current vm instance state[{vm['state']}] doesn't allow to migrate its storage")
        raise ApiError("VM.1008", f"failed to migrate vm[uuid:{vm['uuid']}]", cause)
    before = vm["state"]
    cloud.set_state(vm, _MOVING[before])
    yield None
    everything = call.params.get("withDataVolumes", True)
    for volume in cloud.rows("Volume", vmInstanceUuid=vm["uuid"]):
        if everything or volume is root:
            _move(cloud, volume, target)
    if before == "Running":
        on(cloud, vm, _host_after(call, vm))
    cloud.set_state(vm, before)
    return inventory(cloud, "VmInstance", vm)


def _host_after(call: Call, vm: Row) -> Row:
    """Where a running VM is when its storage has moved: the host that was asked for, or the one it was on."""
    wanted = call.params.get("dstHostUuid")
    return allocate(call.cloud, vm, uuid=wanted) if wanted else call.cloud.row("Host", vm["hostUuid"])


def _move(cloud: Cloud, volume: Row, target: Row) -> None:
    cloud.row("PrimaryStorage", volume["primaryStorageUuid"])["availableCapacity"] += volume["size"]
    target["availableCapacity"] -= volume["size"]
    volume["primaryStorageUuid"] = target["uuid"]
    for snapshot in cloud.rows("VolumeSnapshot", volumeUuid=volume["uuid"]):
        snapshot["primaryStorageUuid"] = target["uuid"]
    cloud.touch(volume)


@handles("GetPrimaryStorageCandidatesForVmMigration")
def target_storages(call: Call) -> dict[str, Any]:
    return {"inventories": [view(call.cloud, "PrimaryStorage", row) for row in _storages(call.cloud, call.vm)]}


@handles("GetHostCandidatesForVmMigration")
def hosts_for_storage(call: Call) -> dict[str, Any]:
    cloud, target = call.cloud, call.row("PrimaryStorage", "dstPrimaryStorageUuid")
    hosts = [host for host in candidates(cloud, call.vm) if host["clusterUuid"] in target["attachedClusterUuids"]]
    return {"inventories": [view(cloud, "Host", host) for host in hosts]}
