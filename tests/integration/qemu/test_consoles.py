# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Consoles: noVNC's page over HTTP, the screen behind a WebSocket, and tokens that end."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu import consoles, tools, websockify
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.console_tokens import TOKEN_FILE
from ansible_collections.anyvirt.compute.tests.console import (
    Viewer,
    assert_all_ended,
    free_port,
    is_shown,
    websockifys,
)
from ansible_collections.anyvirt.compute.tests.integration.qemu.lab import Failed, Lab, eventually
from ansible_collections.anyvirt.compute.tests.setup.novnc import pages

TINY = {"memory": "32", "cpu_type": "qemu64", "state": "started"}


class Room:
    """Two running VMs, whose guests are nothing but firmware, and a port for their consoles."""

    def __init__(self, lab):
        self.lab = lab
        self.port = free_port()
        self.options = {"web_port": self.port, "novnc_path": str(pages())}
        for name in ("one", "two"):
            lab.run("vm", name=name, **TINY)

    def open(self, name="one", **options):
        return self.lab.run("vm_console", name=name, **{**self.options, **options})

    def check(self, name="one", **options):
        return self.lab.check("vm_console", name=name, **{**self.options, **options})

    def close(self, name="one"):
        return self.lab.run("vm_console", name=name, state="absent")

    def age(self, name="one", seconds=10**6):
        """Have a console be that much older."""
        path = self.lab.folder(name) / TOKEN_FILE
        kept = json.loads(path.read_text())
        new = path.with_suffix(".new")
        new.write_text(json.dumps({**kept, "expires": kept["expires"] - seconds}))
        new.rename(path)

    @property
    def websockifys(self):
        """Without the processes of connections, which are in the session of theirs."""
        return [pid for pid in websockifys(self.lab.state_dir) if os.getsid(pid) == pid]


@pytest.fixture(scope="module")
def home(lab):
    yield Room(lab)
    lab.clear()
    assert_all_ended(lab.state_dir)


@pytest.fixture
def room(home):
    """No console is open, neither before a test nor after it."""
    home.lab.run("vm", name="one", **TINY)
    yield home
    for name in ("one", "two"):
        home.close(name)
    assert_all_ended(home.lab.state_dir)
    assert home.lab.debris() == []


def page_of(console):
    with urllib.request.urlopen(console["url"], timeout=10) as answer:
        return answer.status, answer.read().decode()


def test_a_page_and_a_screen(room):
    foretold, real, again = room.check(), room.open(), room.open()
    assert [one["changed"] for one in (foretold, real, again, room.check())] == [True, True, False, False]
    assert "console" not in foretold
    assert foretold["diff"] == real["diff"]
    console = real["console"]
    assert again["console"] == console
    status, page = page_of(console)
    assert (status, "<title>noVNC</title>" in page) == (200, True)
    with Viewer(console["websocket"]) as viewer:
        assert viewer.title() == "QEMU (one)"
    assert console["url"].startswith(f"http://127.0.0.1:{room.port}/vnc.html#")
    assert console["token"] in console["url"]


def test_the_token_is_in_the_result_alone(room, monkeypatch):
    monkeypatch.setenv("ANYVIRT_PASSWORD", "HUSH-PASSWORD")
    real = room.open()
    token = real.pop("console")["token"]
    assert real["diff"]["after"]["console"]["web_port"] == room.port
    assert is_shown(f"ws://127.0.0.1:{room.port}/websockify?token={token}")
    assert not is_shown(f"ws://127.0.0.1:{room.port}/websockify?token={token}x")
    again = room.open()
    assert again.pop("console")["token"] == token
    (pid,) = room.websockifys
    seen = [Path(f"/proc/{pid}/{name}").read_text(errors="replace") for name in ("cmdline", "environ")]
    seen += [path.read_text() for path in (room.lab.state_dir / "consoles").rglob("*") if path.is_file()]
    for text in (*seen, json.dumps(real), json.dumps(again)):
        assert token not in text
        assert "HUSH-PASSWORD" not in text


def test_a_revoked_token_is_refused_and_ends_what_is_open(room):
    console = room.open()["console"]
    with Viewer(console["websocket"]) as viewer:
        viewer.title()
        foretold = room.lab.check("vm_console", name="one", state="absent")
        assert foretold["changed"]
        assert is_shown(console["websocket"])
        closed = room.close()
        assert closed["changed"]
        assert closed["diff"] == foretold["diff"]
        assert "console" not in closed
        with pytest.raises(ConnectionError):
            viewer.receive(1)
    assert not room.websockifys
    again = [room.close(), room.lab.check("vm_console", name="one", state="absent")]
    assert [one["changed"] for one in again] == [False, False]
    assert room.open("two")["changed"]
    assert not is_shown(console["websocket"])


def test_an_expired_token_is_refused_and_ends_what_is_open(room):
    console = room.open()["console"]
    room.open("two")
    with Viewer(console["websocket"]) as viewer:
        viewer.title()
        room.age()
        with pytest.raises(ConnectionError):
            viewer.receive(1)
    assert not is_shown(console["websocket"])
    assert room.lab.run("vm_console", name="one", state="absent")["changed"] is False
    renewed = room.open()
    assert renewed["changed"]
    assert renewed["console"]["token"] != console["token"]
    assert not is_shown(console["websocket"])


def test_when_the_last_console_expires_websockify_ends_without_a_task(room):
    room.open()
    room.open("two")
    room.age("one")
    room.age("two")
    assert_all_ended(room.lab.state_dir)
    assert room.open()["changed"]


def test_a_console_gets_more_time_when_half_of_it_is_over(room):
    console = room.open(expires_after=1000)["console"]
    room.age(seconds=400)
    assert not room.open(expires_after=1000)["changed"]
    with Viewer(console["websocket"]) as viewer:
        room.age(seconds=200)
        foretold, renewed = room.check(expires_after=1000), room.open(expires_after=1000)
        assert (foretold["changed"], renewed["changed"]) == (True, True)
        assert foretold["diff"] == renewed["diff"]
        assert renewed["diff"]["before"] != renewed["diff"]["after"]
        assert renewed["console"]["token"] == console["token"]
        assert renewed["console"]["expires"] >= console["expires"]
        assert viewer.title() == "QEMU (one)"


def test_a_hostile_token_leads_nowhere(room):
    console = room.open()["console"]
    tokens = ["", "*", "one", "../one/console", "%2e%2e%2fone%2fconsole.json", "%00", "%ff%fe", "%C3%A9", "None"]
    tokens += ["a" * 43, "a" * 30000, console["token"][:-1], console["token"] + "%00"]
    for query in ("", "token", "nekot=x", *(f"token={token}" for token in tokens)):
        assert not is_shown(f"ws://127.0.0.1:{room.port}/websockify?{query}"), query
    assert is_shown(console["websocket"])


def test_two_vms_share_a_websockify_and_nothing_else(room):
    one, two = room.open("one")["console"], room.open("two")["console"]
    assert len(room.websockifys) == 1
    assert one["token"] != two["token"]
    for name, console in (("one", one), ("two", two)):
        with Viewer(console["websocket"]) as viewer:
            assert viewer.title() == f"QEMU ({name})"
    room.close("one")
    assert (is_shown(one["websocket"]), is_shown(two["websocket"])) == (False, True)
    assert len(room.websockifys) == 1


def test_a_token_goes_with_its_vm(room):
    console = room.open()["console"]
    room.open("two")
    room.lab.remove("one")
    assert not is_shown(console["websocket"])
    room.lab.run("vm", name="one", **TINY)
    assert not is_shown(console["websocket"])
    assert room.check()["changed"]
    assert room.open()["console"]["token"] != console["token"]


def test_a_console_outlives_a_restart_of_its_vm(room):
    console = room.open()["console"]
    room.lab.run("vm_power", name="one", state="stopped", force=True, shutdown_timeout=0)
    assert not is_shown(console["websocket"])
    for ask in (room.check, room.open):
        with pytest.raises(Failed, match="it has no screen") as refused:
            ask()
        assert refused.value.kind == "conflict"
    room.lab.run("vm_power", name="one", state="started")
    assert is_shown(console["websocket"])
    assert not room.open()["changed"]


def test_a_console_of_a_vm_that_is_off_can_be_closed(room):
    console = room.open()["console"]
    room.lab.run("vm_power", name="one", state="stopped", force=True, shutdown_timeout=0)
    assert room.close()["changed"]
    room.lab.run("vm_power", name="one", state="started")
    assert room.open()["changed"]
    assert not is_shown(console["websocket"])


def test_a_websockify_that_was_killed_is_started_again_and_knows_the_tokens(room):
    console = room.open()["console"]
    (pid,) = room.websockifys
    with Viewer(console["websocket"]) as viewer:
        viewer.title()
        # the connection has a process of its own, which must not keep the port
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: room.check()["changed"])
        again = room.open()
        assert again["changed"]
        assert again["console"]["token"] == console["token"]
        with pytest.raises(ConnectionError):
            viewer.receive(1)
    assert is_shown(console["websocket"])


@pytest.mark.parametrize("asked", [b"GET /vnc.html HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /vnc"])
@pytest.mark.parametrize("is_killed", [False, True])
def test_who_stays_connected_keeps_neither_the_port_nor_the_lock(room, asked, is_killed):
    """A browser does so for minutes after it has got a page."""
    room.open()
    with socket.create_connection(("127.0.0.1", room.port), timeout=10) as browser:
        browser.sendall(asked)
        eventually(lambda: len(websockifys(room.lab.state_dir)) == 2)
        if is_killed:
            os.kill(*room.websockifys, signal.SIGKILL)
        else:
            room.close()
        assert_all_ended(room.lab.state_dir)
    assert is_shown(room.open()["console"]["websocket"])


def test_where_processes_are_not_forked_unless_asked_for(room, monkeypatch, tmp_path):
    """As with Python 3.14: the process of a connection would be no child of websockify, and know nothing of its end."""
    program = tmp_path / "websockify"
    program.write_text(
        f"#!{sys.executable}\nimport multiprocessing, runpy\nmultiprocessing.set_start_method('forkserver')\n"
        f"runpy.run_path({tools.program('websockify')!r}, run_name='__main__')\n"
    )
    program.chmod(0o700)
    monkeypatch.setattr(tools, "_PATH", f"{tmp_path}:{tools._PATH}")
    console = room.open()["console"]
    with Viewer(console["websocket"]) as viewer:
        viewer.title()
        assert len(websockifys(room.lab.state_dir)) == 2
        room.close()
        with pytest.raises(ConnectionError):
            viewer.receive(1)


def test_a_console_can_be_closed_though_websockify_was_killed(room):
    console = room.open()["console"]
    os.kill(*room.websockifys, signal.SIGKILL)
    assert_all_ended(room.lab.state_dir)
    assert room.close()["changed"]
    room.open("two")
    assert not is_shown(console["websocket"])


def test_a_console_moves_to_another_port(room):
    console = room.open()["console"]
    port = free_port()
    moved = room.open(web_port=port)
    assert moved["changed"]
    assert moved["console"]["web_port"] == port
    assert is_shown(moved["console"]["websocket"])
    assert not is_shown(f"ws://127.0.0.1:{port}/websockify?token={console['token']}")
    eventually(lambda: len(room.websockifys) == 1)


def test_a_port_that_something_else_has(room):
    with socket.create_server(("127.0.0.1", room.port)):
        for ask in (room.check, room.open):
            with pytest.raises(Failed, match=f"Port {room.port} of 127.0.0.1 is in use") as refused:
                ask()
            assert (refused.value.kind, refused.value.result["changed"]) == ("conflict", False)
    assert not room.websockifys
    assert room.open()["changed"]


def test_a_port_that_consoles_at_another_address_have(room):
    room.open("two", listen="0.0.0.0")
    for ask in (room.check, room.open):
        with pytest.raises(
            Failed, match=r"in use by consoles of this state_dir. Close those first \(they have listen 0"
        ):
            ask()
    room.close("two")
    assert room.open()["changed"]


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"novnc_path": "/nowhere"}, "missing_library", "^novnc_path: there is no vnc.html of noVNC in /nowhere"),
        ({"listen": "localhost"}, "invalid_request", "is no IP address"),
        ({"listen": "192.0.2.1"}, "invalid_request", "of 192.0.2.1 cannot be used"),
        ({"listen": "fe80::1%lo"}, "invalid_request", "is an address of one link only"),
        ({"web_port": 0}, "invalid_request", "web_port: 0 is out of its range"),
        ({"expires_after": 0}, "invalid_request", "expires_after: 0 is out of its range"),
    ],
)
def test_what_cannot_be_is_told_in_check_mode_too(room, options, kind, told):
    for ask in (room.check, room.open):
        with pytest.raises(Failed, match=told) as refused:
            ask(**options)
        assert refused.value.kind == kind
    assert not room.websockifys


def test_without_websockify(room, monkeypatch, tmp_path):
    monkeypatch.setattr(tools, "_PATH", str(tmp_path))
    for ask in (room.check, room.open):
        with pytest.raises(Failed, match="apt install novnc websockify") as refused:
            ask()
        assert refused.value.kind == "missing_library"


def test_without_novnc(room, monkeypatch, tmp_path):
    monkeypatch.setattr(websockify, "PAGES", (str(tmp_path),))
    for ask in (room.check, room.open):
        with pytest.raises(Failed, match="apt install novnc websockify") as refused:
            ask(novnc_path=None)
        assert refused.value.kind == "missing_library"


def test_pages_are_needed_for_the_first_console_of_a_port(room):
    room.open("one")
    for ask in (room.check, room.open):
        assert ask("two", novnc_path="/nowhere")["changed"]


def test_a_websockify_that_does_not_start(room, monkeypatch, tmp_path):
    broken = tmp_path / "websockify"
    broken.write_text("#!/bin/sh\necho 'no module named numpy' >&2\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setattr(tools, "_PATH", f"{tmp_path}:{tools._PATH}")
    with pytest.raises(Failed, match="websockify did not start: no module named numpy") as refused:
        room.open()
    assert (refused.value.kind, refused.value.result["changed"]) == ("backend_error", False)
    monkeypatch.undo()
    assert room.open()["changed"]


def test_a_websockify_that_neither_starts_nor_ends(room, monkeypatch, tmp_path):
    deaf = tmp_path / "websockify"
    deaf.write_text("#!/bin/sh\nexec sleep 600\n")
    deaf.chmod(0o700)
    monkeypatch.setattr(tools, "_PATH", f"{tmp_path}:{tools._PATH}")
    with pytest.raises(Failed, match=r"websockify did not start within [01]\.\d s: it said nothing"):
        room.open(timeout=1)


def test_a_websockify_that_does_not_answer(room):
    room.open()
    (pid,) = room.websockifys
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Failed, match=r"runs, and did not answer within [01]\.\d s"):
            room.open("two", timeout=1)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert room.open("two")["changed"]


def test_what_ended_is_swept_with_the_next_console(room):
    consoles_dir = room.lab.state_dir / "consoles"
    ports = [free_port() for _turn in range(2)]
    room.open("two")
    room.age("two")
    assert_all_ended(room.lab.state_dir)
    # of a run that was killed while it wrote
    (consoles_dir / f"127.0.0.1-{room.port}" / ".new-unfinished").touch()
    (consoles_dir / "notes").touch()
    room.open(web_port=ports[0])
    assert {path.name for path in consoles_dir.iterdir()} == {f"127.0.0.1-{ports[0]}", "notes"}
    assert not (room.lab.folder("two") / TOKEN_FILE).exists()
    # neither one that runs, nor one that has to be started again for a token
    room.open("two", web_port=ports[1])
    os.kill(next(pid for pid in room.websockifys if str(ports[0]) in command_of(pid)), signal.SIGKILL)
    room.close("two")
    assert {path.name for path in consoles_dir.iterdir()} == {f"127.0.0.1-{ports[0]}", "notes"}
    room.close()
    assert [path.name for path in consoles_dir.iterdir()] == ["notes"]
    (consoles_dir / "notes").unlink()


def command_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_text()


@pytest.mark.parametrize("missing", ["listen", "web_port", "token", "server"])
def test_a_console_of_which_a_part_is_missing_is_none(room, missing):
    console = room.open()["console"]
    path = room.lab.folder("one") / TOKEN_FILE
    kept = json.loads(path.read_text())
    del kept[missing]
    path.write_text(json.dumps(kept))
    assert not room.close()["changed"]
    opened = room.open()
    assert opened["changed"]
    assert opened["console"]["token"] != console["token"]


@pytest.mark.parametrize("moment", ["_start", "ensure"])
def test_a_run_that_is_killed_leaves_nothing(room, moment):
    """Before websockify answers, and before the token is written."""

    def prepare():
        original = getattr(websockify.Websockify, moment)

        def call(*arguments):
            original(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(websockify.Websockify, moment, call)

    room.lab.begin("vm_console", prepare, name="one", **room.options).wait()
    assert_all_ended(room.lab.state_dir)
    assert room.check()["changed"]
    assert is_shown(room.open()["console"]["websocket"])


def test_a_run_that_is_killed_while_websockify_starts(room):
    def prepare():
        websockify.Websockify._answers = lambda _server: os.kill(os.getpid(), signal.SIGKILL)

    room.lab.begin("vm_console", prepare, name="one", **room.options).wait()
    opened = room.open()
    assert opened["changed"]
    assert is_shown(opened["console"]["websocket"])


def test_many_at_once_share_one_websockify(room):
    runs = [room.lab.begin("vm_console", name=name, **room.options) for name in ("one", "two") * 3]
    results = [run.result() for run in runs]
    assert len(room.websockifys) == 1
    assert len({result["console"]["token"] for result in results}) == 2
    assert sum(result["changed"] for result in results) == 2
    assert all(is_shown(result["console"]["websocket"]) for result in results)


def test_websockify_waits_for_its_first_token(room):
    """It looks each second whether there is any, and would end."""

    def prepare():
        write = consoles.write_atomically
        consoles.write_atomically = lambda *arguments: time.sleep(2.5) or write(*arguments)

    opened = room.lab.begin("vm_console", prepare, name="one", **room.options).result()
    assert is_shown(opened["console"]["websocket"])


def test_a_state_directory_whose_path_is_long_and_that_goes_away(playground):
    """A socket's path has at most 107 bytes, and a colon parts two paths."""
    lab = Lab(Path(tempfile.mkdtemp(dir=playground)) / ("long:" * 30) / "state")
    lab.run("vm", name="one", **TINY)
    console = lab.run("vm_console", name="one", web_port=free_port(), novnc_path=str(pages()))["console"]
    assert is_shown(console["websocket"])
    away = lab.state_dir.with_name("away")
    lab.state_dir.rename(away)
    assert_all_ended(lab.state_dir)
    away.rename(lab.state_dir)
    lab.clear()


@pytest.mark.parametrize("listen", ["::1", "0.0.0.0"])
def test_other_addresses(room, listen):
    if listen == "::1" and not has_ipv6():
        pytest.skip("this host has no IPv6")
    console = room.open(listen=listen)["console"]
    host = "[::1]" if listen == "::1" else os.uname().nodename
    assert console["url"].startswith(f"http://{host}:{room.port}/vnc.html#")
    local = console["websocket"].replace(host, "127.0.0.1" if listen == "0.0.0.0" else host, 1)
    assert is_shown(local)
    assert not room.open(listen=listen)["changed"]
    if listen == "::1":
        assert not room.open(listen="0:0:0:0:0:0:0:1")["changed"]


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
