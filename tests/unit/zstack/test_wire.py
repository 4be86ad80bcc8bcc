# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All requests that the driver can send against the list of the server's APIs; and what its documentation has wrong."""

from __future__ import annotations

import http.client
import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.zs.faults import Logged
from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.meta import source
from ansible_collections.anyvirt.compute.tests.unit.zstack.cloud import Ask, asking, connection_to, doing, hurry
from ansible_collections.anyvirt.compute.tests.unit.zstack.test_life import WHOLE

APIS: Mapping[str, Any] = {
    api["api"]: api
    for api in json.loads((source.ROOT / "tests" / "contracts" / "zstack-api.json").read_text(encoding="utf-8"))
}
TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (int,),
    "long": (int,),
    "boolean": (bool,),
    "list": (list,),
    "map": (dict,),
    "object": (dict,),
}
DRIVER = source.BACKENDS / "zstack"

SENT = {
    *("LogInByAccount", "LogOut", "ZQLQuery", "QueryApiJob"),
    *("CreateVmInstance", "UpdateVmInstance", "DestroyVmInstance", "ExpungeVmInstance", "RecoverVmInstance"),
    *("StartVmInstance", "StopVmInstance", "RebootVmInstance", "PauseVmInstance", "ResumeVmInstance"),
    *("CloneVmInstance", "MigrateVm", "GetVmMigrationCandidateHosts", "PrimaryStorageMigrateVm"),
    *("GetPrimaryStorageCandidatesForVmMigration", "GetHostCandidatesForVmMigration"),
    *("SetVmBootMode", "SetVmBootOrder", "SetVmInstanceHaLevel", "DeleteVmInstanceHaLevel", "GetVmGuestToolsInfo"),
    *("CreateUserTag", "DeleteTag", "CreateSystemTag", "UpdateSystemTag", "SetVmStaticIp", "DeleteVmStaticIp"),
    *("CreateDataVolume", "AttachDataVolumeToVm", "DetachDataVolumeFromVm", "DeleteDataVolume", "ExpungeDataVolume"),
    *("ResizeRootVolume", "ResizeDataVolume", "RequestConsoleAccess"),
    *("AttachL3NetworkToVm", "DetachL3NetworkFromVm", "ChangeVmNicNetwork", "ChangeVmNicState", "UpdateVmNicMac"),
    *("AttachIsoToVmInstance", "DetachIsoFromVmInstance", "CreateVmCdRom", "DeleteVmCdRom"),
    *("CreateVolumeSnapshotGroup", "UpdateVolumeSnapshotGroup", "DeleteVolumeSnapshotGroup"),
    *("RevertVmFromSnapshotGroup", "CheckVolumeSnapshotGroupAvailability"),
    *("UpdateVolumeSnapshot", "DeleteVolumeSnapshot", "RevertVolumeFromSnapshot"),
}
"""All APIs that the driver asks for, but for the other kinds of login, which test_sessions.py has."""


def is_of(value: Any, kind: str, is_query: bool) -> bool:
    """Whether a value has its type. In a query string everything is text, and a list its name with each value."""
    if is_query and isinstance(value, str):
        return True
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def faults(sent: Logged) -> list[str]:
    """What is wrong with a request, as the list of APIs has it."""
    api = APIS[sent.api]
    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(api["path"]))
    found = [] if sent.method == api["method"] else [f"{sent.method} instead of {api['method']}"]
    found += [] if re.fullmatch(pattern, sent.path) else [f"{sent.path} is not {api['path']}"]
    known = api.get("params", {})
    for name, value in sent.params.items():
        if name not in known:
            found.append(f"there is no {name}")
        elif not is_of(value, known[name]["type"], sent.method in ("GET", "DELETE")):
            found.append(f"{name} is {value!r} and no {known[name]['type']}")
    lacking = [name for name, one in known.items() if one.get("required") and name not in sent.params]
    return [f"{sent.api}: {text}" for text in [*found, *(f"{name} is missing" for name in lacking)]]


def live(do: Ask, ask: Ask, server: ZStackServer) -> None:
    """A life in which everything is asked for that the driver can ask for."""
    web: dict[str, Any] = {"name": "web"}
    do("vm", **WHOLE)
    do("vm_config", **web, memory="1GiB", tags=["b", "c"], firmware="bios", boot_order=["net0"], native={"ha": "None"})
    do("vm_config", **web, disks=[{"slot": "virtio0", "size": "21"}, {"slot": "virtio1", "size": "6"}])
    do("vm_config", **web, nics=[{"slot": "net0", "mac": "52:54:00:00:00:0b"}, {"slot": "net1", "connected": True}])
    do("vm_config", **web, cloud_init={"user": "you", "ip_config": [{"nic": "net0", "ip": "198.51.100.78/24"}]})
    do("vm_config", **web, absent=["cloud_init", "net1", "virtio1"])
    do("vm_config", **web, cloud_init={"user": "me"}, disks=[{"slot": "virtio1", "size": "1"}], cdrom={"image": ""})
    do("vm_config", **web, nics=[{"slot": "net0", "network": "net-2"}], cdrom={"image": "iso-1"})
    do("vm_config", **web, nics=[{"slot": "net1", "network": "net-1"}], absent=["cdrom"])
    do("vm_config", **web, cdrom={"image": "iso-1"})
    do("vm_config", **web, native={"ha": "NeverStop"})
    do("vm_snapshot", **web, snapshot="first")
    do("vm_snapshot", **web, snapshot="first", description="known")
    do("vm_snapshot", **web, snapshot="first", state="reverted", again=False)
    do("vm_snapshot", **web, snapshot="first", state="reverted", disks=["virtio0"], again=False)
    do("vm_snapshot", **web, snapshot="first", state="absent")
    server.add_snapshot("web", "alone")
    do("vm_snapshot", **web, snapshot="alone", description="known")
    do("vm_snapshot", **web, snapshot="alone", state="absent")
    do("vm_power", **web, state="started")
    for state in ("restarted", "paused", "resumed"):
        do("vm_power", **web, state=state, again=False)
    assert ask("vm_info", **web, gather=["agent"]).result["vms"][0]["agent"]["running"]
    do("vm_console", **web, again=False)
    node = ask("vm_info", **web).result["vms"][0]["node"]
    other = "host-1" if node == "host-2" else "host-2"
    do("vm_migrate", **web, node=other)
    do("vm_migrate", **web, node=node, target_storage="ps-1")
    do("vm_clone", source="web", name="copy")
    do("vm_power", **web, state="stopped")
    uuid = server.vm("web")["uuid"]
    do("vm", **web, state="absent")
    do("vm", **web, id=uuid)
    do("vm", name="copy", state="absent", purge=True)


@pytest.fixture(scope="module")
def life() -> Iterator[ZStackServer]:
    """A server that has seen it."""
    with pytest.MonkeyPatch.context() as patch, ZStackServer(task_seconds=0.005) as server:
        hurry(patch)
        ask = asking(connection_to(server))
        live(doing(ask, server), ask, server)
        yield server
        assert server.complaints == []


@pytest.fixture
def log(life: ZStackServer) -> list[Logged]:
    return list(life.requests)


def test_every_request_is_one_that_the_server_knows(log: list[Logged]) -> None:
    assert {sent.api for sent in log} == SENT
    assert [text for sent in log for text in faults(sent)] == []


def test_no_action_is_missing_in_that_life(log: list[Logged]) -> None:
    """The actions that stand in the driver's source have all been asked for there."""
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(pathlib.Path(DRIVER).glob("*.py")))
    actions = {api["key"]: name for name, api in APIS.items() if api.get("key") not in (None, "params")}
    named = {name for key, name in actions.items() if f'"{key}"' in text}
    logins = {"LogInByUser", "LogInByLdap", "LoginIAM2VirtualID", "LoginIAM2Project"}
    assert named - logins == {name for name in SENT if name in actions.values()}


def test_every_asynchronous_write_bears_an_id_of_its_own(log: list[Logged]) -> None:
    jobs = [sent.job for sent in log if APIS[sent.api].get("async")]
    assert all(len(job) == 32 for job in jobs)
    assert len(set(jobs)) == len(jobs)


def test_secrets_are_sent_where_they_belong_only(log: list[Logged], life: ZStackServer) -> None:
    for sent in log:
        told = json.dumps([sent.path, sent.params])
        assert life.password not in told
        assert "HUSH" not in told


# --- where the documentation is wrong


def send(server: ZStackServer, body: Mapping[str, Any]) -> tuple[int, str]:
    """A clone with a body of our own making."""
    vm = server.vm("web")["uuid"]
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    headers = {"Authorization": f"OAuth {server.session()}"}
    connection.request("PUT", f"/zstack/v1/vm-instances/{vm}/actions", json.dumps(body).encode(), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_a_clone_is_wrapped_in_its_name_and_is_a_job(server: ZStackServer, ask: Ask) -> None:
    """The documentation has a flat body and an answer at once. Both it and a name in small letters are refused."""
    server.add_vm("web", "Stopped")
    for body in ({"names": ["copy"]}, {"clonevminstance": {"names": ["copy"]}}):
        status, text = send(server, body)
        assert (status, "action" in text) == (400, True)
    server.forget()
    done = ask("vm_clone", source="web", name="copy", wait=False)
    assert (done.changed, done.result["task"]["state"]) == (True, "running")
    (sent,) = (one for one in server.requests if one.api == "CloneVmInstance")
    assert (sent.status, sent.params["names"]) == (202, ["copy"])
