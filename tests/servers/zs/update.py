# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changing a VM: name and size, its offering, its image."""

from __future__ import annotations

from typing import Any

from .errors import ApiError, bad_argument, refused
from .jobs import Steps
from .routes import Call, handles
from .rows import inventory
from .state import Cloud, Row


def _check_resize(cloud: Cloud, vm: Row, wanted: dict[str, Any]) -> None:
    """A VM that is not stopped needs hot plug, and can only grow; a value that is equal counts as well."""
    if not wanted or vm["state"] in ("Stopped", "Created"):
        return
    if vm["state"] != "Running":
        raise bad_argument(f"the state of vm[uuid:{vm['uuid']}] is {vm['state']}, only Running and Stopped may change")
    if cloud.config("vm", "numa") != "true":
        raise bad_argument(f"the vm[uuid:{vm['uuid']}] is Running, cpu and memory need hot plug, which is off")
    for key, value in wanted.items():
        if value < vm[key]:
            raise bad_argument(f"{key} of a running vm cannot shrink: {value} is less than {vm[key]}")


@handles("UpdateVmInstance")
def update(call: Call) -> Any:
    vm, wanted = call.vm, call.given("cpuNum", "memorySize")
    _check_resize(call.cloud, vm, wanted)
    if call.cloud.config("vm", "uniqueVmName") == "true" and "name" in call.params:
        others = [row for row in call.cloud.rows("VmInstance", name=call.params["name"]) if row is not vm]
        if others:
            raise bad_argument(f"there is already a vm named {call.params['name']}")
    names = ("name", "description", "reservedMemorySize", "platform", "guestOsType", "defaultL3NetworkUuid", "state")
    return _change(call, vm, {**call.given(*names), **wanted})


@handles("ChangeInstanceOffering")
def change_offering(call: Call) -> Any:
    vm, offering = call.vm, call.row("InstanceOffering", "instanceOfferingUuid")
    call.check_state(vm)
    wanted = {key: offering[key] for key in ("cpuNum", "memorySize")}
    _check_resize(call.cloud, vm, wanted)
    return _change(call, vm, {**wanted, "instanceOfferingUuid": offering["uuid"]})


def _change(call: Call, vm: Row, fields: dict[str, Any]) -> Steps:
    yield None
    vm.update(fields)
    call.cloud.touch(vm)
    return inventory(call.cloud, "VmInstance", vm)


# -- the root volume --------------------------------------------------------------------------------------------------


def _check_stopped(vm: Row) -> None:
    if vm["state"] != "Stopped":
        raise ApiError("VM.1014", f"unable to reset volume to image, vm[uuid:{vm['uuid']}] is not in Stopped state")


@handles("ReimageVmInstance")
def reimage(call: Call) -> Steps:
    cloud, vm = call.cloud, call.vm
    _check_stopped(vm)
    image = cloud.table("Image").get(vm["imageUuid"] or "")
    if image is None or image["mediaType"] == "ISO":
        raise ApiError("VM.1015", f"the image of vm[uuid:{vm['uuid']}] is an ISO")
    yield None
    cloud.row("Volume", vm["rootVolumeUuid"])["actualSize"] = 0
    return inventory(cloud, "VmInstance", vm)


@handles("ChangeVmImage")
def change_image(call: Call) -> Steps:
    cloud, vm, image = call.cloud, call.vm, call.row("Image", "imageUuid")
    _check_stopped(vm)
    if (image["state"], image["status"], image["mediaType"]) != ("Enabled", "Ready", "RootVolumeTemplate"):
        raise refused(f"image[uuid:{image['uuid']}] cannot be used for a root volume")
    yield None
    root = cloud.row("Volume", vm["rootVolumeUuid"])
    root.update(rootImageUuid=image["uuid"], size=max(root["size"], image["size"]))
    vm.update(imageUuid=image["uuid"], platform=image["platform"])
    cloud.touch(vm)
    return inventory(cloud, "VmInstance", vm)


@handles("FlattenVmInstance")
def flatten(call: Call) -> Steps:
    call.check_state(call.vm)
    yield None
    return inventory(call.cloud, "VmInstance", call.vm)
