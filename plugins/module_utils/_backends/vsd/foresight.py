# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the platform changes by itself along with what it was asked for, so that check mode tells it too. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..._errors import Conflict
from ..._plan import VM, Op, Plan, Step

Tree = dict[str, dict[str, Any]]
"""Snapshots by name, each with its ``parent``, and whether it is the ``current`` one."""


def in_order(plan: Plan) -> Plan:
    """What is changed along with a restart is changed in the middle of it, while the VM is stopped."""
    ops = [step.op for step in plan.steps]
    if ops[:2] != [Op.UPDATE, Op.SHUTDOWN]:
        return plan
    update, shutdown, *others = plan.steps
    later = replace(update, vm={**update.vm, "state": "stopped"})
    return replace(plan, steps=(shutdown, later, *others))


def after_all(plan: Plan) -> VM:
    """A plan's ``after`` with the consequences: places of VMs that start or stop, and the tree of snapshots.

    :raises Conflict: a snapshot cannot be deleted before its children.
    """
    after = dict(plan.after)
    if (plan.before.get("state") == "stopped") != (after.get("state") == "stopped") or not plan.before:
        # where a VM starts is not for us to say, and one that is off is nowhere
        after.pop("node", None)
    if "snapshots" in plan.before:
        tree: Tree = {name: dict(entry) for name, entry in plan.before["snapshots"].items()}
        for step in plan.steps:
            tree = _advanced(tree, step, plan.after["snapshots"])
        after["snapshots"] = tree
    return after


def _advanced(tree: Tree, step: Step, wanted: Mapping[str, Mapping[str, Any]]) -> Tree:
    name: str = step.arguments.get("snapshot", "")
    if step.op is Op.SNAPSHOT:
        new = {**wanted.get(name, {"description": "", "memory": False, "complete": True}), "parent": _current(tree)}
        return _at({**tree, name: new}, name)
    if step.op is Op.SNAPSHOT_DESCRIBE:
        return {**tree, name: {**tree[name], "description": step.arguments["description"]}}
    if step.op is Op.SNAPSHOT_DELETE:
        return _without(tree, name, step.vm)
    return _at(tree, name) if step.op is Op.REVERT else tree


def _current(tree: Tree) -> str | None:
    return next((name for name, entry in tree.items() if entry["current"]), None)


def _at(tree: Tree, current: str | None) -> Tree:
    return {name: {**entry, "current": name == current} for name, entry in tree.items()}


def _without(tree: Tree, name: str, vm: VM) -> Tree:
    """Without a snapshot; its child becomes one of its parent. The working state of the VM is a child too."""
    going = tree[name]
    children = [child for child, entry in tree.items() if entry["parent"] == name]
    if len(children) + going["current"] > 1:
        told = ", ".join([*sorted(children), *(["what the VM works on"] if going["current"] else [])])
        raise Conflict(
            f"Snapshot {name} of VM {vm['name']} has several children and cannot be deleted: {told}.",
            advice="Delete children first, or use children: true.",
        )
    left = {
        child: {**entry, "parent": going["parent"] if child in children else entry["parent"]}
        for child, entry in tree.items()
        if child != name
    }
    return _at(left, going["parent"]) if going["current"] else left
