# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users get wrong, and what a server that is no platform answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.http import HttpsServer, Reply
from ansible_collections.anyvirt.compute.tests.servers.vsd import VsdServer
from ansible_collections.anyvirt.compute.tests.unit.vsd.conftest import Ask

LOGIN = "/v1/authentication/login"
NOBODY = "00000000-0000-4000-8000-000000000000"


def logins(server: VsdServer) -> int:
    return sum(one.path == LOGIN for one in server.requests)


# --- who asks


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"username": "nobody"}, {"tenant": "elsewhere"}])
def test_a_login_that_is_refused_is_not_repeated(ask: Ask, server: VsdServer, wrong: dict[str, str]) -> None:
    """The platform locks a user after some of them."""
    refused = ask("vm_info", **wrong)
    assert (refused.failed, refused.result["kind"]) == (True, "authentication_failed")
    assert "用户名或密码错误" in refused.result["msg"]
    assert (logins(server), len(server.requests)) == (1, 1)


def test_the_password_is_sent_as_its_hash(ask: Ask, server: VsdServer) -> None:
    digest = hashlib.md5(server.password.encode()).hexdigest()
    for password in (server.password, f"md5:{digest}", f"md5:{digest.upper()}"):
        server.forget()
        assert not ask("vm_info", password=password).failed
        assert server.requests[0].params["password"] == digest


@pytest.mark.parametrize("authorization", ["bearer", "plain"])
def test_a_token_needs_no_login(ask: Ask, server: VsdServer, authorization: str) -> None:
    server.state.tokens["ready-made"] = server.username
    reach = {"username": None, "password": None, "token_secret": "ready-made", "authorization": authorization}
    told = ask("vm_info", **reach)
    assert (told.failed, told.result["kind"]) == (True, "invalid_request")
    assert "needs a cluster" in told.result["msg"]
    assert not ask("vm_info", cluster=server.cluster, **reach).failed
    assert logins(server) == 0
    refused = ask("vm_info", cluster=server.cluster, **{**reach, "token_secret": "old"})
    assert (refused.failed, refused.result["kind"]) == (True, "authentication_failed")
    assert "令牌无效或已过期" in refused.result["msg"]


def test_a_token_that_expires_in_between_is_replaced_once(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web")
    server.fail_next("none", "/compute/inspect", then=server.expire_tokens)
    assert ask("vm_snapshot", name="web", snapshot="a").changed
    assert logins(server) == 2
    assert [one.scode for one in server.writes] == [0]


def test_a_token_that_is_refused_from_the_beginning(ask: Ask, server: VsdServer) -> None:
    server.fail_next("none", LOGIN, times=9, then=server.expire_tokens)
    refused = ask("vm_info")
    assert (refused.failed, refused.result["kind"]) == (True, "authentication_failed")
    assert "authorization: plain" in refused.result["msg"]
    assert logins(server) == 1


def test_a_tenant_sees_its_own_vms(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web")
    own = server.add_vm("own", tenant=server.add_tenant("acme", "eve", "secret"))
    reach = {"tenant": "acme", "username": "eve", "password": "secret"}
    assert [vm["name"] for vm in ask("vm_info", **reach).result["vms"]] == ["own"]
    assert ask("vm_snapshot", name="own", snapshot="a", **reach).changed
    assert server.writes[-1].params["tenant"] == own.tenant
    assert len(ask("vm_info").result["vms"]) == 2


@pytest.mark.parametrize(
    "task", ["nonsense", f"vsd:start:{NOBODY}:x", f"vsd:shutdown:{NOBODY}:x:1", f"vsd:dance:{NOBODY}"]
)
def test_a_task_that_is_none(ask: Ask, task: str) -> None:
    assert ask("task_wait", tasks=[task]).result["kind"] == "not_found"


def test_no_credentials(ask: Ask, server: VsdServer) -> None:
    refused = ask("vm_info", password=None)
    assert refused.result["kind"] == "invalid_request"
    assert server.requests == []


# --- what there is not


def test_an_unknown_cluster(ask: Ask, server: VsdServer) -> None:
    refused = ask("vm_info", cluster="clutser")
    assert (refused.failed, refused.result["kind"]) == (True, "not_found")
    assert "There are: cluster" in refused.result["msg"]
    server.state.clusters[NOBODY] = "cluster"
    assert ask("vm_info", cluster="cluster").result["kind"] == "ambiguous"
    del server.state.clusters[NOBODY]
    assert not ask("vm_info", cluster="cluster").failed


@pytest.mark.parametrize("who", [{"name": "nobody"}, {"id": NOBODY}, {"id": "nonsense"}])
def test_an_unknown_vm(ask: Ask, server: VsdServer, who: dict[str, str]) -> None:
    server.add_vm("nobody-else")
    for check in (True, False):
        refused = ask("vm_snapshot", check=check, snapshot="a", **who)
        assert (refused.failed, refused.result["kind"]) == (True, "not_found")
    assert server.writes == []


def test_a_name_that_several_vms_have(ask: Ask, server: VsdServer) -> None:
    """Of which nothing but the id is unique."""
    first, _second, _other = (server.add_vm(name) for name in ("web", "web", "web-2"))
    refused = ask("vm_snapshot", name="web", snapshot="a")
    assert (refused.failed, refused.result["kind"]) == (True, "ambiguous")
    assert len(refused.result["candidates"]) == 2
    assert server.writes == []
    assert ask("vm_snapshot", id=first.uuid, snapshot="a").changed
    both = ask("vm_snapshot", vms=["web", "web-2"], snapshot="b")
    assert [one.get("kind") for one in both.result["results"]] == ["ambiguous", None]


def test_an_unknown_snapshot(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web")
    assert ask("vm_snapshot", name="web", snapshot="a").changed
    server.forget()
    refused = ask("vm_snapshot", name="web", snapshot="b", state="reverted")
    assert (refused.failed, refused.result["kind"]) == (True, "not_found")
    assert "It has: a." in refused.result["msg"]
    assert not ask("vm_snapshot", name="web", snapshot="b", state="absent").changed
    assert server.writes == []


@pytest.mark.parametrize("name", ["head", "", " a", "a\n", "a\tb"])
def test_names_that_no_snapshot_can_have(ask: Ask, server: VsdServer, name: str) -> None:
    server.add_vm("web")
    for check in (True, False):
        refused = ask("vm_snapshot", check=check, name="web", snapshot=name)
        assert (refused.failed, refused.result["kind"]) == (True, "invalid_request")
    assert server.writes == []


def test_a_disk_that_is_passed_through(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web", passthrough=True)
    for check in (True, False):
        refused = ask("vm_snapshot", check=check, name="web", snapshot="a")
        assert (refused.failed, refused.result["kind"]) == (True, "conflict")
    assert server.writes == []


# --- who answers


@pytest.fixture
def stranger() -> Iterator[tuple[HttpsServer, list[Reply]]]:
    """A server that answers everything alike."""
    replies: list[Reply] = []
    server = HttpsServer(lambda request: replies[0], ["stranger"], secured=False)
    yield server, replies
    server.close()


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(404, "Not Found", body=b"404"), "backend_error", "does not know this path"),
        (Reply(body=b"<html>hello</html>"), "backend_error", "no JSON"),
        (Reply(body=b'{"hello": "world"}'), "backend_error", "has no code"),
        (Reply(body=b'{"scode": true}'), "backend_error", "has no code"),
        (Reply(body=b'{"scode": 0, "data": ""}'), "backend_error", "has no token"),
        (Reply(500, "Oops"), "backend_error", "HTTP status 500"),
        (Reply(503, "Oops"), "transport_error", "HTTP status 503"),
        (Reply(302, "Found", {"Location": "http://elsewhere.invalid/"}), "backend_error", "elsewhere.invalid"),
        (Reply(drop=True), "transport_error", "does not answer"),
    ],
)
def test_what_is_no_platform(
    ask: Ask, stranger: tuple[HttpsServer, list[Reply]], reply: Reply, kind: str, words: str
) -> None:
    server, replies = stranger
    replies.append(reply)
    refused = ask("vm_info", url=[server.url("stranger")])
    assert (refused.failed, refused.result["kind"]) == (True, kind)
    assert words in refused.result["msg"]


@pytest.mark.parametrize(
    ("reach", "kind"),
    [
        ({"url": None}, "invalid_request"),
        ({"url": ["https://[::1"]}, "invalid_request"),
        ({"url": ["ftp://vsd.example.com"]}, "invalid_request"),
        ({"url": ["http://127.0.0.1:1"]}, "transport_error"),
        ({"ca_path": "/nonexistent"}, "invalid_request"),
    ],
)
def test_a_url_that_leads_nowhere(ask: Ask, reach: dict[str, Any], kind: str) -> None:
    assert ask("vm_info", **reach).result["kind"] == kind


@pytest.mark.parametrize("manners", [{"tls": True}])
def test_a_certificate_that_nobody_vouches_for(ask: Ask, server: VsdServer, manners: dict[str, Any]) -> None:
    refused = ask("vm_info")
    assert (refused.failed, refused.result["kind"]) == (True, "backend_error")
    assert "certificate" in refused.result["msg"]
    assert not ask("vm_info", validate_certs=False).failed


def test_reads_are_repeated_on_the_next_url(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web")
    server.fail_next("dropped", "/compute/list")
    assert [vm["name"] for vm in ask("vm_info").result["vms"]] == ["web"]
    server.fail_next(502, "/compute/inspect")
    told = ask("vm_info", url=[server.url, f"{server.url}/"], name="web", gather=["config"])
    assert [vm["name"] for vm in told.result["vms"]] == ["web"]


def test_a_cluster_that_fails_inside_of_a_success(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web")
    server.break_cluster(server.cluster)
    refused = ask("vm_info")
    assert (refused.failed, refused.result["kind"]) == (True, "backend_error")
    assert "集群无法访问" in refused.result["msg"]
    # it is not gone: nobody could be asked
    assert ask("vm", name="web", state="absent").failed


def test_passwords_of_consoles_are_in_no_result(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web", state="running")
    server.entry.tells_details = True
    answers = [
        ask("vm_snapshot", name="web", snapshot="a"),
        ask("vm_snapshot", name="web", snapshot="a", state="reverted", force=True),
        ask("vm_info", name="web", gather=["config", "snapshots", "agent", "pending"]),
        ask("vm_clone", source="web", name="copy"),
    ]
    for answer in answers:
        assert not answer.failed, answer.result
        assert "HUSH" not in answer.text
        assert server.password not in answer.text
