# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting, without ever sleeping."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.anyvirt.compute.plugins.module_utils import _readiness
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import NotFound, TaskFailed, TaskTimeout
from ansible_collections.anyvirt.compute.plugins.module_utils._task import (
    Clock,
    Deadline,
    Poller,
    Task,
    TaskState,
    wait_all,
)


class Time:
    """A clock that stands still but for the pauses that it notes."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def deadline(self, seconds: float) -> Deadline:
        return Deadline(seconds, Clock(now=lambda: self.now, sleep=self.sleep))


class Server:
    """Tasks that finish at given moments; it notes when it was asked, and for which."""

    def __init__(self, time: Time, **ends: float) -> None:
        self.time = time
        self.ends = {name: time.now + end for name, end in ends.items()}
        self.outcomes: dict[str, TaskState] = {}
        self.asked: list[tuple[float, list[str]]] = []

    def tasks(self) -> list[Task]:
        return [Task(name, "test", TaskState.PENDING) for name in self.ends]

    def poll(self, tasks: Sequence[Task]) -> list[Task]:
        self.asked.append((self.time.now - 1000.0, [task.id for task in tasks]))
        return [Task(task.id, "test", self._state(task.id)) for task in tasks]

    def _state(self, name: str) -> TaskState:
        if self.time.now < self.ends[name]:
            return TaskState.RUNNING
        return self.outcomes.get(name, TaskState.SUCCEEDED)


def test_tasks_that_have_finished_are_not_asked_for() -> None:
    time = Time()
    done = [Task("a", "test", TaskState.SUCCEEDED), Task("b", "test", TaskState.FAILED, error="broken")]
    assert wait_all(done, Server(time).poll, time.deadline(10)) == done
    assert time.pauses == []


def test_all_are_waited_for_in_one_loop_and_told_in_the_order_given() -> None:
    time = Time()
    server = Server(time, slow=5.0, quick=0.0, middle=1.0)
    server.outcomes["middle"] = TaskState.FAILED
    found = wait_all(server.tasks(), server.poll, time.deadline(60))
    assert [(task.id, task.state.value) for task in found] == [
        ("slow", "succeeded"),
        ("quick", "succeeded"),
        ("middle", "failed"),
    ]
    assert server.asked[0] == (0.0, ["slow", "quick", "middle"])
    assert server.asked[1][1] == ["slow", "middle"]
    assert server.asked[-1][1] == ["slow"]


def test_a_timeout_carries_the_handles_of_what_goes_on() -> None:
    time = Time()
    server = Server(time, quick=0.0, slow=99.0, slower=100.0)
    with pytest.raises(TaskTimeout, match="2 of 3 tasks did not finish within 10 s") as caught:
        wait_all(server.tasks(), server.poll, time.deadline(10))
    failure = caught.value.to_failure()
    assert failure["task"]["id"] == "slow"
    assert [(task["id"], task["state"]) for task in failure["tasks"]] == [
        ("quick", "succeeded"),
        ("slow", "running"),
        ("slower", "running"),
    ]
    assert "task_wait" in failure["msg"]
    assert sum(time.pauses) == pytest.approx(10)


def test_after_the_deadline_there_is_one_last_look() -> None:
    time = Time()
    server = Server(time, just=10.0)
    assert wait_all(server.tasks(), server.poll, time.deadline(10))[0].state is TaskState.SUCCEEDED
    assert server.asked[-1][0] == pytest.approx(10)
    assert [moment for moment, _ids in server.asked if moment >= 10] == [server.asked[-1][0]]


@pytest.mark.parametrize("seconds", [0, -5])
def test_without_time_there_is_one_look(seconds: float) -> None:
    time = Time()
    server = Server(time, slow=1.0)
    with pytest.raises(TaskTimeout):
        wait_all(server.tasks(), server.poll, time.deadline(seconds))
    assert len(server.asked) == 1
    assert time.pauses == []


@given(st.floats(0.01, 1.0), st.floats(1.0, 10.0), st.floats(0.1, 200.0))
def test_pauses_grow_up_to_the_longest_and_never_beyond_the_deadline(first: float, last: float, seconds: float) -> None:
    time = Time()
    server = Server(time, never=1e9)
    with pytest.raises(TaskTimeout):
        wait_all(server.tasks(), server.poll, time.deadline(seconds), (first, last))
    assert sum(time.pauses) == pytest.approx(seconds)
    assert max(time.pauses) <= last
    assert time.pauses[0] == pytest.approx(min(first, seconds))
    whole = time.pauses[:-1]
    assert whole == sorted(whole)
    assert all(later <= earlier * 1.5 + 1e-9 for earlier, later in zip(whole, whole[1:]))


def test_waiting_can_be_stopped() -> None:
    time = Time()
    server = Server(time, broken=1.0, slow=99.0)
    server.outcomes["broken"] = TaskState.FAILED

    def stop(tasks: Sequence[Task]) -> bool:
        return any(task.state is TaskState.FAILED for task in tasks)

    found = wait_all(server.tasks(), server.poll, time.deadline(60), stop=stop)
    assert [task.state for task in found] == [TaskState.FAILED, TaskState.RUNNING]


def test_a_deadline_is_never_negative() -> None:
    time = Time()
    deadline = time.deadline(5)
    assert (deadline.left, deadline.is_over) == (5, False)
    time.now += 7
    assert (deadline.left, deadline.is_over) == (0, True)


# --- many threads, one poller


def test_a_poller_waits_for_one_task_with_growing_pauses() -> None:
    time = Time()
    server = Server(time, slow=5.0)
    poller = Poller(server.poll, (0.25, 2.0))
    assert poller.wait(server.tasks()[0], time.deadline(60)).state is TaskState.SUCCEEDED
    assert time.pauses[:3] == [0.25, 0.375, 0.5625]
    assert max(time.pauses) <= 2.0
    assert 5.0 <= sum(time.pauses) <= 7.0


def test_a_poller_gives_up_at_the_deadline_with_the_handle() -> None:
    time = Time()
    server = Server(time, slow=99.0)
    with pytest.raises(TaskTimeout, match="did not finish within 10 s") as caught:
        Poller(server.poll, (0.25, 2.0)).wait(server.tasks()[0], time.deadline(10))
    assert caught.value.facts["task"]["id"] == "slow"
    assert sum(time.pauses) == pytest.approx(10)
    assert server.asked[-1][0] == pytest.approx(10)


def test_a_task_that_ends_with_the_deadline_has_ended() -> None:
    time = Time()
    server = Server(time, just=10.0)
    assert Poller(server.poll, (0.25, 2.0)).wait(server.tasks()[0], time.deadline(10)).is_finished


def test_threads_that_wait_share_their_polls() -> None:
    """Each poll is for all tasks that are waited for at that moment, and there is never more than one at a time."""
    from concurrent.futures import ThreadPoolExecutor

    names = [f"task{number}" for number in range(8)]
    polls: list[int] = []
    busy = threading.Lock()

    def poll(tasks: Sequence[Task]) -> list[Task]:
        assert busy.acquire(blocking=False), "two polls at once"
        polls.append(len(tasks))
        busy.release()
        done = len(polls) >= 20
        return [Task(task.id, "test", TaskState.SUCCEEDED if done else TaskState.RUNNING) for task in tasks]

    poller = Poller(poll, (0.001, 0.002))
    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(lambda name: poller.wait(Task(name, "test", TaskState.RUNNING), Deadline(20)), names))
    assert [task.id for task in ends] == names
    assert all(task.is_finished for task in ends)
    assert max(polls) == 8
    assert len(polls) < 40


def test_a_task_that_cannot_be_asked_for_is_not_asked_for_again() -> None:
    def poll(tasks: Sequence[Task]) -> list[Task]:
        if any(task.id == "lost" for task in tasks):
            raise NotFound("There is no task lost.")
        return [Task(task.id, "some", TaskState.SUCCEEDED) for task in tasks]

    poller = Poller(poll, (0.001, 0.002))
    with pytest.raises(NotFound):
        poller.wait(Task("lost", "some", TaskState.RUNNING), Deadline(10))
    assert poller.wait(Task("other", "some", TaskState.RUNNING), Deadline(10)).is_finished


def test_a_poll_that_fails_ends_the_wait_of_all() -> None:
    def poll(tasks: Sequence[Task]) -> list[Task]:
        raise TaskFailed("broken")

    time = Time()
    poller = Poller(poll, (0.25, 2.0))
    for name in ("a", "b"):
        with pytest.raises(TaskFailed, match="broken"):
            poller.wait(Task(name, "test", TaskState.RUNNING), time.deadline(10))


# --- tasks as values


@pytest.mark.parametrize(
    ("state", "finished", "good"),
    [
        (TaskState.PENDING, False, True),
        (TaskState.RUNNING, False, True),
        (TaskState.SUCCEEDED, True, True),
        (TaskState.FAILED, True, False),
        (TaskState.CANCELLED, True, False),
    ],
)
def test_states(state: TaskState, finished: bool, good: bool) -> None:
    task = Task("t", "test", state)
    assert task.is_finished is finished
    if good:
        assert task.require_success() is task
    else:
        with pytest.raises(TaskFailed, match=f"The task was {state.value}") as caught:
            task.require_success()
        assert caught.value.facts["task"]["id"] == "t"


def test_a_failed_task_says_why_in_the_backends_words() -> None:
    with pytest.raises(TaskFailed, match="disk full"):
        Task("t", "test", TaskState.FAILED, error="disk full").require_success()


def test_success_with_warnings_is_success_that_says_so() -> None:
    task = Task("t", "test", TaskState.SUCCEEDED, warnings=("slow",))
    assert task.require_success() is task
    assert task.to_result() == {"id": "t", "backend": "test", "state": "succeeded", "warnings": ["slow"]}


def test_a_task_tells_its_progress_also_when_that_is_nothing() -> None:
    told = Task("t", "test", TaskState.RUNNING, progress=0.0, error="no").to_result()
    assert (told["progress"], told["error"]) == (0.0, "no")


# --- waiting for a guest


class Guest:
    """A backend with one VM, whose agent tells its addresses at the third look."""

    def __init__(self, answers: Sequence[dict[str, Any]]) -> None:
        self.answers = list(answers)
        self.gathered: list[Any] = []

    def find(self, identity: Any, gather: Any = ()) -> dict[str, Any]:
        self.gathered.append((identity.name, identity.id, tuple(gather)))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


SILENT = {"agent": {"running": False}, "addresses": []}
AGENT = {"agent": {"running": True}, "addresses": []}
ADDRESS = {"agent": {"running": True}, "addresses": ["10.0.0.2"]}


def conditions(**wanted: Any) -> dict[str, Any]:
    return {"agent": False, "ip": False, "port": None, "host": None, "timeout": 10, **wanted}


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(_readiness, "Deadline", time.deadline)
    return time


@pytest.mark.parametrize(
    ("wanted", "looks"), [({"agent": True}, 2), ({"ip": True}, 3), ({"agent": True, "ip": True}, 3)]
)
def test_a_guest_is_ready_when_all_conditions_hold(wanted: dict[str, Any], looks: int, time: Time) -> None:
    guest = Guest([SILENT, AGENT, ADDRESS])
    told = _readiness.wait_ready(guest, {"name": "web", "id": "1"}, conditions(**wanted))  # type: ignore[arg-type]
    assert guest.gathered == [("web", "1", ("agent",))] * looks
    assert told["agent"]["running"]


def test_a_guest_that_is_not_ready_in_time_is_told_with_all_that_is_missing(time: Time) -> None:
    with pytest.raises(TaskTimeout, match=r"within 10 s its guest agent did not answer and it told no IP address"):
        _readiness.wait_ready(Guest([SILENT]), {"name": "web", "id": "1"}, conditions(agent=True, ip=True))  # type: ignore[arg-type]
    assert sum(time.pauses) == pytest.approx(10)


def test_a_port_is_tried_at_the_host_that_is_named(time: Time) -> None:
    import socket

    guest = Guest([SILENT])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        _readiness.wait_ready(guest, {"name": "web", "id": "1"}, conditions(host="127.0.0.1", port=port))  # type: ignore[arg-type]
    assert guest.gathered == []
    with pytest.raises(TaskTimeout, match=f"nothing answered on port {port}"):
        _readiness.wait_ready(guest, {"name": "web", "id": "1"}, conditions(host="127.0.0.1", port=port))  # type: ignore[arg-type]
