# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the collection's own source, for tests about it."""

from __future__ import annotations

import ast
import functools
import pathlib
from collections.abc import Iterator

ROOT = next(path for path in pathlib.Path(__file__).resolve().parents if (path / "galaxy.yml").exists())
PLUGINS = ROOT / "plugins"
UTILS = PLUGINS / "module_utils"
BACKENDS = UTILS / "_backends"

FILES = sorted(path for path in PLUGINS.rglob("*.py"))
MODULES = sorted(path for path in (PLUGINS / "modules").glob("*.py") if path.stem != "__init__")
DRIVER_FILES = sorted(path for path in BACKENDS.glob("*/*.py") if path.stem != "__init__")
DOCUMENTATION = ("DOCUMENTATION", "EXAMPLES", "RETURN")


def name_of(path: pathlib.Path) -> str:
    return str(path.relative_to(PLUGINS))


@functools.cache
def parsed(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def docstring_of(node: ast.AST) -> ast.stmt | None:
    body = getattr(node, "body", None)
    if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        return body[0]
    return None


def code_lines(path: pathlib.Path) -> set[int]:
    """The lines that hold code: no comments, no blank lines, no documentation."""
    tree = parsed(path)
    documentation = [
        node
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in DOCUMENTATION
    ]
    expressions = [node for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    texts = [node for node in expressions if isinstance(getattr(node.value, "value", None), str)]
    left_out = {line for node in (*documentation, *texts) for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {
        number
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith("#") and number not in left_out
    }


def functions(path: pathlib.Path) -> Iterator[tuple[str, int]]:
    """Each function with its lines, without documentation."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            text = docstring_of(node)
            documented = (text.end_lineno or 0) - text.lineno + 1 if text else 0
            yield node.name, (node.end_lineno or 0) - node.lineno + 1 - documented


def words(path: pathlib.Path) -> Iterator[str]:
    """All names that the code uses, and texts that are nothing but a word."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, (ast.arg, ast.keyword)):
            yield node.arg or ""
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def imports(path: pathlib.Path) -> Iterator[tuple[str, bool]]:
    """Every imported module by its full name, and whether it is ours; ours as ``module_utils._plan``."""
    package = ["plugins", *path.relative_to(PLUGINS).parent.parts]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            for one in node.names:
                yield one.name, False
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            own = (node.module or "").removeprefix("ansible_collections.anyvirt.compute.plugins.")
            yield own, own != node.module
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            place = PLUGINS.parent.joinpath(*filter(None, base))
            for one in node.names:
                found = [*filter(None, base)] + ([one.name] if place.is_dir() else [])
                yield ".".join(found[1:]), True
