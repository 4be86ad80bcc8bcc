# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""CD-ROM drives and the ISO images in them."""

from __future__ import annotations

from typing import Any

from .errors import refused
from .jobs import Steps
from .routes import Call, handles
from .rows import inventory, view
from .state import Cloud, Row
from .tags import values

MAX_DRIVES = 3


def _drives(cloud: Cloud, vm: Row) -> list[Row]:
    return sorted(cloud.rows("VmCdRom", vmInstanceUuid=vm["uuid"]), key=lambda row: row["deviceId"])


def _insert(cloud: Cloud, drive: Row, iso: str | None) -> None:
    drive.update(isoUuid=iso, isoInstallPath=f"/iso/{iso}.iso" if iso else None)
    cloud.touch(drive)


@handles("AttachIsoToVmInstance")
def attach_iso(call: Call) -> Steps:
    """Into the drive of the tag cdromUuid::<uuid>, else into the first empty one."""
    cloud, vm, image = call.cloud, call.vm, call.row("Image", "isoUuid")
    if image["mediaType"] != "ISO":
        raise refused(f"image[uuid:{image['uuid']}] is not an ISO")
    call.check_state(vm)
    drives = _drives(cloud, vm)
    if any(drive["isoUuid"] == image["uuid"] for drive in drives):
        raise refused(f"VM[uuid:{vm['uuid']}] already has an ISO[uuid:{image['uuid']}] attached")
    wanted = [words[0] for words in values(call.tags, "cdromUuid")]
    free = [drive for drive in drives if drive["uuid"] in wanted or not (wanted or drive["isoUuid"])]
    if not free:
        raise refused(f"VM[uuid:{vm['uuid']}] has no free cdrom")
    yield None
    _insert(cloud, free[0], image["uuid"])
    return inventory(cloud, "VmInstance", vm)


@handles("DetachIsoFromVmInstance")
def detach_iso(call: Call) -> Steps:
    cloud, vm, iso = call.cloud, call.vm, call.params.get("isoUuid")
    call.check_state(vm)
    loaded = [drive for drive in _drives(cloud, vm) if drive["isoUuid"] and iso in (None, drive["isoUuid"])]
    if iso is None and len(loaded) > 1:
        raise refused(f"All vm[uuid:{vm['uuid']}] CD-ROMs have mounted the ISO, isoUuid must be set")
    yield None
    for drive in loaded:
        _insert(cloud, drive, None)
    return inventory(cloud, "VmInstance", vm)


@handles("CreateVmCdRom")
def create_drive(call: Call) -> Steps:
    cloud, vm = call.cloud, call.row("VmInstance", "vmInstanceUuid")
    if vm["state"] != "Stopped":
        raise refused(f"a cdrom can only be made while the vm[uuid:{vm['uuid']}] is Stopped")
    used = [drive["deviceId"] for drive in _drives(cloud, vm)]
    if len(used) >= MAX_DRIVES:
        raise refused(f"the vm[uuid:{vm['uuid']}] has {MAX_DRIVES} cdroms already")
    yield None
    number = min({*range(MAX_DRIVES)} - {*used})
    drive = cloud.add(
        "VmCdRom", name=call.params["name"], description=call.params.get("description"), vmInstanceUuid=vm["uuid"],
        deviceId=number, protocol=None,
    )  # fmt: skip
    _insert(cloud, drive, call.params.get("isoUuid"))
    return inventory(cloud, "VmCdRom", drive)


@handles("UpdateVmCdRom")
def update_drive(call: Call) -> dict[str, Any]:
    drive = call.row("VmCdRom")
    drive.update(call.given("name", "description"))
    call.cloud.touch(drive)
    return inventory(call.cloud, "VmCdRom", drive)


@handles("DeleteVmCdRom")
def delete_drive(call: Call) -> Steps:
    cloud, drive = call.cloud, call.cloud.table("VmCdRom").get(call.params["uuid"])
    if drive and cloud.row("VmInstance", drive["vmInstanceUuid"])["state"] != "Stopped":
        raise refused("a cdrom can only be deleted while its vm is Stopped")
    yield None
    cloud.remove("VmCdRom", call.params["uuid"])
    return {}


@handles("GetCandidateIsoForAttachingVm")
def candidate_isos(call: Call) -> dict[str, Any]:
    cloud = call.cloud
    used = {drive["isoUuid"] for drive in _drives(cloud, call.vm)}
    rows = cloud.rows("Image", mediaType="ISO", state="Enabled", status="Ready")
    return {"inventories": [view(cloud, "Image", row) for row in rows if row["uuid"] not in used]}
