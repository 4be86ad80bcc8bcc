# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ZStack test server: power, creating and changing VMs, their devices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.zs.console import token_of
from ansible_collections.anyvirt.compute.tests.servers.zs.contract import facts
from ansible_collections.anyvirt.compute.tests.servers.zs.state import GIB
from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.servers.zstack_client import NOBODY, Client


@pytest.fixture
def server() -> Iterator[ZStackServer]:
    with ZStackServer(task_seconds=0.01) as running:
        yield running
        assert not running.complaints


@pytest.fixture
def client(server: ZStackServer) -> Client:
    return Client(server)


def uuid_of(server: ZStackServer, kind: str, name: str) -> str:
    return server.get(kind, name)["uuid"]


def sized(**more: Any) -> dict[str, Any]:
    return {"name": "new", "cpuNum": 2, "memorySize": GIB, **more}


# -- power ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "before", "between", "after"),
    [
        ("startVmInstance", "Stopped", "Starting", "Running"),
        ("startVmInstance", "Crashed", "Crashed", "Running"),
        ("startVmInstance", "Running", "Running", "Running"),
        ("stopVmInstance", "Running", "Stopping", "Stopped"),
        ("stopVmInstance", "Paused", "Stopping", "Stopped"),
        ("stopVmInstance", "Stopped", "Stopped", "Stopped"),
        ("rebootVmInstance", "NoState", "Rebooting", "Running"),
        ("pauseVmInstance", "Running", "Pausing", "Paused"),
        ("resumeVmInstance", "Paused", "Resuming", "Running"),
        ("recoverVmInstance", "Destroyed", "Destroyed", "Stopped"),
    ],
)
def test_states(key: str, before: str, between: str, after: str) -> None:
    with ZStackServer(speed=0, task_seconds=1) as server:
        client, vm = Client(server), server.add_vm("web", before)["uuid"]
        answer = client("PUT", f"/vm-instances/{vm}/actions", {key: {}})
        assert server.vm(vm)["state"] == between
        server.advance(1)
        assert client.finish(answer)["inventory"]["state"] == after
        now = server.vm(vm)
        assert ("hostUuid" in now) == (after in ("Running", "Paused"))
        for one, other in ((before, between), (between, after)):
            assert one == other or other in facts()["vm_state_transitions"][one].values()


@pytest.mark.parametrize(
    ("key", "before", "outer"),
    [
        ("startVmInstance", "Paused", "VM.1001"),
        ("stopVmInstance", "Migrating", "VM.1002"),
        ("rebootVmInstance", "Stopped", "VM.1003"),
        ("pauseVmInstance", "Paused", "VM.1012"),
        ("resumeVmInstance", "Running", "VM.1013"),
        ("migrateVm", "Stopped", "VM.1008"),
        ("expungeVmInstance", "Stopped", "SYS.1006"),
        ("recoverVmInstance", "Running", "SYS.1006"),
    ],
)
def test_states_that_forbid(server: ZStackServer, client: Client, key: str, before: str, outer: str) -> None:
    vm = server.add_vm("web", before)["uuid"]
    client.act(vm, key)
    assert (client.status, client.codes(), server.vm(vm)["state"]) == (503, [outer, "VM.1010"], before)


def test_guest_that_does_not_listen(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web")["uuid"]
    server.hang_guest("web")
    client.act(vm, "stopVmInstance")
    assert (client.codes()[0], server.vm(vm)["state"]) == ("VM.1002", "Running")
    client.act(vm, "stopVmInstance", type="cold")
    assert (client.status, server.vm(vm)["state"]) == (200, "Stopped")
    client.act(vm, "stopVmInstance", type="hard")
    assert client.codes() == ["SYS.1007"]


def test_vm_that_never_stops(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web", tags=("ha::NeverStop",))["uuid"]
    assert client.act(vm, "stopVmInstance")["inventory"]["state"] == "Stopped"
    server.advance(5)
    assert server.vm(vm)["state"] == "Running"
    client.act(vm, "stopVmInstance", stopHA="true")
    server.advance(5)
    assert server.vm(vm)["state"] == "Stopped"


def test_changed_by_somebody_else(server: ZStackServer) -> None:
    server.add_vm("web", "Stopped")
    server.set_vm_state("web", "Unknown")
    assert server.vm("web")["hostUuid"]
    server.set_vm_state("web", "Destroyed")
    with pytest.raises(KeyError):
        server.vm("web")


def test_destroy_recover_expunge(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web", disks=(1024,))["uuid"]
    assert client.job("DELETE", f"/vm-instances/{vm}") == {}
    server.add_vm("web")
    assert sorted(row["state"] for row in client.query("vm-instances", "name=web")) == ["Destroyed", "Running"]
    data = server.get("Volume", "DATA-1-for-web")
    assert "vmInstanceUuid" not in data and data["lastVmInstanceUuid"] == vm
    client.act(vm, "recoverVmInstance")
    assert client.codes() == ["SYS.1007"], "its address was taken meanwhile"
    client.act(vm, "expungeVmInstance")
    assert (client.status, client.query(f"vm-instances/{vm}")) == (200, [])


def test_destroy_what_is_not_there(server: ZStackServer, client: Client) -> None:
    assert client.job("DELETE", f"/vm-instances/{NOBODY}") == {}
    client.job("DELETE", "/vm-instances/web")
    assert client.codes() == ["SYS.1003"]
    server.set_config("vm", "deletionPolicy", "Direct")
    vm = server.add_vm("web")["uuid"]
    client.job("DELETE", f"/vm-instances/{vm}", query={"deleteMode": "Enforcing"})
    assert client.query("vm-instances") == []


# -- create and change ------------------------------------------------------------------------------------------------


def test_create(server: ZStackServer, client: Client) -> None:
    net = [uuid_of(server, "L3Network", name) for name in ("net-1", "net-2")]
    params = sized(
        imageUuid=uuid_of(server, "Image", "image-1"),
        l3NetworkUuids=net,
        defaultL3NetworkUuid=net[1],
        dataDiskSizes=[GIB, 2 * GIB],
        resourceUuid=NOBODY,
        strategy="CreateStopped",
        vmNicParams=json.dumps([{"l3NetworkUuid": net[1], "mac": "fa:00:00:00:00:01"}]),
    )
    tags = ["hostname::web", f"staticIp::{net[0]}::198.51.100.77", "userdata::I2Nsb3Vk"]
    made = client.job("POST", "/vm-instances", {"params": params, "systemTags": tags, "userTags": ["mine"]})[
        "inventory"
    ]
    assert (made["uuid"], made["state"], "hostUuid" in made) == (NOBODY, "Stopped", False)
    assert [volume["size"] for volume in made["allVolumes"]] == [GIB, GIB, 2 * GIB]
    assert [nic["ip"] for nic in made["vmNics"]] == ["198.51.100.77", "203.0.113.10"]
    assert made["vmNics"][1]["mac"] == "fa:00:00:00:00:01"
    assert sorted(row["tag"] for row in client.query("system-tags", f"resourceUuid={NOBODY}")) == sorted(tags)
    assert [row["uuid"] for row in client.query("vm-instances", "__userTag__=mine")] == [NOBODY]
    client.job("POST", "/vm-instances", {"params": params})
    assert client.codes() == ["SYS.1007"]


def test_create_is_refused(server: ZStackServer, client: Client) -> None:
    image, net = uuid_of(server, "Image", "image-1"), uuid_of(server, "L3Network", "net-1")
    disabled = server.add_image("off", state="Disabled")["uuid"]
    for params, tags, codes in (
        ({"name": "new", "imageUuid": image}, [], ["SYS.1007"]),
        (sized(imageUuid=NOBODY), [], ["SYS.1003"]),
        (sized(imageUuid=disabled), [], ["SYS.1007"]),
        (sized(imageUuid=uuid_of(server, "Image", "iso-1")), [], ["SYS.1007"]),
        (sized(imageUuid=image, l3NetworkUuids=[net, net]), [], ["SYS.1007"]),
        (sized(imageUuid=image, strategy="Later"), [], ["SYS.1007"]),
        (sized(imageUuid=image), ["nonsense::x"], ["SYS.1007"]),
        (sized(imageUuid=image, memorySize=1024 * GIB), [], ["VM.1000", "HOST_ALLOCATION.1000"]),
    ):
        client.job("POST", "/vm-instances", {"params": params, "systemTags": tags})
        assert (client.status, client.codes()) == (503, codes)
    assert client.query("vm-instances") == []


def test_vm_that_was_only_created(server: ZStackServer, client: Client) -> None:
    params = sized(imageUuid=uuid_of(server, "Image", "image-1"), strategy="JustCreate")
    made = client.job("POST", "/vm-instances", {"params": params})["inventory"]
    assert (made["state"], made["allVolumes"]) == ("Created", [])
    started = client.act(made["uuid"], "startVmInstance")["inventory"]
    assert (started["state"], len(started["allVolumes"])) == ("Running", 1)


def test_first_start_that_fails_leaves_it_created(server: ZStackServer, client: Client) -> None:
    net = uuid_of(server, "L3Network", "net-1")
    server.add_vm("web")
    params = sized(imageUuid=uuid_of(server, "Image", "image-1"), l3NetworkUuids=[net], strategy="JustCreate")
    tags = [f"staticIp::{net}::198.51.100.10"]
    made = client.job("POST", "/vm-instances", {"params": params, "systemTags": tags})["inventory"]
    client.act(made["uuid"], "startVmInstance")
    assert client.codes() == ["VM.1001", "L3.1000"]
    assert (server.vm("new")["state"], server.vm("new")["allVolumes"]) == ("Created", [])
    client.job("DELETE", f"/vm-instances/{server.vm('web')['uuid']}")
    assert client.act(made["uuid"], "startVmInstance")["inventory"]["vmNics"][0]["ip"] == "198.51.100.10"


def test_resize(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web", cpu=2)["uuid"]
    client.act(vm, "updateVmInstance", cpuNum=2)
    assert client.codes() == ["SYS.1007"], "hot plug is off"
    server.set_config("vm", "numa", "true")
    client.act(vm, "updateVmInstance", cpuNum=1)
    assert client.codes() == ["SYS.1007"], "a running VM only grows"
    client.act(vm, "updateVmInstance", cpuNum=4, memorySize=2 * GIB, description="big")
    assert (server.vm(vm)["cpuNum"], server.vm(vm)["memorySize"], server.vm(vm)["description"]) == (4, 2 * GIB, "big")
    small = server.add_instance_offering("small")["uuid"]
    client.act(vm, "stopVmInstance")
    client.act(vm, "changeInstanceOffering", instanceOfferingUuid=small)
    assert (server.vm(vm)["cpuNum"], server.vm(vm)["instanceOfferingUuid"]) == (1, small)


# -- devices ----------------------------------------------------------------------------------------------------------


def test_nics(server: ZStackServer, client: Client) -> None:
    vm, net = server.add_vm("web")["uuid"], uuid_of(server, "L3Network", "net-2")
    path = f"/vm-instances/{vm}/l3-networks/{net}"
    made = client.job("POST", path, {"params": {"staticIp": "203.0.113.50"}})["inventory"]
    assert [nic["ip"] for nic in made["vmNics"]] == ["198.51.100.10", "203.0.113.50"]
    client.job("POST", path, {"params": {}})
    assert client.codes() == ["SYS.1006"]
    client.act(vm, "setVmStaticIp", l3NetworkUuid=net, ip="203.0.113.51")
    assert client.query("vm-instances/nics", "ip=203.0.113.51")[0]["vmInstanceUuid"] == vm
    first = made["vmNics"][0]["uuid"]
    left = client.job("DELETE", f"/vm-instances/nics/{first}")["inventory"]
    assert (len(left["vmNics"]), left["defaultL3NetworkUuid"]) == (1, net)


def test_data_volumes(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web")["uuid"]
    params = {"name": "data", "diskSize": GIB}
    made = client.job("POST", "/volumes/data", {"params": params})["inventory"]
    assert made["status"] == "NotInstantiated"
    path = f"/volumes/{made['uuid']}"
    attached = client.job("POST", f"{path}/vm-instances/{vm}", {"params": {}})["inventory"]
    assert (attached["deviceId"], attached["status"]) == (1, "Ready")
    client.job("POST", f"{path}/vm-instances/{vm}", {"params": {}})
    assert client.codes() == ["SYS.1006"]
    for size, status in ((2 * GIB, 200), (GIB, 503)):
        client.job("PUT", f"/volumes/data/resize/{made['uuid']}/actions", {"resizeDataVolume": {"size": size}})
        assert client.status == status
    client.job("DELETE", f"{path}/vm-instances", query={"vmUuid": vm})
    assert client.job("DELETE", path) == {}
    assert server.get("Volume", "data")["status"] == "Deleted"
    client.job("PUT", f"{path}/actions", {"expungeDataVolume": {}})
    assert client.query("volumes", "name=data") == []


def test_iso(server: ZStackServer, client: Client) -> None:
    vm, iso = server.add_vm("web")["uuid"], uuid_of(server, "Image", "iso-1")
    for body, codes in ((None, []), ({}, ["SYS.1006"])):
        client.job("POST", f"/vm-instances/{vm}/iso/{iso}", body)
        assert client.codes() == codes
    assert server.vm(vm)["vmCdRoms"][0]["isoUuid"] == iso
    client.job("DELETE", f"/vm-instances/{vm}/iso", query={"isoUuid": iso})
    assert "isoUuid" not in server.vm(vm)["vmCdRoms"][0]


def test_tags(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web")["uuid"]
    params = {"resourceType": "VmInstanceVO", "resourceUuid": vm, "tag": "hostname::old"}
    made = client.job("POST", "/system-tags", {"params": params})["inventory"]
    client.job("PUT", f"/system-tags/{made['uuid']}/actions", {"updateSystemTag": {"tag": "hostname::new"}})
    assert [row["tag"] for row in client.query("system-tags", f"resourceUuid={vm}")] == ["hostname::new"]
    assert client("GET", f"/vm-instances/{vm}/hostnames") == {"hostname": "new"}
    client.job("DELETE", f"/tags/{made['uuid']}")
    assert client.query("system-tags") == []


# -- consoles ---------------------------------------------------------------------------------------------------------


def log_out(client: Client, session: str) -> None:
    client("DELETE", f"/accounts/sessions/{session}")


@pytest.mark.parametrize("end", ["stop", "move", "logout", "time"])
def test_a_console_ends_with_what_it_needs(end: str) -> None:
    with ZStackServer(speed=0, task_seconds=0) as server:
        client, vm = Client(server), server.add_vm("web", host="host-1")["uuid"]
        asked = {"params": {"vmInstanceUuid": vm}}
        console = client.job("POST", "/consoles", asked)["inventory"]
        assert token_of(server.state, server.state.vm_row("web")) == console["token"]
        # another session is given the same one
        log_out(client, server.session())
        assert Client(server).job("POST", "/consoles", asked)["inventory"]["token"] == console["token"]
        if end == "stop":
            client.act(vm, "stopVmInstance", type="cold")
            client.act(vm, "startVmInstance", hostUuid=uuid_of(server, "Host", "host-1"))
        elif end == "move":
            client.act(vm, "migrateVm", hostUuid=uuid_of(server, "Host", "host-2"))
        elif end == "logout":
            log_out(client, console["token"].partition("_")[0])
        else:
            server.advance(1801)
        assert token_of(server.state, server.state.vm_row("web")) is None
        assert Client(server).job("POST", "/consoles", asked)["inventory"]["token"] != console["token"]


def test_who_does_not_run_has_no_console(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web", "Stopped")["uuid"]
    client.job("POST", "/consoles", {"params": {"vmInstanceUuid": vm}})
    assert client.codes() == ["SYS.1006"]
