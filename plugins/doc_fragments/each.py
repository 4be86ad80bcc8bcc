# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists of VMs with options of their own, which are those of the task once more: made from the argument specs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..module_utils._spec import CLONES, EACH_CONFIG, EACH_VM

_SAME = ("type", "elements", "choices", "default", "required")


def _list_of_vms(option: str, spec: Mapping[str, Any], whose: str, *description: str) -> str:
    """The documentation of a list, as JSON, which is YAML too."""
    parts = {name: _about(name, one, f", for this {whose}") for name, one in spec["options"].items()}
    told = {"description": description, "type": "list", "elements": "dict", "suboptions": parts}
    return json.dumps({"options": {option: told}})


def _about(path: str, spec: Mapping[str, Any], ending: str = "") -> dict[str, Any]:
    """An option that is explained where ``path`` leads."""
    told = {"description": [f"As O({path}){ending}."], **{key: spec[key] for key in _SAME if key in spec}}
    if "options" in spec:
        inside = f"{path}[]" if spec["type"] == "list" else path
        told["suboptions"] = {name: _about(f"{inside}.{name}", one) for name, one in spec["options"].items()}
    return told


class ModuleDocFragment:
    # linters take what is assigned without a type for a plain text
    VM: str = _list_of_vms(
        "each",
        EACH_VM,
        "VM",
        "Several VMs in one task, each with its name or id and, if wanted, options of its own. Where a VM has none, the"
        " option of the task holds. Lists and dictionaries are taken as a whole, and not merged.",
        "The VMs are worked on at the same time. What one of them needs of another one, such as the source of a clone,"
        " belongs into a task before.",
    )
    CONFIG: str = _list_of_vms(
        "each",
        EACH_CONFIG,
        "VM",
        "Several VMs, each with its name or id and settings of its own. Where a VM has none, the setting of the task"
        " holds. Lists and dictionaries are taken as a whole, and not merged.",
    )
    CLONES: str = _list_of_vms(
        "clones",
        CLONES,
        "clone",
        "Several clones in one task, each with a name and, if wanted, settings. A setting of a clone goes before the"
        " same setting of the task.",
    )
