# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of VMs beyond what every backend is asked: with all that a VM of ZStack can have."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.zstack.cloud import Ask

GIB, MIB = 1024**3, 1024**2

WHOLE: dict[str, Any] = {
    "name": "web",
    "memory": "512MiB",
    "cores": 2,
    "description": "made by a test",
    "tags": ["a", "b"],
    "firmware": "uefi",
    "boot_order": ["ide0", "virtio0"],
    "node": "host-2",
    "disks": [{"source": "image-1", "size": "20GiB", "storage": "ps-2"}, {"size": "5GiB"}],
    "nics": [
        {"network": "net-1", "mac": "52:54:00:00:00:0a"},
        {"network": "net-2", "model": "e1000", "connected": False},
    ],
    "cdrom": {"image": "iso-1"},
    "cloud_init": {
        "user": "me",
        "password": "HUSH",
        "hostname": "web.example.com",
        "ssh_keys": ["ssh-ed25519 AAAA me"],
        "ip_config": [{"nic": "net0", "ip": "198.51.100.77/24"}, {"nic": "net1", "ip": "dhcp"}],
    },
    "native": {"ha": "NeverStop", "cluster": "cluster-1"},
}


def user_data(server: ZStackServer, name: str) -> str:
    uuid = server.vm(name)["uuid"]
    (tag,) = (row["tag"] for row in server.state.rows("SystemTag", resourceUuid=uuid) if "userdata" in row["tag"])
    return base64.b64decode(tag.partition("::")[2]).decode()


# --- making


def test_a_vm_with_everything(server: ZStackServer, do: Ask) -> None:
    made = do("vm", **WHOLE)
    assert "HUSH" not in made.text
    vm = server.vm("web")
    assert (vm["state"], vm["cpuNum"], vm["memorySize"]) == ("Stopped", 2, 512 * MIB)
    assert [(one["type"], one["size"]) for one in vm["allVolumes"]] == [("Root", 20 * GIB), ("Data", 5 * GIB)]
    assert [(nic["driverType"], nic["state"]) for nic in vm["vmNics"]] == [("virtio", "enable"), ("e1000", "disable")]
    assert (vm["vmNics"][0]["mac"], vm["vmNics"][0]["ip"]) == ("52:54:00:00:00:0a", "198.51.100.77")
    assert json.loads(user_data(server, "web").partition("\n")[2])["users"][0]["plain_text_passwd"] == "HUSH"
    assert made.vm["native"]["ha"] == "NeverStop"


def test_a_vm_of_an_offering(server: ZStackServer, do: Ask) -> None:
    server.add_instance_offering("large", cpu=8, memory=4 * GIB)
    made = do("vm", name="web", disks=[{"source": "image-1"}], native={"instanceOffering": "large"})
    assert (made.vm["cores"], made.vm["memory"]) == (8, 4096)


def test_a_vm_from_an_iso(server: ZStackServer, do: Ask) -> None:
    do("vm", name="web", disks=[{"source": "iso-1", "size": "10"}], nics=[])
    assert server.vm("web")["vmCdRoms"][0]["isoUuid"] == server.get("Image", "iso-1")["uuid"]


def test_a_vm_that_is_made_later(server: ZStackServer, do: Ask) -> None:
    made = do("vm", name="web", disks=[{"size": "1"}], native={"strategy": "JustCreate"}, again=False)
    assert (made.vm["state"], server.vm("web")["state"]) == ("stopped", "Created")


def test_further_parameters_of_the_call_go_along(server: ZStackServer, ask: Ask) -> None:
    more = {"rootVolumeSystemTags": ["capability::virtio-scsi"], "systemTags": ["cleanTraffic::true"], "virtio": True}
    done = ask("vm", name="web", disks=[{"size": "1"}], native={"create": more})
    assert not done.failed, done.result
    (asked,) = (one for one in server.requests if one.api == "CreateVmInstance")
    assert asked.params["rootVolumeSystemTags"] == ["capability::virtio-scsi"]
    assert asked.params["virtio"] is True
    assert "cleanTraffic::true" in asked.tags


def test_a_uuid_of_our_own(server: ZStackServer, do: Ask) -> None:
    uuid = server.state.new_uuid()
    made = do("vm", id=uuid, name="web", disks=[{"size": "1"}])
    assert made.vm["id"] == uuid


# --- the end, and back


def test_a_destroyed_vm_is_absent_though_it_is_listed(server: ZStackServer, do: Ask, ask: Ask) -> None:
    vm = server.add_vm("web", disks=(GIB,))
    do("vm", name="web", state="absent", force=True)
    assert server.vm(vm["uuid"])["state"] == "Destroyed"
    assert ask("vm_info").result["vms"] == []
    assert ask("vm_info", id=vm["uuid"]).result["vms"] == []
    assert ask("vm_config", id=vm["uuid"], memory="1GiB").result["kind"] == "not_found"
    (data,) = server.state.rows("Volume", type="Data")
    assert data["status"] == "Deleted"


@pytest.mark.parametrize("policy", ["Delay", "Direct"])
def test_purge_leaves_nothing(policy: str, server: ZStackServer, do: Ask) -> None:
    server.set_config("vm", "deletionPolicy", policy)
    server.set_config("volume", "deletionPolicy", policy)
    server.add_vm("web", "Stopped", disks=(GIB, GIB))
    do("vm", name="web", state="absent", purge=True)
    assert server.state.table("VmInstance") == {}
    assert server.state.table("Volume") == {}


def test_a_new_vm_beside_a_destroyed_one_of_the_same_name(server: ZStackServer, do: Ask) -> None:
    server.add_vm("web", "Destroyed")
    do("vm", name="web", disks=[{"size": "1"}])
    assert len(server.state.rows("VmInstance", name="web")) == 2


def test_a_destroyed_vm_is_recovered_by_its_uuid(server: ZStackServer, do: Ask, ask: Ask) -> None:
    vm = server.add_vm("web", "Stopped", memory=GIB)
    assert ask("vm", name="web", state="absent").changed
    back = do("vm", id=vm["uuid"], name="web", memory="2GiB", state="started")
    assert (back.vm["state"], back.vm["memory"]) == ("running", 2048)
    assert "RecoverVmInstance" in server.reached
    assert "CreateVmInstance" not in server.reached


# --- changing


def test_every_setting_of_a_stopped_vm(server: ZStackServer, do: Ask) -> None:
    do("vm", **WHOLE)
    do("vm_config", name="web", memory="256", cores=1, description="", tags=["b", "c"], firmware="bios")
    do("vm_config", name="web", disks=[{"slot": "virtio0", "size": "21"}, {"slot": "virtio1", "size": "6GiB"}])
    do("vm_config", name="web", disks=[{"slot": "virtio2", "size": "1GiB", "storage": "ps-2"}])
    do(
        "vm_config",
        name="web",
        nics=[{"slot": "net0", "mac": "52:54:00:00:00:0b"}, {"slot": "net1", "connected": True}],
    )
    do("vm_config", name="web", absent=["net1", "virtio1", "boot_order"])
    do("vm_config", name="web", nics=[{"slot": "net0", "network": "net-2"}])
    do("vm_config", name="web", nics=[{"slot": "net1", "network": "net-1", "connected": False}])
    do("vm_config", name="web", boot_order=["net0"], native={"ha": "OnHostFailure", "guestOsType": "Debian"})
    do("vm_config", name="web", cdrom={"image": ""})
    do("vm_config", name="web", absent=["cdrom"])
    do("vm_config", name="web", cdrom={"slot": "ide0", "image": "iso-1"})
    done = do("vm_config", name="web", absent=["cloud_init", "tags"])
    assert (done.vm["tags"], "cloud_init" in done.vm) == ([], False)


def test_a_detached_disk_is_kept(server: ZStackServer, do: Ask) -> None:
    server.add_vm("web", "Running", disks=(GIB,))
    do("vm_config", name="web", absent=["virtio1"])
    (data,) = server.state.rows("Volume", type="Data")
    assert (data["status"], data["vmInstanceUuid"]) == ("Ready", None)


def test_cloud_init_keeps_the_password_and_changes_the_rest(server: ZStackServer, do: Ask) -> None:
    do("vm", **WHOLE)
    do("vm_config", name="web", cloud_init={"user": "you"})
    assert "HUSH" in user_data(server, "web")
    whole = do("vm_config", name="web", cloud_init={"user_data": "#!/bin/sh\necho HUSH\n"})
    assert user_data(server, "web") == "#!/bin/sh\necho HUSH\n"
    assert set(whole.vm["cloud_init"]) == {"user_data", "ip_config"}
    assert "HUSH" not in whole.text
    parts = do("vm_config", name="web", cloud_init={"user": "me"})
    assert set(parts.vm["cloud_init"]) == {"user", "ip_config"}
    do("vm_config", name="web", cloud_init={"ip_config": [{"nic": "net1", "ip": "203.0.113.99/24"}]})
    assert server.vm("web")["vmNics"][1]["ip"] == "203.0.113.99"


def test_native_settings_that_say_how_a_vm_is_made_are_not_compared(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    given = {"cluster": "another", "instanceOffering": "another", "strategy": "JustCreate", "create": {"virtio": True}}
    assert not ask("vm_config", name="web", native=given).changed
    done = ask("vm_config", name="web", native={**given, "platform": "Windows"})
    assert done.changed
    assert done.vm["native"]["cluster"] == "cluster-1"


def test_hot_plug_grows_a_running_vm(server: ZStackServer, do: Ask) -> None:
    server.add_vm("web", "Running", memory=GIB)
    done = do("vm_config", name="web", memory="2GiB", cores=4)
    assert (done.vm["state"], done.result["pending"]) == ("running", [])
    assert server.vm("web")["memorySize"] == 2 * GIB


def test_without_hot_plug_a_vm_is_changed_while_it_is_stopped(server: ZStackServer, ask: Ask) -> None:
    server.set_config("vm", "numa", "false")
    server.add_vm("web", "Running", memory=GIB)
    refused = ask("vm_config", name="web", memory="2GiB")
    assert (refused.result["kind"], refused.changed) == ("conflict", False)
    assert "vm.numa" in refused.result["msg"]
    assert "apply: reboot" in refused.result["msg"]
    assert ask("vm_config", name="web", memory="2GiB", apply="fail").result["pending"] == ["memory"]
    assert server.writes == []
    foretold = ask("vm_config", check=True, name="web", memory="512MiB", apply="reboot")
    done = ask("vm_config", name="web", memory="512MiB", apply="reboot")
    assert done.changed
    assert done.result["pending"] == foretold.result["pending"] == []
    assert (done.vm["state"], done.vm["memory"]) == ("running", 512)
    wrote = [one.api for one in server.writes]
    assert wrote == ["StopVmInstance", "UpdateVmInstance", "StartVmInstance"]


def test_a_vm_that_is_to_be_stopped_is_changed_afterwards(server: ZStackServer, do: Ask) -> None:
    server.add_vm("web", "Running", memory=GIB)
    do("vm", name="web", memory="512MiB", state="stopped")
    assert [one.api for one in server.writes] == ["StopVmInstance", "UpdateVmInstance"]


def test_names_that_look_like_operators(server: ZStackServer, do: Ask) -> None:
    """A plain query would split them, and might find another VM."""
    for name in ("a!=b", "a>=b", "a~=b", "a?=b,c", "it's", 'say "it"', "'\"", "50% _"):
        do("vm", name=name, disks=[{"size": "1"}])
        do("vm_power", name=name, state="started")
    do("vm_config", name="a!=b", description="this one")
    assert [vm["name"] for vm in server.state.rows("VmInstance", description="this one")] == ["a!=b"]


def test_names_are_compared_with_case(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("Web")
    assert ask("vm_power", name="web", state="paused").result["kind"] == "not_found"


# --- clones


def test_a_clone_has_what_its_source_has(server: ZStackServer, do: Ask) -> None:
    do("vm", **WHOLE)
    copy = do("vm_clone", source="web", name="copy")
    vm = server.vm("copy")
    assert (vm["state"], len(vm["allVolumes"]), copy.vm["tags"]) == ("Stopped", 2, ["a", "b"])
    assert vm["vmNics"][0]["mac"] != server.vm("web")["vmNics"][0]["mac"]
    assert set(copy.vm["cloud_init"]) == {"user", "ssh_keys", "hostname"}


def test_a_clone_that_is_changed_and_placed(server: ZStackServer, do: Ask) -> None:
    server.add_vm("web", disks=(GIB,))
    native = {"cluster": "cluster-1", "clone": {"rootVolumeSystemTags": ["capability::virtio-scsi"]}}
    options: dict[str, Any] = {"memory": "4GiB", "description": "new", "tags": ["c"], "storage": "ps-2"}
    copy = do("vm_clone", source="web", name="copy", node="host-2", native=native, **options)
    assert {disk["storage"] for disk in copy.vm["disks"]} == {"ps-2"}
    assert (copy.vm["memory"], copy.vm["tags"], copy.vm["description"]) == (4096, ["c"], "new")
    (asked,) = (one.params for one in server.requests if one.api == "CloneVmInstance")
    assert asked["names"] == ["copy"]
    assert (asked["full"], asked["strategy"]) == (True, "CreateStopped")
    assert asked["hostUuid"] == server.get("Host", "host-2")["uuid"]
    assert asked["clusterUuid"] == server.get("Cluster", "cluster-1")["uuid"]


@pytest.mark.parametrize("product", ["zsphere"])
def test_all_documented_fields_of_a_clone(product: str, server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    more = {
        "description": "d",
        "resetTpm": True,
        "vmCustomSpecification": {"hostname": "x"},
        "vmNicParams": "[]",
        "full": False,
        "rootVolumeSystemTags": ["capability::virtio-scsi"],
        "dataVolumeSystemTags": ["capability::virtio-scsi"],
        "systemTags": ["cleanTraffic::true"],
        "primaryStorageUuidForRootVolume": server.get("PrimaryStorage", "ps-2")["uuid"],
        "primaryStorageUuidForDataVolume": server.get("PrimaryStorage", "ps-2")["uuid"],
    }
    done = ask("vm_clone", source="web", name="copy", native={"clone": more, "strategy": "JustCreate"})
    assert not done.failed, done.result
    (asked,) = (one for one in server.requests if one.api == "CloneVmInstance")
    sent = {**asked.params, "systemTags": asked.tags}
    assert {name: sent[name] for name in more} == more
    assert done.vm["description"] == "d"


def test_a_clone_of_the_root_disk_alone(server: ZStackServer, do: Ask, ask: Ask) -> None:
    server.add_vm("web", "Stopped", storage="ps-1", disks=(GIB,))
    storage = server.get("PrimaryStorage", "ps-2")["uuid"]
    fields = {"full": False, "primaryStorageUuidForRootVolume": storage}
    foretold = ask("vm_clone", check=True, source="web", name="copy", native={"clone": fields})
    made = do("vm_clone", source="web", name="copy", native={"clone": fields})
    assert [disk["storage"] for disk in made.vm["disks"]] == ["ps-2"]
    assert foretold.result["diff"] == made.result["diff"]


def test_one_clone_of_five_fails(server: ZStackServer, ask: Ask) -> None:
    """The server tells it inside an answer of success."""
    server.add_vm("web", "Stopped")
    server.fail_item("CloneVmInstance", "c3", "SYS.1006")
    answer = ask("vm_clone", source="web", clones=[{"name": f"c{number}"} for number in range(1, 6)])
    assert (answer.result["kind"], answer.changed) == ("some_failed", True)
    assert [one.get("failed", False) for one in answer.result["results"]] == [False, False, True, False, False]
    assert "failed to clone c3" in answer.result["results"][2]["msg"]
    again = ask("vm_clone", source="web", clones=[{"name": f"c{number}"} for number in range(1, 6)])
    assert [one["changed"] for one in again.result["results"]] == [False, False, True, False, False]


def test_a_clone_that_was_made_but_not_started_is_told(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    server.fail_item("CloneVmInstance", "copy", "HOST_ALLOCATION.1000", kept=True)
    answer = ask("vm_clone", source="web", name="copy")
    assert answer.failed
    assert f"was made as {server.vm('copy')['uuid']}" in answer.result["msg"]


def test_a_clone_fails_as_a_whole(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    for host in ("host-1", "host-2"):
        server.state.named("Host", host)["status"] = "Disconnected"
    answer = ask("vm_clone", source="web", name="copy")
    assert answer.result["kind"] == "task_failed"
    assert "HOST_ALLOCATION.1000" in answer.result["msg"]


# --- the guest


def test_guest_tools_tell_that_they_run(server: ZStackServer, ask: Ask) -> None:
    vm = server.add_vm("web")
    (told,) = ask("vm_info", name="web", gather=["agent"]).result["vms"]
    assert told["addresses"] == [server.vm(vm["uuid"])["vmNics"][0]["ip"]]
    assert ask("vm_power", name="web", state="started", wait_for={"agent": True, "timeout": 5}).vm["agent"]["running"]
    server.fail_next("SYS.1006", api="GetVmGuestToolsInfo", message="no such thing here")
    (told,) = ask("vm_info", name="web", gather=["agent"]).result["vms"]
    assert (told["agent"]["running"], told["addresses"]) == (False, [])
    assert "no such thing here" in told["agent"]["error"]


# --- moving


def test_to_another_host_and_storage(server: ZStackServer, do: Ask) -> None:
    server.add_vm("web", host="host-1", storage="ps-1", disks=(GIB,))
    do("vm_migrate", name="web", node="host-2")
    assert server.vm("web")["hostUuid"] == server.get("Host", "host-2")["uuid"]
    do("vm_migrate", name="web", node="host-1", target_storage="ps-2")
    storage = server.get("PrimaryStorage", "ps-2")["uuid"]
    assert {volume["primaryStorageUuid"] for volume in server.vm("web")["allVolumes"]} == {storage}


def test_a_host_may_be_named_by_its_uuid(server: ZStackServer, do: Ask) -> None:
    server.add_vm("web", "Paused", host="host-1")
    moved = do("vm_migrate", name="web", node=server.get("Host", "host-2")["uuid"], again=False)
    assert (moved.vm["node"], moved.vm["state"]) == ("host-2", "paused")


# --- snapshots


def test_snapshots_that_others_took(server: ZStackServer, do: Ask, ask: Ask) -> None:
    """Of single disks, and several of one name."""
    server.add_vm("web", "Stopped")
    server.add_snapshot("web", "alone", "by hand")
    server.add_snapshot_group("web", "group")
    for _time in range(2):
        server.add_snapshot_group("web", "twice")
    told = {one["name"]: one for one in ask("vm_snapshot_info", name="web").result["snapshots"]}
    assert {name.partition("@")[0] for name in told} == {"alone", "group", "twice"}
    assert len(told) == 4
    assert told["group"]["parent"] == "alone"
    assert ask("vm_snapshot", name="web", snapshot="twice").result["kind"] == "ambiguous"
    do("vm_snapshot", name="web", snapshot="alone", state="reverted", again=False)
    do("vm_snapshot", name="web", snapshot="alone", description="known")
    do("vm_snapshot", name="web", snapshot="alone", state="absent", children=True)
    assert server.state.table("VolumeSnapshot") == {}


def test_times_are_read_with_the_zone_of_the_server(server: ZStackServer, ask: Ask) -> None:
    server.state.utc_offset = 8
    server.add_vm("web", "Stopped")
    server.add_snapshot_group("web", "first")
    (told,) = ask("vm_snapshot_info", name="web").result["snapshots"]
    assert abs(told["time"] - server.state.clock.now()) < 60


def test_single_disks_are_reverted(server: ZStackServer, do: Ask, ask: Ask) -> None:
    server.add_vm("web", "Stopped", disks=(GIB,))
    server.add_snapshot_group("web", "first")
    assert ask("vm_config", name="web", disks=[{"slot": "virtio1", "size": "2"}]).changed
    do("vm_snapshot", name="web", snapshot="first", state="reverted", disks=["virtio1"], again=False)
    assert server.vm("web")["allVolumes"][1]["size"] == GIB
    missing = ask("vm_snapshot", name="web", snapshot="first", state="reverted", disks=["virtio7"])
    assert missing.result["kind"] == "not_found"


def test_a_group_that_lost_its_disks_is_not_reverted_to(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped", disks=(GIB,))
    server.add_snapshot_group("web", "first")
    assert ask("vm_config", name="web", absent=["virtio1"]).changed
    before = len(server.writes)
    answer = ask("vm_snapshot", check=True, name="web", snapshot="first", state="reverted")
    assert answer.result["kind"] == "conflict"
    assert "virtio0" in answer.result["msg"]
    assert len(server.writes) == before


def test_a_disk_that_is_not_reverted_is_told(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped", disks=(GIB,))
    server.add_snapshot_group("web", "first")
    server.fail_item("RevertVmFromSnapshotGroup", server.vm("web")["allVolumes"][1]["uuid"])
    answer = ask("vm_snapshot", name="web", snapshot="first", state="reverted")
    assert answer.result["kind"] == "task_failed"
    assert server.vm("web")["allVolumes"][1]["uuid"] in answer.result["msg"]


def test_with_a_snapshot_no_other_goes_unasked(server: ZStackServer, ask: Ask, do: Ask) -> None:
    server.add_vm("web", "Stopped")
    for name in ("first", "second", "third"):
        server.add_snapshot_group("web", name)
    refused = ask("vm_snapshot", name="web", snapshot="second", state="absent")
    assert (refused.result["kind"], server.writes) == ("conflict", [])
    assert "third" in refused.result["msg"]
    do("vm_snapshot", name="web", snapshot="third", state="absent")
    do("vm_snapshot", name="web", snapshot="first", state="absent", children=True)
