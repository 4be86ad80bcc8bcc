# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task imports: each line is compiled anew on every task, and libraries may be missing."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
from ansible_collections.anyvirt.compute.tests.unit.meta import source

PROGRAM = """
import importlib.util, json, sys
module, options, check, conftest = json.loads(sys.argv[1])
import unittest.mock, ansible.module_utils.basic, ansible.module_utils.testing
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("checkout", conftest)
spec.loader.exec_module(importlib.util.module_from_spec(spec))
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
answer = run(module, options, check=check)
print(json.dumps([answer.failed, answer.result, sorted(set(sys.modules) - before)]))
"""

OURS = "ansible_collections.anyvirt.compute.plugins.module_utils."


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("closure") / "state")
    made = run("vm", {"state_dir": path, "name": "web", "memory": "64", "disks": [{"size": "8MiB"}]})
    assert made.changed, made.result
    return path


def imported_by(module: str, options: dict[str, Any], check: bool = False) -> set[str]:
    given = json.dumps([module, options, check, str(source.ROOT / "conftest.py")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, given], capture_output=True, text=True, check=True, timeout=60
    )
    failed, result, modules = json.loads(done.stdout)
    assert not failed, result
    return set(modules)


@pytest.mark.parametrize(
    ("module", "options", "check"),
    [
        ("vm_info", {"gather": ["config", "pending"]}, False),
        ("vm_info", {"name": "web", "gather": ["config", "snapshots", "agent", "pending", "capabilities"]}, False),
        ("vm_snapshot_info", {"name": "web"}, False),
        ("vm_power", {"name": "web", "state": "started"}, True),
        ("vm_power", {"name": "web", "state": "stopped"}, False),
        ("vm_config", {"name": "web", "memory": "64"}, False),
        ("vm", {"name": "new", "memory": "64", "disks": [{"size": "8MiB"}]}, True),
    ],
)
def test_plain_qemu_needs_no_library_and_no_network_code(
    module: str, options: dict[str, Any], check: bool, state_dir: str
) -> None:
    found = imported_by(module, {"state_dir": state_dir, **options}, check)
    assert f"{OURS}_backends.qemu.driver" in found
    tops = {name.partition(".")[0] for name in found}
    assert not tops & {"requests", "proxmoxer", "jsonschema", "urllib3", "yaml"}
    assert not found & {"ssl", "http.client", "urllib.request"}


def test_a_list_of_vms_needs_little_of_the_driver(state_dir: str) -> None:
    found = imported_by("vm_info", {"state_dir": state_dir})
    parts = {name.removeprefix(f"{OURS}_backends.qemu.") for name in found if name.startswith(f"{OURS}_backends.qemu.")}
    assert not parts & {"preflight", "build", "change", "snapshots"}
    assert not {f"{OURS}_clone", f"{OURS}_power", f"{OURS}_snapshots", f"{OURS}_readiness", f"{OURS}_schema"} & found


def test_native_settings_are_checked_by_the_library(state_dir: str) -> None:
    options = {"state_dir": state_dir, "name": "web", "native": {"vga": "none"}}
    found = imported_by("vm_config", options, check=True)
    assert "jsonschema" in found


def test_the_state_directory_is_where_it_was_asked_for(state_dir: str) -> None:
    assert {path.name for path in pathlib.Path(state_dir, "vms").iterdir()} == {"web"}
