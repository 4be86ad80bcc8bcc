# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts from VMs: their names, groups and variables. Free of effects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ..module_utils._fields import natural
from ..module_utils._plan import VM
from ..module_utils._visible import with_pending

PREFIX = "vm_"
ROW = frozenset(
    ("id", "name", "backend", "type", "node", "state", "template", "tags", "pool", "ha", "lock", "memory", "cores")
)
"""What a row has without facts, in a form that is fit to be shown."""
FACT_VARIABLES = (
    *("vm_disks", "vm_nics", "vm_cdrom", "vm_cloud_init", "vm_native", "vm_description", "vm_pending"),
    *("vm_sockets", "vm_cpu_type", "vm_firmware", "vm_boot_order", "vm_guest_agent"),
    *("vm_agent", "vm_addresses", "vm_snapshots", "vm_facts_error"),
)
"""Variables that a VM has only with facts."""

RESERVED = ("all", "ungrouped", "localhost", "127.0.0.1", "::1")
"""What Ansible means by these; a VM of such a name would take the place of all others, or of the controller."""


def variables_of(vm: VM) -> dict[str, Any]:
    """``vm_`` and the word, for all that is known of a VM."""
    has_facts = not ROW.issuperset(vm)
    return {f"{PREFIX}{name}": value for name, value in (with_pending(vm) if has_facts else vm).items()}


def host_names(vms: Sequence[VM], name_of: Callable[[VM], str]) -> list[str]:
    """A name for each VM. Those that would share one all get their ids too, so that none depends on the order."""
    names = [name_of(vm) for vm in vms]
    while True:
        times = Counter([*names, *RESERVED])
        if all(times[name] == 1 for name in names):
            return names
        # again where another VM has the very name that an id makes
        names = [name if times[name] == 1 else f"{name}_{vm['id']}" for name, vm in zip(names, vms)]


def plain_name(vm: VM) -> str:
    return vm.get("name") or f"vm-{vm['id']}"


def name_with_id(vm: VM) -> str:
    return f"{plain_name(vm)}_{vm['id']}"


def in_order(vms: Sequence[VM]) -> list[VM]:
    return sorted(vms, key=lambda vm: (natural(vm.get("name") or ""), natural(vm["id"])))


def groups_of(vm: VM) -> list[str]:
    """Without the prefix that the user chooses, and as the words came: not yet fit for names of groups."""
    groups = [f"backend_{vm['backend']}", f"state_{vm['state']}", f"type_{vm.get('type', 'vm')}"]
    groups += [f"{word}_{vm[word]}" for word in ("node", "pool") if vm.get(word)]
    groups += [f"tag_{tag}" for tag in vm.get("tags") or ()]
    if vm["template"]:
        groups.append("template")
    if vm["state"] == "unknown" or not vm.get("name"):
        groups.append("unknown")
    return groups
