# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans about snapshots: the tree, what is kept, what a revert needs."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.anyvirt.compute.plugins.module_utils import _snapshots
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import Conflict, InvalidRequest, NotFound
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import Op
from ansible_collections.anyvirt.compute.plugins.module_utils._snapshots import (
    plan_absent,
    plan_present,
    plan_reverted,
    seconds_of,
    surplus,
    with_children,
)

DAY = 86400


def snapshot(parent: str | None = None, time: int | None = 0, **values: Any) -> dict[str, Any]:
    return {
        "parent": parent,
        "time": time,
        "description": "",
        "memory": False,
        "complete": True,
        "config": {},
        **values,
    }


def vm(state: str = "stopped", **snapshots: dict[str, Any]) -> dict[str, Any]:
    return {"id": "1", "name": "web", "state": state, "memory": 512, "snapshots": snapshots}


def family() -> dict[str, dict[str, Any]]:
    """``root`` has ``left`` and ``right``, ``left`` has ``leaf``; ``other`` is a tree of its own."""
    return {
        "root": snapshot(None, 1),
        "left": snapshot("root", 2),
        "right": snapshot("root", 3),
        "leaf": snapshot("left", 4),
        "other": snapshot(None, 5),
    }


# --- present


def present(of: dict[str, Any], name: str, description: str | None = None, memory: bool | None = None) -> Any:
    return plan_present(of, name, description=description, memory=memory)


def test_a_new_snapshot_is_taken_once() -> None:
    plan = present(vm(), "new", "why")
    assert [(step.op, step.needs) for step in plan.steps] == [(Op.SNAPSHOT, ())]
    assert plan.steps[0].arguments == {"snapshot": "new", "description": "why", "memory": False}
    assert plan.after["snapshots"]["new"] == {"description": "why", "memory": False, "complete": True}
    assert plan.before["snapshots"] == {}
    assert not present(plan.after, "new", "why").changed


def test_memory_needs_a_backend_that_can_save_it() -> None:
    assert present(vm("running"), "new", memory=True).steps[0].needs == (Op.SNAPSHOT_MEMORY,)


@pytest.mark.parametrize("state", ["stopped", "suspended", "unknown"])
def test_what_does_not_run_has_no_memory(state: str) -> None:
    with pytest.raises(Conflict, match=f"web is {state}: it has no memory"):
        present(vm(state), "new", memory=True)


@pytest.mark.parametrize(("has", "wanted"), [(True, False), (False, True)])
def test_a_snapshot_never_changes_whether_it_has_memory(has: bool, wanted: bool) -> None:
    with pytest.raises(Conflict, match="exists with"):
        present(vm("running", old=snapshot(memory=has)), "old", memory=wanted)
    assert not present(vm("running", old=snapshot(memory=has)), "old", memory=has).changed
    assert not present(vm("running", old=snapshot(memory=has)), "old").changed


def test_another_description_is_written_and_none_leaves_it() -> None:
    of = vm(old=snapshot(description="was"))
    plan = present(of, "old", "is")
    assert [(step.op, dict(step.arguments)) for step in plan.steps] == [
        (Op.SNAPSHOT_DESCRIBE, {"snapshot": "old", "description": "is"})
    ]
    assert plan.after["snapshots"]["old"] == {**of["snapshots"]["old"], "description": "is"}
    assert not present(of, "old").changed
    assert present(of, "old", "").changed


def test_an_incomplete_snapshot_is_taken_anew() -> None:
    plan = present(vm(half=snapshot(complete=False)), "half")
    assert [step.op for step in plan.steps] == [Op.SNAPSHOT_DELETE, Op.SNAPSHOT]


# --- absent


@pytest.mark.parametrize(
    ("going", "parents"),
    [
        (["leaf"], {"root": None, "left": "root", "right": "root", "other": None}),
        (["left"], {"root": None, "right": "root", "leaf": "root", "other": None}),
        (["root"], {"left": None, "right": None, "leaf": "left", "other": None}),
        (["left", "root"], {"right": None, "leaf": None, "other": None}),
        (["nothing"], {"root": None, "left": "root", "right": "root", "leaf": "left", "other": None}),
    ],
)
def test_children_go_to_the_next_parent_that_stays(going: list[str], parents: dict[str, str | None]) -> None:
    of = vm(**family())
    before = copy.deepcopy(of)
    plan = plan_absent(of, going)
    assert {name: entry["parent"] for name, entry in plan.after["snapshots"].items()} == parents
    assert [step.arguments["snapshot"] for step in plan.steps] == [name for name in going if name != "nothing"]
    assert all(step.op is Op.SNAPSHOT_DELETE for step in plan.steps)
    assert of == before
    assert not plan_absent(plan.after, going).changed


@given(st.lists(st.integers(0, 9), min_size=1, max_size=10), st.sets(st.integers(0, 9)))
def test_no_snapshot_is_left_with_a_parent_that_is_gone(parents: list[int], going: set[int]) -> None:
    tree = {f"s{n}": snapshot(f"s{up}" if up < n else None) for n, up in enumerate(parents)}
    left = plan_absent(vm(**tree), [f"s{n}" for n in going]).after["snapshots"]
    assert set(left) == {name for name in tree if int(name[1:]) not in going}
    assert {entry["parent"] for entry in left.values()} <= {None, *left}


@pytest.mark.parametrize(
    ("name", "all_of_it"),
    [("leaf", {"leaf"}), ("left", {"left", "leaf"}), ("root", {"root", "left", "right", "leaf"}), ("gone", {"gone"})],
)
def test_a_family_is_a_snapshot_and_its_descendants_the_youngest_first(name: str, all_of_it: set[str]) -> None:
    snapshots = family()
    found = with_children(snapshots, name)
    assert set(found) == all_of_it
    assert len(found) == len(all_of_it)
    for position, one in enumerate(found):
        assert snapshots.get(one, {}).get("parent") not in found[:position]


# --- reverted


def reverted(of: dict[str, Any], name: str, force: bool = False, start: bool = False, disks: Any = None) -> Any:
    return plan_reverted(of, name, force=force, start=start, disks=disks)


def test_a_revert_needs_its_snapshot_and_tells_what_there_is() -> None:
    with pytest.raises(NotFound, match=r"has no snapshot gone.*It has: left, root"):
        reverted(vm(root=snapshot(), left=snapshot()), "gone")
    with pytest.raises(NotFound, match="It has: none"):
        reverted(vm(), "gone")


@pytest.mark.parametrize("state", ["running", "paused", "suspended", "unknown"])
def test_what_a_vm_did_since_is_given_up_by_force_only(state: str) -> None:
    of = vm(state, old=snapshot())
    with pytest.raises(Conflict, match=f"web is {state}: a revert to old gives up"):
        reverted(of, "old")
    assert reverted(of, "old", force=True).changed


@pytest.mark.parametrize(
    ("memory", "start", "state"),
    [(False, False, "stopped"), (False, True, "running"), (True, False, "running"), (True, True, "running")],
)
def test_a_revert_brings_settings_back_and_runs_where_memory_was_saved(memory: bool, start: bool, state: str) -> None:
    kept = vm(old=snapshot(memory=memory, config={"memory": 256}))
    of = {**kept, "pending": {"cores": 1}, "cores": 2, "tags": ["new"], "boot_order": ["net0"], "native_state": "x"}
    plan = reverted(of, "old", start=start)
    assert plan.after == {**kept, "memory": 256, "tags": [], "template": False, "state": state}
    assert [(step.op, dict(step.arguments)) for step in plan.steps] == [
        (Op.REVERT, {"snapshot": "old", "start": start})
    ]


def test_single_disks_are_reverted_of_a_stopped_vm_only() -> None:
    of = vm(old=snapshot(config={"memory": 1}))
    plan = reverted(of, "old", disks=["virtio1"])
    assert [(step.op, dict(step.arguments)) for step in plan.steps] == [
        (Op.REVERT_DISKS, {"snapshot": "old", "disks": ["virtio1"]})
    ]
    assert plan.after == of
    with pytest.raises(Conflict, match="of a stopped VM only"):
        reverted(vm("running", old=snapshot()), "old", force=True, disks=["virtio1"])


def test_a_revert_to_a_snapshot_of_other_hands_leaves_the_settings() -> None:
    of = vm(old={key: value for key, value in snapshot().items() if key != "config"})
    assert reverted(of, "old").after == of


# --- retention

NOW = 100 * DAY


def daily(*ages: int, prefix: str = "auto-") -> dict[str, dict[str, Any]]:
    """Snapshots so many days old."""
    return {f"{prefix}{age}": snapshot(time=NOW - age * DAY) for age in ages}


@pytest.mark.parametrize(
    ("rule", "keeping", "going"),
    [
        ({"keep": 2}, "", ["auto-9", "auto-5", "auto-3"]),
        ({"keep": 2}, "new", ["auto-9", "auto-5", "auto-3", "auto-2"]),
        ({"keep": 0}, "", ["auto-9", "auto-5", "auto-3", "auto-2", "auto-1"]),
        ({"keep": 0}, "new", ["auto-9", "auto-5", "auto-3", "auto-2", "auto-1"]),
        ({"keep": 5}, "", []),
        ({"keep": 50}, "", []),
        ({"keep": 1}, "auto-1", ["auto-9", "auto-5", "auto-3", "auto-2"]),
        ({"older_than": "3d"}, "", ["auto-9", "auto-5"]),
        ({"older_than": "4w"}, "", []),
        ({"older_than": "1h"}, "auto-9", ["auto-5", "auto-3", "auto-2", "auto-1"]),
        ({"keep": 1, "older_than": "4d"}, "", ["auto-9", "auto-5"]),
        ({"keep": 4, "older_than": "4d"}, "", ["auto-9"]),
        ({"keep": 4, "older_than": "1w"}, "new", ["auto-9"]),
    ],
)
def test_retention(rule: dict[str, Any], keeping: str, going: list[str]) -> None:
    snapshots = {**daily(1, 9, 3, 5, 2), **daily(50, prefix="mine-"), "auto-adopted": snapshot(time=None)}
    assert surplus(snapshots, {"prefix": "auto-", **rule}, keeping, NOW) == going


@given(
    st.dictionaries(st.sampled_from([f"{p}{n}" for p in ("a-", "b-") for n in range(6)]), st.integers(1, NOW)),
    st.sampled_from(["a-0", "a-5", "new", ""]),
    st.none() | st.integers(0, 8),
    st.none() | st.integers(0, 9).map(lambda days: f"{days}d"),
)
def test_retention_spares_the_new_one_and_those_of_others(
    times: dict[str, int], keeping: str, keep: int | None, older_than: str | None
) -> None:
    if keep is None and older_than is None:
        return
    snapshots = {name: snapshot(time=time) for name, time in times.items()}
    going = surplus(snapshots, {"prefix": "a-", "keep": keep, "older_than": older_than}, keeping, NOW)
    assert keeping not in going
    assert all(name.startswith("a-") for name in going)
    assert [times[name] for name in going] == sorted(times[name] for name in going)
    left = {name for name in times if name.startswith("a-")} - {*going, keeping}
    if keep is not None:
        assert not going or len(left) + bool(keeping) >= keep
        if older_than is None:
            assert len(left) <= max(0, keep - bool(keeping))
    if older_than is not None:
        assert all(times[name] < NOW - seconds_of(older_than) for name in going)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"prefix": "", "keep": 1}, "a prefix is needed"),
        ({"prefix": None, "keep": 1}, "a prefix is needed"),
        ({"prefix": "a"}, "how many to keep, or what older_than"),
        ({"prefix": "a", "older_than": "soon"}, "'soon' is not an age"),
        ({"prefix": "a", "keep": -1}, "keep"),
    ],
)
def test_a_retention_that_says_too_little_is_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        surplus(daily(1, 2), rule, "", NOW)


@pytest.mark.parametrize(
    ("age", "seconds"), [("30m", 1800), ("12h", 43200), ("7d", 7 * DAY), ("4w", 28 * DAY), ("0d", 0)]
)
def test_ages(age: str, seconds: int) -> None:
    assert seconds_of(age) == seconds


@pytest.mark.parametrize("age", ["", "7", "d", "7y", "-7d", "7 d", "1.5d", "7d\n", "7D"])
def test_what_is_no_age_is_refused(age: str) -> None:
    with pytest.raises(InvalidRequest, match="is not an age"):
        seconds_of(age)


# --- for the user


def test_rows_are_by_time_without_settings() -> None:
    snapshots = {"late": snapshot("early", 9), "early": snapshot(None, 1), "unknown": snapshot(None, None)}
    rows = _snapshots.rows(snapshots)
    assert [row["name"] for row in rows] == ["unknown", "early", "late"]
    assert rows[2] == {
        "name": "late",
        "parent": "early",
        "time": 9,
        "description": "",
        "memory": False,
        "complete": True,
    }
