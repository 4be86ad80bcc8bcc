# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pages with the console of a VM."""

from __future__ import annotations

import pathlib

from ansible_collections.anyvirt.compute.tests.servers.qemu_api import QemuApiServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
from ansible_collections.anyvirt.compute.tests.unit.qemu_api.conftest import Ask
from ansible_collections.anyvirt.compute.tests.unit.qemu_api.manager import connection_to


def test_a_page_of_one_vm_and_of_any(ask: Ask, server: QemuApiServer, dialect: str) -> None:
    server.add_vm("web", running=True, vncPort=5903)
    foretold = ask("vm_console", check=True, name="web")
    assert (foretold.changed, "console" in foretold.result) == (True, False)
    opened = ask("vm_console", name="web").result["console"]
    assert (opened["vnc_port"], opened["web_port"]) == (5903, 6083)
    assert str(opened["web_port"]) in opened["url"]
    assert bool(opened["token"]) is (dialect == "documented")
    assert opened["pid"] in server.world.processes
    for port in (5903, 3):
        again = ask("vm_console", vnc_port=port)
        assert again.result["console"]["url"] == opened["url"]
        assert again.vm["name"] == "web"
        assert again.changed is (dialect == "documented")
    assert len([one for one in server.commands() if "novnc" in one]) == 1


def test_the_token_stands_in_the_page_only(ask: Ask) -> None:
    with QemuApiServer("documented") as server:
        server.add_vm("web", running=True)
        result = dict(run("vm_console", {**connection_to(server), "name": "web"}).result)
        token = result.pop("console")["token"]
        assert token not in str(result)


def test_a_web_port_of_its_own(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", running=True, vncPort=5903)
    assert ask("vm_console", name="web", web_port=7000).result["console"]["web_port"] == 7000


def test_a_page_that_is_elsewhere_already(ask: Ask, server: QemuApiServer, dialect: str) -> None:
    server.add_vm("web", running=True, vncPort=5903)
    ask("vm_console", name="web")
    moved = ask("vm_console", name="web", web_port=7000)
    if dialect == "voidvm":
        assert moved.result["console"]["web_port"] == 7000
    else:
        assert (moved.failed, moved.result["kind"], moved.changed) == (True, "conflict", False)
        assert "is at web port 6083 and not 7000" in moved.result["msg"]


def test_who_has_no_console(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web")
    for options, kind in (
        ({"name": "web"}, "conflict"),
        ({"name": "nobody"}, "not_found"),
        ({"vnc_port": 5999}, "not_found"),
        ({"vnc_port": 5900}, "conflict"),
    ):
        for check in (True, False):
            refused = ask("vm_console", check=check, **options)
            assert (refused.failed, refused.result["kind"]) == (True, kind), refused.result
    assert server.writes == []


def test_a_page_that_does_not_open(ask: Ask, server: QemuApiServer, dialect: str) -> None:
    """The open-source server tells it inside a 200."""
    server.add_vm("web", running=True, vncPort=5903)
    server.voidvm.proxy_works = False
    server.world.taken.add(6083 if dialect == "documented" else 1)
    told = ask("vm_console", name="web")
    assert (told.failed, told.result["kind"], told.changed) == (
        True,
        "conflict" if dialect == "documented" else "backend_error",
        False,
    )


def test_backends_without_consoles_have_no_port_to_look_for(tmp_path: pathlib.Path) -> None:
    refused = run("vm_console", {"backend": "qemu", "state_dir": str(tmp_path / "state"), "vnc_port": 5900})
    assert (refused.failed, refused.result["kind"]) == (True, "unsupported")
    assert not (tmp_path / "state").exists()
