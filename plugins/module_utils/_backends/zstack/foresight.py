# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the server changes along with what it is asked for, and the order in which it takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..._errors import Unsupported
from ..._plan import VM, Change, Op, Plan, Step, plan_settings
from ..base import Apply
from .preflight import needs_stop
from .settings import CREATE_ONLY

if TYPE_CHECKING:
    from .driver import ZStackBackend

_MAKE = (Op.CREATE, Op.CLONE)


def foreseen(plan: Plan, backend: ZStackBackend) -> Plan:
    """A plan with its consequences; a console has none."""
    if not plan.changed or plan.steps[0].op is Op.CONSOLE:
        return plan
    plan = _without_create_only(plan) if plan.before else _recovered(plan, backend)
    plan = _changes_while_stopped(plan, backend)
    after = dict(plan.after)
    if after.get("cloud_init"):
        told = _without_lost_addresses(plan.changes, _one_source(plan.changes, after["cloud_init"]))
        after = {**after, "cloud_init": told} if told else {k: v for k, v in after.items() if k != "cloud_init"}
    if plan.changed and plan.steps[0].op is Op.CLONE:
        after["disks"] = _copied_disks(plan.steps[0], after.get("disks") or {})
    if any(step.op in _MAKE for step in plan.steps) and "native" in after:
        after["native"] = {name: value for name, value in after["native"].items() if name not in CREATE_ONLY}
    if plan.changed:
        after.pop("native_state", None)
        _place(plan, after, backend)
    return replace(plan, after=after)


def _recovered(plan: Plan, backend: ZStackBackend) -> Plan:
    """A VM that is to have the uuid of one that was destroyed is that one: it is recovered, and then changed.

    :raises Unsupported: it cannot become what is wanted.
    """
    first, *others = plan.steps
    vm = backend.destroyed(first.arguments.get("id")) if first.op is Op.CREATE else None
    if vm is None:
        return plan
    following = _without_create_only(plan_settings(vm, first.arguments["settings"]))
    for change in following.changes:
        if backend.apply_of(change, vm) is Apply.NEVER:
            raise Unsupported(
                f"VM {vm['name']}, which was destroyed and can be recovered, has another {'.'.join(change.path)}.",
                advice="Leave it out, or use another id.",
                setting=change.setting,
            )
    recover = replace(first, arguments={**first.arguments, "settings": {}, "recover": True})
    after = {**following.after, "state": plan.after["state"]}
    return Plan({}, after, following.changes, (recover, *following.steps, *others), plan.warnings)


def _without_create_only(plan: Plan) -> Plan:
    """A native setting that says how a VM is made is not compared with one that exists."""
    native = {change.path: change for change in plan.changes}.get(("native",))
    if native is None or native.after is None:
        return plan
    before = native.before or {}
    kept = {name: value for name, value in native.after.items() if name not in CREATE_ONLY or name in before}
    kept.update({name: before[name] for name in CREATE_ONLY if name in before})
    others = [change for change in plan.changes if change is not native]
    changes = tuple(others if kept == before else [*others, replace(native, after=kept)])
    steps = [
        replace(step, arguments={**step.arguments, "changes": changes}) if step.op is Op.UPDATE else step
        for step in plan.steps
    ]
    steps = [step for step in steps if step.op is not Op.UPDATE or changes]
    after = {**plan.after, "native": kept} if plan.before.get("native") or kept else plan.after
    return replace(plan, after=after, changes=changes, steps=tuple(steps))


def _changes_while_stopped(plan: Plan, backend: ZStackBackend) -> Plan:
    """Where a plan stops a VM anyway, it is changed while it is stopped."""
    stops = [index for index, step in enumerate(plan.steps) if step.op in (Op.SHUTDOWN, Op.STOP)]
    updates = [index for index, step in enumerate(plan.steps) if step.op is Op.UPDATE]
    if not stops or not updates or updates[0] > stops[0]:
        return plan
    update = plan.steps[updates[0]]
    if not any(needs_stop(change, plan.before, backend) for change in update.arguments["changes"]):
        return plan
    steps = [step for step in plan.steps if step is not update]
    stopped = replace(update, vm={**update.vm, "state": "stopped", "native_state": "Stopped"})
    steps.insert(stops[0], stopped)
    return replace(plan, steps=tuple(steps))


def _one_source(changes: Sequence[Change], told: Mapping[str, Any]) -> dict[str, Any]:
    """User data as a whole and in parts exclude each other; what was said last holds."""
    parts = {
        change.path[1] for change in changes if change.path[0] == "cloud_init" and change.path[1:] and change.after
    }
    if "user_data" in told and ("user_data" in parts or not parts - {"ip_config"}):
        return {name: told[name] for name in ("user_data", "ip_config") if name in told}
    return {name: value for name, value in told.items() if name != "user_data"}


def _without_lost_addresses(changes: Sequence[Change], told: Mapping[str, Any]) -> dict[str, Any]:
    """A card that goes, or goes to another network, loses the address that was asked for."""
    cards = [change for change in changes if change.path[0] == "nics"]
    lost = {change.path[1] for change in cards if change.setting == "nics.network" or change.after is None}
    given = [change for change in changes if change.path in (("cloud_init",), ("cloud_init", "ip_config"))]
    kept = {slot: one for slot, one in (told.get("ip_config") or {}).items() if given or slot not in lost}
    others = {name: value for name, value in told.items() if name != "ip_config"}
    return {**others, "ip_config": kept} if kept else others


def _copied_disks(step: Step, disks: Mapping[str, Any]) -> dict[str, Any]:
    """The disks of a clone, as far as parameters in ZStack's own words leave them foreseeable."""
    fields = (step.arguments.get("native") or {}).get("clone", {})
    kept = {slot: disk for slot, disk in disks.items() if fields.get("full", True) or slot == "virtio0"}
    if not {"diskAOs", "primaryStorageUuidForRootVolume", "primaryStorageUuidForDataVolume"} & set(fields):
        return kept
    return {slot: {part: disk[part] for part in disk if part != "storage"} for slot, disk in kept.items()}


def _place(plan: Plan, after: VM, backend: ZStackBackend) -> None:
    """Only what runs is on a host. Which one a start takes nobody knows beforehand, and a host has one name."""
    ops = [step.op for step in plan.steps]
    if Op.MIGRATE in ops:
        after["node"] = backend.names.normal("node", after["node"])
    elif plan.after.get("state") == "absent":
        return
    elif Op.START in ops or Op.RESTART in ops or (Op.REVERT in ops and after.get("state") == "running"):
        after.pop("node", None)
    elif after.get("state") == "stopped":
        after["node"] = None
