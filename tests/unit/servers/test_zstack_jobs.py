# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ZStack test server: jobs, long jobs, and what becomes of their records."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.servers.zstack_client import BROKEN, NOBODY, Client


@pytest.fixture
def server() -> Iterator[ZStackServer]:
    with ZStackServer(task_seconds=0.01) as running:
        yield running


@pytest.fixture
def client(server: ZStackServer) -> Client:
    return Client(server)


def test_polls_of_a_job_count(server: ZStackServer, client: Client) -> None:
    server.state.jobs.polls = 2
    answer = client("POST", "/volumes/data", {"params": {"name": "data", "diskSize": 1}})
    server.advance(1)
    path, seen = f"/api-jobs/{answer['location'][-32:]}", []
    client.headers = {}
    for _poll in range(3):
        body = client("GET", path)
        seen.append((client.status, body if client.status == 202 else "inventory" in body))
    assert seen == [(202, {}), (202, {}), (200, True)]
    server.purge_jobs()
    client("GET", path)
    assert (client.status, client.text) == (404, "the job has been expired")


def test_record_is_purged_three_hours_after_its_making(server: ZStackServer, client: Client) -> None:
    answer = client("POST", "/volumes/data", {"params": {"name": "data", "diskSize": 1}})
    server.advance(10801)
    client("GET", f"/api-jobs/{answer['location'][-32:]}")
    assert client.status == 404
    assert server.get("Volume", "data")["size"] == 1


def test_job_id_of_the_client(server: ZStackServer, client: Client) -> None:
    body = {"params": {"name": "data", "diskSize": 1}}
    server.fail_next("lost", api="CreateDataVolume")
    with pytest.raises(BROKEN):
        client("POST", "/volumes/data", body, X_Job_UUID=NOBODY)
    client("POST", "/volumes/data", body, X_Job_UUID=NOBODY)
    assert (client.status, client.text) == (400, f"Duplicate job uuid[{NOBODY}]")
    assert client.finish({"location": f"x/{NOBODY}"})["inventory"]["name"] == "data"
    client("POST", "/volumes/data", body, X_Job_UUID="short")
    assert client.status == 400
    assert len(server.state.rows("Volume", name="data")) == 1


def test_planned_outcomes(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web", "Stopped")["uuid"]
    server.plan_job("StartVmInstance", code="HOST_ALLOCATION.1000")
    client.act(vm, "startVmInstance")
    assert client.codes() == ["HOST_ALLOCATION.1000"]
    server.plan_job("StartVmInstance", timeout=True)
    client.act(vm, "startVmInstance")
    assert client.codes() == ["SYS.1001"]
    server.advance(1)
    assert server.vm(vm)["state"] == "Running"
    server.plan_job("StopVmInstance", stuck=True)
    answer = client("PUT", f"/vm-instances/{vm}/actions", {"stopVmInstance": {}})
    server.advance(1)
    client("GET", f"/api-jobs/{answer['location'][-32:]}")
    assert (client.status, server.vm(vm)["state"]) == (202, "Stopped")


def test_restart_of_the_management_node() -> None:
    with ZStackServer(speed=0) as server:
        client, vm = Client(server), server.add_vm("web", "Stopped")["uuid"]
        answer = client("PUT", f"/vm-instances/{vm}/actions", {"startVmInstance": {}})
        assert server.vm(vm)["state"] == "Starting"
        server.restart_management()
        server.advance(60)
        client("GET", f"/api-jobs/{answer['location'][-32:]}")
        assert (client.status, client.body, server.vm(vm)["state"]) == (202, {}, "Stopped")


def test_calls_on_one_vm_queue() -> None:
    with ZStackServer(speed=0, task_seconds=1) as server:
        client, vm = Client(server), server.add_vm("web", "Stopped")["uuid"]
        for key in ("startVmInstance", "stopVmInstance", "startVmInstance"):
            client("PUT", f"/vm-instances/{vm}/actions", {key: {}})
        seen = [server.vm(vm)["state"]]
        for _second in range(3):
            server.advance(1)
            seen.append(server.vm(vm)["state"])
        assert seen == ["Starting", "Stopping", "Starting", "Running"]


def test_long_job(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web", host="host-1")
    data = f'{{"vmInstanceUuid": "{vm["uuid"]}", "hostUuid": "{server.get("Host", "host-2")["uuid"]}"}}'
    params = {"jobName": "APIMigrateVmMsg", "jobData": data}
    row = client.job("POST", "/longjobs", {"params": params})["inventory"]
    assert row["state"] == "Running"
    server.advance(1)
    (row,) = client.query(f"longjobs/{row['uuid']}")
    assert row["state"] == "Succeeded" and '"inventory"' in row["jobResult"]
    assert server.vm("web")["hostUuid"] == server.get("Host", "host-2")["uuid"]
    client.job("POST", "/longjobs", {"params": {**params, "jobName": "APICloneVmInstanceMsg"}})
    assert client.codes() == ["SYS.1007"]
    client.job("POST", "/longjobs", {"params": {**params, "jobData": "{}"}})
    assert client.codes() == ["SYS.1007"]


def test_long_job_is_cancelled_and_run_again() -> None:
    with ZStackServer(speed=0, task_seconds=10) as server:
        client, vm = Client(server), server.add_vm("web", host="host-1")["uuid"]
        data = f'{{"vmInstanceUuid": "{vm}"}}'
        answer = client("POST", "/longjobs", {"params": {"jobName": "APIMigrateVmMsg", "jobData": data}})
        row = client.query("longjobs")[0]
        assert (row["state"], server.vm(vm)["state"]) == ("Running", "Migrating")
        assert client("GET", f"/task-progresses/{row['apiId']}")["inventories"]
        path = f"/longjobs/{row['uuid']}/actions"
        for key, state, found in (
            ("cancelLongJob", "Canceled", "Running"),
            ("rerunLongJob", "Running", "Migrating"),
        ):
            client("PUT", path, {key: {}})
            assert (client.query("longjobs")[0]["state"], server.vm(vm)["state"]) == (state, found)
            server.advance(10)
        assert client.finish(answer)["inventory"]["uuid"] == row["uuid"]
        assert client.query("longjobs")[0]["state"] == "Succeeded"
        answer = client("PUT", path, {"cancelLongJob": {}})
        server.advance(20)
        client.finish(answer)
        assert client.codes() == ["LONG_JOB.1001"]
