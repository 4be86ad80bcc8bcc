# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The VSD test server itself: envelopes, sessions, the tree of snapshots, batches."""

from __future__ import annotations

import hashlib
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from ansible_collections.anyvirt.compute.tests.servers.vs.state import Vm
from ansible_collections.anyvirt.compute.tests.servers.vsd import VsdServer

ROOT = Path(__file__).resolve().parents[3]
SNAPSHOT = "/v1/compute/vsd/snapshot"


class Client:
    """Asks as a user of the server, with nothing of the driver in between."""

    def __init__(self, server: VsdServer) -> None:
        self.server = server
        self.status = 0
        self.headers: dict[str, str] = {}
        password = hashlib.md5(server.password.encode()).hexdigest()
        told = self("POST", "/v1/authentication/login", tenant="system", user="admin", password=password)
        self.headers = {"Authorization": f"Bearer {told['data']['token']}"}

    def __call__(self, method: str, path: str, **params: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.http.listeners["manager"].port, timeout=10)
        query = f"?{urlencode(params)}" if method == "GET" else ""
        connection.request(method, path + query, None if query else json.dumps(params), self.headers)
        answer = connection.getresponse()
        self.status, text = answer.status, answer.read()
        connection.close()
        return json.loads(text) if answer.status == 200 else None


@pytest.fixture
def server() -> Iterator[VsdServer]:
    with VsdServer(polls=2) as running:
        yield running


@pytest.fixture
def client(server: VsdServer) -> Client:
    return Client(server)


@pytest.fixture
def web(server: VsdServer) -> Vm:
    return server.add_vm("web", disks=("vda", "sdb"))


def of(vm: Vm) -> dict[str, str]:
    return {"cluster_uuid": vm.cluster, "compute_uuid": vm.uuid}


def test_http_says_200_whatever_happened(server: VsdServer, client: Client, web: Vm) -> None:
    stranger = Client(server)
    stranger.headers = {"Authorization": "Bearer nonsense"}
    for told in (
        client("GET", f"{SNAPSHOT}/list", **of(web)),
        client("GET", f"{SNAPSHOT}/get", **of(web), name="nobody"),
        client("GET", f"{SNAPSHOT}/tree", **{**of(web), "compute_uuid": "nobody"}),
        client("POST", f"{SNAPSHOT}/create", **of(web), name="a", domain_memory="true"),
        client("POST", f"{SNAPSHOT}/create", **of(web), tenant="another", name="a"),
        stranger("GET", f"{SNAPSHOT}/tree", **of(web)),
    ):
        assert (client.status, stranger.status) == (200, 200)
        assert told["scode"] != 0
        assert told["message"]
        assert told["message_cn"]
        assert told["stack"]
    assert client("GET", "/v1/compute/vsd/snapshot/nonsense") is None
    assert client.status == 404
    assert web.snapshots == {}


def test_the_tree_is_the_same_from_both_sides(client: Client, web: Vm) -> None:
    def tree() -> Any:
        return client("GET", f"{SNAPSHOT}/tree", **of(web))["data"]["tree"]

    assert client("GET", f"{SNAPSHOT}/head", **of(web))["data"] == {}
    for name in ("a", "b"):
        assert client("POST", f"{SNAPSHOT}/create", **of(web), name=name)["data"] == {}
    assert client("POST", f"{SNAPSHOT}/rollback", **of(web), name="a")["scode"] == 0
    assert tree()["Parents"] == {"a": "", "b": "a", "head": "a"}
    assert tree()["Children"] == {"": {"Children": ["a"]}, "a": {"Children": ["b", "head"]}}
    assert client("POST", f"{SNAPSHOT}/delete", **of(web), name="a")["scode"] != 0
    assert client("POST", f"{SNAPSHOT}/rollback", **of(web), name="b")["scode"] == 0
    assert client("POST", f"{SNAPSHOT}/delete", **of(web), name="a")["scode"] == 0
    assert tree()["Parents"] == {"b": "", "head": "b"}
    assert client("GET", f"{SNAPSHOT}/head", **of(web))["data"]["name"] == "b"


def test_memory_takes_its_time(server: VsdServer, client: Client) -> None:
    vm = server.add_vm("run", state="running")
    assert client("POST", f"{SNAPSHOT}/create", **of(vm), name="a", domain_memory=True)["scode"] == 0
    for action in ("save", "noaction"):
        told = client("GET", "/v1/compute/inspect", **of(vm), tenant="")["data"]
        assert (told["action"], told["cpu_current"], told["vnc_password"]) == (action, "1", "HUSH-VNC")
    assert client("POST", f"{SNAPSHOT}/rollback", **of(vm), name="a", domain_memory=True)["scode"] == 0


def test_a_batch_succeeds_outside_and_fails_inside(server: VsdServer, client: Client, web: Vm) -> None:
    other = server.add_vm("other", state="running")
    told = client("POST", "/v1/compute/batch_start", vms=[of(web), of(other)])
    assert (told["scode"], told["data"]["success"], told["data"]["fail"]) == (0, 1, 1)
    # in reverse order of the request
    assert [one["data"]["compute_uuid"] for one in told["data"]["results"]] == [other.uuid, web.uuid]


def test_single_disks_only_while_it_is_off(client: Client, web: Vm) -> None:
    client("POST", f"{SNAPSHOT}/create", **of(web), name="a")
    disks = client("GET", f"{SNAPSHOT}/get", **of(web), name="a")["data"]["disk_snapshot_list"]
    path = "/v1/compute/volume/snapshot/rollback"
    assert client("POST", path, **of(web), disk_snapshot_list=disks)["data"]["success"] == 2
    client("POST", "/v1/compute/start", **of(web))
    assert client("POST", path, **of(web), disk_snapshot_list=disks)["scode"] != 0


@pytest.mark.parametrize(("read", "ignored"), [("page_num", "page_number"), ("page_number", "page_num")])
def test_it_reads_one_of_the_two_names_of_pages(
    server: VsdServer, client: Client, web: Vm, read: str, ignored: str
) -> None:
    server.entry.page_parameter = read
    for name in ("a", "b", "c"):
        client("POST", f"{SNAPSHOT}/create", **of(web), name=name)
    for given, names in (({read: 1}, ["c"]), ({ignored: 1}, ["a", "b"]), ({read: 9}, [])):
        told = client("GET", f"{SNAPSHOT}/list", **of(web), filter_name="", page_size=2, **given)["data"]
        assert ([row["name"] for row in told["list"]], told["total_count"]) == (names, 3)


def test_what_is_ignored_is_a_complaint(server: VsdServer, client: Client, web: Vm) -> None:
    client("POST", f"{SNAPSHOT}/create", **of(web), name="a", memory=True)
    assert server.complaints == [f"{SNAPSHOT}/create: unknown parameter 'memory'"]


def test_a_read_only_server_tells_of_writes() -> None:
    with pytest.raises(AssertionError, match="snapshot/create"), VsdServer(read_only=True) as server:
        web = server.add_vm("web")
        assert Client(server)("POST", f"{SNAPSHOT}/create", **of(web), name="a")["scode"] != 0
    assert web.snapshots == {}


def test_by_hand() -> None:
    command = [sys.executable, "-m", "tests.servers.vsd", "--port", "0", "--vms", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline().startswith("url:      http://127.0.0.1:")
        finally:
            running.terminate()
