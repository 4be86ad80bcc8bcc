# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a list and what there is to tasks, and from their results to what became of each VM."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.anyvirt.compute.plugins.plugin_utils import _fleet_work as fleet

TAG = "vm-fleet"
VM = dict[str, Any]


def row(name: str, *tags: str, ours: bool = False, **facts: Any) -> VM:
    """A VM as vm_info tells it."""
    marks = fleet.marks(name, TAG) if ours else ()
    told = {"id": f"id-{name}", "name": name, "node": "pve1", "state": "stopped", "template": False}
    return {**told, "tags": sorted({*tags, *marks}), **facts}


def marked(name: str, *tags: str) -> list[str]:
    return sorted({*tags, *fleet.marks(name, TAG)})


def work(vms: list[VM], *found: VM, defaults: VM | None = None, **how: Any) -> dict[str, Any]:
    return fleet.work(vms, defaults or {}, found, **{"tag": TAG, **how})


def steps(told: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    """The names of each task, of the steps that have any."""
    names = ("make", "place", "power", "remove")
    return {
        step: {label: list(task["vms"].values()) for label, task in told[step].items()} for step in names if told[step]
    }


def entries(told: dict[str, Any], step: str = "make") -> dict[str, VM]:
    """What the module vm is told of each VM, by its name, or its id where that is all."""
    return {one.get("name", one.get("id")): one for task in told[step].values() for one in task["each"]}


# --- which tasks


def test_from_nothing() -> None:
    told = work([{"name": "a", "memory": 64, "state": "started"}, {"name": "b", "id": 7, "tags": ["x"]}])
    assert steps(told) == {"make": {"a and 1 more": ["a", "b"]}, "power": {"started": ["a"]}}
    assert told["make"]["a and 1 more"] == {
        "vms": {"a": "a", "7": "b"},
        "each": [{"name": "a", "memory": 64, "tags": marked("a")}, {"name": "b", "id": "7", "tags": marked("b", "x")}],
    }


def test_what_is_new_and_what_is_there_is_one_task() -> None:
    vms: list[VM] = [{"name": f"c{number}", "clone_from": {"name": "golden"}} for number in range(3)]
    vms += [{"name": "d", "clone_from": {"name": "golden", "full": True}}, {"name": "e", "clone_from": None}]
    told = work(vms, row("golden", "base"), row("c1"), row("e"), defaults={"memory": 64})
    assert steps(told) == {"make": {"c0 and 4 more": ["c0", "c1", "c2", "d", "e"]}}
    origin = {"clone_from": {"name": "golden"}}
    assert [*entries(told).values()] == [
        {"name": "c0", **origin, "memory": 64, "tags": marked("c0", "base")},
        {"name": "c1", **origin, "memory": 64},
        {"name": "c2", **origin, "memory": 64, "tags": marked("c2", "base")},
        {"name": "d", "clone_from": {"name": "golden", "full": True}, "memory": 64, "tags": marked("d", "base")},
        {"name": "e", "memory": 64},
    ]


def test_sources_come_before_their_clones() -> None:
    vms: list[VM] = [
        {"name": "c", "clone_from": {"name": "b"}},
        {"name": "b", "id": "7", "clone_from": {"name": "a"}},
        {"name": "d", "clone_from": {"id": 7}},
        {"name": "a", "tags": ["base"], "template": True},
        {"name": "e", "clone_from": {"name": "golden"}},
    ]
    told = work(vms, row("golden"))
    assert steps(told) == {"make": {"a and 1 more": ["a", "e"], "b": ["b"], "c and 1 more": ["c", "d"]}}
    assert entries(told)["b"]["tags"] == marked("b", "base")


def test_only_what_is_new_waits_for_its_source() -> None:
    vms: list[VM] = [{"name": name, "memory": 64, "clone_from": {"name": "a"}} for name in ("new", "old")]
    vms += [{"name": "a", "memory": 64, "clone_from": {"name": "b"}}, {"name": "b", "memory": 64}]
    assert steps(work(vms, row("a"), row("b"), row("old"))) == {
        "make": {"old and 2 more": ["old", "a", "b"], "new": ["new"]}
    }
    there = steps(work(vms, *(row(name) for name in ("a", "b", "old", "new"))))
    assert there == {"make": {"new and 3 more": ["new", "old", "a", "b"]}}


def test_of_what_is_there_and_has_no_settings_nothing_is_asked() -> None:
    vms: list[VM] = [{"name": "plain", "node": "pve2"}, {"name": "clone", "clone_from": {"name": "plain"}}]
    told = work([{**one, "memory": None} for one in vms], row("plain"), row("clone"), defaults={"memory": 64})
    assert steps(told) == {}


def test_power_and_nodes() -> None:
    vms: list[VM] = [
        {"name": "a", "state": "started", "node": "pve2"},
        {"name": "b", "state": "stopped", "node": "pve2"},
        {"name": "c", "state": "present", "node": "pve1"},
    ]
    rows = [row("a"), row("b", node="pve2"), row("c", node="pve3")]
    assert steps(work(vms, *rows)) == {"power": {"stopped": ["b"], "started": ["a"]}}
    assert steps(work(vms, *rows, place=True))["place"] == {"pve2": ["a"], "pve1": ["c"]}


def test_a_vm_that_is_there_gets_its_new_name() -> None:
    told = work([{"name": "new", "id": 7, "memory": 64}], row("old", "web", ours=True, id="7"))
    assert steps(told) == {"make": {"new": ["new"]}}
    assert entries(told)["new"] == {"name": "new", "id": "7", "memory": 64, "tags": marked("new", "web")}


def test_what_cannot_be_read_is_left_alone() -> None:
    ill = {"id": "a", "name": "a", "state": "unknown", "error": "2 VMs are named 'a'."}
    told = work([{"name": "a", "state": "started"}, {"name": "b", "state": "started"}], ill, row("b"))
    assert steps(told) == {"power": {"started": ["b"]}}
    assert fleet.outcome(told, {})["errors"] == {"a": "2 VMs are named 'a'."}


def test_a_name_is_never_taken_for_another_ones_id() -> None:
    told = work([{"name": "x1"}], row("other", id="x1"))
    assert steps(told) == {"make": {"x1": ["x1"]}}


def test_words_are_ids_where_there_are_any_and_sources() -> None:
    vms = [{"name": "a", "id": 7}, {"name": "b", "clone_from": {"id": 9}}, {"name": "c", "clone_from": None}]
    assert fleet.words(vms, {"clone_from": {"name": "golden"}}) == ["7", "b", "c", "golden", "9"]


# --- tags


def test_a_vm_that_was_there_is_never_marked() -> None:
    told = work([{"name": "a", "tags": ["x"]}], row("a", "y"))
    assert entries(told)["a"] == {"name": "a", "tags": ["x"]}


def test_marks_are_kept() -> None:
    told = work([{"name": "a", "tags": ["x"]}, {"name": "b", "memory": 64}], row("a", ours=True), row("b", ours=True))
    assert entries(told) == {"a": {"name": "a", "tags": marked("a", "x")}, "b": {"name": "b", "memory": 64}}


def test_without_a_tag_nothing_is_marked() -> None:
    vms: list[VM] = [{"name": "a"}, {"name": "b", "clone_from": {"name": "golden"}}]
    told = work(vms, row("golden", "base"), tag="")
    assert entries(told) == {"a": {"name": "a"}, "b": {"name": "b", "clone_from": {"name": "golden"}}}


@given(st.text("abcxyz-1", min_size=1, max_size=9), st.text("abcxyz-1", min_size=1, max_size=9))
def test_a_copy_is_not_taken_for_what_it_was_copied_from(name: str, other: str) -> None:
    assert fleet.is_made_by(TAG, row(name, ours=True))
    copied = row(other, *row(name, ours=True)["tags"])
    assert fleet.is_made_by(TAG, copied) == (name == other)


# --- what goes


def test_what_is_absent_goes_clones_first() -> None:
    vms: list[VM] = [
        {"name": "a", "state": "absent"},
        {"name": "b", "state": "absent", "clone_from": {"name": "a"}},
        {"name": "gone", "state": "absent"},
    ]
    told = work(vms, row("a"), row("b"))
    assert steps(told) == {"remove": {"b": ["b"], "a": ["a"]}}
    assert told["remove"]["b"] == {"vms": {"id-b": "b"}, "each": [{"id": "id-b"}]}


def test_what_goes_is_one_task_but_for_templates_and_sources() -> None:
    vms: list[VM] = [{"name": name, "state": "absent"} for name in ("x", "y")]
    vms += [{"name": name, "state": "absent", "clone_from": {"name": "x"}} for name in ("c", "d")]
    made = [row("golden", ours=True, template=True), row("old", ours=True)]
    told = work(vms, *(row(name) for name in "xycd"), made=made)
    assert steps(told)["remove"] == {
        "c and 1 more": ["c", "d"],
        "x and 2 more": ["x", "y", "old"],
        "golden": ["golden"],
    }
    assert told["order"] == ["x", "y", "c", "d", "old", "golden"]


def test_only_what_the_fleet_made_is_pruned_templates_last() -> None:
    made = [
        row("golden", ours=True, template=True),
        row("old", ours=True),
        row("kept", ours=True),
        row("copy", *row("old", ours=True)["tags"]),
        row("tagged", TAG),
        {**row("nameless", TAG), "name": None},
    ]
    told = work([{"name": "kept"}], row("kept", ours=True), made=made)
    assert steps(told) == {"remove": {"old": ["old"], "golden": ["golden"]}}


def test_nothing_is_pruned_unless_asked() -> None:
    assert steps(work([], row("old", ours=True))) == {}


def test_of_two_with_a_name_none_is_pruned() -> None:
    told = work([], made=[row("old", ours=True, id="1"), row("old", ours=True, id="2"), row("other", ours=True)])
    assert steps(told) == {"remove": {"other": ["other"]}}
    assert fleet.outcome(told, {})["failed"] == ["old"]


# --- check mode


def test_check_mode_leaves_out_what_is_not_there_yet() -> None:
    vms: list[VM] = [
        {"name": "a", "state": "started"},
        {"name": "b", "state": "started", "clone_from": {"name": "a"}},
        {"name": "c", "state": "started", "clone_from": {"name": "golden"}},
        {"name": "d", "state": "started", "clone_from": {"name": "a"}},
    ]
    told = work(vms, row("golden"), row("d"), check=True)
    assert steps(told) == {
        "make": {"a and 1 more": ["a", "c"]},
        "power": {"started": ["d"]},
    }
    assert told["left_out"] == {"clone": ["b"], "start": ["a", "b", "c"], "remove": []}
    assert fleet.outcome(told, {})["changed"] == ["b"]


def test_check_mode_leaves_out_bases_of_what_would_go_first() -> None:
    made = [row("golden", ours=True, template=True), row("web", ours=True)]
    told = work([], made=made, check=True)
    assert steps(told) == {"remove": {"web": ["web"]}}
    assert fleet.outcome(told, {})["removed"] == ["golden"]
    assert steps(work([], made=made[:1], check=True)) == {"remove": {"golden": ["golden"]}}


# --- what became of it


def round_of(label: str, **end: Any) -> dict[str, Any]:
    return {"ansible_loop_var": "item", "item": label, **end}


def test_each_vm_has_an_end() -> None:
    vms: list[VM] = [{"name": f"c{number}", "clone_from": {"name": "golden"}, "id": number + 1} for number in range(4)]
    vms += [{"name": "a"}, {"name": "b", "clone_from": {"name": "a"}}]
    told = work(vms, row("golden"), row("old", ours=True), made=[row("old", ours=True)])
    results = [
        {"id": "1", "name": "c0", "changed": True, "restart_required": True},
        {"id": "2", "name": None, "changed": False, "failed": True, "msg": "locked"},
        {"id": "3", "name": "c2", "changed": True, "failed": True, "msg": "half done"},
        {"id": "4", "name": "c3", "changed": False},
        {"id": "105", "name": "a", "changed": True},
    ]
    gone = {"id": "id-old", "name": "old", "changed": True}
    ends = {
        "make": {
            "results": [
                round_of("c0 and 4 more", results=results, msg="2 of 5 VMs failed.", changed=True),
                round_of("b", msg="no space", changed=False),
            ]
        },
        "place": {"results": [], "skipped": True},
        "remove": {"results": [round_of("old", results=[gone], changed=True)]},
    }
    assert fleet.outcome(told, ends) == {
        "changed": ["c0", "c2", "a", "old"],
        "removed": ["old"],
        "restart_required": ["c0"],
        "failed": ["c1", "c2", "b"],
        "errors": {"c1": "locked", "c2": "half done", "b": "no space"},
    }


def test_a_task_that_fails_as_a_whole_fails_for_each() -> None:
    told = work([{"name": "a", "state": "started"}, {"name": "b", "state": "started"}], row("a"), row("b"))
    ends = {"power": {"results": [round_of("started", msg="no route to host")]}}
    assert fleet.outcome(told, ends)["errors"] == {"a": "no route to host", "b": "no route to host"}


def test_the_first_failure_is_told() -> None:
    told = work([{"name": "a", "memory": 64, "state": "started"}], row("a"))
    ends = {
        "make": {"results": [round_of("a", msg="locked")]},
        "power": {"results": [round_of("started", msg="not found")]},
    }
    assert fleet.outcome(told, ends)["errors"] == {"a": "locked"}


@pytest.mark.parametrize("registered", [{}, {"skipped": True}, {"results": [{"name": "a", "changed": True}]}])
def test_a_loop_that_has_not_ended_tells_nothing(registered: dict[str, Any]) -> None:
    told = work([{"name": "a", "state": "started"}], row("a"))
    assert fleet.outcome(told, {"power": registered})["changed"] == []


def test_nothing_waits_for_the_restart_of_what_is_off() -> None:
    told = work([{"name": "a", "memory": 64, "state": "stopped"}], row("a", state="running"))
    end = round_of("a", results=[{"id": "id-a", "name": "a", "changed": True, "restart_required": True}])
    assert fleet.outcome(told, {"make": {"results": [end]}})["restart_required"] == []
