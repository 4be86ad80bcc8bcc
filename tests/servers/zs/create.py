# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Creating a VM: what is refused, the row, and what it is furnished with."""

from __future__ import annotations

import json
from typing import Any

from .errors import ApiError, bad_argument
from .jobs import Steps
from .placement import allocate, make_nic, make_volume
from .power import off, on, vanish
from .routes import Call, handles
from .rows import inventory
from .state import UUID, Cloud, Row
from .tags import add_tags, check_tags, values

_DISK_SIZES = ("rootDiskSize", "rootDiskOfferingUuid")


def new_vm(cloud: Cloud, name: str, **fields: Any) -> Row:
    """A row in state Created, with no host and no devices."""
    return cloud.add(
        "VmInstance",
        **{
            "name": name, "description": None, "zoneUuid": None, "clusterUuid": None, "imageUuid": None,
            "hostUuid": None, "lastHostUuid": None, "instanceOfferingUuid": None, "rootVolumeUuid": None,
            "platform": "Linux", "architecture": "x86_64", "defaultL3NetworkUuid": None, "type": "UserVm",
            "hypervisorType": "KVM", "reservedMemorySize": 0, "cpuSpeed": 0, "state": "Created", "guestOsType": "Linux",
            "allocatorStrategy": "LeastVmPreferredHostAllocatorStrategy", **fields,
        },
    )  # fmt: skip


def _sizing(call: Call) -> dict[str, Any]:
    """Processors and memory; an offering wins."""
    if call.params.get("instanceOfferingUuid"):
        offering = call.row("InstanceOffering", "instanceOfferingUuid")
        return {key: offering[key] for key in ("cpuNum", "memorySize")} | {"instanceOfferingUuid": offering["uuid"]}
    if not (call.params.get("cpuNum") and call.params.get("memorySize")):
        raise bad_argument("Missing CPU or memory size, give instanceOfferingUuid or cpuNum and memorySize")
    return call.given("cpuNum", "memorySize", "reservedMemorySize")


def _image(call: Call) -> Row | None:
    params = call.params
    if not params.get("imageUuid"):
        lacking = [key for key in ("platform", "guestOsType", "architecture") if not params.get(key)]
        if lacking or not any(params.get(key) for key in _DISK_SIZES):
            raise bad_argument(f"without imageUuid a vm needs a root disk size and {lacking}")
        return None
    image = call.row("Image", "imageUuid")
    if image["state"] != "Enabled" or image["status"] != "Ready":
        raise bad_argument(f"image[uuid:{image['uuid']}] is not Enabled and Ready")
    if image["mediaType"] == "ISO" and not any(params.get(key) for key in _DISK_SIZES):
        raise bad_argument(f"image[uuid:{image['uuid']}] is an ISO, rootDiskOfferingUuid or rootDiskSize must be set")
    if image["mediaType"] == "DataVolumeTemplate":
        raise bad_argument(f"image[uuid:{image['uuid']}] is of mediaType DataVolumeTemplate")
    return image


def nic_params(text: Any) -> list[dict[str, Any]]:
    """vmNicParams: JSON text in most calls."""
    try:
        found = json.loads(text) if isinstance(text, str) else text or []
    except ValueError:
        raise bad_argument("vmNicParams is not valid JSON") from None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise bad_argument("vmNicParams must be a list of objects")
    return found


def _networks(call: Call) -> list[str]:
    networks = call.params.get("l3NetworkUuids") or []
    if len(set(networks)) != len(networks):
        raise bad_argument(f"l3NetworkUuids{networks} has duplicates")
    default = call.params.get("defaultL3NetworkUuid")
    if len(networks) > 1 and default is None:
        raise bad_argument("there are more than one L3 networks, defaultL3NetworkUuid must be set")
    if default is not None and default not in networks:
        raise bad_argument(f"defaultL3NetworkUuid[uuid:{default}] is not in l3NetworkUuids{networks}")
    for params in nic_params(call.params.get("vmNicParams")):
        if params.get("l3NetworkUuid") not in networks:
            raise bad_argument("vmNicParams names a network that is not in l3NetworkUuids")
    return networks


def _client_uuid(call: Call) -> str | None:
    uuid = call.params.get("resourceUuid")
    if uuid is not None and not UUID.fullmatch(uuid):
        raise bad_argument(f"resourceUuid[{uuid}] is not a valid uuid")
    if uuid is not None and any(uuid in table for table in call.cloud.tables.values()):
        raise bad_argument(f"resourceUuid[{uuid}] is already used by another resource")
    return uuid


@handles("CreateVmInstance")
def create(call: Call) -> Any:
    cloud, params = call.cloud, call.params
    sizing, image, networks, uuid = _sizing(call), _image(call), _networks(call), _client_uuid(call)
    if not all(isinstance(size, int) and size > 0 for size in params.get("dataDiskSizes") or []):
        raise bad_argument("dataDiskSizes must be a list of numbers of bytes")
    check_tags("VmInstanceVO", call.tags)
    check_tags("VolumeVO", params.get("rootVolumeSystemTags") or [])
    if cloud.config("vm", "uniqueVmName") == "true" and cloud.rows("VmInstance", name=params["name"]):
        raise bad_argument(f"there is already a vm named {params['name']}")
    about = call.given("description", "platform", "guestOsType", "architecture")
    if image:
        about = {**{key: image[key] for key in ("platform", "guestOsType", "architecture")}, **about}
    vm = new_vm(cloud, params["name"], uuid=uuid, imageUuid=image and image["uuid"], **sizing, **about)
    add_tags(cloud, "VmInstanceVO", vm["uuid"], call.tags, call.user_tags)
    vm["_ha"] = next((words[0] for words in values(call.tags, "ha")), None)
    vm["_make"] = lambda: _furnish(call, vm, image, networks)
    if params.get("strategy") == "JustCreate":
        return inventory(cloud, "VmInstance", vm)
    return _begin(call, vm)


def _begin(call: Call, vm: Row) -> Steps:
    cloud, params = call.cloud, call.params
    wanted = {
        "uuid": params.get("hostUuid"),
        "clusterUuid": params.get("clusterUuid"),
        "zoneUuid": params.get("zoneUuid"),
    }
    key = next((key for key, value in wanted.items() if value), "uuid")
    try:
        host = allocate(cloud, vm, **{key: wanted[key]})
        vm.pop("_make")()
    except ApiError as exc:
        vanish(cloud, vm)
        raise ApiError("VM.1000", f"failed to create vm[name:{vm['name']}]", exc) from None
    cloud.set_state(vm, "Starting")
    yield None
    on(cloud, vm, host)
    if params.get("strategy") == "CreateStopped":
        off(cloud, vm)
    return inventory(cloud, "VmInstance", vm)


# -- what a VM is furnished with --------------------------------------------------------------------------------------


def _size(call: Call, offering: str, size: str) -> int:
    if call.params.get(offering):
        return call.row("DiskOffering", offering)["diskSize"]
    return call.params.get(size) or 0


def _furnish(call: Call, vm: Row, image: Row | None, networks: list[str]) -> None:
    """Volumes, NICs and drives; when one fails, the VM has none of them."""
    cloud, params = call.cloud, call.params
    template = image if image and image["mediaType"] == "RootVolumeTemplate" else None
    size = max(_size(call, "rootDiskOfferingUuid", "rootDiskSize"), template["size"] if template else 0)
    where = params.get("primaryStorageUuidForRootVolume")
    root = make_volume(cloud, f"ROOT-for-{vm['name']}", size, "Root", vm, where, rootImageUuid=image and image["uuid"])
    vm["rootVolumeUuid"] = root["uuid"]
    add_tags(cloud, "VolumeVO", root["uuid"], params.get("rootVolumeSystemTags") or [])
    sizes = list(params.get("dataDiskSizes") or [])
    sizes += [cloud.row("DiskOffering", uuid)["diskSize"] for uuid in params.get("dataDiskOfferingUuids") or []]
    for number, size in enumerate(sizes):
        data = make_volume(cloud, f"DATA-for-{vm['name']}", size, "Data", vm)
        on_index = (params.get("dataVolumeSystemTagsOnIndex") or {}).get(str(number), [])
        add_tags(cloud, "VolumeVO", data["uuid"], [*(params.get("dataVolumeSystemTags") or []), *on_index])
    add_nics(cloud, vm, networks, call.tags, nic_params(params.get("vmNicParams")))
    vm["defaultL3NetworkUuid"] = params.get("defaultL3NetworkUuid") or (networks[0] if networks else None)
    add_drives(cloud, vm, call.tags, image if image and image["mediaType"] == "ISO" else None)


def add_nics(cloud: Cloud, vm: Row, networks: list[str], tags: list[str], params: list[dict[str, Any]]) -> None:
    """One NIC for each network, as tags (staticIp, customMac) and vmNicParams want it."""
    addresses = {words[0]: words[1] for words in values(tags, "staticIp")}
    macs = {words[0]: words[1] for words in values(tags, "customMac")}
    for uuid in networks:
        own = next((item for item in params if item["l3NetworkUuid"] == uuid), {})
        ip, mac = own.get("ip") or addresses.get(uuid), own.get("mac") or macs.get(uuid)
        nic = make_nic(cloud, vm, cloud.row("L3Network", uuid), ip, mac, own.get("driverType") or "virtio")
        nic["state"] = own.get("state", "enable")


def add_drives(cloud: Cloud, vm: Row, tags: list[str], iso: Row | None) -> None:
    """CD-ROM drives: one, or those of the tag cdroms::<iso>::<iso>::<iso>."""
    wanted = next(iter(values(tags, "cdroms")), ["Empty"])
    if ["true"] in values(tags, "createWithoutCdRom"):
        wanted = []
    if iso and iso["uuid"] not in wanted:
        wanted = [iso["uuid"], *wanted[1:]]
    for number, word in enumerate(word for word in wanted if word != "None"):
        disc = None if word == "Empty" else cloud.row("Image", word)
        cloud.add(
            "VmCdRom", name=f"vm-{vm['uuid']}-cdRom", vmInstanceUuid=vm["uuid"], deviceId=number, protocol=None,
            isoUuid=disc and disc["uuid"], isoInstallPath=disc and f"/iso/{disc['uuid']}.iso", description=None,
        )  # fmt: skip
