# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes this checkout importable as ansible_collections.anyvirt.compute, whatever its folder is called."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
import types

ROOT = pathlib.Path(__file__).resolve().parent
NAME = "ansible_collections.anyvirt.compute"


def _search_path(name: str) -> list[str]:
    """Where a package is looked for, or an empty list when there is no such package."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return []
    return list(spec.submodule_search_locations or []) if spec else []


def _register() -> None:
    # In a physical tree, as under ansible-test, the checkout is importable already.
    if any(pathlib.Path(path).resolve() == ROOT for path in _search_path(NAME)):
        return
    parent, paths = None, {NAME: [str(ROOT)]}
    for name in ("ansible_collections", "ansible_collections.anyvirt", NAME):
        # Other installed collections stay importable; an installed copy of this one does not shadow the checkout.
        package = types.ModuleType(name)
        package.__path__ = paths.get(name) or _search_path(name)
        sys.modules[name] = package
        if parent:
            setattr(parent, name.rpartition(".")[2], package)
        parent = package


_register()
