# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Talking QMP and to the guest agent, over real sockets."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.qmp import Agent, Monitor
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import BackendError, TransportError

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 22}}, "capabilities": ["oob"]}}
SHORT = 0.15
"""Seconds after which an answer is taken to be missing."""

Answer = Callable[["Connection", dict[str, Any]], None]


class Connection:
    """The server's end of one connection."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    def say(self, *documents: Any) -> None:
        self.end.sendall(b"".join(json.dumps(one).encode() + b"\r\n" for one in documents))

    def event(self, name: str, **data: Any) -> None:
        self.say({"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 2}})

    def close(self) -> None:
        self.end.shutdown(socket.SHUT_RDWR)


class Server:
    """A QEMU, as far as its sockets go.

    :param answer: what to do with each request.
    :param greeting: what a client hears first.
    """

    def __init__(self, path: str, answer: Answer, greeting: bytes) -> None:
        self.requests: list[dict[str, Any]] = []
        self.raw = b""
        self.descriptors: list[int] = []
        self._answer, self._greeting = answer, greeting
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                end, _address = self._socket.accept()
            except OSError:
                return
            with end:
                self._serve_one(end)

    def _serve_one(self, end: socket.socket) -> None:
        connection, rest = Connection(end), b""
        try:
            end.sendall(self._greeting)
            while True:
                data, descriptors, _flags, _address = socket.recv_fds(end, 65536, 4)
                if not data:
                    return
                self.raw += data
                self.descriptors += descriptors
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    request = json.loads(line.lstrip(b"\xff"))
                    self.requests.append(request)
                    self._answer(connection, request)
        except OSError:
            return

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        for descriptor in self.descriptors:
            os.close(descriptor)


@pytest.fixture
def run_dir(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "run"
    path.mkdir()
    return path


@contextmanager
def serving(path: pathlib.Path, answer: Answer, greeting: bytes = b"") -> Iterator[Server]:
    # as QEMU does, from inside the directory: its path may be longer than a socket's may
    before = os.getcwd()
    os.chdir(path.parent)
    try:
        server = Server(path.name, answer, greeting)
    finally:
        os.chdir(before)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def qemu(run_dir: pathlib.Path, answer: Answer, name: str = "qmp.sock") -> Iterator[Server]:
    """A monitor that grants its capabilities and leaves the rest to ``answer``."""

    def grant(connection: Connection, request: dict[str, Any]) -> None:
        if request["execute"] == "qmp_capabilities":
            connection.say({"return": {}, "id": request["id"]})
        else:
            answer(connection, request)

    with serving(run_dir / name, grant, json.dumps(GREETING).encode() + b"\r\n") as server:
        yield server


def echo(connection: Connection, request: dict[str, Any]) -> None:
    connection.say({"return": request, "id": request["id"]})


def silence(connection: Connection, request: dict[str, Any]) -> None:
    """As one who does not answer."""


# --- the monitor


def test_arguments_go_verbatim(run_dir: pathlib.Path) -> None:
    given = {"bps_rd": 1, "downtime-limit": 2, "nested": {"a-b": [1, "ä"]}}
    with qemu(run_dir, echo) as server, Monitor(str(run_dir)) as monitor:
        assert monitor.command("any-command", given)["arguments"] == given
        assert monitor.command("query-status")["arguments"] == {}
    assert [request["execute"] for request in server.requests] == ["qmp_capabilities", "any-command", "query-status"]
    assert len({request["id"] for request in server.requests}) == 3


def test_a_refusal_has_qemus_words(run_dir: pathlib.Path) -> None:
    def refuse(connection: Connection, request: dict[str, Any]) -> None:
        error = {"class": "DeviceNotFound", "desc": "Device 'net9' not found"}
        connection.say({"error": error, "id": request["id"]})

    with qemu(run_dir, refuse), Monitor(str(run_dir)) as monitor:
        with pytest.raises(BackendError, match="QEMU refused device_del: Device 'net9' not found") as caught:
            monitor.command("device_del", {"id": "net9"})
        assert caught.value.facts == {"command": "device_del", "code": "DeviceNotFound"}


def test_events_between_are_kept_in_order(run_dir: pathlib.Path) -> None:
    def eventful(connection: Connection, request: dict[str, Any]) -> None:
        connection.event("STOP")
        connection.event("RESUME")
        connection.say({"return": "here", "id": request["id"]})
        connection.event("SHUTDOWN", reason="guest-shutdown")

    with qemu(run_dir, eventful), Monitor(str(run_dir)) as monitor:
        assert monitor.command("x") == "here"
        assert [event["event"] for event in monitor.events] == ["STOP", "RESUME"]
        assert monitor.wait_event(lambda event: event["event"] == "RESUME", 5.0)["event"] == "RESUME"
        assert monitor.wait_event(lambda event: event["event"] == "SHUTDOWN", 5.0)["data"]["reason"] == "guest-shutdown"


def test_an_event_is_waited_for_until_it_fits(run_dir: pathlib.Path) -> None:
    def unplug(connection: Connection, request: dict[str, Any]) -> None:
        connection.say({"return": {}, "id": request["id"]})
        connection.event("DEVICE_DELETED", path="/machine/virtio-backend")
        connection.event("DEVICE_DELETED", device="net1", path="/machine/net1")

    with qemu(run_dir, unplug), Monitor(str(run_dir)) as monitor:
        monitor.command("device_del")
        assert monitor.wait_event(lambda event: event["data"].get("device") == "net1", 5.0)["data"]["device"] == "net1"
        with pytest.raises(TransportError):
            monitor.wait_event(lambda event: True, SHORT)


def test_the_late_reply_to_a_command_that_was_given_up_is_dropped(run_dir: pathlib.Path) -> None:
    waiting: list[dict[str, Any]] = []

    def late(connection: Connection, request: dict[str, Any]) -> None:
        if request["execute"] == "slow":
            waiting.append(request)
            return
        for one in waiting:
            connection.say({"return": "late", "id": one["id"]})
        connection.say({"return": "in time", "id": request["id"]})

    with qemu(run_dir, late), Monitor(str(run_dir)) as monitor:
        with pytest.raises(TransportError, match="QEMU did not answer"):
            monitor.command("slow", timeout=SHORT)
        assert monitor.command("quick") == "in time"


def test_a_reply_may_come_in_pieces_and_be_long(run_dir: pathlib.Path) -> None:
    def slowly(connection: Connection, request: dict[str, Any]) -> None:
        text = json.dumps({"return": "x" * 200_000, "id": request["id"]}).encode() + b"\n"
        for start in range(0, len(text), 50_000):
            connection.end.sendall(text[start : start + 50_000])
            time.sleep(0.005)

    with qemu(run_dir, slowly), Monitor(str(run_dir)) as monitor:
        assert monitor.command("x") == "x" * 200_000


@pytest.mark.parametrize("greeting", [b"", b'{"QMP": {'])
def test_without_a_greeting_there_is_an_error_in_time(greeting: bytes, run_dir: pathlib.Path) -> None:
    """As a second client of a monitor meets it."""
    with serving(run_dir / "qmp.sock", silence, greeting):
        begin = time.monotonic()
        with pytest.raises(TransportError, match="QEMU did not answer"):
            Monitor(str(run_dir), timeout=SHORT)
        assert SHORT <= time.monotonic() - begin < SHORT + 1.0


def test_events_do_not_prolong_the_time_of_a_command(run_dir: pathlib.Path) -> None:
    def chatter(connection: Connection, request: dict[str, Any]) -> None:
        for _turn in range(100):
            connection.event("RTC_CHANGE", offset=1)
            time.sleep(0.01)

    with qemu(run_dir, chatter), Monitor(str(run_dir)) as monitor:
        begin = time.monotonic()
        with pytest.raises(TransportError):
            monitor.command("x", timeout=SHORT)
        assert time.monotonic() - begin < 0.6


def test_a_qemu_that_goes_away_is_told_at_once(run_dir: pathlib.Path) -> None:
    with qemu(run_dir, lambda connection, request: connection.close()), Monitor(str(run_dir)) as monitor:
        begin = time.monotonic()
        with pytest.raises(TransportError, match=r"QEMU closed its qmp\.sock"):
            monitor.command("quit", timeout=30)
        assert time.monotonic() - begin < 5
        with pytest.raises(TransportError, match="QEMU closed its"):
            monitor.command("query-status")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\n", b"[1]\n", b"\xff\xfe\n", b"1\n", b"null\n"])
def test_what_is_no_answer_is_told(answer: bytes, run_dir: pathlib.Path) -> None:
    with (
        qemu(run_dir, lambda connection, request: connection.end.sendall(answer)),
        Monitor(str(run_dir)) as monitor,
        pytest.raises(TransportError),
    ):
        monitor.command("x", timeout=5.0)


@pytest.mark.parametrize("there", ["nothing", "no directory", "dead socket", "file"])
def test_nobody_listening_is_told(there: str, run_dir: pathlib.Path) -> None:
    if there == "dead socket":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(run_dir / "qmp.sock")) if len(str(run_dir)) < 90 else (run_dir / "qmp.sock").touch()
    elif there == "file":
        (run_dir / "qmp.sock").touch()
    elif there == "no directory":
        run_dir.rmdir()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(TransportError, match=r"QEMU does not listen on .*qmp\.sock"):
        Monitor(str(run_dir), timeout=1.0)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_directory_may_have_a_longer_path_than_a_socket(tmp_path: pathlib.Path) -> None:
    run_dir = tmp_path / ("d" * 100) / ("e" * 100)
    run_dir.mkdir(parents=True)
    with qemu(run_dir, echo), Monitor(str(run_dir)) as monitor:
        assert monitor.command("x")["execute"] == "x"


def test_closing_gives_everything_back(run_dir: pathlib.Path) -> None:
    with qemu(run_dir, echo):
        before = len(os.listdir("/proc/self/fd"))
        for _turn in range(3):
            with Monitor(str(run_dir)) as monitor:
                monitor.command("x")
        end = time.monotonic() + 5
        while len(os.listdir("/proc/self/fd")) > before and time.monotonic() < end:
            time.sleep(0.01)
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_descriptor_can_be_handed_over(run_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "tap").write_text("hello")
    with qemu(run_dir, echo) as server, Monitor(str(run_dir)) as monitor, open(tmp_path / "tap", "rb") as file:
        monitor.command("getfd", {"fdname": "tap-net1"}, descriptors=(file.fileno(),))
        assert os.pread(server.descriptors[0], 5, 0) == b"hello"


def test_the_human_monitor_answers_in_text(run_dir: pathlib.Path) -> None:
    with qemu(run_dir, echo) as server, Monitor(str(run_dir)) as monitor:
        monitor.human("hostfwd_add host-net0 tcp:127.0.0.1:2222-:22")
    assert server.requests[-1]["arguments"] == {"command-line": "hostfwd_add host-net0 tcp:127.0.0.1:2222-:22"}


# --- the agent


@contextmanager
def agent(run_dir: pathlib.Path, answer: Answer, before: bytes = b"") -> Iterator[Server]:
    """A guest agent; ``before`` is what an earlier client left unread."""

    def sync(connection: Connection, request: dict[str, Any]) -> None:
        if request["execute"] == "guest-sync-delimited":
            connection.end.sendall(b"\xff" + json.dumps({"return": request["arguments"]["id"]}).encode() + b"\n")
        else:
            answer(connection, request)

    with serving(run_dir / "agent.sock", sync, before) as server:
        yield server


def test_the_agent_is_synchronised_before_it_is_believed(run_dir: pathlib.Path) -> None:
    def answer(connection: Connection, request: dict[str, Any]) -> None:
        connection.say({"return": [request["execute"]]})

    with agent(run_dir, answer) as server, Agent(str(run_dir)) as guest:
        assert guest.command("guest-ping") == ["guest-ping"]
    assert server.requests[0]["execute"] == "guest-sync-delimited"
    assert server.raw.startswith(b"\xff")


@pytest.mark.parametrize(
    "left",
    [b'{"return": "late"}\n', b'{"return": {"a": 1}}\n{"return": 5}\n', b'{"error": {"desc": "old"}}\n', b'{"retu'],
)
def test_what_an_earlier_client_left_is_dropped(left: bytes, run_dir: pathlib.Path) -> None:
    def answer(connection: Connection, request: dict[str, Any]) -> None:
        connection.say({"return": "mine"})

    with agent(run_dir, answer, left), Agent(str(run_dir)) as guest:
        assert guest.command("guest-ping") == "mine"


def test_a_guest_without_an_agent_is_told_in_time(run_dir: pathlib.Path) -> None:
    """QEMU accepts the connection all the same."""
    with serving(run_dir / "agent.sock", silence):
        begin = time.monotonic()
        with pytest.raises(TransportError, match=r"did not answer on its agent\.sock"):
            Agent(str(run_dir), timeout=SHORT)
        assert time.monotonic() - begin < SHORT + 1.0


def test_an_agent_that_refuses_says_why(run_dir: pathlib.Path) -> None:
    def refuse(connection: Connection, request: dict[str, Any]) -> None:
        connection.say({"error": {"class": "GenericError", "desc": "fsfreeze is disabled"}})

    told = pytest.raises(BackendError, match="refused guest-fsfreeze-freeze: fsfreeze is disabled")
    with told, agent(run_dir, refuse), Agent(str(run_dir)) as guest:
        guest.command("guest-fsfreeze-freeze")


@pytest.mark.parametrize(
    "answer",
    [b"{}", b'{"error": "text"}', b'{"error": {}}', b'{"returns": 1}', b"[1]", b"no", b"\xff\xfe", b"[" * 100_000],
    ids=range(8),
)
def test_a_guest_can_send_anything(answer: bytes, run_dir: pathlib.Path) -> None:
    def mislead(connection: Connection, request: dict[str, Any]) -> None:
        connection.end.sendall(answer + b"\n")

    told = pytest.raises((BackendError, TransportError))
    with told, agent(run_dir, mislead), Agent(str(run_dir)) as guest:
        guest.command("guest-network-get-interfaces")


def test_a_command_that_the_guest_does_not_live_to_answer(run_dir: pathlib.Path) -> None:
    with agent(run_dir, silence) as server:
        with Agent(str(run_dir)) as guest:
            guest.begin("guest-shutdown", {"mode": "powerdown"})
        end = time.monotonic() + 5
        while len(server.requests) < 2 and time.monotonic() < end:
            time.sleep(0.005)
    assert server.requests[1] == {"execute": "guest-shutdown", "arguments": {"mode": "powerdown"}}
