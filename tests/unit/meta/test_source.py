# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the code is built: one door, layers, no libraries but where they are asked for, small pieces."""

from __future__ import annotations

import ast
import pathlib
import sys
from graphlib import TopologicalSorter

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._library import FLOORS
from ansible_collections.anyvirt.compute.tests.unit.meta import source

EVERY_FILE = pytest.mark.parametrize("path", source.FILES, ids=source.name_of)

LAYERS = [
    "modules",
    "inventory",
    "filter",
    "plugin_utils",
    "module_utils._session",
    "module_utils._readiness",
    "module_utils._fleet",
    "module_utils._clone",
    "module_utils._console",
    "module_utils._power",
    "module_utils._visible",
    "module_utils._snapshots",
    "module_utils._backends.connect",
    "a driver",
    "module_utils._backends.addresses",
    "module_utils._backends.base",
    "module_utils._http",
    "module_utils._plan",
    "module_utils._fields",
    "module_utils._task",
    "module_utils._spec",
    "module_utils._schema",
    "module_utils._library",
    "module_utils._errors",
]
"""From the top: each may import what stands below it."""


def layer_of(module: str) -> tuple[int, str]:
    """Its place in LAYERS, and for what may import its like what that is: a driver, or plugin_utils."""
    parts = module.split(".")
    if parts[0] in ("modules", "inventory", "filter"):
        return LAYERS.index(parts[0]), ""
    if parts[0] == "plugin_utils":
        return LAYERS.index("plugin_utils"), "plugin_utils"
    if parts[:2] == ["module_utils", "_backends"] and parts[2] not in ("addresses", "base", "connect"):
        return LAYERS.index("a driver"), parts[2]
    return LAYERS.index(module), ""


# --- one door


@pytest.mark.parametrize("word", ["check_mode", "exit_json", "fail_json", "AnsibleModule"])
def test_only_the_session_knows_how_modules_begin_and_end(word: str) -> None:
    users = {source.name_of(path) for path in source.FILES if word in source.words(path)}
    assert users == {"module_utils/_session.py"}


@pytest.mark.parametrize(("word", "times"), [("exit_json", 1), ("fail_json", 1)])
def test_a_module_ends_in_one_place(word: str, times: int) -> None:
    assert list(source.words(source.UTILS / "_session.py")).count(word) == times


@pytest.mark.parametrize("path", source.MODULES, ids=source.name_of)
def test_a_modules_main_is_run_module(path: pathlib.Path) -> None:
    (main,) = (node for node in source.parsed(path).body if isinstance(node, ast.FunctionDef) and node.name == "main")
    calls = [node.func.id for node in ast.walk(main) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert calls.count("run_module") == 1


@pytest.mark.parametrize("word", ["perform", "exclusive"])
def test_every_write_goes_through_the_session(word: str) -> None:
    users = {
        source.name_of(path)
        for path in source.FILES
        if path not in source.DRIVER_FILES
        and any(isinstance(node, ast.Attribute) and node.attr == word for node in ast.walk(source.parsed(path)))
    }
    assert users == {"module_utils/_session.py"}


@pytest.mark.parametrize(
    "path", [one for one in source.FILES if one.parent.name in ("inventory", "plugin_utils")], ids=source.name_of
)
def test_an_inventory_is_no_run_of_a_module(path: pathlib.Path) -> None:
    """And so it has no door for writes."""
    assert "module_utils._session" not in dict(source.imports(path))


@pytest.mark.parametrize("path", [one for one in source.MODULES if one.stem.endswith("_info")], ids=source.name_of)
def test_info_modules_never_write(path: pathlib.Path) -> None:
    assert not {"converge", "converge_each", "for_each"} & set(source.words(path))


@EVERY_FILE
def test_no_error_is_caught_blindly(path: pathlib.Path) -> None:
    for node in ast.walk(source.parsed(path)):
        if isinstance(node, ast.ExceptHandler):
            caught = {one.id for one in ast.walk(node.type) if isinstance(one, ast.Name)} if node.type else {"all"}
            assert not caught & {"Exception", "all"}, f"line {node.lineno}"
            # to tidy up whatever happens is fine, to go on is not
            assert "BaseException" not in caught or isinstance(node.body[-1], ast.Raise), f"line {node.lineno}"
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "suppress":
            assert not {getattr(one, "id", "") for one in node.args} & {"Exception", "BaseException"}, (
                f"line {node.lineno}"
            )


def test_only_the_clock_sleeps() -> None:
    users = {
        source.name_of(path)
        for path in source.FILES
        if any(
            isinstance(node, ast.Attribute) and ast.unparse(node) == "time.sleep"
            for node in ast.walk(source.parsed(path))
        )
    }
    assert users == {"module_utils/_task.py"}


# --- layers


@EVERY_FILE
def test_imports_go_down(path: pathlib.Path) -> None:
    if path.stem == "__init__" or "doc_fragments" in path.parts:
        return
    me, mine = layer_of(source.name_of(path)[:-3].replace("/", "."))
    for name, ours in source.imports(path):
        if ours:
            other, theirs = layer_of(name)
            assert other > me or (theirs and theirs == mine), f"{source.name_of(path)} imports {name}"


def test_plugin_utils_are_no_tangle() -> None:
    graph = {
        f"plugin_utils.{path.stem}": [name for name, _ours in source.imports(path) if name.startswith("plugin_utils.")]
        for path in (source.PLUGINS / "plugin_utils").glob("*.py")
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)


@EVERY_FILE
def test_what_is_imported_is_there_to_be_shipped(path: pathlib.Path) -> None:
    for name, ours in source.imports(path):
        if ours:
            place = source.PLUGINS.joinpath(*name.split("."))
            assert place.with_suffix(".py").exists() or (place / "__init__.py").exists(), name


@EVERY_FILE
def test_own_code_is_imported_by_import_statements(path: pathlib.Path) -> None:
    """AnsiballZ ships what it sees as such a statement."""
    if source.name_of(path) != "module_utils/_library.py":
        assert not {"importlib", "import_module", "__import__"} & {*source.words(path), *dict(source.imports(path))}


@pytest.mark.parametrize("path", sorted(source.UTILS.rglob("__init__.py")), ids=source.name_of)
def test_packages_of_module_utils_are_empty(path: pathlib.Path) -> None:
    assert path.read_bytes() == b""


def test_every_package_is_one() -> None:
    for directory in {path.parent for path in source.UTILS.rglob("*.py")}:
        assert (directory / "__init__.py").exists(), directory


# --- libraries


@EVERY_FILE
def test_nothing_is_imported_that_may_be_missing(path: pathlib.Path) -> None:
    on_controller = path.parent.name in ("inventory", "filter", "plugin_utils")
    there = ("ansible", "jinja2") if on_controller else ("ansible.module_utils", "ansible.plugins")
    for name, ours in source.imports(path):
        assert ours or name.partition(".")[0] in sys.stdlib_module_names or name.startswith(there), name


@EVERY_FILE
def test_a_library_is_asked_for_with_its_name_and_a_reason(path: pathlib.Path) -> None:
    for node in ast.walk(source.parsed(path)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
            name, reason = node.args
            assert isinstance(name, ast.Constant)
            assert name.value in FLOORS
            assert not isinstance(reason, ast.Constant) or str(reason.value).startswith(("to ", "for "))


@pytest.mark.parametrize("path", sorted((source.BACKENDS / "qemu").glob("*.py")), ids=source.name_of)
def test_the_local_driver_needs_the_standard_library_only(path: pathlib.Path) -> None:
    for name, ours in source.imports(path):
        # what Ansible itself ships with each module is there as well
        shipped = name.startswith("ansible.module_utils.")
        assert ours or shipped or name.partition(".")[0] in sys.stdlib_module_names, name


# --- sizes


@pytest.mark.parametrize("path", source.MODULES, ids=source.name_of)
def test_a_module_is_small(path: pathlib.Path) -> None:
    assert len(source.code_lines(path)) <= 80


@pytest.mark.parametrize("path", source.DRIVER_FILES, ids=source.name_of)
def test_a_file_of_a_driver_is_of_a_size_to_be_read(path: pathlib.Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@EVERY_FILE
def test_functions_are_short(path: pathlib.Path) -> None:
    assert {name: lines for name, lines in source.functions(path) if lines > 45} == {}
