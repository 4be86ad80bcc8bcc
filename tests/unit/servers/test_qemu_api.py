# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test server of the QEMU HTTP manager: both dialects, and the faults of the real one."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.qemu_api import QemuApiServer


class Client:
    """One request at a time; what came back is kept."""

    def __init__(self, server: QemuApiServer) -> None:
        self.port = server.port
        self.status = 0
        self.kind = ""

    def __call__(self, method: str, path: str, body: Any = None, raw: str | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        text = raw if raw is not None else None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        self.status, self.kind = answer.status, answer.headers["Content-Type"].partition(";")[0]
        data = answer.read()
        connection.close()
        return json.loads(data) if self.kind == "application/json" else data.decode()


@pytest.fixture
def voidvm() -> Iterator[QemuApiServer]:
    with QemuApiServer("voidvm") as server:
        yield server


@pytest.fixture
def documented() -> Iterator[QemuApiServer]:
    with QemuApiServer("documented") as server:
        yield server


@pytest.fixture
def ask(voidvm: QemuApiServer) -> Client:
    return Client(voidvm)


@pytest.fixture
def tell(documented: QemuApiServer) -> Client:
    return Client(documented)


def pid_of(server: QemuApiServer, name: str) -> int:
    return server.vm(name)["metadata"]["lastPid"]


# -- documented -------------------------------------------------------------------------------------------------------


def test_documented_life(tell: Client) -> None:
    made = tell("POST", "/api/vms", {"name": "web", "memory": 512, "cpuCores": 2, "diskSize": 20, "vncPort": 5901})
    assert made["vm"] == {"name": "web", "status": "stopped", "memory": 512, "cpuCores": 2}
    started = tell("POST", "/api/vms/web/start")["vm"]
    assert started["status"] == "running"
    (row,) = tell("GET", "/api/vms")["vms"]
    assert set(row) == {"name", "status", "pid", "memory", "cpuCores", "diskSize", "vncPort", "startTime"}
    assert row["pid"] == started["pid"]
    again = tell("POST", "/api/vms/web/restart", {"metadata": {"lastPid": row["pid"]}})["vm"]
    assert again["pid"] != row["pid"]
    assert tell("POST", "/api/vms/web/stop")["success"] is True
    assert tell("DELETE", "/api/vms/web")["success"] is True
    assert tell("GET", "/api/vms") == {"success": True, "vms": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/api/vms", {}, 400, "INVALID_REQUEST_PARAMS"),
        ("POST", "/api/vms", {"name": "off"}, 400, "INVALID_REQUEST_PARAMS"),
        ("POST", "/api/vms", {"name": "new", "diskSize": "20G"}, 400, "INVALID_REQUEST_PARAMS"),
        ("POST", "/api/vms/on/start", None, 400, "VM_ALREADY_RUNNING"),
        ("POST", "/api/vms/off/stop", None, 400, "VM_ALREADY_STOPPED"),
        ("POST", "/api/vms/nobody/start", None, 404, "VM_NOT_FOUND"),
        ("POST", "/api/vms/nobody/restart", None, 404, "VM_NOT_FOUND"),
        ("DELETE", "/api/vms/nobody", None, 404, "VM_NOT_FOUND"),
        ("PUT", "/vms/nobody/config", {}, 404, "VM_NOT_FOUND"),
        ("POST", "/api/vms/off/toggleMountIso", {}, 400, "INVALID_REQUEST_PARAMS"),
        ("POST", "/api/novnc", {"vncPort": 5999}, 400, "VM_NOT_RUNNING"),
        ("POST", "/api/novnc/off", {"vncPort": 5901}, 400, "VM_NOT_RUNNING"),
    ],
)
@pytest.mark.parametrize("shape", ["flat", "nested"])
def test_documented_errors(shape: str, method: str, path: str, body: Any, status: int, code: str) -> None:
    with QemuApiServer("documented", error_shape=shape) as server:
        server.add_vm("on", running=True)
        server.add_vm("off")
        client = Client(server)
        told = client(method, path, body)
    assert client.status == status
    assert told["success"] is False
    assert (told["error"] if shape == "nested" else told)["code"] == code


def test_documented_configuration_is_written_without_api(documented: QemuApiServer, tell: Client) -> None:
    documented.add_vm("web", running=True)
    told = tell("PUT", "/vms/web/config", {"memory": 1024})
    assert (told["requiresRestart"], told["config"]["memory"]) == (True, 1024)
    assert "-m 2048" in documented.commands()[0]
    tell("PUT", "/api/vms/web/config", {"memory": 1024})
    assert (tell.status, tell.kind) == (404, "text/html")
    tell("GET", "/api/vms/web")
    assert (tell.status, tell.kind) == (404, "text/html")
    tell("POST", "/api/vms/web/restart")
    assert "-m 1024" in documented.commands()[0]
    tell("POST", "/api/vms/web/stop")
    assert tell("PUT", "/vms/web/config", {"memory": 2048})["requiresRestart"] is False


def test_documented_console_of_a_vm_and_of_any(documented: QemuApiServer, tell: Client) -> None:
    documented.add_vm("web", running=True, vncPort=5903)
    one = tell("POST", "/api/novnc/web", {"vncPort": 5903})
    assert one["token"] in one["url"]
    assert tell("POST", "/api/novnc", {"vncPort": 5903}) == one
    assert (one["vncPort"], one["webPort"]) == (5903, 6083)


# -- voidvm: what it says is not what it did --------------------------------------------------------------------------


def test_failed_creates_are_told_with_201(voidvm: QemuApiServer, ask: Client) -> None:
    voidvm.add_vm("web")
    assert ask("POST", "/api/vms", {"name": "x"}) == {"error": "VM name is required"}
    assert ask.status == 201
    assert "error" in ask("POST", "/api/vms", {"vmName": "web"})
    assert ask.status == 201


def test_a_bad_size_leaves_a_broken_directory(ask: Client) -> None:
    assert "error" in ask("POST", "/api/vms", {"vmName": "web", "diskSize": "20 GB"})
    assert ask.status == 400
    (row,) = ask("GET", "/api/vms")
    assert (row["config"], row["metadata"], row["status"]) == (None, None, "unknown")
    assert ask("POST", "/api/vms", {"vmName": "web"})["error"] == "VM directory already exists"


def test_bodies_are_mandatory(voidvm: QemuApiServer, ask: Client) -> None:
    voidvm.add_vm("web")
    for path in ("start", "stop", "restart"):
        for body in (None, {}):
            assert "Cannot destructure" in ask("POST", f"/api/vms/web/{path}", body)["error"]
            assert ask.status == 404
    ask("POST", "/api/vms")
    assert ask.status == 400
    assert "Disk path is required" in ask("POST", "/api/vms/web/start", {"config": {}})["error"]


def test_a_start_acts_on_the_name_in_the_body(voidvm: QemuApiServer, ask: Client) -> None:
    web = voidvm.add_vm("web")
    voidvm.add_vm("db")
    assert ask("POST", "/api/vms/db/start", {"config": web["config"]})["vmName"] == "web"
    assert (voidvm.vm("web")["status"], voidvm.vm("db")["status"]) == ("running", "created")


def test_a_stop_with_a_wrong_pid_marks_the_vm_and_leaves_it_running(voidvm: QemuApiServer, ask: Client) -> None:
    web = voidvm.add_vm("web", running=True)
    assert ask("POST", "/api/vms/web/stop", {"metadata": {"lastPid": 1}}) is False
    assert ask.status == 200
    assert voidvm.vm("web")["status"] == "stopped"
    assert len(voidvm.commands()) == 1
    assert "in use" in ask("POST", "/api/vms/web/start", {"config": web["config"]})["error"]
    assert ask.status == 404


def test_a_status_is_stale_when_qemu_dies(voidvm: QemuApiServer, ask: Client) -> None:
    web = voidvm.add_vm("web", running=True)
    voidvm.kill_process("web")
    assert ask("GET", "/api/vms")[0]["status"] == "running"
    assert "already running" in ask("POST", "/api/vms/web/start", {"config": web["config"]})["error"]
    assert ask("POST", "/api/vms/web/stop", {"metadata": {"lastPid": pid_of(voidvm, "web")}}) is False
    assert ask("POST", "/api/vms/web/start", {"config": web["config"]})["status"] == "running"


def test_names_inside_each_other_share_a_pid(voidvm: QemuApiServer, ask: Client) -> None:
    voidvm.add_vm("test-ab", running=True)
    voidvm.add_vm("test-a", running=True)
    assert pid_of(voidvm, "test-a") == pid_of(voidvm, "test-ab")
    ask("POST", "/api/vms/test-a/stop", {"metadata": {"lastPid": pid_of(voidvm, "test-a")}})
    (left,) = voidvm.commands()
    assert "-name test-a " in left


def test_deletes_always_succeed(voidvm: QemuApiServer, ask: Client) -> None:
    voidvm.add_vm("a")
    voidvm.add_vm("web", running=True)
    assert ask("DELETE", "/api/vms/nobody")["deleted"] is True
    assert ask("DELETE", "/api/vms/a.b")["deleted"] is True
    assert ask("DELETE", "/api/vms/web")["deleted"] is True
    assert (voidvm.names(), len(voidvm.commands())) == ([], 1)


def test_configuration_takes_anything(voidvm: QemuApiServer, ask: Client) -> None:
    voidvm.add_vm("web", running=True)
    told = ask("PUT", "/api/vms/web/config", {"name": "other", "nonsense": [1]})
    assert (told["requiresRestart"], told["config"]["name"], told["config"]["nonsense"]) == (True, "other", [1])
    assert ask("PUT", "/api/vms/web/config")["success"] is True
    ask("PUT", "/vms/web/config", {})
    assert (ask.status, ask.kind) == (404, "text/html")
    assert "error" in ask("PUT", "/api/vms/nobody/config", {})
    assert ask.status == 404


def test_only_a_network_list_makes_a_network_card(voidvm: QemuApiServer, ask: Client) -> None:
    voidvm.add_vm("web", running=True, networkType="user")
    assert "-netdev" not in voidvm.commands()[0]
    voidvm.add_vm("db", running=True, network=[{"type": "user"}])
    assert "-netdev user" in voidvm.commands()[1]
    bare = voidvm.add_vm("bare")
    config = {**bare["config"], "network": None}
    assert "Cannot read properties of null" in ask("POST", "/api/vms/bare/start", {"config": config})["error"]


def test_an_iso_is_mounted_at_the_next_start(voidvm: QemuApiServer, ask: Client) -> None:
    web = voidvm.add_vm("web", isoPath="/iso/gone.iso")
    assert ask("POST", "/api/vms/web/toggleMountIso", {"mountStatus": True})["vm"]["isMountIso"] is True
    assert "Cannot access ISO" in ask("POST", "/api/vms/web/start", {"config": web["config"]})["error"]
    ask("POST", "/api/vms/web/toggleMountIso", {"mountStatus": False})
    assert ask("POST", "/api/vms/web/start", {"config": web["config"]})["isMountIso"] is False
    assert ask("POST", "/api/vms/web/toggleMountIso", {})["success"] is True
    assert "isMountIso" not in voidvm.vm("web")["metadata"]
    assert ask("POST", "/api/vms/nobody/toggleMountIso", {"mountStatus": True})["success"] is False
    assert ask.status == 404


def test_a_restart_uses_the_stored_configuration(voidvm: QemuApiServer, ask: Client) -> None:
    voidvm.add_vm("web", running=True)
    ask("PUT", "/api/vms/web/config", {"memory": 512})
    told = ask("POST", "/api/vms/web/restart", {"metadata": {"lastPid": pid_of(voidvm, "web")}})
    assert told["status"] == "restarted"
    assert "-m 512" in voidvm.commands()[0]
    ask("POST", "/api/vms/nobody/restart", {"metadata": {}})
    assert ask.status == 404


def test_a_console_that_fails_is_told_with_200(voidvm: QemuApiServer, ask: Client) -> None:
    told = ask("POST", "/api/novnc", {"vncPort": 1})
    assert (told["vncPort"], told["webPort"], told["alreadyRunning"]) == (5901, 6081, False)
    assert ask("POST", "/api/novnc/whoever", {"vncPort": 1})["alreadyRunning"] is True
    voidvm.voidvm.proxy_works = False
    assert "error" in ask("POST", "/api/novnc", {"vncPort": 2})
    assert ask.status == 200


def test_pages_instead_of_json(ask: Client) -> None:
    for method, path, raw, status in (("GET", "/api/nothing", None, 404), ("POST", "/api/vms", "{", 400)):
        ask(method, path, raw=raw)
        assert (ask.status, ask.kind) == (status, "text/html")
    ask("GET", "/api/vms?name=drop")
    assert ask.status == 400
    assert ask("GET", "/api/isos")["success"] is True


def test_snapshots_need_a_start_by_this_server(voidvm: QemuApiServer, ask: Client) -> None:
    voidvm.add_vm("web", running=True)
    wanted = {"vmName": "web", "snapshotName": "one", "description": "first"}
    assert ask("POST", "/api/snapshots/create", wanted)["data"]["name"] == "one"
    ask("POST", "/api/snapshots/create", wanted)
    assert ask.status == 500
    ask("POST", "/api/snapshots/create", {**wanted, "snapshotName": "a.b"})
    assert ask.status == 400
    listed = ask("GET", "/api/snapshots/web?page=1&limit=1")["data"]
    assert ([row["name"] for row in listed["snapshots"]], listed["pagination"]["total"]) == (["one"], 1)
    assert ask("POST", "/api/snapshots/load", {"vmName": "web", "snapshotName": "one"})["success"] is True
    voidvm.restart_server()
    for method, path in (("POST", "/api/snapshots/load"), ("DELETE", "/api/snapshots/web/one")):
        assert ask(method, path, {"vmName": "web", "snapshotName": "one"})["success"] is False
        assert ask.status == 500
    assert ask("GET", "/api/snapshots/nobody")["data"]["snapshots"] == []


def test_the_list_of_snapshots_outlives_the_vm(voidvm: QemuApiServer, ask: Client) -> None:
    voidvm.add_vm("web", running=True)
    ask("POST", "/api/snapshots/create", {"vmName": "web", "snapshotName": "old"})
    ask("POST", "/api/vms/web/stop", {"metadata": {"lastPid": pid_of(voidvm, "web")}})
    ask("DELETE", "/api/vms/web")
    voidvm.add_vm("web", running=True)
    assert ask("GET", "/api/snapshots/web/old")["data"]["name"] == "old"
    assert ask("POST", "/api/snapshots/load", {"vmName": "web", "snapshotName": "old"})["success"] is False


def at_once(count: int, work: Any) -> list[Any]:
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(work())) for _number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_parallel_creates_all_succeed_and_make_one() -> None:
    with QemuApiServer("voidvm", window=0.3) as server:

        def create() -> tuple[int, bool]:
            client = Client(server)
            told = client("POST", "/api/vms", {"vmName": "web"})
            return client.status, "error" in told

        assert at_once(3, create) == [(201, False)] * 3
        assert server.names() == ["web"]


def test_of_parallel_starts_one_succeeds(voidvm: QemuApiServer) -> None:
    web = voidvm.add_vm("web")

    def start() -> int:
        client = Client(voidvm)
        client("POST", "/api/vms/web/start", {"config": web["config"]})
        return client.status

    assert sorted(at_once(3, start)) == [200, 404, 404]


# -- what tests can do ------------------------------------------------------------------------------------------------


def test_answers_that_get_lost_before_and_after(documented: QemuApiServer, tell: Client) -> None:
    for kind, names in (("dropped", []), ("ignored", []), ("lost", ["web"])):
        documented.fail_next(kind, method="POST")
        if kind == "ignored":
            assert tell("POST", "/api/vms", {"name": "web"})["success"] is True
        else:
            with pytest.raises(http.client.RemoteDisconnected):
                tell("POST", "/api/vms", {"name": "web"})
        assert documented.names() == names
    documented.fail_next(502)
    tell("GET", "/api/vms")
    assert (tell.status, tell.kind) == (502, "text/html")
    assert [logged.status for logged in documented.requests] == [0, 200, 0, 502]


def test_a_read_only_server_tells_of_writes() -> None:
    with pytest.raises(AssertionError, match="POST /api/vms"), QemuApiServer("documented", read_only=True) as server:
        Client(server)("POST", "/api/vms", {"name": "web"})
