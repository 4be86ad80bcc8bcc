# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sessions: every kind of login, always logged out, renewed when they end; and access keys."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
from ansible_collections.anyvirt.compute.tests.unit.zstack.cloud import Ask, connection_to

LOGINS = ("LogInByAccount", "LogInByUser", "LogInByLdap", "LoginIAM2VirtualID", "LoginIAM2Project")


def credentials(server: ZStackServer, kind: str) -> dict[str, Any]:
    return {
        "account": {"username": server.account, "password": server.password},
        "user": {"username": f"admin/{server.user}", "password": server.user_password},
        "iam2": {"username": server.virtual_id, "password": server.virtual_id_password},
        "ldap": {"username": server.ldap_uid, "password": server.ldap_password},
    }[kind]


@pytest.mark.parametrize("kind", ["account", "user", "iam2", "ldap"])
def test_every_kind_of_login_ends_with_a_logout(kind: str, server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    answer = ask("vm_info", login_type=kind, **credentials(server, kind))
    assert [vm["name"] for vm in answer.result["vms"]] == ["web"]
    apis = [one.api for one in server.requests]
    assert apis[0] in LOGINS
    assert apis[-1] == "LogOut"
    assert server.state.access.sessions == {}


def test_a_project_has_a_session_of_its_own(server: ZStackServer, ask: Ask) -> None:
    answer = ask("vm_info", login_type="iam2", project="project-1", **credentials(server, "iam2"))
    assert not answer.failed, answer.result
    assert [one.api for one in server.requests][:2] == ["LoginIAM2VirtualID", "LoginIAM2Project"]
    assert server.state.access.sessions == {}
    refused = ask("vm_info", login_type="iam2", project="nobody", **credentials(server, "iam2"))
    assert refused.result["kind"] == "permission_denied"
    assert server.state.access.sessions == {}


@pytest.mark.parametrize("given", [{"project": "project-1"}, {"login_type": "user"}])
def test_what_does_not_fit_the_kind_of_login_is_told(given: dict[str, str], server: ZStackServer, ask: Ask) -> None:
    assert ask("vm_info", **given).result["kind"] == "invalid_request"
    assert server.requests == []


def test_a_password_goes_over_the_wire_as_its_digest(server: ZStackServer, ask: Ask) -> None:
    ask("vm_info")
    assert server.requests[0].params["password"] == hashlib.sha512(server.password.encode()).hexdigest()


@pytest.mark.parametrize("kind", ["account", "user", "iam2", "ldap"])
def test_a_wrong_password_is_told_and_not_shown(kind: str, server: ZStackServer, ask: Ask) -> None:
    given = {**credentials(server, kind), "password": "HUSH"}
    answer = ask("vm_info", login_type=kind, **given)
    assert answer.result["kind"] == "authentication_failed"
    assert "HUSH" not in answer.text
    assert len(server.requests) == 1


def test_after_a_failure_too_there_is_a_logout(server: ZStackServer, ask: Ask) -> None:
    assert ask("vm_power", name="nobody", state="started").result["kind"] == "not_found"
    assert server.requests[-1].api == "LogOut"
    assert server.state.access.sessions == {}


def test_a_logout_that_fails_hides_nothing(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    server.fail_next("dropped", api="LogOut")
    assert [vm["name"] for vm in ask("vm_info").result["vms"]] == ["web"]


def test_the_quota_of_sessions_is_told(server: ZStackServer, ask: Ask) -> None:
    server.state.access.limit = 1
    server.session()
    answer = ask("vm_info")
    assert (answer.result["kind"], answer.result["code"]) == ("authentication_failed", "ID.1006")
    assert "two hours" in answer.result["msg"]


@pytest.mark.parametrize("after", range(8))
def test_a_session_that_ends_in_the_middle_is_replaced(after: int, server: ZStackServer, ask: Ask) -> None:
    """Reads say so at once; of a write only its job says it, and then nothing was done."""
    vm = server.add_vm("web", "Stopped")

    def expire() -> None:
        server.expire_sessions(after)

    server.fail_next("none", api="LogInByAccount", then=expire)
    done = ask("vm_config", name="web", description="new", tags=["a"])
    assert not done.failed, done.result
    assert (done.vm["description"], done.vm["tags"]) == ("new", ["a"])
    assert server.vm(vm["uuid"])["description"] == "new"
    updates = [one for one in server.requests if one.api == "CreateUserTag"]
    assert len(updates) <= 2
    assert [one.api for one in server.requests].count("LogInByAccount") == (2 if after < 6 else 1)


def test_a_session_error_in_a_job_of_another_play_is_told(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    server.plan_job("PauseVmInstance", code="ID.1001", details="Session expired")
    begun = ask("vm_power", name="web", state="paused", wait=False)
    assert begun.changed
    told = ask("task_wait", tasks=[begun.result["task"]["id"]])
    assert told.failed
    assert "ID.1001" in told.result["msg"]


def test_names_that_may_not_all_be_read_are_asked_for_one_by_one(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", host="host-1")
    server.fail_next(
        "none", api="ZQLQuery", then=lambda: server.fail_next("ID.1002", api="ZQLQuery", message="not yours") and None
    )
    (told,) = ask("vm_info", name="web", gather=["config"]).result["vms"]
    assert (told["node"], told["nics"][0]["network"]) == ("host-1", "net-1")


# --- access keys


def key_of(server: ZStackServer) -> dict[str, Any]:
    return {
        "username": None,
        "password": None,
        "access_key_id": server.access_key_id,
        "access_key_secret": server.access_key_secret,
    }


def test_an_access_key_needs_no_session(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    done = ask("vm_power", name="web", state="started", **key_of(server))
    assert not done.failed, done.result
    assert not {"LogInByAccount", "LogOut"} & server.reached


def test_a_date_is_told_in_the_time_zone_of_the_server() -> None:
    with ZStackServer(utc_offset=8, task_seconds=0.005) as server:
        options = {name: value for name, value in {**connection_to(server), **key_of(server)}.items() if value}
        skewed = run("vm_info", options)
        assert skewed.result["kind"] == "authentication_failed"
        assert "server_timezone" in skewed.result["msg"]
        assert not run("vm_info", {**options, "server_timezone": "+08:00"}).failed
        wrong = run("vm_info", {**options, "server_timezone": "8"})
        assert wrong.result["kind"] == "invalid_request"


@pytest.mark.parametrize("context", ["", "/zstack", "/some/where"])
def test_the_context_path_is_not_signed(context: str) -> None:
    with ZStackServer(context=context, task_seconds=0.005) as server:
        options = {name: value for name, value in {**connection_to(server), **key_of(server)}.items() if value}
        url = server.url if context == "/zstack" else f"{server.url}{context}/v1"
        assert not run("vm_info", {**options, "url": [url]}).failed


@pytest.mark.parametrize("which", ["access_key_id", "access_key_secret"])
def test_a_wrong_key_is_told_and_not_shown(which: str, server: ZStackServer, ask: Ask) -> None:
    answer = ask("vm_info", **{**key_of(server), which: "HUSH"})
    assert answer.result["kind"] == "authentication_failed"
    assert server.access_key_secret not in answer.text


def test_without_credentials_nothing_is_sent(server: ZStackServer, ask: Ask) -> None:
    answer = ask("vm_info", username=None, password=None)
    assert answer.result["kind"] == "invalid_request"
    assert "access_key_id" in answer.result["msg"]
    assert server.requests == []


# --- the way there


def test_certificates_are_checked() -> None:
    with ZStackServer(tls=True, task_seconds=0.005) as server:
        options = connection_to(server)
        assert "ca_path" in run("vm_info", options).result["msg"]
        assert not run("vm_info", {**options, "ca_path": server.ca_path}).failed
        assert not run("vm_info", {**options, "validate_certs": False}).failed
        assert run("vm_info", {**options, "ca_path": __file__}).result["kind"] == "invalid_request"


@pytest.mark.parametrize("url", [[], ["ftp://host"], ["http://"], ["http://host:port"], ["http://[::1"]])
def test_a_url_that_cannot_be_read_is_told(url: list[str], ask: Ask) -> None:
    assert ask("vm_info", url=url).result["kind"] == "invalid_request"


def test_the_next_endpoint_is_asked_where_one_is_down(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    answer = ask("vm_info", url=["http://127.0.0.1:1", server.url])
    assert [vm["name"] for vm in answer.result["vms"]] == ["web"]


def test_a_server_that_is_not_zstack_is_told(server: ZStackServer, ask: Ask) -> None:
    answer = ask("vm_info", url=[f"{server.url}/elsewhere"])
    assert answer.result["kind"] == "backend_error"
    assert "/zstack/v1" in answer.result["msg"]
    server.forget()
