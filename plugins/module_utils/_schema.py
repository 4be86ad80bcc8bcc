# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON Schemas of what goes to a backend in its own words. Python, since only .py files travel to the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._errors import InvalidRequest
from ._library import require

QEMU_NATIVE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "accel": {"enum": ["auto", "kvm", "tcg"]},
        "machine": {"type": "string", "pattern": r"^(q35|pc-q35-[0-9.]+)\Z"},
        "vga": {"enum": ["std", "virtio", "none"]},
        "kernel": {"type": "string", "pattern": "^/"},
        "initrd": {"type": "string", "pattern": "^/"},
        "kernel_args": {"type": "string"},
    },
    "dependentRequired": {"initrd": ["kernel"], "kernel_args": ["kernel"]},
}


def require_valid(what: str, value: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """
    :param what: the option's name, for the message.
    :raises InvalidRequest: with every fault and its place in the value.
    :raises MissingLibrary: jsonschema is not installed.
    """
    jsonschema = require("jsonschema", f"to check {what} settings")
    faults = sorted(
        jsonschema.Draft202012Validator(schema).iter_errors(value), key=lambda fault: list(map(str, fault.path))
    )
    if faults:
        told = "; ".join(f"{'.'.join([what, *map(str, fault.path)])}: {fault.message}" for fault in faults)
        raise InvalidRequest(told, faults=[fault.message for fault in faults])
