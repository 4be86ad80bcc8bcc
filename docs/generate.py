# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes docs/capabilities.md from what the drivers declare. With --check it only says whether the page is up to date.

It needs a Python that has ansible-core, and runs from any checkout, whatever its folder is called.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "capabilities.md"
UTILS = "ansible_collections.anyvirt.compute.plugins.module_utils"

OPERATIONS = {
    "create": "make a VM",
    "update": "change settings",
    "delete": "delete a VM with its disks",
    "start": "start",
    "shutdown": "have the guest shut down",
    "stop": "cut the power",
    "restart": "restart in one step; without it a VM is shut down and started",
    "reset": "press the reset button",
    "pause": "stop the CPUs",
    "resume": "go on from paused or suspended",
    "suspend": "save the memory to disk and end",
    "clone": "copy a VM",
    "clone_linked": "clone without copying the disks",
    "clone_snapshot": "clone a VM as it was at a snapshot",
    "clone_storage": "clone a VM to another storage",
    "snapshot": "take a snapshot of all disks",
    "snapshot_memory": "take a snapshot with the memory",
    "snapshot_describe": "change the description of a snapshot",
    "snapshot_delete": "delete a snapshot",
    "revert": "revert to a snapshot",
    "revert_disks": "revert some disks only",
    "migrate": "move a VM to another node",
    "migrate_online": "move a running VM",
    "migrate_local_disks": "take disks along that only its node has",
    "cluster_info": "tell about the cluster",
    "node_info": "tell about its nodes",
    "task_info": "tell about tasks",
    "console": "open a page on which the console is seen",
    "close_console": "close it again",
}

HEAD = """\
# What each backend can do

This page is made by `docs/generate.py` from what the drivers declare. Do not edit it.

What a backend does not declare is refused before anything is sent to it, in check mode too. A playbook can ask:
`anyvirt.compute.vm_info` with `gather: [capabilities]` returns the same.

For each setting the tables tell when a change takes effect while the VM runs:

| word | meaning |
|---|---|
| live | At once. A device that the running VM has no place for is pending instead. |
| restart | When the VM is next started. Until then the result has it in `pending`. |
| never | It is said when the VM or the device is made, and cannot be changed later. |
| - | The backend has no such setting. |

`disks` and `nics` are about adding and taking away, `disks.size` and the like about changing one that is there.
"""


def _register_checkout() -> None:
    """Make the checkout importable, the way its tests do."""
    spec = importlib.util.spec_from_file_location("anyvirt_conftest", ROOT / "conftest.py")
    if spec is None or spec.loader is None:
        sys.exit(f"There is no {ROOT / 'conftest.py'}.")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _settings(fields: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The names of all settings as drivers declare them: ``memory``, ``nics``, ``nics.model``."""
    for name, one in fields.items():
        yield prefix + name
        if one.fields and not prefix:
            yield from _settings(one.fields, f"{name}.")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" | ".join(cells) for cells in (head, *rows)]
    return f"| {lines[0]} |\n|{'---|' * len(head)}\n" + "".join(f"| {line} |\n" for line in lines[1:])


def page() -> str:
    """The whole page."""
    backends = importlib.import_module(f"{UTILS}._spec").BACKENDS
    settings = list(_settings(importlib.import_module(f"{UTILS}._fields").VM_FIELDS))
    parts = [HEAD]
    for name in backends:
        declared = importlib.import_module(f"{UTILS}._backends.{name}.driver").CAPABILITIES.to_result()
        operations = [
            (f"`{word}`", "yes" if word in declared["operations"] else "-", what) for word, what in OPERATIONS.items()
        ]
        changes = [(f"`{setting}`", declared["settings"].get(setting, "-")) for setting in settings]
        unknown = sorted({*declared["operations"]} - {*OPERATIONS} | {*declared["settings"]} - {*settings})
        if unknown:
            sys.exit(f"Backend {name} declares what this page does not know: {', '.join(unknown)}.")
        parts += [
            f"\n## `{name}`\n\n### Operations\n\n",
            _table(("operation", "", "what it does"), operations),
            "\n### Settings\n\n",
            _table(("setting", "a change takes effect"), changes),
        ]
    return "".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where the page differs")
    check = parser.parse_args().check
    _register_checkout()
    wanted = page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
        return 0
    if check:
        print(f"{PAGE} is not up to date. Run: python docs/generate.py", file=sys.stderr)
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
