# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what is to what is wanted."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.change import changed_config
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import InvalidRequest, NotFound
from ansible_collections.anyvirt.compute.plugins.module_utils._fields import VM_FIELDS, normalised
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import (
    Change,
    Op,
    Plan,
    plan_create,
    plan_delete,
    plan_settings,
    unchanged,
)
from ansible_collections.anyvirt.compute.plugins.module_utils._session import visible
from ansible_collections.anyvirt.compute.tests.unit import strategies

KINDS = ("disks", "nics")


def shrinks(current: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return any(
        disk.get("size", float("inf")) < current["disks"].get(slot, {}).get("size", 0)
        for slot, disk in wanted.get("disks", {}).items()
    )


def plan_or_reject(current: dict[str, Any], options: dict[str, Any], absent: tuple[str, ...] = ()) -> Plan:
    wanted = normalised(options)
    assume(not shrinks(current, wanted))
    return plan_settings(current, wanted, absent)


def without_passwords(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as they can be compared: a password is never read, and no devices are as good as an empty dict."""
    kept = {name: value for name, value in settings.items() if name not in KINDS or value}
    if kept.get("cloud_init"):
        kept["cloud_init"] = {name: value for name, value in kept["cloud_init"].items() if name != "password"}
    return kept


@given(strategies.vms, strategies.options)
def test_the_plan_of_an_applied_plan_is_empty(current: dict[str, Any], options: dict[str, Any]) -> None:
    plan = plan_or_reject(current, options)
    for applied in (plan.after, changed_config(current, plan.changes)):
        again = plan_settings(applied, normalised(options))
        assert again.changes == ()
        assert not again.changed
        assert again.after == applied or without_passwords(again.after) == without_passwords(applied)


@given(strategies.vms, strategies.options)
def test_changes_lead_from_before_to_after(current: dict[str, Any], options: dict[str, Any]) -> None:
    plan = plan_or_reject(current, options)
    assert without_passwords(changed_config(plan.before, plan.changes)) == without_passwords(plan.after)
    assert plan.before == current


@given(strategies.vms, strategies.options)
def test_a_plan_is_changed_exactly_when_something_differs(current: dict[str, Any], options: dict[str, Any]) -> None:
    plan = plan_or_reject(current, options)
    assert plan.changed is bool(plan.changes)
    if not plan.changed:
        assert without_passwords(plan.after) == without_passwords(current)
    else:
        assert [step.op for step in plan.steps] == [Op.UPDATE]
        assert plan.steps[0].arguments["changes"] == plan.changes
    for change in plan.changes:
        assert change.before != change.after


@given(strategies.vms, strategies.options)
def test_what_is_not_named_survives(current: dict[str, Any], options: dict[str, Any]) -> None:
    wanted = normalised(options)
    plan = plan_or_reject(current, options)
    for name, value in current.items():
        if name not in wanted:
            assert plan.after[name] == value
    for kind in KINDS:
        for slot, device in current[kind].items():
            named = wanted.get(kind, {}).get(slot, {})
            assert {**device, **plan.after[kind][slot]} == plan.after[kind][slot]
            for part, value in device.items():
                if part not in named:
                    assert plan.after[kind][slot][part] == value
    for part, value in current.get("native", {}).items():
        if part not in (wanted.get("native") or {}):
            assert plan.after["native"][part] == value


@given(strategies.vms, strategies.options)
def test_what_is_named_is_in_the_result(current: dict[str, Any], options: dict[str, Any]) -> None:
    plan = plan_or_reject(current, options)
    for name, value in normalised(options).items():
        if name in KINDS:
            for slot, device in value.items():
                compared = {
                    part: what for part, what in device.items() if part != "source" or slot not in current[name]
                }
                assert {**plan.after[name][slot], **compared} == plan.after[name][slot]
        elif name not in ("cloud_init", "cdrom", "native"):
            is_nothing = value in ("", []) and name not in current
            assert is_nothing or plan.after[name] == value


@given(strategies.vms, strategies.options)
def test_a_secret_is_in_no_diff(current: dict[str, Any], options: dict[str, Any]) -> None:
    plan = plan_or_reject(current, options)
    text = json.dumps([visible(plan.before), visible(plan.after)])
    for given_away in (current.get("cloud_init") or {}, options["cloud_init"] or {}):
        for name in ("password", "user_data"):
            assert not given_away.get(name) or given_away[name] not in text


@given(strategies.vms, strategies.options)
def test_planning_changes_nothing(current: dict[str, Any], options: dict[str, Any]) -> None:
    before, wanted = copy.deepcopy(current), normalised(options)
    assume(not shrinks(current, wanted))
    asked = copy.deepcopy(wanted)
    plan_settings(current, wanted)
    assert current == before
    assert wanted == asked


@given(strategies.vms, strategies.options)
def test_exactly_what_shrinks_is_refused(current: dict[str, Any], options: dict[str, Any]) -> None:
    wanted = normalised(options)
    if not shrinks(current, wanted):
        plan_settings(current, wanted)
        return
    with pytest.raises(InvalidRequest, match="cannot shrink"):
        plan_settings(current, wanted)


def test_a_refused_shrink_names_the_disk_and_both_sizes() -> None:
    current = {"disks": {"virtio0": {"slot": "virtio0", "size": 4}}}
    with pytest.raises(InvalidRequest, match=r"disk virtio0 has 4 GiB and cannot shrink to 0\.5 GiB"):
        plan_settings(current, normalised({"disks": [{"size": "512MiB"}]}))


@given(strategies.vms, st.data())
def test_a_device_that_is_taken_away_goes_alone(current: dict[str, Any], data: st.DataObject) -> None:
    slots = [slot for kind in KINDS for slot in current[kind]]
    assume(slots)
    slot = data.draw(st.sampled_from(slots))
    kind = "nics" if slot.startswith("net") else "disks"
    plan = plan_settings(current, {}, [slot])
    assert plan.changes == (Change((kind, slot), current[kind][slot], None),)
    left = {name: device for name, device in current[kind].items() if name != slot}
    assert plan.after == {**current, kind: left}
    assert plan_settings(plan.after, {}, [slot]).changes == ()


ABSENT = [
    "description",
    "tags",
    "boot_order",
    "cdrom",
    "cloud_init",
    "pool",
    "net9",
    "virtio9",
    "scsi9",
    "sata9",
    "ide9",
]


@given(strategies.vms, st.lists(st.sampled_from(ABSENT), max_size=4))
def test_taking_away_twice_is_taking_away_once(current: dict[str, Any], absent: list[str]) -> None:
    plan = plan_settings(current, {}, absent)
    assert plan_settings(plan.after, {}, absent).changes == ()
    assert without_passwords(changed_config(current, plan.changes)) == without_passwords(plan.after)
    assert {change.path[0] for change in plan.changes} <= set(absent)
    assert not any(plan.after.get(name) for name in absent)


@pytest.mark.parametrize("name", ABSENT)
def test_taking_away_what_is_not_there_changes_nothing(name: str) -> None:
    current = {"name": "vm", "disks": {}, "nics": {}}
    plan = plan_settings(current, {}, [name])
    assert not plan.changed
    assert plan.after == current


@pytest.mark.parametrize(
    "name", ["memory", "name", "id", "state", "disks", "nics", "firmware", "nothing", "", "snapshots"]
)
def test_some_things_cannot_be_taken_away(name: str) -> None:
    with pytest.raises(NotFound, match="nothing that can be taken away"):
        plan_settings({"name": "vm", "disks": {}, "nics": {}}, {}, [name])


@pytest.mark.parametrize(
    ("options", "absent"),
    [({"tags": ["a"]}, "tags"), ({"nics": [{"slot": "net1"}]}, "net1"), ({"cdrom": {"slot": "sata0"}}, "cdrom")],
)
def test_wanted_and_unwanted_at_once_is_refused(options: dict[str, Any], absent: str) -> None:
    with pytest.raises(InvalidRequest, match="both given and listed in absent"):
        plan_settings({"name": "vm", "disks": {}, "nics": {}}, normalised(options), [absent])


@pytest.mark.parametrize(
    ("change", "setting", "settings"),
    [
        (Change(("memory",), 1, 2), "memory", ["memory"]),
        (Change(("nics", "net0", "model"), "a", "b"), "nics.model", ["nics.model"]),
        (Change(("nics", "net0"), {"slot": "net0"}, None), "nics", ["nics"]),
        (Change(("nics", "net0"), None, {"slot": "net0", "mac": "m"}), "nics", ["nics", "nics.slot", "nics.mac"]),
        (Change(("cdrom",), None, {"slot": "sata0"}), "cdrom", ["cdrom", "cdrom.slot"]),
        (Change(("cdrom", "image"), "/a", "/b"), "cdrom.image", ["cdrom.image"]),
        (Change(("cloud_init", "user"), "a", "b"), "cloud_init.user", ["cloud_init.user"]),
        (Change(("native",), None, {"x": 1}), "native", ["native"]),
    ],
)
def test_a_change_names_settings_as_the_capabilities_do(change: Change, setting: str, settings: list[str]) -> None:
    assert change.setting == setting
    assert change.settings == settings


def test_of_a_device_that_stays_each_part_is_a_change() -> None:
    current = {"name": "vm", "nics": {"net0": {"slot": "net0", "model": "virtio", "mac": "52:54:00:00:00:01"}}}
    wanted = normalised({"nics": [{"slot": "net0", "model": "e1000e"}, {"slot": "net1", "network": "user"}]})
    assert plan_settings(current, wanted).changes == (
        Change(("nics", "net0", "model"), "virtio", "e1000e"),
        Change(("nics", "net1"), None, {"slot": "net1", "network": "user"}),
    )


def test_a_password_goes_along_when_its_surroundings_change() -> None:
    current = {"name": "vm", "cloud_init": {"user": "me"}}
    wanted = normalised({"cloud_init": {"user": "you", "password": "HUSH"}})
    assert plan_settings(current, wanted).changes == (
        Change(("cloud_init", "user"), "me", "you"),
        Change(("cloud_init", "password"), None, "HUSH"),
    )
    assert not plan_settings(current, normalised({"cloud_init": {"user": "me", "password": "HUSH"}})).changed


def test_how_a_change_is_to_be_applied_travels_with_the_step() -> None:
    step = plan_settings({"name": "vm"}, {"memory": 1}, apply="next_boot", force=True).steps[0]
    assert (step.arguments["apply"], step.arguments["force"]) == ("next_boot", True)


@given(strategies.options)
def test_a_new_vm_has_all_that_is_wanted_and_is_stopped(options: dict[str, Any]) -> None:
    wanted = normalised(options)
    plan = plan_create("new", wanted)
    assert plan.before == {}
    assert plan.after == {**wanted, "name": "new", "state": "stopped"}
    assert [(step.op, step.vm, step.arguments["settings"]) for step in plan.steps] == [
        (Op.CREATE, {"name": "new"}, {**wanted, "name": "new"})
    ]
    assert {change.path[0] for change in plan.changes} <= set(VM_FIELDS)
    assert changed_config({}, plan.changes) == {
        k: v for k, v in {**wanted, "name": "new"}.items() if k not in KINDS or v
    }


def test_a_deleted_vm_is_absent() -> None:
    plan = plan_delete({"id": "1", "name": "vm", "state": "running", "memory": 1}, force=True, purge=False)
    assert plan.after == {"id": "1", "name": "vm", "state": "absent"}
    assert plan.steps[0].op is Op.DELETE
    assert plan.steps[0].arguments == {"force": True, "purge": False}


def test_plans_follow_one_another() -> None:
    first = plan_settings({"name": "vm", "memory": 1, "cores": 1}, {"memory": 2})
    second = plan_settings(first.after, {"cores": 2})
    both = first.and_then(second).and_then(unchanged(second.after, "look out"))
    assert both.before == {"name": "vm", "memory": 1, "cores": 1}
    assert both.after == {"name": "vm", "memory": 2, "cores": 2}
    assert [change.path for change in both.changes] == [("memory",), ("cores",)]
    assert [step.op for step in both.steps] == [Op.UPDATE, Op.UPDATE]
    assert both.warnings == ("look out",)
