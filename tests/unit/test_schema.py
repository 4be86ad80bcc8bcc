# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Native settings against their schema, and libraries that are not there."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import jsonschema
import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._errors import InvalidRequest, MissingLibrary
from ansible_collections.anyvirt.compute.plugins.module_utils._library import FLOORS, require
from ansible_collections.anyvirt.compute.plugins.module_utils._schema import QEMU_NATIVE, require_valid


class Missing:
    """An installation without these libraries."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


@pytest.fixture
def no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.partition(".")[0] in FLOORS:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(*FLOORS), *sys.meta_path])


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(QEMU_NATIVE)


@pytest.mark.parametrize(
    "native",
    [
        {},
        {"accel": "tcg"},
        {"machine": "q35"},
        {"machine": "pc-q35-7.2"},
        {"vga": "none"},
        {"kernel": "/boot/vmlinuz", "initrd": "/boot/initrd", "kernel_args": "console=ttyS0"},
    ],
)
def test_good_native_settings(native: dict[str, Any]) -> None:
    assert require_valid("native", native, QEMU_NATIVE) is None


@pytest.mark.parametrize(
    ("native", "told"),
    [
        ({"accel": "xen"}, "native.accel: 'xen' is not one of"),
        ({"machine": "pc"}, "native.machine: 'pc' does not match"),
        ({"machine": "q35,accel=kvm"}, "native.machine"),
        ({"machine": "q35\n"}, "native.machine"),
        ({"kernel": "vmlinuz"}, "native.kernel"),
        ({"initrd": "/boot/initrd"}, "'kernel' is a dependency of 'initrd'"),
        ({"kernel_args": "quiet"}, "'kernel' is a dependency of 'kernel_args'"),
        ({"args": "-S"}, "'args' was unexpected"),
        ({"kernel": 1}, "native.kernel: 1 is not of type 'string'"),
    ],
)
def test_bad_native_settings(native: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        require_valid("native", native, QEMU_NATIVE)
    assert told in str(caught.value)


def test_every_fault_is_told_with_its_place() -> None:
    with pytest.raises(InvalidRequest) as caught:
        require_valid("native", {"accel": "xen", "vga": "cga", "x": 1}, QEMU_NATIVE)
    assert len(caught.value.facts["faults"]) == 3
    for place in ("native.accel:", "native.vga:", "native: "):
        assert place in str(caught.value)


@pytest.mark.parametrize("name", sorted(FLOORS))
def test_a_library_that_is_missing_is_told_with_the_version_that_is_needed(name: str, no_libraries: None) -> None:
    with pytest.raises(MissingLibrary) as caught:
        require(name, "to fly")
    assert f"{name}>={FLOORS[name]}" in str(caught.value)
    assert "to fly" in str(caught.value)
    assert caught.value.to_failure()["library"] == name


def test_without_jsonschema_native_settings_are_refused_not_believed(no_libraries: None) -> None:
    with pytest.raises(MissingLibrary, match="to check native settings"):
        require_valid("native", {}, QEMU_NATIVE)


def test_a_library_that_is_there_is_given() -> None:
    assert require("jsonschema", "to check") is importlib.import_module("jsonschema")
