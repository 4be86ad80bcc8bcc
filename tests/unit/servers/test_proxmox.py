# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Proxmox VE test server beyond the recordings: connections, faults, time, speed."""

from __future__ import annotations

import concurrent.futures
import http.client
import itertools
import json
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.servers.pve import app
from ansible_collections.anyvirt.compute.tests.servers.pve.schema import contract

ROOT = Path(__file__).resolve().parents[3]


class Client:
    """The plainest client: one connection, kept as long as the server keeps it."""

    def __init__(self, server: ProxmoxServer, url: str | None = None, headers: dict[str, str] | None = None) -> None:
        address = (url or server.url).removeprefix("https://")
        context = ssl.create_default_context(cafile=server.ca_path)
        self.connection = http.client.HTTPSConnection(address, context=context, timeout=20)
        self.headers = server.authorization if headers is None else headers
        self.status, self.closed, self.body = 0, False, {}

    def __call__(self, method: str, path: str, **params: Any) -> Any:
        target, body, headers = "/api2/json" + path, None, dict(self.headers)
        text = urlencode({key.replace("_", "-"): value for key, value in params.items()})
        if text and method in ("POST", "PUT"):
            body, headers["Content-Type"] = text, "application/x-www-form-urlencoded"
        elif text:
            target = f"{target}?{text}"
        self.connection.request(method, target, body=body, headers=headers)
        response = self.connection.getresponse()
        data = response.read()
        self.status, self.closed = response.status, response.headers["Connection"] == "close"
        self.body = json.loads(data) if data else {}
        return self.body.get("data")

    def finish(self, upid: str) -> str:
        """Wait for a task; its exit status."""
        node = upid.split(":")[1]
        for _attempt in range(500):
            status = self("GET", f"/nodes/{node}/tasks/{quote(upid, safe='')}/status")
            if status["status"] == "stopped":
                return status["exitstatus"]
            time.sleep(0.01)
        raise AssertionError(f"{upid} never ended")


@pytest.fixture
def server() -> Iterator[ProxmoxServer]:
    with ProxmoxServer(task_seconds=0.02) as running:
        yield running


@pytest.fixture
def client(server: ProxmoxServer) -> Client:
    return Client(server)


# -- connections ------------------------------------------------------------------------------------------------------


def test_error_closes_the_connection(server: ProxmoxServer, client: Client) -> None:
    client("GET", "/version")
    assert not client.closed
    client("GET", "/nodes/pve1/qemu/999/config")
    assert (client.status, client.closed) == (500, True)
    client("GET", "/version")
    assert [logged.connection for logged in server.requests] == [1, 1, 2]
    assert server.connections == 2


def test_hundredth_answer_closes(server: ProxmoxServer, client: Client) -> None:
    closed = [client("GET", "/version") and client.closed for _request in range(101)]
    assert closed == [False] * 99 + [True, False]


def test_idle_connection_closes(server: ProxmoxServer, client: Client) -> None:
    server.http.idle_seconds = 0.05
    client("GET", "/version")
    time.sleep(0.2)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError, ssl.SSLError)):
        client("GET", "/version")


def test_request_log(server: ProxmoxServer, client: Client) -> None:
    server.add_vm(100, "web")
    client("PUT", "/nodes/pve1/qemu/100/config", description="x")
    client("GET", "/cluster/nextid", vmid=100)
    put, get = server.requests
    assert (put.method, put.path, put.status, put.params["description"]) == (
        "PUT",
        "/nodes/pve1/qemu/100/config",
        200,
        "x",
    )
    assert (get.status, get.params) == (400, {"vmid": "100"})
    assert server.writes == [put]
    assert server.reached == {"PUT /nodes/{node}/qemu/{vmid}/config", "GET /cluster/nextid"}


def test_read_only_refuses_and_fails() -> None:
    def use() -> None:
        with ProxmoxServer(read_only=True) as server:
            client = Client(server)
            assert client("GET", "/version")["release"] == "9.2"
            client("POST", "/access/ticket", username=server.username, password=server.password)
            client("POST", "/nodes/pve1/qemu", vmid=100)
            assert client.status == 500
            assert not server.state.guests

    with pytest.raises(AssertionError, match="POST /nodes/pve1/qemu"):
        use()


def test_second_node_has_its_own_port(server: ProxmoxServer) -> None:
    rows = Client(server, server.urls[1])("GET", "/cluster/status")
    assert [row["name"] for row in rows if row.get("local")] == ["pve2"]


# -- who --------------------------------------------------------------------------------------------------------------


def test_ticket_and_its_end(server: ProxmoxServer) -> None:
    client = Client(server, headers={})
    made = client("POST", "/access/ticket", username=server.username, password=server.password)
    client.headers = {"Cookie": f"PVEAuthCookie={quote(made['ticket'], safe='')}"}
    assert client("GET", "/version")
    client("POST", "/pools", poolid="p")
    assert client.status == 401
    client.headers["CSRFPreventionToken"] = made["CSRFPreventionToken"]
    client("POST", "/pools", poolid="p")
    assert client.status == 200
    server.state.access.expire_tickets()
    client("GET", "/version")
    assert client.status == 401


def test_missing_right_is_named(server: ProxmoxServer) -> None:
    server.add_vm(100)
    token, secret = server.add_user("ops@pve", "VM.Audit", "VM.Config.CPU", path="/vms/100")
    client = Client(server, headers={"Authorization": f"PVEAPIToken={token}={secret}"})
    client("PUT", "/nodes/pve1/qemu/100/config", cores=2)
    assert client.status == 200
    client("PUT", "/nodes/pve1/qemu/100/config", memory=256)
    assert client.body["message"] == "Permission check failed (/vms/100, VM.Config.Memory)\n"
    client("GET", "/nodes/pve1/qemu/101/config")
    assert client.status == 403


# -- faults -----------------------------------------------------------------------------------------------------------


def test_lost_answer_of_a_write_that_was_done(server: ProxmoxServer, client: Client) -> None:
    server.fail_next("lost", method="POST", path="/qemu$")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError, ssl.SSLError)):
        client("POST", "/nodes/pve1/qemu", vmid=100, name="made")
    time.sleep(0.1)
    assert server.vm(100).config["name"] == "made"
    assert server.requests[0].status == 0


def test_dropped_request_is_not_done(server: ProxmoxServer, client: Client) -> None:
    server.fail_next("dropped", method="POST")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError, ssl.SSLError)):
        client("POST", "/nodes/pve1/qemu", vmid=100)
    assert not server.state.guests


def test_status_faults(server: ProxmoxServer, client: Client) -> None:
    server.fail_next(596, times=2)
    for expected in (596, 596, 200):
        client("GET", "/version")
        assert client.status == expected


def test_share_of_lost_answers(server: ProxmoxServer) -> None:
    server.fail_some(0.3, 500)
    client, statuses = Client(server), []
    for _request in range(60):
        client("GET", "/version")
        statuses.append(client.status)
    assert 5 < statuses.count(500) < 40
    server.stop_failing()
    client("GET", "/version")
    assert client.status == 200


def test_planned_outcomes(server: ProxmoxServer, client: Client) -> None:
    server.add_vm(100)
    server.plan_task("qmstart", exitstatus="start failed: no luck")
    server.plan_task("qmstart", warning="something minor")
    assert client.finish(client("POST", "/nodes/pve1/qemu/100/status/start")) == "start failed: no luck"
    assert not server.vm(100).running
    assert client.finish(client("POST", "/nodes/pve1/qemu/100/status/start")) == "WARNINGS: 1"
    assert server.vm(100).running


def test_failed_clone_leaves_nothing(server: ProxmoxServer, client: Client) -> None:
    server.add_vm(100, scsi0="local:1")
    server.plan_task("qmclone", exitstatus="out of space")
    upid = client("POST", "/nodes/pve1/qemu/100/clone", newid=101)
    assert client("GET", "/nodes/pve1/qemu/101/config")["lock"] == "clone"
    assert client.finish(upid) == "out of space"
    assert list(server.state.guests) == [100]


def test_lock_for_a_while(server: ProxmoxServer, client: Client) -> None:
    server.add_vm(100)
    server.lock_vm(100, "backup", seconds=5)
    client("PUT", "/nodes/pve1/qemu/100/config", cores=2)
    assert client.body["message"] == "VM is locked (backup)\n"
    server.advance(5)
    client("PUT", "/nodes/pve1/qemu/100/config", cores=2)
    assert client.status == 200


def test_file_lock_makes_writes_wait(server: ProxmoxServer, client: Client) -> None:
    server.add_vm(100)
    server.hold_file_lock(100, seconds=0.15)
    began = time.monotonic()
    client("PUT", "/nodes/pve1/qemu/100/config", cores=2)
    assert client.status == 200
    assert time.monotonic() - began > 0.1


def test_restart_meets_the_cleanup() -> None:
    with ProxmoxServer(speed=0) as server:
        server.state.cleanup_seconds = 2
        server.add_vm(100, running=True)
        client, path = Client(server), "/nodes/pve1/qemu/100"
        for action in ("stop", "start"):
            client("POST", f"{path}/status/{action}")
            server.advance(0.1)
        client("PUT", f"{path}/config", cores=2)
        assert "got timeout" in client.body["message"]
        server.advance(30)
        client("PUT", f"{path}/config", cores=2)
        assert client.status == 200


def test_node_that_is_away(server: ProxmoxServer, client: Client) -> None:
    server.add_vm(100, node="pve2", running=True)
    server.node_down("pve2", "hang")
    client("GET", "/nodes/pve2/qemu")
    assert client.status == 596
    assert {row["node"]: row["status"] for row in client("GET", "/nodes")} == {"pve1": "online", "pve2": "offline"}
    client("POST", "/nodes/pve1/qemu", vmid=101)
    assert client.body["message"] == "cluster not ready - no quorum?\n"
    with pytest.raises(ConnectionRefusedError):
        Client(server, server.urls[1])("GET", "/version")
    server.node_up("pve2")
    assert [row["vmid"] for row in client("GET", "/nodes/pve2/qemu")] == [100]
    assert Client(server, server.urls[1])("GET", "/version")


def test_hung_agent(server: ProxmoxServer, client: Client) -> None:
    server.add_vm(100, running=True, agent="1", agent_state="hung")
    client("POST", "/nodes/pve1/qemu/100/agent/ping")
    assert "got timeout" in client.body["message"]


# -- time -------------------------------------------------------------------------------------------------------------


def test_resource_list_is_stale(server: ProxmoxServer, client: Client) -> None:
    client.finish(client("POST", "/nodes/pve1/qemu", vmid=100, name="first"))
    (row,) = client("GET", "/cluster/resources", type="vm")
    assert row == {"id": "qemu/100", "vmid": 100, "node": "pve1", "type": "qemu", "status": "unknown"}
    assert client("GET", "/nodes/pve1/qemu")[0]["name"] == "first"
    server.advance(10)
    assert client("GET", "/cluster/resources", type="vm")[0]["name"] == "first"
    client.finish(client("DELETE", "/nodes/pve1/qemu/100"))
    client.finish(client("POST", "/nodes/pve2/qemu", vmid=100, name="second"))
    (row,) = client("GET", "/cluster/resources", type="vm")
    assert (row["name"], row["node"]) == ("first", "pve2")


def test_resource_list_may_be_live() -> None:
    with ProxmoxServer(stale=False, task_seconds=0.01) as server:
        client = Client(server)
        client.finish(client("POST", "/nodes/pve1/qemu", vmid=100, name="first"))
        assert client("GET", "/cluster/resources", type="vm")[0]["name"] == "first"


def test_workers_answer_from_their_caches() -> None:
    with ProxmoxServer(workers=3, seed=3) as server:
        server.add_vm(100)
        client = Client(server)
        for _request in range(20):
            client("GET", "/cluster/resources", type="vm")
        server.add_vm(101)
        server.state.resources._caches.pop(0)
        counts = {len(client("GET", "/cluster/resources", type="vm")) for _request in range(30)}
        assert counts == {1, 2}


def test_high_availability_follows_later(server: ProxmoxServer, client: Client) -> None:
    server.add_vm(100, ha={"state": "stopped"}, ha_seconds=0.3)
    assert client.finish(client("POST", "/nodes/pve1/qemu/100/status/start")) == "OK"
    status = client("GET", "/nodes/pve1/qemu/100/status/current")
    assert (status["status"], status["ha"]) == ("stopped", {"managed": 1, "state": "started"})
    server.advance(1)
    assert client("GET", "/nodes/pve1/qemu/100/status/current")["status"] == "running"
    types = [row["type"] for row in client("GET", "/nodes/pve1/tasks")]
    assert types == ["qmstart", "hastart"]


def test_shutdown_that_nobody_answers() -> None:
    with ProxmoxServer(speed=200) as server:
        server.add_vm(100, running=True, shutdown_seconds=None)
        client = Client(server)
        upid = client("POST", "/nodes/pve1/qemu/100/status/shutdown", timeout=20)
        assert client.finish(upid) == "VM quit/powerdown failed - got timeout"
        assert server.vm(100).running


def test_online_migration_and_the_old_node(server: ProxmoxServer, client: Client) -> None:
    server.add_vm(100, running=True, scsi0="shared:1")
    assert client.finish(client("POST", "/nodes/pve1/qemu/100/migrate", target="pve2", online=1)) == "OK"
    client("GET", "/nodes/pve1/qemu/100/config")
    assert client.status == 500
    assert client("GET", "/nodes/pve2/qemu/100/status/current")["status"] == "running"


def test_moved_by_somebody_else(server: ProxmoxServer, client: Client) -> None:
    server.add_vm(100, scsi0="local:1")
    server.move_vm(100, "pve2")
    assert client("GET", "/nodes/pve2/qemu/100/config")["scsi0"] == "local:100/vm-100-disk-0.raw,size=1G"
    assert client("GET", "/nodes/pve2/storage/local/content")[0]["vmid"] == 100


@pytest.mark.parametrize("version", ["8.4", "9.2"])
def test_proxies_of_consoles(version: str) -> None:
    """Each node counts its own ports. A ticket is good once, on its port, for its guest and on its node."""
    with ProxmoxServer(version, speed=0) as server:
        for vmid in (100, 101):
            server.add_vm(vmid, running=True)
        near, far = Client(server), Client(server, server.urls[1])
        told = [one("POST", "/nodes/pve1/qemu/100/vncproxy", websocket=1) for one in (near, near, far)]
        assert [(one["port"], one["upid"].split(":")[1]) for one in told] == [
            *((5900, "pve1"), (5901, "pve1")),
            (5900, "pve2"),
        ]
        passwords = [one["ticket"][:8] if version == "9.2" else None for one in told]
        assert [one.get("password") for one in told] == passwords
        wanted = {"port": 5900, "vncticket": told[0]["ticket"]}
        path = "/nodes/pve1/qemu/{}/vncwebsocket"
        for client, vmid, more in ((far, 100, {}), (near, 101, {}), (near, 100, {"port": 5901})):
            client("GET", path.format(vmid), **{**wanted, **more})
            assert client.status == 401
        near, once_more = Client(server), Client(server)
        assert near("GET", path.format(100), **wanted) == {"port": "5900"}
        once_more("GET", path.format(100), **wanted)
        assert once_more.status == 401
        server.advance(10)
        server.settle()
        assert [near.finish(one["upid"]) for one in told[:2]] == ["OK", "connection timed out"]


def test_one_of_many_creates_wins(server: ProxmoxServer) -> None:
    def create(_number: int) -> int:
        client = Client(server)
        client("POST", "/nodes/pve1/qemu", vmid=100)
        return client.status

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(create, range(6))) == [200, 500, 500, 500, 500, 500]


# -- the whole ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["8.4", "9.2"])
def test_every_method_of_the_contract_is_simulated(version: str) -> None:
    missing = [f"{method.verb} {method.path}" for method in contract(version).methods if not app.simulated(method)]
    assert not missing


def test_proxmoxer_works(server: ProxmoxServer) -> None:
    proxmoxer = pytest.importorskip("proxmoxer")
    user, _sign, name = server.token_id.partition("!")
    options = {"user": user, "token_name": name, "token_value": server.token_secret, "verify_ssl": server.ca_path}
    api = proxmoxer.ProxmoxAPI(server.host, port=server.port, **options)
    upid = api.nodes("pve1").qemu.post(vmid=100, name="web", scsi0="shared:1", net0="virtio,bridge=vmbr0")
    assert Client(server).finish(upid) == "OK"
    config = api.nodes("pve1").qemu(100).config.get()
    assert config["scsi0"] == "shared:100/vm-100-disk-0.raw,size=1G"
    with pytest.raises(proxmoxer.ResourceException) as caught:
        api.nodes("pve1").qemu(101).config.get()
    assert caught.value.status_code == 500


def test_thousands_of_guests_and_quick_answers(server: ProxmoxServer, client: Client) -> None:
    for vmid in range(100, 2100):
        server.add_vm(
            vmid, f"vm{vmid}", f"pve{vmid % 2 + 1}", running=True, scsi0="shared:1", net0="virtio,bridge=vmbr0"
        )
    assert len(client("GET", "/nodes/pve1/qemu")) == 1000
    for vmid in itertools.islice(range(100, 2100, 2), 100):
        client("GET", f"/nodes/pve1/qemu/{vmid}/config")
        client("GET", f"/nodes/pve1/qemu/{vmid}/status/current")
    spent = [logged.seconds for logged in server.requests if logged.path.endswith(("config", "current"))]
    assert statistics.median(spent) < 0.001


def test_started_by_hand() -> None:
    command = [sys.executable, "-m", "tests.servers.proxmox", "--nodes", "3", "--vms", "4", "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        told = dict(process.stdout.readline().strip().partition(":")[::2] for _line in range(6))
        assert len(told["url"].split()) == 3
        assert Path(told["ca_path"].strip()).exists()
    finally:
        process.terminate()
        process.wait()
