# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where things go: hosts for VMs, primary storage for volumes, addresses for NICs."""

from __future__ import annotations

import ipaddress
from typing import Any

from .errors import ApiError, bad_argument
from .state import Cloud, Row

_HOLDING = ("Starting", "Running", "Stopping", "Rebooting", "Migrating", "Pausing", "Paused", "Resuming", "Unknown")


def free_memory(cloud: Cloud) -> dict[str, int]:
    """Bytes that no VM has, by the uuid of the host."""
    free = {host["uuid"]: host["totalMemoryCapacity"] for host in cloud.table("Host").values()}
    for vm in cloud.table("VmInstance").values():
        if vm["hostUuid"] and vm["state"] in _HOLDING:
            free[vm["hostUuid"]] -= vm["memorySize"]
    return free


def usable(host: Row) -> bool:
    return host["state"] == "Enabled" and host["status"] == "Connected"


def candidates(cloud: Cloud, vm: Row, **wanted: Any) -> list[Row]:
    """Hosts that could take the VM, the one with most memory left first; wanted: fields of the host."""
    wanted = {key: value for key, value in wanted.items() if value}
    hosts = [host for host in cloud.rows("Host", **wanted) if usable(host)]
    free = free_memory(cloud)
    found = [host for host in hosts if free[host["uuid"]] >= vm["memorySize"]]
    return sorted(found, key=lambda host: -free[host["uuid"]])


def allocate(cloud: Cloud, vm: Row, **wanted: Any) -> Row:
    """The host for the VM: where it was last, else the one with most memory left."""
    found = candidates(cloud, vm, **wanted)
    if not found:
        raise ApiError("HOST_ALLOCATION.1000", f"no host can take the vm[memory:{vm['memorySize']}] with {wanted}")
    last = [host for host in found if host["uuid"] == vm["lastHostUuid"]]
    return (last or found)[0]


def storage_for(cloud: Cloud, size: int, uuid: str | None = None) -> Row:
    """A primary storage with room for so many bytes, which are taken from it."""
    rows = [cloud.row("PrimaryStorage", uuid)] if uuid else list(cloud.table("PrimaryStorage").values())
    for row in rows:
        if (row["state"], row["status"]) == ("Enabled", "Connected") and row["availableCapacity"] >= size:
            row["availableCapacity"] -= size
            return row
    raise ApiError("PS.1000", f"no primary storage has {size} bytes left")


# -- addresses --------------------------------------------------------------------------------------------------------


def new_mac(cloud: Cloud) -> str:
    return "fa:" + ":".join(f"{cloud.random.randrange(256):02x}" for _byte in range(5))


def _taken(cloud: Cloud, l3: Row) -> set[str]:
    """The addresses in use; a destroyed VM keeps its NICs, and its addresses are free."""
    gone = {vm["uuid"] for vm in cloud.rows("VmInstance", state="Destroyed")}
    return {nic["ip"] for nic in cloud.rows("VmNic", l3NetworkUuid=l3["uuid"]) if nic["vmInstanceUuid"] not in gone}


def address(cloud: Cloud, l3: Row, wanted: str | None = None) -> tuple[str, str, str]:
    """A free address of the network with its netmask and gateway."""
    (pool,) = l3["ipRanges"]
    first, last = (int(ipaddress.ip_address(pool[key])) for key in ("startIp", "endIp"))
    taken = _taken(cloud, l3)
    if wanted:
        try:
            inside = first <= int(ipaddress.ip_address(wanted)) <= last
        except ValueError:
            raise bad_argument(f"{wanted} is not an IP address") from None
        if not inside or wanted in taken:
            raise ApiError("L3.1000", f"IP[{wanted}] is not available on the L3 network[uuid:{l3['uuid']}]")
        return wanted, pool["netmask"], pool["gateway"]
    for number in range(first, last + 1):
        text = str(ipaddress.ip_address(number))
        if text not in taken:
            return text, pool["netmask"], pool["gateway"]
    raise ApiError("L3.1000", f"no IP address left on the L3 network[uuid:{l3['uuid']}]")


def make_nic(
    cloud: Cloud, vm: Row, l3: Row, ip: str | None = None, mac: str | None = None, driver: str = "virtio"
) -> Row:
    """A NIC of the VM in the network, in the next slot."""
    if mac and cloud.rows("VmNic", mac=mac.lower()):
        raise bad_argument(f"the mac[{mac}] is already in use")
    found, netmask, gateway = address(cloud, l3, ip)
    numbers = {nic["deviceId"] for nic in cloud.rows("VmNic", vmInstanceUuid=vm["uuid"])}
    number = next(i for i in range(100) if i not in numbers)
    nic = cloud.add(
        "VmNic", vmInstanceUuid=vm["uuid"], l3NetworkUuid=l3["uuid"], ip=found, netmask=netmask, gateway=gateway,
        mac=(mac or new_mac(cloud)).lower(), ipVersion=4, driverType=driver, deviceId=number, type="VNIC",
        state="enable", hypervisorType="KVM", internalName=f"vnic{cloud.random.randrange(1000)}.{number}",
    )  # fmt: skip
    used = {"uuid": cloud.new_uuid(), "ip": found, "netmask": netmask, "gateway": gateway, "ipVersion": 4}
    nic["usedIps"] = [{**used, "l3NetworkUuid": l3["uuid"], "vmNicUuid": nic["uuid"]}]
    return nic


# -- volumes ----------------------------------------------------------------------------------------------------------


def make_volume(
    cloud: Cloud,
    name: str,
    size: int,
    kind: str = "Data",
    vm: Row | None = None,
    storage: str | None = None,
    **more: Any,
) -> Row:
    """A volume that is ready, attached to the VM if there is one."""
    where = storage_for(cloud, size, storage)
    numbers = {volume["deviceId"] for volume in cloud.rows("Volume", vmInstanceUuid=vm["uuid"])} if vm else set()
    number = 0 if kind == "Root" else next(i for i in range(1, 100) if i not in numbers)
    volume = cloud.add(
        "Volume", name=name, description=None, primaryStorageUuid=where["uuid"], type=kind, format="qcow2",
        vmInstanceUuid=vm["uuid"] if vm else None, size=size, actualSize=0, deviceId=number if vm else None,
        state="Enabled", status="Ready", isShareable=False, protocol=None, diskOfferingUuid=None, rootImageUuid=None,
        lastVmInstanceUuid=None, lastDetachDate=None, lastAttachDate=None,
    )  # fmt: skip
    volume.update(installPath=f"/{where['name']}/{kind.lower()}Volumes/{volume['uuid']}.qcow2", **more)
    return volume


def drop_volume(cloud: Cloud, volume: Row) -> None:
    """The volume with its snapshots is gone for good."""
    where = cloud.table("PrimaryStorage").get(volume["primaryStorageUuid"])
    if where:
        where["availableCapacity"] += volume["size"]
    for kind in ("VolumeSnapshot", "VolumeSnapshotTree"):
        for row in cloud.rows(kind, volumeUuid=volume["uuid"]):
            cloud.remove(kind, row["uuid"])
    cloud.remove("Volume", volume["uuid"])


def release(cloud: Cloud, volume: Row) -> None:
    """Take a data volume off its VM."""
    volume["lastVmInstanceUuid"] = volume["vmInstanceUuid"]
    volume["vmInstanceUuid"] = volume["deviceId"] = None
    volume["lastDetachDate"] = cloud.stamp()
    cloud.touch(volume)
