# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible reads options from the documentation, and we check them by a spec: both must say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from ansible_collections.anyvirt.compute.plugins.doc_fragments.connection import ModuleDocFragment
from ansible_collections.anyvirt.compute.plugins.inventory.vms import DOCUMENTATION
from ansible_collections.anyvirt.compute.plugins.module_utils._spec import CONNECTION
from ansible_collections.anyvirt.compute.plugins.plugin_utils._options import OWN

OPTIONS = yaml.safe_load(DOCUMENTATION)["options"]
FRAGMENT = yaml.safe_load(ModuleDocFragment.INVENTORY)["options"]
OF_MODULES = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
ALIKE = ("type", "elements", "choices", "default", "aliases")


def told(option: Mapping[str, Any]) -> dict[str, Any]:
    """What documentation and specs have in common."""
    return {key: option[key] for key in ALIKE if key in option}


def test_the_same_options_are_known() -> None:
    assert set(OPTIONS) - {"plugin"} == set(OWN)
    assert set(FRAGMENT) == set(OF_MODULES) == set(CONNECTION)
    assert not set(OWN) & set(CONNECTION)


@pytest.mark.parametrize("name", CONNECTION)
def test_connections_are_as_those_of_modules(name: str) -> None:
    assert told(FRAGMENT[name]) == told(CONNECTION[name]) == told(OF_MODULES[name])


@pytest.mark.parametrize("name", CONNECTION)
def test_environment_variables_are_those_of_modules(name: str) -> None:
    _fallback, variables = CONNECTION[name]["fallback"]
    assert [one["name"] for one in FRAGMENT[name]["env"]] == variables
    assert [word for word in variables if f"E({word})" not in str(OF_MODULES[name]["description"])] == []


@pytest.mark.parametrize("name", OWN)
def test_options_are_checked_as_they_are_documented(name: str) -> None:
    assert_alike(OPTIONS[name], OWN[name])


def assert_alike(documented: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    assert told(documented) == told(spec)
    parts, checked = documented.get("suboptions", {}), spec.get("options", {})
    assert set(parts) == set(checked)
    for part in parts:
        assert_alike(parts[part], checked[part])
