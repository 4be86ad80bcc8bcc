# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ZStack test server: clones, migration, snapshots."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.anyvirt.compute.tests.servers.zs.state import GIB
from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.servers.zstack_client import Client


@pytest.fixture
def server() -> Iterator[ZStackServer]:
    with ZStackServer(task_seconds=0.01) as running:
        yield running
        assert not running.complaints


@pytest.fixture
def client(server: ZStackServer) -> Client:
    return Client(server)


# -- clone and migrate ------------------------------------------------------------------------------------------------


def test_clone(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web", disks=(GIB,))["uuid"]
    server.fail_item("CloneVmInstance", "b", "PS.1000")
    server.fail_item("CloneVmInstance", "c", "VM.1001", kept=True)
    answer = client.act(vm, "cloneVmInstance", names=["a", "b", "c"], full=True)
    assert client.status == 200 and answer["success"] is True
    result = answer["result"]
    assert '"numberOfClonedVm": 1.0' in client.text
    assert [sorted(item) for item in result["inventories"]] == [["inventory"], ["error"], ["error", "inventory"]]
    first, kept = result["inventories"][0]["inventory"], result["inventories"][2]["inventory"]
    assert (first["state"], kept["state"], first["memorySize"]) == ("Running", "Stopped", float(GIB))
    source = server.vm(vm)
    assert len({first["uuid"], kept["uuid"], vm}) == 3
    assert len({row["vmNics"][0][key] for row in (first, kept, source) for key in ("mac", "ip")}) == 6
    assert [volume["type"] for volume in first["allVolumes"]] == ["Root", "Data"]
    assert client.query("volume-snapshots") == []


@pytest.mark.parametrize(
    ("strategy", "state"), [("JustCreate", "Created"), ("CreateStopped", "Stopped"), ("InstantStart", "Running")]
)
def test_clone_strategies(server: ZStackServer, client: Client, strategy: str, state: str) -> None:
    vm = server.add_vm("web", "Stopped", disks=(GIB,))["uuid"]
    (item,) = client.act(vm, "cloneVmInstance", names=["web"], strategy=strategy)["result"]["inventories"]
    assert (item["inventory"]["state"], len(item["inventory"]["allVolumes"])) == (state, 1)


def test_clone_as_a_whole_fails(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web", "Stopped", memory=200 * GIB)["uuid"]
    for name in ("one", "two"):
        server.add_vm(name, memory=200 * GIB)
    client.act(vm, "cloneVmInstance", names=["a"])
    assert client.codes() == ["HOST_ALLOCATION.1000"]
    client.act(vm, "cloneVmInstance", names=[])
    assert client.codes() == ["SYS.1007"]


def test_clone_on_zsphere() -> None:
    params = {"names": ["a"], "description": "copy", "vmNicParams": "[]"}
    with ZStackServer("zsphere", task_seconds=0) as server:
        client, vm = Client(server), server.add_vm("web")["uuid"]
        client.act(vm, "cloneVmInstance", **params)
        assert (server.vm("a")["description"], server.complaints) == ("copy", [])
    with ZStackServer("cloud", task_seconds=0) as server:
        client, vm = Client(server), server.add_vm("web")["uuid"]
        client("PUT", f"/vm-instances/{vm}/actions", {"cloneVmInstance": params})
        assert client.status == 500
        client.act(vm, "cloneVmInstance", names=["a"], description="copy", vmNicParams=[])
        assert "description" not in server.vm("a")
        assert server.complaints == ["CloneVmInstance: unknown parameter 'description'"]


def test_migrate(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web", host="host-1")["uuid"]
    hosts = client("GET", f"/vm-instances/{vm}/migration-target-hosts")["inventories"]
    assert [host["name"] for host in hosts] == ["host-2"]
    here, there = server.vm(vm)["hostUuid"], hosts[0]["uuid"]
    client.act(vm, "migrateVm", hostUuid=here)
    assert client.codes() == ["SYS.1007"]
    moved = client.act(vm, "migrateVm", hostUuid=there)["inventory"]
    assert (moved["hostUuid"], moved["lastHostUuid"], moved["state"]) == (there, here, "Running")
    server.state.row("Host", here)["status"] = "Disconnected"
    client.act(vm, "migrateVm")
    assert client.codes() == ["VM.1008", "HOST_ALLOCATION.1000"]


@pytest.mark.parametrize(("state", "between"), [("Running", "Migrating"), ("Stopped", "VolumeMigrating")])
def test_migrate_storage(state: str, between: str) -> None:
    with ZStackServer(speed=0, task_seconds=1) as server:
        client, vm = Client(server), server.add_vm("web", state, disks=(GIB,), storage="ps-1")["uuid"]
        found = client("GET", f"/vm-instances/{vm}/storage-migration-candidates")["inventories"]
        assert [row["name"] for row in found] == ["ps-2"]
        body = {"primaryStorageMigrateVm": {"dstPrimaryStorageUuid": found[0]["uuid"]}}
        client("PUT", f"/vm-instances/{vm}/actions", body)
        assert server.vm(vm)["state"] == between
        server.advance(1)
        assert server.vm(vm)["state"] == state
        assert {volume["primaryStorageUuid"] for volume in server.vm(vm)["allVolumes"]} == {found[0]["uuid"]}


# -- snapshots --------------------------------------------------------------------------------------------------------


def test_tree_of_snapshots(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web", "Stopped")
    path = f"/volumes/{vm['rootVolumeUuid']}/volume-snapshots"
    one, two = (client.job("POST", path, {"params": {"name": name}})["inventory"] for name in ("one", "two"))
    assert (two["parentUuid"], two["latest"], "parentUuid" in one) == (one["uuid"], True, False)
    revert = {"revertVolumeFromSnapshot": {}}
    assert client.job("PUT", f"/volume-snapshots/{one['uuid']}/actions", revert) == {}
    three = client.job("POST", path, {"params": {"name": "three"}})["inventory"]
    assert three["parentUuid"] == one["uuid"]
    (tree,) = client.query("volume-snapshots/trees", f"volumeUuid={vm['rootVolumeUuid']}")
    assert [leaf["inventory"]["name"] for leaf in tree["tree"]["children"]] == ["two", "three"]
    client.act(vm["uuid"], "startVmInstance")
    client.job("PUT", f"/volume-snapshots/{one['uuid']}/actions", revert)
    assert client.codes() == ["SYS.1006"]
    for _time in range(2):
        assert client.job("DELETE", f"/volume-snapshots/{one['uuid']}") == {}
    assert client.query("volume-snapshots") == client.query("volume-snapshots/trees") == []


def test_snapshot_groups(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web", disks=(GIB,))
    params = {"rootVolumeUuid": vm["rootVolumeUuid"], "name": "before", "withMemory": True}
    group = client.job("POST", "/volume-snapshots/group", {"params": params})["inventory"]
    assert (group["snapshotCount"], group["vmInstanceUuid"]) == (3, vm["uuid"])
    assert [ref["volumeType"] for ref in group["volumeSnapshotRefs"]] == ["Root", "Data", "Memory"]
    path, revert = f"/volume-snapshots/group/{group['uuid']}", {"revertVmFromSnapshotGroup": {}}
    client.job("PUT", f"{path}/actions", revert)
    assert client.codes() == ["SYS.1006"]
    client.act(vm["uuid"], "stopVmInstance")
    server.fail_item("RevertVmFromSnapshotGroup", vm["rootVolumeUuid"])
    results = client.job("PUT", f"{path}/actions", revert)["results"]
    assert (client.status, [result["success"] for result in results]) == (200, [False, True, True])
    client.job("DELETE", f"/volume-snapshots/{group['volumeSnapshotRefs'][1]['volumeSnapshotUuid']}")
    checked = client("GET", "/volume-snapshots/groups/availabilities", query={"uuids": group["uuid"]})
    assert checked["results"][0]["available"] is False
    client.job("PUT", f"{path}/actions", revert)
    assert client.codes() == ["SYS.1006"]
    assert len(client.job("DELETE", path)["results"]) == 2
    assert client.query("volume-snapshots/group") == client.query("volume-snapshots") == []
    params.update(withMemory=True)
    client.job("POST", "/volume-snapshots/group", {"params": params})
    assert client.codes() == ["SYS.1006"], "memory needs a running VM"


def test_group_does_not_fit_other_volumes(server: ZStackServer, client: Client) -> None:
    server.add_vm("web", "Stopped")
    group = server.add_snapshot_group("web", "before")["uuid"]
    server.add_volume("late", vm="web")
    client.job("PUT", f"/volume-snapshots/group/{group}/actions", {"revertVmFromSnapshotGroup": {}})
    assert client.codes() == ["SYS.1006"]
