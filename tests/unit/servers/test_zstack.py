# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ZStack test server: its front end, sessions and faults."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.servers.zstack_client import BROKEN, NOBODY, Client, sha512

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def server() -> Iterator[ZStackServer]:
    with ZStackServer(task_seconds=0.01) as running:
        yield running


@pytest.fixture
def client(server: ZStackServer) -> Client:
    return Client(server)


def login(client: Client, path: str, key: str, **params: Any) -> str:
    found = client("PUT", path, {key: params})
    return found["inventory"]["uuid"] if client.status == 200 else client.codes()[0]


# -- front end --------------------------------------------------------------------------------------------------------


def test_action_key_is_looked_at_before_anything_else(server: ZStackServer) -> None:
    vm = server.add_vm("web")["uuid"]
    stranger = Client(server, headers={})
    for body in ({"names": ["a"]}, {"clonevminstance": {"names": ["a"]}}, []):
        stranger("PUT", f"/vm-instances/{vm}/actions", body)
        assert (stranger.status, stranger.body) == (400, None)
    stranger("PUT", f"/vm-instances/{vm}/actions")
    assert (stranger.status, stranger.text) == (500, "null")
    stranger("PUT", f"/vm-instances/{vm}/actions", {"stopVmInstance": {}})
    assert (stranger.status, stranger.text) == (400, "missing header 'Authorization'")


def test_path_of_one_api_without_its_key_lacks_parameters(client: Client) -> None:
    client("PUT", "/accounts/login", {"accountName": "admin", "password": "x"})
    assert (client.status, client.codes()) == (503, ["SYS.1007"])
    client.job("POST", "/volumes/data", {"name": "data", "diskSize": 1})
    assert (client.status, client.codes()) == (503, ["SYS.1007"])


def test_unknown_paths_and_verbs(client: Client) -> None:
    for method, path, status in (
        ("GET", "/no-such-things", 404),
        ("PATCH", "/vm-instances", 405),
        ("DELETE", f"/api-jobs/{NOBODY}", 405),
        ("GET", f"/api-jobs/{NOBODY}", 404),
    ):
        client(method, path)
        assert (client.status, client.body) == (status, None)


def test_what_is_ignored_is_a_complaint(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web")["uuid"]
    client.act(vm, "stopVmInstance", type="cold", force=True)
    assert client.status == 200
    client("GET", "/vm-instances", query={"name": "web", "limit": 1})
    client.job("DELETE", f"/vm-instances/{vm}", {"deleteMode": "Permissive"})
    assert server.complaints == [
        "StopVmInstance: unknown parameter 'force'",
        "QueryVmInstance: unknown parameter 'name'",
        "DestroyVmInstance: a body, where only the query string counts",
    ]


def test_types_of_parameters(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web", "Stopped")["uuid"]
    for body in ({"cpuNum": "many"}, {"cpuNum": 1.5}, {"memorySize": True}):
        client("PUT", f"/vm-instances/{vm}/actions", {"updateVmInstance": body})
        assert client.status == 400
    client("GET", "/vm-instances", query={"limit": "ten"})
    assert client.status == 400
    client("GET", f"/volumes/{NOBODY}/vm-instances", query=[("vmUuid", 1), ("vmUuid", 2)])
    assert client.status == 405
    client("DELETE", f"/volumes/{NOBODY}/vm-instances", query=[("vmUuid", 1), ("vmUuid", 2)])
    assert client.status == 400
    client.act(vm, "updateVmInstance", cpuNum="2")
    assert server.vm(vm)["cpuNum"] == 2
    assert server.complaints == ["UpdateVmInstance: 'cpuNum' should be a number"]


def test_answers_have_no_type_and_no_location(server: ZStackServer, client: Client) -> None:
    answer = client("POST", "/volumes/data", {"params": {"name": "data", "diskSize": 1}})
    assert answer["location"].startswith("http://zstack-mn.invalid:8080/zstack/v1/api-jobs/")
    assert answer["apiTimeout"] == 10800 * 1000
    assert not {"Content-Type", "Location"} & set(client.answer_headers)
    assert server.requests[-1].job == answer["location"][-32:]


def test_older_servers_say_nothing_at_all() -> None:
    with ZStackServer(empty="", speed=0) as server:
        client, vm = Client(server), server.add_vm("web")["uuid"]
        answer = client("DELETE", f"/vm-instances/{vm}")
        for status in (202, 200):
            client("GET", f"/api-jobs/{answer['location'][-32:]}")
            assert (client.status, client.text) == (status, "")
            server.advance(1)


def test_without_context_path_and_with_tls() -> None:
    with ZStackServer(context="", tls=True) as server:
        context = ssl.create_default_context(cafile=server.ca_path)
        connection = http.client.HTTPSConnection(server.host, server.port, context=context, timeout=20)
        for path, status in (("/v1/zones", 200), ("/zstack/v1/zones", 404)):
            connection.request("GET", path, headers={"Authorization": f"OAuth {server.session()}"})
            response = connection.getresponse()
            assert response.read() and response.status == status
        connection.close()


# -- sessions ---------------------------------------------------------------------------------------------------------


def test_ways_to_log_in(server: ZStackServer) -> None:
    client = Client(server, headers={})
    account = {"accountName": server.account}
    for path, key, params in (
        ("/accounts/login", "logInByAccount", {**account, "password": sha512(server.password)}),
        (
            "/accounts/users/login",
            "logInByUser",
            {**account, "userName": "ops", "password": sha512(server.user_password)},
        ),
        ("/ldap/login", "logInByLdap", {"uid": server.ldap_uid, "password": server.ldap_password}),
        (
            "/iam2/virtual-ids/login",
            "loginIAM2VirtualID",
            {"name": server.virtual_id, "password": sha512(server.virtual_id_password)},
        ),
    ):
        session = login(client, path, key, **params)
        assert len(session) == 32
        wrong = {**params, "password": params["password"][::-1]}
        assert login(client, path, key, **wrong) == "ID.1000"
    assert login(client, "/accounts/login", "logInByAccount", **account, password=server.password) == "ID.1000"
    client.headers = {"Authorization": f"OAuth {session}"}
    assert len(login(client, "/iam2/projects/login", "loginIAM2Project", projectName="project-1")) == 32


def test_end_of_a_session(server: ZStackServer, client: Client) -> None:
    session = client.headers["Authorization"].partition(" ")[2]
    assert client("GET", f"/accounts/sessions/{session}/valid") == {"valid": True}
    for _time in range(2):
        assert client("DELETE", f"/accounts/sessions/{session}") == {}
    assert client("GET", f"/accounts/sessions/{session}/valid") == {"valid": False}
    client("GET", "/vm-instances")
    assert (client.status, client.codes()) == (503, ["ID.1001"])
    assert not server.writes


def test_dead_session_is_told_by_the_job(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web")["uuid"]
    server.expire_sessions(after=1)
    assert client.query("vm-instances")
    answer = client("PUT", f"/vm-instances/{vm}/actions", {"stopVmInstance": {}})
    assert client.status == 202
    client.finish(answer)
    assert client.codes() == ["ID.1001"]
    assert server.vm(vm)["state"] == "Running"


def test_session_lives_two_hours_unless_renewed() -> None:
    with ZStackServer(speed=0, task_seconds=0) as server:
        client = Client(server)
        session = client.headers["Authorization"][6:]
        client.job("PUT", f"/accounts/sessions/{session}/renew", {"renewSession": {"duration": 10000}})
        server.advance(7201)
        assert client.query("zones")
        server.advance(2800)
        client("GET", "/zones")
        assert client.codes() == ["ID.1001"]


def test_limit_of_sessions_and_the_only_one(server: ZStackServer) -> None:
    server.state.access.limit = 1
    client = Client(server)
    params = {"accountName": server.account, "password": sha512(server.password)}
    assert login(client, "/accounts/login", "logInByAccount", **params) == "ID.1006"
    server.state.access.unique = True
    assert len(login(client, "/accounts/login", "logInByAccount", **params)) == 32
    client("GET", "/zones")
    assert client.codes() == ["ID.1001"]


def signed(server: ZStackServer, method: str, uri: str, seconds: float = 0.0) -> dict[str, str]:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + seconds))
    mac = hmac.new(server.access_key_secret.encode(), f"{method}\n{date}\n{uri}".encode(), hashlib.sha1)
    text = base64.b64encode(mac.digest()).decode()
    return {"Authorization": f"ZStack {server.access_key_id}:{text}", "Date": date}


def test_access_key() -> None:
    with ZStackServer(utc_offset=8) as server:
        server.add_vm("web")
        for seconds, uri, status, text in (
            (8 * 3600, "/v1/vm-instances", 200, ""),
            (0, "/v1/vm-instances", 403, "requestTimeTooSkewed"),
            (8 * 3600, "/zstack/v1/vm-instances", 403, "wrong accessKey signature"),
        ):
            client = Client(server, signed(server, "GET", uri, seconds))
            client("GET", "/vm-instances", query={"q": "name=web"})
            assert client.status == status and text in client.text
        server.access_key_id = "unknown"
        client = Client(server, signed(server, "GET", "/v1/zones", 8 * 3600))
        client("GET", "/zones")
        assert client.text == "access key id: unknown does not existed or disabled"
        client.headers.pop("Date")
        client("GET", "/zones")
        assert client.status == 400


# -- faults and the whole -----------------------------------------------------------------------------------------


def test_faults(server: ZStackServer, client: Client) -> None:
    for kind, status, text in ((500, 500, "null"), (503, 503, "Service Unavailable"), ("SYS.1010", 503, "SYS.1010")):
        server.fail_next(kind)
        client("GET", "/zones")
        assert client.status == status and text in client.text
    server.fail_next("dropped", method="POST")
    with pytest.raises(BROKEN):
        client("POST", "/volumes/data", {"params": {"name": "data", "diskSize": 1}})
    assert not server.state.rows("Volume")
    server.fail_some(0.5, 503)
    seen = []
    for _request in range(40):
        client("GET", "/zones")
        seen.append(client.status)
    assert set(seen) == {200, 503}
    server.stop_failing()


def test_read_only_refuses_and_fails() -> None:
    def use() -> None:
        with ZStackServer(read_only=True) as server:
            client = Client(server)
            login(client, "/accounts/login", "logInByAccount", accountName="admin", password=sha512(server.password))
            assert client("PUT", "/management-nodes/actions", {"getVersion": {}})["version"] == "5.3.20"
            client("POST", "/volumes/data", {"params": {"name": "data", "diskSize": 1}})
            assert client.status == 500

    with pytest.raises(AssertionError, match="POST /volumes/data"):
        use()


def test_log(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web")["uuid"]
    client.query("vm-instances", "name=web", limit=2)
    client("PUT", f"/vm-instances/{vm}/actions", {"stopVmInstance": {"type": "cold"}, "systemTags": ["a::b"]})
    read, write = server.requests
    assert (read.api, read.path, read.params, read.write) == (
        "QueryVmInstance",
        "/vm-instances",
        {"q": ["name=web"], "limit": "2"},
        False,
    )
    assert (write.api, write.params, write.tags) == ("StopVmInstance", {"uuid": vm, "type": "cold"}, ["a::b"])
    assert server.writes == [write] and server.connections == 2
    assert server.reached == {"QueryVmInstance", "StopVmInstance"}


def test_denied_api(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web")["uuid"]
    server.state.access.people["account", "admin"].denied.add("StopVmInstance")
    client.act(vm, "stopVmInstance")
    assert client.codes() == ["ID.1002"]


def test_started_by_hand() -> None:
    command = [sys.executable, "-m", "tests.servers.zstack", "--vms", "2", "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        told = dict(process.stdout.readline().strip().partition(":")[::2] for _line in range(5))
        assert told["url"].strip().startswith("http://127.0.0.1:") and told["password"].strip()
    finally:
        process.terminate()
        process.wait()
