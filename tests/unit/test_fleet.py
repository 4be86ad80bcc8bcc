# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which VMs a task is about, and how many at once."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import Identity
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import Conflict
from ansible_collections.anyvirt.compute.plugins.module_utils._fleet import (
    NotBegun,
    addressed,
    for_each,
    is_selected,
    read_rows,
)


def row(name: str, number: int = 1, **values: Any) -> dict[str, Any]:
    given_up = {"tags": [], "pool": None, "node": "n1", "state": "running", "template": False}
    return {"id": f"id-{number}", "name": name, **given_up, **values}


class Rows:
    """A backend that has these VMs."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = rows

    def list(self) -> list[dict[str, Any]]:
        return [*self.rows]


@pytest.mark.parametrize(
    ("select", "fits"),
    [
        ({}, True),
        ({"name": "web-1"}, True),
        ({"name": "web-*"}, True),
        ({"name": "web-?"}, True),
        ({"name": "web"}, False),
        ({"name": "WEB-1"}, False),
        ({"tags": []}, True),
        ({"tags": ["a"]}, True),
        ({"tags": ["b", "a"]}, True),
        ({"tags": ["a", "c"]}, False),
        ({"status": "running"}, True),
        ({"status": "stopped"}, False),
        ({"template": False}, True),
        ({"template": True}, False),
        ({"node": "n1"}, True),
        ({"node": "n2"}, False),
        ({"pool": "p"}, True),
        ({"pool": "q"}, False),
        ({"name": "web-*", "tags": ["a"], "status": "running", "node": "n2"}, False),
        ({"name": None, "tags": None, "status": None, "node": None, "pool": None, "template": None}, True),
    ],
)
def test_a_selector(select: dict[str, Any], fits: bool) -> None:
    assert is_selected(row("web-1", tags=["a", "b"], pool="p"), select) is fits


def test_what_is_selected_comes_by_name() -> None:
    backend = Rows(row("c", 3), row("a", 2), row("b", 4, state="stopped"), row("a", 1))
    found = read_rows({"status": "running"}, backend)  # type: ignore[arg-type]
    assert [(one["name"], one["id"]) for one in found] == [("a", "id-1"), ("a", "id-2"), ("c", "id-3")]
    identities = addressed({"vms": None, "select": {"status": "running"}}, backend)  # type: ignore[arg-type]
    assert identities == [Identity("a", "id-1"), Identity("a", "id-2"), Identity("c", "id-3")]


def test_those_that_are_named_keep_their_order_and_come_once() -> None:
    found = addressed({"vms": ["b", "a", "b", "c", "a"], "select": None}, Rows())  # type: ignore[arg-type]
    assert found == [Identity.either(word) for word in "bac"]


def test_nobody_is_nobody() -> None:
    assert addressed({"vms": [], "select": None}, Rows(row("a"))) == []  # type: ignore[arg-type]
    assert for_each([], lambda identity: {}, max_parallel=3) == []


ABC = [Identity.either(word) for word in "abcdef"]


@pytest.mark.parametrize("at_once", [1, 2, 6, 50])
def test_results_keep_the_order_and_no_more_are_at_work_than_may(at_once: int) -> None:
    lock, barrier = threading.Lock(), threading.Barrier(min(at_once, len(ABC)), timeout=10)
    working: list[int] = [0, 0]

    def work(identity: Identity) -> dict[str, Any]:
        with lock:
            working[0] += 1
            working[1] = max(working)
        barrier.wait()
        with lock:
            working[0] -= 1
        return {"name": identity.name}

    assert [one["name"] for one in for_each(ABC, work, max_parallel=at_once)] == [*"abcdef"]
    assert working[1] == min(at_once, len(ABC))


def fails(*broken: str) -> Any:
    done: list[str] = []

    def work(identity: Identity) -> dict[str, Any]:
        done.append(identity.name or "")
        if identity.name in broken:
            raise Conflict(f"{identity} is busy.", holder="someone")
        return {"id": identity.id, "name": identity.name, "changed": True}

    work.done = done  # type: ignore[attr-defined]
    return work


def test_a_failure_stays_with_its_vm() -> None:
    work = fails("b", "d")
    results = for_each(ABC, work, max_parallel=3)
    assert sorted(work.done) == [*"abcdef"]
    assert [isinstance(one, Conflict) for one in results] == [False, True, False, True, False, False]
    assert str(results[1]) == "'b' is busy."
    assert results[2] == {"id": "c", "name": "c", "changed": True}


def test_with_fail_fast_those_not_begun_are_nothing() -> None:
    work = fails("b")
    results = for_each(ABC, work, max_parallel=1, halt=threading.Event())
    assert work.done == ["a", "b"]
    assert isinstance(results[1], Conflict)
    assert results[2:] == [None] * 4


def test_what_waited_until_another_one_failed_is_not_begun() -> None:
    halt = threading.Event()

    def work(identity: Identity) -> str:
        if identity.name == "a":
            raise Conflict("It is busy.")
        assert halt.wait(10)
        raise NotBegun

    first, *others = for_each(ABC, work, max_parallel=6, halt=halt)
    assert isinstance(first, Conflict)
    assert others == [None] * 5


def test_what_is_no_error_of_ours_is_not_swallowed() -> None:
    def work(identity: Identity) -> dict[str, Any]:
        raise KeyError(identity.name)

    with pytest.raises(KeyError):
        for_each(ABC, work, max_parallel=2)
