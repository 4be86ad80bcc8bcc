# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters of the role vm_fleet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils._errors import Error
from ..plugin_utils import _fleet_schema, _fleet_work

VMs = Sequence[Mapping[str, Any]]


def fleet_problems(
    vms: VMs, defaults: Mapping[str, Any] | None = None, tag: str = "", prune: bool = False
) -> list[str]:
    try:
        return _fleet_schema.problems(vms, defaults or {}, tag, prune)
    except Error as error:
        raise AnsibleFilterError(str(error)) from error


def fleet_words(vms: VMs, defaults: Mapping[str, Any] | None = None) -> list[str]:
    return _fleet_work.words(vms, defaults or {})


def fleet_work(vms: VMs, found: VMs, defaults: Mapping[str, Any] | None = None, **how: Any) -> dict[str, Any]:
    return _fleet_work.work(vms, defaults or {}, found, **how)


def fleet_outcome(ends: Mapping[str, Any], work: Mapping[str, Any]) -> dict[str, Any]:
    return _fleet_work.outcome(work, ends)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "fleet_problems": fleet_problems,
            "fleet_words": fleet_words,
            "fleet_work": fleet_work,
            "fleet_outcome": fleet_outcome,
        }
