# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The life of a VM: start, stop, reboot, pause, resume, destroy, recover, expunge."""

from __future__ import annotations

import contextlib
from typing import Any

from .contract import facts
from .errors import ApiError, bad_argument, refused
from .jobs import Steps
from .placement import allocate, drop_volume, release
from .routes import Call, handles
from .rows import inventory
from .state import Cloud, Row

HANG_SECONDS = 0.2


def on(cloud: Cloud, vm: Row, host: Row) -> None:
    """The VM runs on the host."""
    vm.update(hostUuid=host["uuid"], clusterUuid=host["clusterUuid"], zoneUuid=host["zoneUuid"])
    cloud.set_state(vm, "Running")


def off(cloud: Cloud, vm: Row, state: str = "Stopped") -> None:
    """The VM is on no host any more; the last one is remembered. Its console is gone."""
    vm.pop("_console", None)
    vm["lastHostUuid"] = vm["hostUuid"] or vm["lastHostUuid"]
    vm["hostUuid"] = None
    cloud.set_state(vm, state)


def begin(call: Call, vm: Row, before: str, outer: str, **wanted: Any) -> Steps:
    """Start a VM that may; on failure it is again what it was before."""
    cloud = call.cloud
    try:
        host = allocate(cloud, vm, **wanted)
        if vm.get("_make"):
            vm["_make"]()
    except ApiError as exc:
        if vm.get("_make"):
            strip(cloud, vm)
        cloud.set_state(vm, before)
        raise ApiError(outer, f"failed to start vm[uuid:{vm['uuid']}]", exc) from None
    vm.pop("_make", None)
    if "Starting" in facts()["vm_state_transitions"][before].values():  # a crashed VM is not seen starting
        cloud.set_state(vm, "Starting")
    yield None
    on(cloud, vm, host)
    return inventory(cloud, "VmInstance", vm)


@handles("StartVmInstance")
def start(call: Call) -> Any:
    vm = call.vm
    call.check_state(vm, "VM.1001")
    if vm["state"] == "Running":
        return inventory(call.cloud, "VmInstance", vm)
    wanted = {"uuid": call.params.get("hostUuid"), "clusterUuid": call.params.get("clusterUuid")}
    return begin(call, vm, vm["state"], "VM.1001", **wanted)


@handles("StopVmInstance")
def stop(call: Call) -> Any:
    cloud, vm = call.cloud, call.vm
    call.check_state(vm, "VM.1002")
    if vm["state"] == "Stopped":
        return inventory(cloud, "VmInstance", vm)
    return _stop(call, vm)


def _stop(call: Call, vm: Row) -> Steps:
    cloud, before = call.cloud, vm["state"]
    cloud.set_state(vm, "Stopping")
    yield None
    if vm.get("_hangs") and call.params.get("type", "grace") == "grace":
        yield HANG_SECONDS
        cloud.set_state(vm, before)
        cause = ApiError("HOST.1006", "the guest did not shut down in time")
        raise ApiError("VM.1002", f"failed to stop vm[uuid:{vm['uuid']}]", cause)
    off(cloud, vm)
    answer = inventory(cloud, "VmInstance", vm)
    if vm.get("_ha") == "NeverStop" and call.params.get("stopHA") != "true":
        cloud.clock.after(cloud.ha_seconds, lambda: _revive(cloud, vm))
    return answer


def _revive(cloud: Cloud, vm: Row) -> None:
    """What HA does with a VM that must never stop."""
    if vm["state"] == "Stopped" and vm.get("_ha") == "NeverStop":
        with contextlib.suppress(ApiError):
            on(cloud, vm, allocate(cloud, vm))


@handles("RebootVmInstance")
def reboot(call: Call) -> Steps:
    cloud, vm = call.cloud, call.vm
    call.check_state(vm, "VM.1003")
    cloud.set_state(vm, "Rebooting")
    yield None
    cloud.set_state(vm, "Running")
    return inventory(cloud, "VmInstance", vm)


@handles("PauseVmInstance")
def pause(call: Call) -> Steps:
    cloud, vm = call.cloud, call.vm
    call.check_state(vm, "VM.1012")
    cloud.set_state(vm, "Pausing")
    yield None
    cloud.set_state(vm, "Paused")
    return inventory(cloud, "VmInstance", vm)


@handles("ResumeVmInstance")
def resume(call: Call) -> Steps:
    cloud, vm = call.cloud, call.vm
    call.check_state(vm, "VM.1013")
    cloud.set_state(vm, "Resuming")
    yield None
    cloud.set_state(vm, "Running")
    return inventory(cloud, "VmInstance", vm)


# -- the end ----------------------------------------------------------------------------------------------------------


@handles("DestroyVmInstance")
def destroy(call: Call) -> Any:
    cloud, vm = call.cloud, call.cloud.table("VmInstance").get(call.params["uuid"])
    if vm is None:
        return {}
    if vm["state"] == "Created":
        vanish(cloud, vm)
        return {}
    call.check_state(vm, "VM.1004")
    return _destroy(cloud, vm)


def _destroy(cloud: Cloud, vm: Row) -> Steps:
    cloud.set_state(vm, "Destroying")
    yield None
    for volume in cloud.rows("Volume", vmInstanceUuid=vm["uuid"], type="Data"):
        release(cloud, volume)
    off(cloud, vm, "Destroyed")
    if cloud.config("vm", "deletionPolicy") == "Direct":
        vanish(cloud, vm)
    else:
        for volume in cloud.rows("Volume", vmInstanceUuid=vm["uuid"]):
            volume["status"] = "Deleted"
    return {}


def vanish(cloud: Cloud, vm: Row) -> None:
    """Nothing of the VM is left; data volumes were taken off before."""
    strip(cloud, vm)
    cloud.remove("VmInstance", vm["uuid"])


def strip(cloud: Cloud, vm: Row) -> None:
    """The VM has no devices any more."""
    for volume in cloud.rows("Volume", vmInstanceUuid=vm["uuid"]):
        drop_volume(cloud, volume)
    for kind in ("VmNic", "VmCdRom", "VolumeSnapshotGroup"):
        for row in cloud.rows(kind, vmInstanceUuid=vm["uuid"]):
            cloud.remove(kind, row["uuid"])
    vm["rootVolumeUuid"] = vm["defaultL3NetworkUuid"] = None


@handles("ExpungeVmInstance")
def expunge(call: Call) -> Steps:
    cloud, vm = call.cloud, call.vm
    call.check_state(vm)
    if cloud.rows("Volume", vmInstanceUuid=vm["uuid"], type="Data"):
        raise refused(f"vm[uuid:{vm['uuid']}] still has data volumes attached, detach them before")
    cloud.set_state(vm, "Expunging")
    yield None
    vanish(cloud, vm)
    return {}


@handles("RecoverVmInstance")
def recover(call: Call) -> Steps:
    cloud, vm = call.cloud, call.vm
    call.check_state(vm)
    for nic in cloud.rows("VmNic", vmInstanceUuid=vm["uuid"]):
        if len(cloud.rows("VmNic", l3NetworkUuid=nic["l3NetworkUuid"], ip=nic["ip"])) > 1:
            raise bad_argument(f"IP[{nic['ip']}] is in use by another nic")
    yield None
    for volume in cloud.rows("Volume", vmInstanceUuid=vm["uuid"]):
        volume["status"] = "Ready"
    cloud.set_state(vm, "Stopped")
    return inventory(cloud, "VmInstance", vm)
