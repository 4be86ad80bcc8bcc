# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ZStack test server: queries and ZQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.servers.zstack_client import NOBODY, Client


@pytest.fixture
def server() -> Iterator[ZStackServer]:
    with ZStackServer(task_seconds=0.01) as running:
        yield running


@pytest.fixture
def client(server: ZStackServer) -> Client:
    return Client(server)


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in rows]


def test_conditions(server: ZStackServer, client: Client) -> None:
    for name, state in (("Web", "Running"), ("db", "Stopped"), ("db-old", "Destroyed"), ("a!=b", "Stopped")):
        server.add_vm(name, state, cpu=len(name))
    ip = server.vm("db")["vmNics"][0]["ip"]
    for conditions, expected in (
        (["name=web "], ["Web"]),
        (["name~=db%"], ["db", "db-old"]),
        (["name!~=d_%"], ["Web", "a!=b"]),
        (["name?=Web,db"], ["Web", "db"]),
        (["name!?=Web,db", "state!=Destroyed"], ["a!=b"]),
        (["cpuNum>=3", "cpuNum<6"], ["Web", "a!=b"]),
        (["hostUuid is null"], ["db", "db-old", "a!=b"]),
        (["hostUuid not null"], ["Web"]),
        ([f"vmNics.ip={ip}"], ["db"]),
        (["cluster.name=cluster-1", "host.managementIp~=192.0.2.%"], ["Web"]),
        (["description!=x"], []),
    ):
        assert names(client.query("vm-instances", *conditions)) == expected, conditions


def test_bad_conditions(server: ZStackServer, client: Client) -> None:
    server.add_vm("a!=b")
    for condition, status, codes in (
        ("name=a!=b", 503, ["SYS.1007"]),
        ("colour=red", 503, ["SYS.1007"]),
        ("name", 400, []),
        ("name=", 400, []),
        ("=web", 400, []),
    ):
        client.query("vm-instances", condition)
        assert (client.status, client.codes()) == (status, codes)
    zql = "query vminstance where name='a!=b' and state != 'Destroyed' return with (total) limit 10"
    (result,) = client("GET", "/zql", query={"zql": zql})["results"]
    assert (names(result["inventories"]), result["total"]) == (["a!=b"], 1)


def test_paging_counting_sorting(server: ZStackServer, client: Client) -> None:
    for name in ("c", "a", "b"):
        server.add_vm(name, "Stopped")
    assert client("GET", "/vm-instances", query={"count": "true"}) == {"total": 3, "schema": client.body["schema"]}
    found = client("GET", "/vm-instances", query={"replyWithCount": "true", "sort": "+name", "start": 1, "limit": 1})
    assert (names(found["inventories"]), found["total"]) == (["b"], 3)
    assert client.query("vm-instances", sort=" name", limit=1, fields="name") == [{"name": "a"}], (
        "+ is a blank in a URL"
    )
    assert client.query("vm-instances", sort="-name", fields="name") == [{"name": "c"}, {"name": "b"}, {"name": "a"}]
    client.query("vm-instances", fields="name,vmNics")
    assert client.codes() == ["SYS.1007"]


def test_default_limit_is_a_thousand(server: ZStackServer, client: Client) -> None:
    for number in range(1001):
        server.state.add("Zone", name=f"zone-{number}")
    found = client("GET", "/zones", query={"replyWithCount": "true"})
    assert (len(found["inventories"]), found["total"]) == (1000, 1002)


def test_one_row_is_a_list_too(server: ZStackServer, client: Client) -> None:
    vm = server.add_vm("web")
    assert names(client.query(f"vm-instances/{vm['uuid']}")) == ["web"]
    assert client.query(f"vm-instances/{NOBODY}") == []
    assert not server.complaints
    assert names(client.query(f"vm-instances/{vm['uuid']}", "name=other", limit=0)) == ["web"]
    assert server.complaints == ["QueryVmInstance: a query string, where only the uuid counts"]
    assert client.status == 200


def test_inventory_of_a_vm(server: ZStackServer, client: Client) -> None:
    server.add_vm("web", "Stopped", disks=(1024,))
    (row,) = client.query("vm-instances", "name=web")
    assert "hostUuid" not in row and "description" not in row and row["lastHostUuid"]
    assert row["createDate"][-3:] in (" AM", " PM")
    assert row["lastOpDate"][-3] == "\u202f"
    assert [volume["type"] for volume in row["allVolumes"]] == ["Root", "Data"]
    assert not any(key.startswith("_") for key in row)
