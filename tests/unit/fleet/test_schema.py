# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet's data against its schema, and the schema against what the modules take."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.anyvirt.compute.plugins.module_utils._errors import InvalidRequest
from ansible_collections.anyvirt.compute.plugins.module_utils._fields import normalised
from ansible_collections.anyvirt.compute.plugins.module_utils._spec import SETTINGS
from ansible_collections.anyvirt.compute.plugins.plugin_utils import _fleet_schema as schema
from ansible_collections.anyvirt.compute.tests.unit.strategies import options

VM = dict[str, Any]


def problems(*vms: VM, tag: str = "vm-fleet", prune: bool = False, **defaults: Any) -> list[str]:
    return schema.problems(vms, defaults, tag, prune)


# --- the schema itself


@pytest.mark.parametrize("table", [schema.VM, schema.COMMON], ids=["a VM", "defaults"])
def test_the_schema_is_one(table: schema.Options) -> None:
    made, checks = schema.schema_of(table)
    jsonschema.Draft202012Validator.check_schema(made)
    assert set(SETTINGS) <= set(made["properties"])
    assert {"memory", "disks.size", "nics.mac", "tags"} <= set(checks)


# --- what is right


@pytest.mark.parametrize(
    "vm",
    [
        {"name": "a"},
        {"name": "a", "memory": 512, "cores": "2", "template": "yes", "guest_agent": 1},
        {"name": "a", "state": "absent", "id": 100, "clone_from": {"id": 900, "full": True}},
        {"name": "a", "memory": None, "disks": [{"size": "1.5GiB", "storage": None}]},
        {"name": "a", "nics": [{"forwards": [{"host_port": "80", "guest_port": 80}]}], "native": {"any": [1, {}]}},
        {"name": "a", "clone_from": None, "tags": []},
    ],
)
def test_right(vm: VM) -> None:
    assert problems(vm) == []


def test_an_empty_list_is_right() -> None:
    assert problems(prune=True) == []


# --- what is wrong


@pytest.mark.parametrize(
    ("vm", "told"),
    [
        ({}, "vm_fleet_vms[0]: name is missing."),
        ({"name": "100"}, "vm_fleet_vms[0].name: '100' is not a name that tells a VM from an id."),
        ({"name": "a\nb"}, "vm_fleet_vms[0].name: 'a\\nb' has a line break"),
        ({"name": "a", "core": 2}, "vm_fleet_vms[0].core: there is no such setting. Did you mean cores?"),
        ({"name": "a", "wait": 2}, "vm_fleet_vms[0].wait: there is no such setting."),
        ({"name": "a", "cores": 0}, "vm_fleet_vms[0].cores: 0 is too small"),
        ({"name": "a", "cores": "two"}, "vm_fleet_vms[0].cores: 'two' is not a whole number."),
        ({"name": "a", "cores": [2]}, "vm_fleet_vms[0].cores: it is a list and must be a whole number."),
        ({"name": "a", "cores": True}, "vm_fleet_vms[0].cores: it is true or false and must be a whole number."),
        ({"name": "a", "memory": "1GB"}, "vm_fleet_vms[0].memory: '1GB' is not a size."),
        ({"name": "a", "template": "perhaps"}, "vm_fleet_vms[0].template: 'perhaps' is not true or false."),
        ({"name": "a", "state": "on"}, "vm_fleet_vms[0].state: 'on' is none of present, started, stopped, absent."),
        ({"name": "a", "tags": "web"}, "vm_fleet_vms[0].tags: it is a text and must be a list."),
        ({"name": "a", "tags": ["web", "a b"]}, "vm_fleet_vms[0].tags[1]: 'a b' is not a tag."),
        ({"name": "a", "disks": [{}, {"size": "x"}]}, "vm_fleet_vms[0].disks[1].size: 'x' is not a size."),
        ({"name": "a", "disks": [{"slot": "sda"}]}, "vm_fleet_vms[0].disks[0].slot: 'sda' is not a slot."),
        ({"name": "a", "disks": [{}, {"slot": "virtio0"}]}, "vm_fleet_vms[0].disks: slot virtio0 is used twice."),
        ({"name": "a", "disks": {"size": 1}}, "vm_fleet_vms[0].disks: it is a dictionary and must be a list."),
        ({"name": "a", "nics": [7]}, "vm_fleet_vms[0].nics[0]: it is a number and must be a dictionary."),
        ({"name": "a", "nics": [{"vlan": 5000}]}, "vm_fleet_vms[0].nics[0].vlan: 5000 is not a VLAN"),
        (
            {"name": "a", "nics": [{"forwards": [{"host_port": 1}]}]},
            "vm_fleet_vms[0].nics[0].forwards[0]: guest_port is missing.",
        ),
        (
            {"name": "a", "nics": [{"forwards": [{"host_port": 0, "guest_port": 1}]}]},
            "vm_fleet_vms[0].nics[0].forwards[0]: forwards: host_port 0 is not a port",
        ),
        ({"name": "a", "boot_order": ["virtio0", "hd"]}, "vm_fleet_vms[0].boot_order[1]: 'hd' is not a slot."),
        ({"name": "a", "cloud_init": {"ip_config": [{}]}}, "vm_fleet_vms[0].cloud_init.ip_config[0]: nic is missing."),
        ({"name": "a", "clone_from": {"full": True}}, "vm_fleet_vms[0].clone_from: give one of name, id."),
        ({"name": "a", "clone_from": {"name": "b", "id": "1"}}, "vm_fleet_vms[0].clone_from: give one of name, id."),
        ({"name": "a", "clone_from": "b"}, "vm_fleet_vms[0].clone_from: it is a text and must be a dictionary."),
        ({"name": "a", "clone_from": {"name": "a"}}, "vm_fleet_vms[0].clone_from: in the end a would be cloned from"),
    ],
)
def test_wrong(vm: VM, told: str) -> None:
    (one,) = problems(vm)
    assert one.startswith(told)


def test_all_is_told_at_once() -> None:
    told = problems(
        {"name": "a", "memory": "1GB", "core": 1, "disks": [{"size": "x"}]},
        {"name": "a", "cores": 0},
        {"id": 7, "name": "b"},
        {"id": "7", "name": "c"},
        names="x",
        sockets=0,
        prune=True,
        tag="",
    )
    assert [one.partition(": ")[0] for one in told] == [
        "vm_fleet_defaults.names",
        "vm_fleet_defaults.sockets",
        "vm_fleet_vms[0].core",
        "vm_fleet_vms[0].memory",
        "vm_fleet_vms[0].disks[0].size",
        "vm_fleet_vms[1].cores",
        "vm_fleet_vms[1].name",
        "vm_fleet_vms[3].id",
        "vm_fleet_prune",
    ]


def test_defaults_have_no_name() -> None:
    (one,) = problems(name="a")
    assert one.startswith("vm_fleet_defaults.name: there is no such setting.")


@pytest.mark.parametrize("tag", ["Fleet", "a b", "x" * 101, "-a"])
def test_tags_that_mark_nothing(tag: str) -> None:
    (one,) = problems({"name": "a"}, tag=tag)
    assert one.startswith(f"vm_fleet_tag: '{tag}'")


def test_a_circle_of_clones() -> None:
    told = problems(
        {"name": "a", "clone_from": {"name": "b"}},
        {"name": "b", "id": 5, "clone_from": {"name": "c"}},
        {"name": "c", "clone_from": {"id": 5}},
        {"name": "d", "clone_from": {"name": "c"}},
    )
    assert [one.partition(":")[0] for one in told] == ["vm_fleet_vms[1].clone_from", "vm_fleet_vms[2].clone_from"]


@pytest.mark.parametrize(
    "cloud_init",
    [
        {"password": "HUSH\n"},
        {"password": ["HUSH"]},
        {"user_data": {"HUSH": "HUSH"}},
        {"password": "HUSH", "user": ["HUSH"]},
        ["HUSH"],
        "HUSH",
    ],
)
def test_no_secret_is_told(cloud_init: Any) -> None:
    (one,) = problems({"name": "a", "cloud_init": cloud_init})
    assert one.startswith("vm_fleet_vms[0].cloud_init")
    assert "HUSH" not in one


# --- defaults


@pytest.mark.parametrize(
    ("defaults", "vm", "merged"),
    [
        ({"cores": 2}, {"cores": 4}, {"cores": 4}),
        ({"cores": 2}, {"cores": None}, {}),
        ({"tags": ["a", "b"]}, {"tags": ["c"]}, {"tags": ["c"]}),
        ({"native": {"a": 1, "b": {"c": 1}}}, {"native": {"b": {"d": 2}}}, {"native": {"a": 1, "b": {"c": 1, "d": 2}}}),
        ({"clone_from": {"name": "a", "full": True}}, {"clone_from": {"id": 1}}, {"clone_from": {"id": 1}}),
        ({"clone_from": {"name": "a"}}, {"clone_from": None}, {}),
    ],
)
def test_defaults_lie_below(defaults: VM, vm: VM, merged: VM) -> None:
    before = copy.deepcopy(defaults)
    assert schema.merge(defaults, vm) == merged
    assert defaults == before


# --- the schema and the modules agree


def modules_take(given: VM) -> bool:
    result = ArgumentSpecValidator(SETTINGS).validate(given)
    if result.error_messages:
        return False
    try:
        normalised(result.validated_parameters)
    except InvalidRequest:
        return False
    return True


def scalars(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all texts, numbers and truth values but those of native, where anything goes."""
    if path[:1] == ("native",):
        return
    if isinstance(value, dict):
        for key, one in value.items():
            yield from scalars(one, (*path, key))
    elif isinstance(value, list):
        for position, one in enumerate(value):
            yield from scalars(one, (*path, position))
    elif value is not None:
        yield path


@given(options)
def test_what_modules_take_is_right(given_options: VM) -> None:
    assert modules_take(given_options) == (problems({"name": "a", **given_options}) == [])


ODD = st.sampled_from(
    ["", "0", "1", "1GiB", "1.5GB", "x y", "a\nb", "net0", "virtio0", "00", "52:54:00:00:00:01", "yes", "tcp", "1e-3"]
)


@settings(max_examples=300, deadline=None)
@given(options, ODD | st.integers(-2, 70000) | st.text(max_size=5), st.data())
def test_of_odd_values_both_think_the_same(given_options: VM, odd: Any, data: st.DataObject) -> None:
    named = schema.without_none(given_options)
    paths = list(scalars(named))
    if not paths:
        return
    *parents, last = data.draw(st.sampled_from(paths))
    place: Any = named
    for key in parents:
        place = place[key]
    place[last] = odd
    assert modules_take(copy.deepcopy(named)) == (problems({"name": "a", **named}) == [])
