# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Consoles: the token, where it leads, and the session that it needs."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.zstack.console import console_of
from ansible_collections.anyvirt.compute.tests.servers.zs.console import TOKEN_SECONDS, token_of
from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
from ansible_collections.anyvirt.compute.tests.unit.zstack.cloud import Ask, connection_to
from ansible_collections.anyvirt.compute.tests.unit.zstack.test_sessions import credentials, key_of


def is_open(server: ZStackServer, console: dict[str, Any]) -> bool:
    return token_of(server.state, server.state.vm_row("web")) == console["token"]


def test_a_token_and_where_it_leads(ask: Ask, server: ZStackServer) -> None:
    server.add_vm("web", host="host-1")
    foretold = ask("vm_console", check=True, name="web")
    assert (foretold.changed, "console" in foretold.result, server.writes) == (True, False, [])
    opened = ask("vm_console", name="web")
    assert opened.changed
    console = opened.result["console"]
    assert is_open(server, console)
    page, query = urlsplit(console["url"]), parse_qs(urlsplit(console["url"]).query)
    assert (page.scheme, page.netloc, page.path) == ("http", "127.0.0.1:5000", "/novnc/index.html")
    assert query == {"host": ["192.0.2.1"], "port": ["4900"], "token": [console["token"]], "title": ["web"]}
    assert console["websocket"] == f"ws://192.0.2.1:4900/websockify?token={console['token']}"
    assert (console["web_port"], console["vnc_port"], console["pid"], console["password"]) == (4900, None, None, None)


@pytest.mark.parametrize("offset", [0, 8])
def test_the_time_of_its_end_is_told(offset: int) -> None:
    with ZStackServer(speed=0, task_seconds=0, utc_offset=offset) as server:
        server.add_vm("web")
        opened = run("vm_console", {**connection_to(server), "name": "web"}).result["console"]
        assert opened["expires"] - server.state.clock.now() == pytest.approx(TOKEN_SECONDS, abs=1)


def test_a_websocket_is_there_whether_it_is_asked_for_or_not(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    told = [ask("vm_console", name="web", websocket=wanted).result["console"]["websocket"] for wanted in (False, True)]
    assert told[0] == told[1] and told[0].startswith("ws://")


def test_the_same_token_gets_more_time(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    first = ask("vm_console", name="web").result["console"]
    server.advance(TOKEN_SECONDS - 60)
    again = ask("vm_console", name="web")
    assert again.changed
    assert again.result["console"]["token"] == first["token"]
    server.advance(TOKEN_SECONDS - 60)
    assert is_open(server, first)
    server.advance(TOKEN_SECONDS + 1)
    assert not is_open(server, first)
    assert ask("vm_console", name="web").result["console"]["token"] != first["token"]


@pytest.mark.parametrize("kind", ["account", "user", "iam2", "ldap"])
def test_the_session_of_the_token_stays_open_and_no_other(kind: str, server: ZStackServer, ask: Ask) -> None:
    """The server closes a console with the session that opened it."""
    server.add_vm("web")
    console = ask("vm_console", name="web", login_type=kind, **credentials(server, kind)).result["console"]
    assert is_open(server, console)
    assert list(server.state.access.sessions) == [console["token"][:32]]
    ask("vm_console", name="web", login_type=kind, **credentials(server, kind))
    assert list(server.state.access.sessions) == [console["token"][:32]]


def test_a_session_of_a_project_stays_open(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    told = ask("vm_console", name="web", login_type="iam2", project="project-1", **credentials(server, "iam2"))
    assert is_open(server, told.result["console"])


def test_after_a_failure_nothing_stays_open(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    server.plan_job("RequestConsoleAccess", code="SYS.1006", details="the console agent is not connected")
    told = ask("vm_console", name="web")
    assert (told.failed, told.result["kind"], told.changed) == (True, "task_failed", False)
    assert "agent is not connected" in told.result["msg"]
    assert server.state.access.sessions == {}


def test_a_key_has_no_session_to_keep(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    assert is_open(server, ask("vm_console", name="web", **key_of(server)).result["console"])
    assert not {"LogInByAccount", "LogOut"} & server.reached


def test_a_session_that_ends_before_the_job_begins_is_replaced(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    server.fail_next("none", api="ZQLQuery", then=lambda: server.expire_sessions(1))
    console = ask("vm_console", name="web").result["console"]
    assert is_open(server, console)
    assert list(server.state.access.sessions) == [console["token"][:32]]


@pytest.mark.parametrize("kind", ["lost", "dropped", 502])
def test_a_lost_answer_opens_it_once(kind: str | int, server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    server.fail_next(kind, api="RequestConsoleAccess")
    assert is_open(server, ask("vm_console", name="web").result["console"])
    assert len({one.job for one in server.requests if one.api == "RequestConsoleAccess" and one.job}) == 1


def test_the_token_stands_in_the_console_only(server: ZStackServer, ask: Ask) -> None:
    vm = server.add_vm("web")
    told = ask("vm_console", name="web")
    token = told.result.pop("console")["token"]
    assert token not in told.text and token[:32] not in told.text
    assert told.result["task"]["id"] == f"zstack:console:{vm['uuid']}"
    details = f"[Errno 28] No space left on device: '/var/lib/zstack/consoleProxy/{token[:32]}_{vm['uuid']}'"
    server.plan_job("RequestConsoleAccess", code="SYS.1006", details=details)
    told = ask("vm_console", name="web")
    assert "No space left" in told.result["msg"]
    assert token[:32] not in told.text


def test_its_job_is_told_to_nobody(server: ZStackServer, ask: Ask) -> None:
    """The server asks nobody who wants to know what came of a job for a login."""
    server.add_vm("web")
    server.plan_job("RequestConsoleAccess", stuck=True)
    late = ask("vm_console", name="web", timeout=1)
    server.fail_next("lost", api="RequestConsoleAccess", times=2)
    server.fail_some(1.0, "dropped", api="QueryApiJob")
    lost = ask("vm_console", name="web")
    server.stop_failing()
    told = [late, lost, ask("vm_console", name="web")]
    assert [one.result.get("kind") for one in told] == ["task_timeout", "transport_error", None]
    assert "Run the task again" in late.result["msg"] and "Run the task again" in lost.result["msg"]
    jobs = {one.job for one in server.requests if one.job}
    assert len(jobs) >= 3
    assert not [job for job in jobs for one in told if job in one.text]


@pytest.mark.parametrize("state", ["Paused", "Crashed", "NoState"])
def test_who_does_not_run_may_have_a_screen(state: str, server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", state)
    assert is_open(server, ask("vm_console", name="web").result["console"])


@pytest.mark.parametrize("state", ["Stopped", "Created"])
def test_a_stopped_vm_has_none(state: str, server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", state)
    for check in (True, False):
        told = ask("vm_console", check=check, name="web")
        assert (told.failed, told.result["kind"], told.changed) == (True, "conflict", False)
    assert server.writes == []


@pytest.mark.parametrize(
    "option",
    [
        {"web_port": 7000},
        {"vnc_port": 5901},
        {"listen": "0.0.0.0"},
        {"expires_after": 60},
        {"novnc_path": "/usr/share/novnc"},
        {"state": "absent"},
    ],
)
def test_what_it_does_not_have_is_refused_before_anything_is_asked(
    option: dict[str, Any], server: ZStackServer, ask: Ask
) -> None:
    name = {} if "vnc_port" in option else {"name": "web"}
    for check in (True, False):
        assert ask("vm_console", check=check, **name, **option).result["kind"] == "unsupported"
    assert server.requests == []


def test_who_may_not_is_told(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    server.state.access.people["account", "admin"].denied.add("RequestConsoleAccess")
    told = ask("vm_console", name="web")
    assert (told.failed, told.changed) == (True, False)
    assert "ID.1002" in told.result["msg"]


def test_the_screen_of_another_hypervisor() -> None:
    """It is the hypervisor itself that is connected to, and ZStack's page is not known."""
    told = {"scheme": "wss", "hostname": "2001:db8::7", "port": 443.0, "token": "/ticket/abc"}
    assert console_of(told, "web", "zstack.example.com", 0) == {
        "url": None,
        "websocket": "wss://[2001:db8::7]:443/ticket/abc",
        "token": "/ticket/abc",
        "web_port": 443,
        **dict.fromkeys(("password", "expires", "vnc_port", "pid")),
    }


def test_a_title_is_quoted() -> None:
    told = {"scheme": "http", "hostname": "192.0.2.1", "port": 4900, "token": "t", "expiredDate": "?"}
    made = console_of(told, "a&b c", "2001:db8::7", 0)
    assert made["url"] == "http://[2001:db8::7]:5000/novnc/index.html?host=192.0.2.1&port=4900&token=t&title=a%26b+c"
    assert made["expires"] is None
