# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What breaks in the middle of a task: tickets, endpoints, nodes, and the manager of high availability."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils import _http
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox import driver
from ansible_collections.anyvirt.compute.plugins.module_utils._task import Task, TaskState
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.proxmox.conftest import Ask


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "PATIENCE", 1.0)
    monkeypatch.setattr(_http, "FIRST_PATIENCE", 1.0)


@pytest.fixture
def vm(server: ProxmoxServer) -> str:
    server.add_vm(200, "web", memory="512")
    return "200"


def asked(server: ProxmoxServer, method: str, path: str) -> list[int]:
    """The statuses of the requests to a path."""
    return [one.status for one in server.requests if one.method == method and one.path.endswith(path)]


# --- tickets


@pytest.fixture
def by_password(server: ProxmoxServer) -> dict[str, Any]:
    return {"token_id": None, "token_secret": None, "username": server.username, "password": server.password}


def test_one_ticket_is_enough_for_many_threads(ask: Ask, server: ProxmoxServer, by_password: dict[str, Any]) -> None:
    for number in range(8):
        server.add_vm(300 + number, f"vm{number}", memory="64")
    done = ask("vm_power", vms=[f"vm{number}" for number in range(8)], state="started", **by_password)
    assert not done.failed, done.result
    assert asked(server, "POST", "/access/ticket") == [200]


@pytest.mark.parametrize("moment", ["/pending", "/config", "/status"])
def test_a_ticket_that_expires_is_replaced(
    moment: str, ask: Ask, server: ProxmoxServer, vm: str, by_password: dict[str, Any]
) -> None:
    """After the reads, before the write, and while its task is waited for."""
    before = {"/pending": "/status/current", "/config": "/pending", "/status": "/config"}[moment]
    method = "POST" if before == "/config" else "GET"
    server.fail_next("none", method=method, path=f"{before}$", then=server.state.access.expire_tickets)
    done = ask("vm_config", id=vm, memory="1GiB", **by_password)
    assert not done.failed, done.result
    assert server.vm(200).config["memory"] == "1024"
    assert asked(server, "POST", "/access/ticket") == [200, 200]
    assert asked(server, "POST", "/qemu/200/config") in ([200], [401, 200])
    assert server.password not in done.text


def test_a_password_that_is_changed_meanwhile(
    ask: Ask, server: ProxmoxServer, vm: str, by_password: dict[str, Any]
) -> None:
    def change() -> None:
        server.state.access.expire_tickets()
        server.state.access.users[server.username].password = "another"

    server.fail_next("none", method="GET", path="/pending$", then=change)
    done = ask("vm_config", id=vm, memory="1GiB", **by_password)
    assert (done.failed, done.result["kind"]) == (True, "authentication_failed")
    assert "Check username" in done.result["msg"]
    assert server.vm(200).config["memory"] == "512"
    assert asked(server, "POST", "/access/ticket") == [200, 401]
    for hush in (server.password, "another", "PVE:"):
        assert hush not in done.text


def test_a_wrong_token_is_tried_once(ask: Ask, server: ProxmoxServer) -> None:
    assert ask("vm_info", token_secret="wrong").failed
    assert len(server.requests) == 1


def test_no_ticket_for_another_reason_than_the_password(
    ask: Ask, server: ProxmoxServer, vm: str, by_password: dict[str, Any]
) -> None:
    server.fail_next(500, method="POST", path="/access/ticket$")
    done = ask("vm_config", id=vm, memory="1GiB", **by_password)
    assert (done.failed, done.result["kind"]) == (True, "backend_error")
    server.fail_next(596, method="POST", path="/access/ticket$")
    assert ask("vm_config", id=vm, memory="1GiB", **by_password).changed


# --- endpoints


def test_the_first_url_is_down_from_the_beginning(ask: Ask, server: ProxmoxServer) -> None:
    server.add_vm(201, "there", "pve2", memory="512")
    server.node_down("pve1", quorum=True)
    done = ask("vm_power", url=server.urls, name="there", state="started")
    assert not done.failed, done.result
    assert {one.node for one in server.requests} == {"pve2"}


@pytest.mark.parametrize("moment", ["/status/current", "/status/start", "/tasks/.*/status"])
def test_the_first_url_goes_down_in_the_middle(moment: str, ask: Ask, server: ProxmoxServer) -> None:
    """Reads go on elsewhere. The write whose answer was lost is found there, and not sent again."""
    server.add_vm(201, "there", "pve2", memory="512")
    server.fail_next("lost", path=f"{moment}$", then=lambda: server.node_down("pve1", quorum=True))
    done = ask("vm_power", url=server.urls, id="201", state="started")
    assert not done.failed, done.result
    assert (done.changed, done.vm["state"]) == (True, "running")
    assert asked(server, "POST", "/status/start") in ([0], [200])
    assert {one.node for one in server.requests} == {"pve1", "pve2"}


def test_a_write_that_never_arrived_is_not_sent_elsewhere(ask: Ask, server: ProxmoxServer) -> None:
    server.add_vm(201, "there", "pve2", memory="512")
    down = {"then": lambda: server.node_down("pve1", quorum=True)}
    server.fail_next("dropped", method="POST", path="/status/start$", **down)
    done = ask("vm_power", url=server.urls, id="201", state="started")
    assert (done.failed, done.result["kind"], done.changed) == (True, "transport_error", False)
    assert "nothing was done" in done.result["msg"]
    assert not server.vm(201).running
    assert len(asked(server, "POST", "/status/start")) == 1


def test_a_setting_without_a_task_is_written_again(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    """It sets what it sets; the digest shows that the first one was done."""
    server.fail_next("lost", method="PUT", path="/config$")
    done = ask("vm_config", id=vm, description="new")
    assert not done.failed, done.result
    assert done.changed
    assert server.vm(200).config["description"].strip() == "new"


# --- nodes


@pytest.mark.parametrize("each", [1, 3])
def test_a_node_that_dies_takes_only_its_own_vms_along(each: int, ask: Ask, server: ProxmoxServer) -> None:
    """With few tasks each one's status is asked, with many the cluster's list."""
    alive = [f"alive{number}" for number in range(each)]
    dead = [f"dead{number}" for number in range(each)]
    for number in range(each):
        server.add_vm(300 + number, alive[number], memory="64")
        server.add_vm(400 + number, dead[number], "pve2", memory="64")
        server.plan_task("qmstart", 300 + number, seconds=0.5)
        server.plan_task("qmstart", 400 + number, seconds=600)
    server.refresh_resources()

    def kill() -> None:
        while len(server.writes) < 2 * each:
            time.sleep(0.01)
        server.node_down("pve2", quorum=True)

    killer = threading.Thread(target=kill)
    killer.start()
    done = ask("vm_power", vms=[*dead, *alive], state="started", timeout=4)
    killer.join()
    assert (done.failed, done.result["kind"], done.changed) == (True, "some_failed", True)
    rows = {row["name"]: row for row in done.result["results"]}
    for name in alive:
        assert not rows[name].get("failed"), rows[name]
        assert rows[name]["vm"]["state"] == "running"
    for name in dead:
        assert rows[name]["kind"] == "task_timeout", rows[name]
        assert rows[name]["task"]["id"].startswith("UPID:pve2:")
        assert rows[name]["task"]["state"] == "running"
        assert name in done.result["msg"]
    if each == 1:
        assert "595" in rows["dead0"]["msg"]
        assert "A node of the cluster does not answer" in rows["dead0"]["msg"]


@pytest.mark.parametrize(("each", "polled"), [(1, "/tasks/.*/status$"), (4, "/cluster/tasks$")])
def test_no_task_is_lost_when_nobody_answers_any_more(each: int, polled: str, ask: Ask, server: ProxmoxServer) -> None:
    names = [f"vm{number}" for number in range(each)]
    for number in range(each):
        server.add_vm(300 + number, names[number], memory="64")
        server.plan_task("qmstart", 300 + number, seconds=600)
    server.fail_next("none", path=polled, then=server.http.close)
    done = ask("vm_power", vms=names, state="started", timeout=2)
    for row in done.result["results"]:
        assert row["kind"] == "task_timeout", row
        assert row["task"]["id"].startswith("UPID:pve1:")
        assert "Connection refused" in row["msg"]


def test_a_task_that_was_never_seen_is_not_waited_for_in_vain(ask: Ask, server: ProxmoxServer) -> None:
    task = server.add_task("qmstart", 200, node="pve2")
    server.node_down("pve2", quorum=True)
    done = ask("task_wait", tasks=[task.upid])
    assert (done.failed, done.result["kind"]) == (True, "transport_error")


def test_a_poll_asks_a_silent_node_once(server: ProxmoxServer, connection: dict[str, Any]) -> None:
    """The tasks of other nodes do not wait for it, nor for more than one of its own."""
    upids = [server.add_task("qmstart", 200, node=node).upid for node in ("pve2", "pve2", "pve1")]
    server.fail_some(1.0, 595, path="/nodes/pve2/")
    backend = driver.ProxmoxBackend({**connection, "validate_certs": True})
    told = backend.poll([Task(upid, "proxmox", TaskState.RUNNING) for upid in upids])
    assert [task.state for task in told] == [TaskState.RUNNING, TaskState.RUNNING, TaskState.SUCCEEDED]
    assert [one.status for one in server.requests] == [595, 200]


def test_a_task_goes_on_when_its_node_comes_back(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    server.add_vm(201, "there", "pve2", memory="64")
    server.plan_task("qmstart", 201, seconds=0.5)
    for _time in range(3):
        server.fail_next(595, method="GET", path="/tasks/.*/status$")
    done = ask("vm_power", id="201", state="started")
    assert not done.failed, done.result
    assert done.result["task"]["state"] == "succeeded"
    assert not done.warnings


def test_a_node_that_dies_before_the_others_know(ask: Ask, server: ProxmoxServer, vm: str) -> None:
    """The cluster still says online; its VMs are told as unknown, and those of others as they are."""
    server.add_vm(201, "there", "pve2", running=True, memory="64")
    server.refresh_resources()
    server.fail_some(1.0, 595, path="/nodes/pve2/")
    rows = ask("vm_info").result["vms"]
    assert [(row["name"], row["state"]) for row in rows] == [("there", "unknown"), ("web", "stopped")]


def test_whether_a_write_was_done_is_not_known(ask: Ask, server: ProxmoxServer) -> None:
    server.add_vm(201, "there", "pve2", memory="64")
    server.fail_next("lost", method="POST", path="/status/start$", then=lambda: server.node_down("pve2", quorum=True))
    done = ask("vm_power", id="201", state="started")
    assert (done.failed, done.result["kind"]) == (True, "transport_error")
    assert "not known" in done.result["msg"]
    assert "node pve2" in done.result["msg"]


# --- high availability


@pytest.fixture
def high(server: ProxmoxServer) -> str:
    server.add_vm(201, "high", memory="512", scsi0="shared:1", ha={"state": "stopped"}, ha_seconds=0.3)
    return "201"


def test_ha_migrates_on_its_own_time(ask: Ask, server: ProxmoxServer, high: str) -> None:
    for state in ("stopped", "running"):
        if state == "running":
            assert ask("vm_power", id=high, state="started").vm["state"] == "running"
        target = "pve1" if server.vm(201).node == "pve2" else "pve2"
        done = ask("vm_migrate", name="high", node=target)
        assert not done.failed, done.result
        assert (done.vm["node"], done.vm["state"]) == (target, state)
        assert not ask("vm_migrate", name="high", node=target).changed


@pytest.mark.parametrize("address", [{"name": "high"}, {"id": "201"}])
@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("vm_power", {"state": "started"}),
        ("vm_migrate", {"node": "pve2"}),
    ],
)
def test_ha_in_state_error_is_refused(
    module: str, options: dict[str, str], address: dict[str, str], ask: Ask, server: ProxmoxServer, high: str
) -> None:
    server.vm(201).ha = {"state": "error"}
    for check in (True, False):
        done = ask(module, check=check, **address, **options)
        assert (done.failed, done.result["kind"], done.changed) == (True, "conflict", False)
        assert "state error" in done.result["msg"]
        assert "ha-manager" in done.result["msg"]
    assert not server.writes


def test_ha_that_does_not_get_it_running(
    ask: Ask, server: ProxmoxServer, high: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task of the request succeeds; what counts is the VM."""
    monkeypatch.setattr(driver, "_HA_TIME", 1.0)
    server.plan_task("qmstart", 201, exitstatus="start failed: no memory")
    done = ask("vm_power", id=high, state="started")
    assert (done.failed, done.result["kind"]) == (True, "task_failed")
    assert "is stopped and not running" in done.result["msg"]
