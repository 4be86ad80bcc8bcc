# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of a backend for an inventory, in as few requests as will do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..module_utils._backends.base import Backend
from ..module_utils._errors import Error, TransportError
from ..module_utils._fleet import is_selected
from ..module_utils._plan import VM


def is_wanted(vm: VM, options: Mapping[str, Any]) -> bool:
    """Whether a row passes the filters that cost nothing."""
    select = options["select"] or {}
    if vm["template"] and not options["templates"] and select.get("template") is None:
        return False
    return vm.get("type", "vm") in options["types"] and is_selected({**vm, "name": vm.get("name") or ""}, select)


def gather_facts(backend: Backend, vms: Sequence[VM], options: Mapping[str, Any]) -> None:
    """Add facts to rows, some at once. What cannot be told of one VM is its ``facts_error`` and hides no other.

    :param options: ``facts``, ``max_parallel``, ``max_parallel_per_node``.
    """
    at_once = threading.BoundedSemaphore(options["max_parallel"])
    away: dict[str, str] = {}
    """What was said of nodes that did not answer; each costs half a minute, and so they are not asked on."""

    def gather(vm: VM) -> None:
        with at_once:
            if vm["node"] in away:
                vm["facts_error"] = away[vm["node"]]
                return
            try:
                backend.add_facts(vm, options["facts"])
            except Error as error:
                vm["facts_error"] = str(error)
                if isinstance(error, TransportError):
                    away[vm["node"]] = str(error)

    _for_each_node(vms, gather, options["max_parallel_per_node"])


def has_facts(vm: VM) -> bool:
    """Whether a VM can be asked for facts: a container cannot, and what is on a node that is away neither."""
    return vm.get("type", "vm") == "vm" and vm["state"] != "unknown"


def lacks_facts(vm: VM) -> bool:
    """Whether it was not asked, or could not answer."""
    return "facts_error" in vm or not has_facts(vm)


def _for_each_node(vms: Sequence[VM], work: Callable[[VM], None], per_node: int) -> None:
    """Nodes beside each other, so that a slow one keeps no other waiting."""
    by_node: dict[str, list[VM]] = {}
    for vm in vms:
        if has_facts(vm):
            by_node.setdefault(vm["node"], []).append(vm)
    pools = [ThreadPoolExecutor(per_node) for _node in by_node]
    try:
        futures = [pool.submit(work, vm) for pool, on_node in zip(pools, by_node.values()) for vm in on_node]
        for future in futures:
            future.result()
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)
