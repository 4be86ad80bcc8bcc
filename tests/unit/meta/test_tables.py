# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables that must say the same: capabilities and methods, settings and options, modules and their group."""

from __future__ import annotations

import importlib
import inspect
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import Apply, Backend
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.connect import connect
from ansible_collections.anyvirt.compute.plugins.module_utils._fields import VM_FIELDS, Field
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import Op
from ansible_collections.anyvirt.compute.plugins.module_utils._power import STATES, TRANSITIONS
from ansible_collections.anyvirt.compute.plugins.module_utils._spec import (
    BACKENDS,
    CLONES,
    EACH_CONFIG,
    EACH_VM,
    SELECT,
    SETTINGS,
)
from ansible_collections.anyvirt.compute.tests.unit.meta import source

UTILS = "ansible_collections.anyvirt.compute.plugins.module_utils"
MODULES = "ansible_collections.anyvirt.compute.plugins.modules"


MANNERS = {
    Op.CLONE_LINKED: Op.CLONE,
    Op.CLONE_SNAPSHOT: Op.CLONE,
    Op.CLONE_STORAGE: Op.CLONE,
    Op.SNAPSHOT_MEMORY: Op.SNAPSHOT,
    Op.MIGRATE_ONLINE: Op.MIGRATE,
    Op.MIGRATE_LOCAL_DISKS: Op.MIGRATE,
}
"""Operations that are ways of doing another; they have no method of their own."""


def driver(name: str) -> type[Backend]:
    module = importlib.import_module(f"{UTILS}._backends.{name}.driver")
    (found,) = (
        one
        for _name, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, Backend) and one.__module__ == module.__name__ and one.name == name
    )
    return found


def documentation(path: pathlib.Path, what: str = "DOCUMENTATION") -> Any:
    module = importlib.import_module(f"{MODULES}.{path.stem}")
    return yaml.safe_load(getattr(module, what))


# --- backends


def implemented(name: str) -> set[Op]:
    """Operations with a method of their name, with or without a line before it, or with an entry among QUERIES."""
    found = set()
    for path in (source.BACKENDS / name).glob("*.py"):
        module = importlib.import_module(f"{UTILS}._backends.{name}.{path.stem}")
        found |= set(getattr(module, "QUERIES", ()))
        if path.stem in ("driver", "operations"):
            classes = [one for _name, one in inspect.getmembers(module, inspect.isclass)]
            own = [one for one in classes if one.__module__ == module.__name__]
            found |= {op for op in Op for one in own if {op.value, f"_{op.value}"} & set(vars(one))}
    return found


@pytest.mark.parametrize("name", BACKENDS)
def test_a_driver_implements_the_operations_that_it_declares_and_no_others(name: str) -> None:
    declared = driver(name).capabilities.operations
    assert implemented(name) == declared - MANNERS.keys()
    for manner, of in MANNERS.items():
        assert manner not in declared or of in declared


def settings(fields: Mapping[str, Field], prefix: str = "") -> Iterator[str]:
    for name, one in fields.items():
        yield f"{prefix}{name}"
        if one.fields and not prefix:
            yield from settings(one.fields, f"{name}.")


@pytest.mark.parametrize("name", BACKENDS)
def test_a_driver_declares_settings_that_there_are(name: str) -> None:
    declared = driver(name).capabilities.fields
    assert set(declared) <= set(settings(VM_FIELDS))
    assert all(isinstance(apply, Apply) for apply in declared.values())
    for part in declared:
        assert part.partition(".")[0] in declared, part


@pytest.mark.parametrize("name", BACKENDS)
def test_a_driver_implements_the_whole_interface(name: str) -> None:
    found = driver(name)
    assert not inspect.isabstract(found)
    for declared in ("name_pattern", "name_rule", "capabilities"):
        assert hasattr(found, declared)
    assert not found.name_pattern.fullmatch("")


def test_every_driver_can_be_reached_and_every_choice_has_one(tmp_path: pathlib.Path) -> None:
    directories = {path.parent.name for path in source.BACKENDS.glob("*/driver.py")}
    assert directories == set(BACKENDS)
    for name in BACKENDS:
        backend = connect({"backend": name, "state_dir": str(tmp_path), "url": ["https://localhost"]})
        assert isinstance(backend, driver(name))
        backend.close()


def test_the_page_of_capabilities_is_up_to_date() -> None:
    generate = [sys.executable, str(source.ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(generate, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


# --- settings


def option_faults(options: Mapping[str, Any], fields: Mapping[str, Field], place: str = "") -> Iterator[str]:
    for name in set(options) ^ set(fields):
        yield f"{place}{name} is no option, or no field"
    for name in set(options) & set(fields):
        option, one = options[name], fields[name]
        if one.secret and option.get("no_log") is not True:
            yield f"{place}{name} is secret, but would be logged"
        if one.keyed_by and (option["type"], option.get("elements")) != ("list", "dict"):
            yield f"{place}{name} is no list of dicts"
        if one.fields and not one.keyed_by and option["type"] != "dict":
            yield f"{place}{name} is no dict"
        if one.fields:
            yield from option_faults(option["options"], one.fields, f"{place}{name}.")


def test_every_setting_is_an_option_and_every_option_a_setting() -> None:
    named = {name: one for name, one in VM_FIELDS.items() if name != "name"}
    assert list(option_faults(SETTINGS, named)) == []


def test_no_setting_has_a_default() -> None:
    """Only what the user names is managed."""

    def defaults(options: Mapping[str, Any], place: str = "") -> Iterator[str]:
        for name, option in options.items():
            if "default" in option and not place.startswith("nics.forwards."):
                yield place + name
            yield from defaults(option.get("options", {}), f"{place}{name}.")

    assert list(defaults(SETTINGS)) == []


@pytest.mark.parametrize("several", [CLONES, EACH_CONFIG, EACH_VM])
def test_what_a_vm_of_several_does_not_say_is_as_the_task_says(several: Mapping[str, Any]) -> None:
    assert SETTINGS.items() <= several["options"].items()
    assert [name for name, option in several["options"].items() if "default" in option] == []


def test_the_selector_knows_all_states() -> None:
    assert SELECT["select"]["options"]["status"]["choices"] == list(STATES)


# --- modules


def test_every_module_is_in_the_action_group() -> None:
    runtime = yaml.safe_load((source.ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    assert runtime["action_groups"]["all"] == [path.stem for path in source.MODULES]


@pytest.mark.parametrize("path", source.MODULES, ids=source.name_of)
def test_every_module_has_the_attributes_and_says_what_it_does(path: pathlib.Path) -> None:
    about = documentation(path)
    assert about["module"] == path.stem
    fragments = about["extends_documentation_fragment"]
    assert any(
        one == "anyvirt.compute.attributes" or one.startswith("anyvirt.compute.attributes.") for one in fragments
    )
    assert any(one.startswith("anyvirt.compute.connection") for one in fragments)
    for text in ("short_description", "description", "author", "version_added"):
        assert about[text], text
    assert documentation(path, "EXAMPLES")
    assert documentation(path, "RETURN")


@pytest.mark.parametrize("path", source.MODULES, ids=source.name_of)
def test_examples_are_tasks_of_this_collection(path: pathlib.Path) -> None:
    for task in documentation(path, "EXAMPLES") or [{}]:
        assert "name" in task
        assert f"anyvirt.compute.{path.stem}" in str(documentation(path, "EXAMPLES"))


def test_every_state_that_can_be_wanted_is_documented() -> None:
    (path,) = (one for one in source.MODULES if one.stem == "vm_power")
    assert documentation(path)["options"]["state"]["choices"] == list(TRANSITIONS)
