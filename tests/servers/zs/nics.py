# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""NICs: attached, detached, moved to another network, with another address."""

from __future__ import annotations

import re
from typing import Any

from .create import nic_params
from .errors import bad_argument, refused
from .jobs import Steps
from .placement import address, make_nic
from .routes import Call, handles
from .rows import inventory, view
from .state import Cloud, Row
from .tags import add_tags, system_tags

_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", re.IGNORECASE)


def _set_address(cloud: Cloud, nic: Row, l3: Row, ip: str | None) -> None:
    nic["ip"], nic["netmask"], nic["gateway"] = address(cloud, l3, ip)
    nic["l3NetworkUuid"] = l3["uuid"]
    nic["usedIps"][0].update(ip=nic["ip"], netmask=nic["netmask"], gateway=nic["gateway"], l3NetworkUuid=l3["uuid"])
    cloud.touch(nic)


def _check_mac(cloud: Cloud, mac: str | None) -> None:
    if mac is not None and not _MAC.fullmatch(mac):
        raise bad_argument(f"{mac} is not a mac address")
    if mac is not None and cloud.rows("VmNic", mac=mac.lower()):
        raise bad_argument(f"the mac[{mac}] is already in use")


@handles("AttachL3NetworkToVm")
def attach(call: Call) -> Steps:
    cloud, vm, l3 = call.cloud, call.vm, call.row("L3Network", "l3NetworkUuid")
    own = next(iter(nic_params(call.params.get("vmNicParams"))), {})
    mac = call.params.get("customMac") or own.get("mac")
    _check_mac(cloud, mac)
    call.check_state(vm)
    if cloud.rows("VmNic", vmInstanceUuid=vm["uuid"], l3NetworkUuid=l3["uuid"]):
        raise refused(f"unable to attach a L3 network. The L3 network[uuid:{l3['uuid']}] is already attached to the vm")
    yield None
    ip = call.params.get("staticIp") or own.get("ip")
    driver = call.params.get("driverType") or own.get("driverType") or "virtio"
    make_nic(cloud, vm, l3, ip, mac, driver)
    vm["defaultL3NetworkUuid"] = vm["defaultL3NetworkUuid"] or l3["uuid"]
    cloud.touch(vm)
    return inventory(cloud, "VmInstance", vm)


@handles("DetachL3NetworkFromVm")
def detach(call: Call) -> Steps:
    cloud, nic = call.cloud, call.row("VmNic", "vmNicUuid")
    vm = cloud.row("VmInstance", nic["vmInstanceUuid"])
    call.check_state(vm)
    yield None
    cloud.remove("VmNic", nic["uuid"])
    left = cloud.rows("VmNic", vmInstanceUuid=vm["uuid"])
    if vm["defaultL3NetworkUuid"] == nic["l3NetworkUuid"]:
        vm["defaultL3NetworkUuid"] = left[0]["l3NetworkUuid"] if left else None
    cloud.touch(vm)
    return inventory(cloud, "VmInstance", vm)


@handles("ChangeVmNicNetwork")
def change_network(call: Call) -> Steps:
    cloud, nic, l3 = call.cloud, call.row("VmNic", "vmNicUuid"), call.row("L3Network", "destL3NetworkUuid")
    vm = cloud.row("VmInstance", nic["vmInstanceUuid"])
    call.check_state(vm)
    if nic["l3NetworkUuid"] == l3["uuid"]:
        raise refused(f"the nic[uuid:{nic['uuid']}] is already in the L3 network[uuid:{l3['uuid']}]")
    yield None
    if vm["defaultL3NetworkUuid"] == nic["l3NetworkUuid"]:
        vm["defaultL3NetworkUuid"] = l3["uuid"]
    _set_address(cloud, nic, l3, call.params.get("staticIp"))
    return inventory(cloud, "VmNic", nic)


@handles("ChangeVmNicState")
def change_state(call: Call) -> Steps:
    cloud, nic = call.cloud, call.row("VmNic", "vmNicUuid")
    vm = cloud.row("VmInstance", nic["vmInstanceUuid"])
    call.check_state(vm)
    yield None
    nic["state"] = call.params["state"]
    cloud.touch(nic)
    return inventory(cloud, "VmInstance", vm)


@handles("UpdateVmNicMac")
def update_mac(call: Call) -> Steps:
    cloud, nic = call.cloud, call.row("VmNic", "vmNicUuid")
    _check_mac(cloud, call.params["mac"])
    if cloud.row("VmInstance", nic["vmInstanceUuid"])["state"] != "Stopped":
        raise refused("the vm must be Stopped before its mac changes")
    yield None
    nic["mac"] = call.params["mac"].lower()
    cloud.touch(nic)
    return inventory(cloud, "VmNic", nic)


def _nic(call: Call) -> Row:
    """The VM's NIC in the network that the call names."""
    uuid = call.params["l3NetworkUuid"]
    found = call.cloud.rows("VmNic", vmInstanceUuid=call.vm["uuid"], l3NetworkUuid=uuid)
    if not found:
        raise refused(f"the vm[uuid:{call.vm['uuid']}] has no nic on the L3 network[uuid:{uuid}]")
    return found[0]


@handles("SetVmStaticIp")
def set_ip(call: Call) -> Steps:
    cloud, vm, nic = call.cloud, call.vm, _nic(call)
    if not (call.params.get("ip") or call.params.get("ip6")):
        raise bad_argument("could not set ip address, due to no ip address is specified")
    call.check_state(vm)
    yield None
    if call.params.get("ip") and call.params["ip"] != nic["ip"]:
        _set_address(cloud, nic, cloud.row("L3Network", nic["l3NetworkUuid"]), call.params["ip"])
    _forget_ip(cloud, vm, nic["l3NetworkUuid"])
    add_tags(cloud, "VmInstanceVO", vm["uuid"], [f"staticIp::{nic['l3NetworkUuid']}::{nic['ip']}"])
    return {}


def _forget_ip(cloud: Cloud, vm: Row, l3: str) -> None:
    for tag in system_tags(cloud, vm["uuid"]):
        if tag.startswith(f"staticIp::{l3}::"):
            (row,) = cloud.rows("SystemTag", resourceUuid=vm["uuid"], tag=tag)
            cloud.remove("SystemTag", row["uuid"])


@handles("DeleteVmStaticIp")
def delete_ip(call: Call) -> Steps:
    nic = _nic(call)
    call.check_state(call.vm)
    yield None
    _forget_ip(call.cloud, call.vm, nic["l3NetworkUuid"])
    return {}


@handles("GetVmAttachableL3Network")
def attachable(call: Call) -> dict[str, Any]:
    cloud = call.cloud
    used = {nic["l3NetworkUuid"] for nic in cloud.rows("VmNic", vmInstanceUuid=call.vm["uuid"])}
    rows = [row for row in cloud.rows("L3Network", state="Enabled") if row["uuid"] not in used]
    return {"inventories": [view(cloud, "L3Network", row) for row in rows]}
