# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Consoles: the page of the web interface, and a WebSocket for one connection."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox.api import Api
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox.console import Consoles
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
from ansible_collections.anyvirt.compute.tests.unit.proxmox.cluster import connection_to
from ansible_collections.anyvirt.compute.tests.unit.proxmox.conftest import Ask

VM = "/nodes/{node}/qemu/{vmid}"
NOTHING = ("websocket", "token", "password", "expires", "vnc_port", "pid")


@pytest.fixture(params=["8.4", "9.2"])
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def vms(server: ProxmoxServer) -> None:
    server.add_vm(200, "web.example", running=True, memory="512")
    server.add_vm(201, "off", memory="512")
    server.add_vm(202, "away", "pve2", running=True, paused=True, memory="512")


def come(server: ProxmoxServer, address: str, **headers: str) -> requests.Response:
    """What a program is answered that goes where the console says, before it asks for a WebSocket."""
    assert address.startswith("wss://")
    sent = headers or server.authorization
    return requests.get(f"https{address[3:]}", headers=sent, verify=server.ca_path, timeout=20)


# --- the page


@pytest.mark.parametrize(("name", "vmid", "node"), [("web.example", "200", "pve1"), ("off", "201", "pve1")])
def test_the_page_of_the_web_interface_is_there_always(
    name: str, vmid: str, node: str, ask: Ask, server: ProxmoxServer
) -> None:
    for check in (True, False):
        told = ask("vm_console", check=check, name=name)
        assert (told.failed, told.changed) == (False, False), told.result
        console = told.result["console"]
        parts = urlsplit(console["url"])
        assert f"{parts.scheme}://{parts.netloc}" == server.url
        assert parse_qs(parts.query) == {
            **{"console": ["kvm"], "novnc": ["1"], "resize": ["off"]},
            **{"vmid": [vmid], "vmname": [name], "node": [node]},
        }
        assert console["web_port"] == server.port
        assert [console[part] for part in NOTHING] == [None] * len(NOTHING)
        assert told.result["diff"]["before"] == told.result["diff"]["after"]
    assert server.writes == []


def test_the_page_is_that_of_the_endpoint_that_answers(ask: Ask, server: ProxmoxServer) -> None:
    told = ask("vm_console", name="away", url=["https://127.0.0.1:1", server.urls[1]])
    assert told.result["console"]["url"].startswith(f"{server.urls[1]}/?")


def test_an_address_with_colons_is_bracketed() -> None:
    consoles = Consoles(Api({"url": ["https://[2001:db8::1]:8007"], "validate_certs": True}))
    assert consoles.of({"id": "1", "name": "a b&c", "node": "n"})["url"] == (
        "https://[2001:db8::1]:8007/?console=kvm&novnc=1&vmid=1&vmname=a+b%26c&node=n&resize=off"
    )


def test_of_a_name_that_nobody_has_there_is_no_page(ask: Ask) -> None:
    assert ask("vm_console", name="nobody").result["kind"] == "not_found"


# --- a WebSocket


def test_a_websocket_takes_one_connection(ask: Ask, server: ProxmoxServer) -> None:
    foretold = ask("vm_console", check=True, name="web.example", websocket=True)
    assert (foretold.changed, server.writes) == (True, [])
    opened = ask("vm_console", name="web.example", websocket=True)
    assert opened.changed
    console = opened.result["console"]
    (proxy,) = server.state.proxies
    assert (console["token"], console["password"]) == (proxy.ticket, proxy.password)
    assert console["url"].startswith(f"{server.url}/?console=kvm")
    assert console["websocket"].startswith(f"wss://127.0.0.1:{server.port}/api2/json/nodes/pve1/qemu/200/vncwebsocket?")
    assert come(server, console["websocket"]).json() == {"data": {"port": str(proxy.port)}}
    assert come(server, console["websocket"]).status_code == 401


def test_each_run_opens_another(ask: Ask, server: ProxmoxServer) -> None:
    opened = [ask("vm_console", name="web.example", websocket=True) for _run in range(2)]
    assert [one.changed for one in opened] == [True, True]
    assert len({one.result["console"]["websocket"] for one in opened}) == 2
    for one in opened:
        assert come(server, one.result["console"]["websocket"]).ok


def test_a_websocket_to_which_nobody_comes_ends(ask: Ask, server: ProxmoxServer) -> None:
    """Nothing waits for its task, which lasts for as long."""
    opened = ask("vm_console", name="web.example", websocket=True)
    (task,) = [one for one in server.state.tasks.by_upid.values() if one.type == "vncproxy"]
    assert task.running
    assert "GET /nodes/{node}/tasks/{upid}/status" not in server.reached
    server.advance(10)
    server.settle()
    assert (task.exitstatus, server.state.proxies) == ("connection timed out", [])
    assert come(server, opened.result["console"]["websocket"]).status_code == 401


def test_it_is_open_on_the_node_that_is_asked(ask: Ask, server: ProxmoxServer) -> None:
    """A VM of another node is reached through that one; it may be paused."""
    opened = ask("vm_console", name="away", websocket=True).result["console"]
    assert opened["websocket"].startswith(f"wss://127.0.0.1:{server.port}/api2/json/nodes/pve2/qemu/202/")
    assert server.state.proxies[0].node == "pve1"
    assert come(server, opened["websocket"]).ok
    opened = ask("vm_console", name="away", websocket=True, url=[server.urls[1]]).result["console"]
    assert opened["websocket"].startswith(f"wss{server.urls[1][5:]}/")
    assert come(server, opened["websocket"]).ok


def test_it_is_open_for_who_had_it_opened(server: ProxmoxServer) -> None:
    server.state.access.add_user("guest@pve")
    server.state.access.grant("/", "guest@pve", "VM.Audit", "VM.Console")
    secret = server.state.access.add_token("guest@pve", "see", privsep=False)
    options = {**connection_to(server), "token_id": "guest@pve!see", "token_secret": secret}
    opened = run("vm_console", {**options, "name": "web.example", "websocket": True})
    assert not opened.failed, opened.result
    address = opened.result["console"]["websocket"]
    assert come(server, address).status_code == 401
    assert come(server, address, Authorization=f"PVEAPIToken=guest@pve!see={secret}").ok


def test_the_ticket_stands_in_the_console_only(ask: Ask, server: ProxmoxServer) -> None:
    told = ask("vm_console", name="web.example", websocket=True)
    console = told.result.pop("console")
    for secret in (console["token"], console["password"], server.token_secret):
        assert secret not in told.text
    assert told.result["diff"]["before"] != told.result["diff"]["after"]


# --- what cannot be


def assert_refused(ask: Ask, server: ProxmoxServer, kind: str, *texts: str, **options: Any) -> None:
    for check in (True, False):
        told = ask("vm_console", check=check, **options)
        assert (told.failed, told.result["kind"], told.changed) == (True, kind, False), told.result
        for text in texts:
            assert text in told.result["msg"]
    assert server.writes == []


def test_a_stopped_vm_has_no_screen(ask: Ask, server: ProxmoxServer) -> None:
    assert_refused(ask, server, "conflict", "off is stopped", "Start it", name="off", websocket=True)


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
    option: dict[str, Any], ask: Ask, server: ProxmoxServer
) -> None:
    name = {} if "vnc_port" in option else {"name": "web.example"}
    assert_refused(ask, server, "unsupported", **name, **option)
    assert server.requests == []


def test_who_may_not_see_the_screen_is_told(server: ProxmoxServer) -> None:
    server.state.access.add_user("guest@pve")
    server.state.access.grant("/", "guest@pve", "VM.Audit")
    secret = server.state.access.add_token("guest@pve", "see", privsep=False)
    options = {**connection_to(server), "token_id": "guest@pve!see", "token_secret": secret}
    told = run("vm_console", {**options, "name": "web.example", "websocket": True})
    assert (told.result["kind"], told.changed) == ("permission_denied", False)
    assert "VM.Console" in told.result["msg"]


@pytest.mark.parametrize("kind", ["lost", "dropped", 596])
def test_a_lost_answer_leaves_nothing_behind(kind: str | int, ask: Ask, server: ProxmoxServer) -> None:
    server.fail_next(kind, method="POST", path="/vncproxy$")
    told = ask("vm_console", name="web.example", websocket=True)
    assert (told.failed, told.result["kind"], told.changed) == (True, "transport_error", False)
    assert "Run the task again" in told.result["msg"]
    assert len([one for one in server.writes if one.path.endswith("/vncproxy")]) == 1
    assert come(server, ask("vm_console", name="web.example", websocket=True).result["console"]["websocket"]).ok


def test_a_vm_that_has_moved_meanwhile_is_told(ask: Ask, server: ProxmoxServer) -> None:
    server.fail_next("none", method="GET", path="/status/current$", then=lambda: server.move_vm(200, "pve2"))
    told = ask("vm_console", id="200", websocket=True)
    assert (told.failed, told.result["kind"], told.changed) == (True, "not_found", False)
    assert ask("vm_console", id="200", websocket=True).changed


def test_a_vm_that_is_held_by_a_task_has_a_screen(ask: Ask, server: ProxmoxServer) -> None:
    server.lock_vm(200)
    assert ask("vm_console", name="web.example", websocket=True, timeout=1).changed
