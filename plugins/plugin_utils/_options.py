# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the inventory plugin, beside those that only Ansible looks at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ..module_utils._errors import InvalidRequest
from ..module_utils._spec import CONNECTION, SELECT

FACTS = ["config", "agent", "snapshots"]

ADDRESS: dict[str, Any] = {
    "sources": {"type": "list", "elements": "str", "choices": ["agent", "cloud_init", "name"]},
    "family": {"type": "str", "choices": ["any", "ipv4", "ipv6"], "default": "any"},
    "interfaces": {"type": "list", "elements": "str"},
    "networks": {"type": "list", "elements": "str"},
}
OWN: dict[str, Any] = {
    "types": {"type": "list", "elements": "str", "choices": ["vm", "container"], "default": ["vm"]},
    "templates": {"type": "bool", "default": False},
    "nodes": {"type": "bool", "default": False},
    "select": SELECT["select"],
    "filters": {"type": "list", "elements": "str", "default": []},
    "facts": {"type": "list", "elements": "str", "choices": FACTS, "default": []},
    "max_parallel": {"type": "int", "default": 16},
    "max_parallel_per_node": {"type": "int", "default": 4},
    "hostname": {"type": "str", "default": "name"},
    "group_prefix": {"type": "str", "default": "vm_"},
    "host_address": {"type": "dict", "options": ADDRESS, "apply_defaults": True},
    "host_address_by_group": {"type": "dict", "default": {}},
    "stale_ok": {"type": "int", "default": 0},
    "stop_on_error": {"type": "bool", "default": True},
}
SPEC: dict[str, Any] = {**CONNECTION, **OWN}


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of SPEC, typed and with their defaults.

    :raises InvalidRequest: one is wrong; the message names it.
    """
    options = _validated(SPEC, {name: value for name, value in given.items() if value is not None})
    for name in ("max_parallel", "max_parallel_per_node"):
        if options[name] < 1:
            raise InvalidRequest(f"{name}: {options[name]} is too small: it must be at least 1.")
    by_group = options["host_address_by_group"]
    policies = {group: {"type": "dict", "required": True, "options": ADDRESS} for group in by_group}
    options["host_address_by_group"] = _validated(policies, by_group, "host_address_by_group: ")
    for where, policy in {"host_address": options["host_address"], **options["host_address_by_group"]}.items():
        _check_sources(where, policy["sources"] or (), options["facts"])
    return options


def _validated(spec: Mapping[str, Any], given: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    result = ArgumentSpecValidator(spec).validate(given)
    if result.error_messages:
        raise InvalidRequest(f"{where}{'; '.join(result.error_messages)}.")
    return result.validated_parameters


def _check_sources(where: str, sources: Iterable[str], facts: Iterable[str]) -> None:
    needed = {"agent": "agent", "cloud_init": "config"}
    for source in sources:
        if source in needed and needed[source] not in facts:
            raise InvalidRequest(
                f"{where}: addresses of {source} are known only with facts: [{needed[source]}].",
                advice="They cost a request per VM and so are asked for only then.",
            )


def check_names(given: Iterable[str], known: Iterable[str]) -> None:
    """
    :raises InvalidRequest: there is no such option; a typo must not widen an inventory.
    """
    known = set(known)
    for name in given:
        if name not in known:
            like = get_close_matches(name, sorted(known), 1)
            raise InvalidRequest(f"There is no option '{name}'.", advice=f"Did you mean '{like[0]}'?" if like else "")
