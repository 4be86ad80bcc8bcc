# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a clone: copied, and then changed to what was asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._backends.base import Backend
from ._errors import InvalidRequest, NotFound
from ._plan import VM, Op, Plan, Step, ops_asked_for, plan_settings


def plan_clone(
    backend: Backend,
    source: VM,
    name: str,
    wanted: Mapping[str, Any],
    *,
    vm_id: str | None = None,
    snapshot: str | None = None,
    full: bool | None = None,
    storage: str | None = None,
) -> Plan:
    """A stopped copy of ``source`` with the settings that are wanted.

    :param source: read with its settings and snapshots.
    :param vm_id: the id that the copy shall have; None leaves it to the backend.
    :param full: None means linked for a template and full for anything else.
    :param storage: where the disks of a full copy shall lie; None means where those of the source are.
    :raises NotFound: the source has no such snapshot.
    """
    if name == source["name"]:
        raise InvalidRequest(f"VM {name} cannot be cloned to its own name.")
    linked = source["template"] and not snapshot and not storage if full is None else not full
    if linked and storage:
        raise InvalidRequest("storage: a linked clone has its disks where those of its source are.")
    placed = {key: wanted[key] for key in backend.places_clones if key in wanted}
    how = {"id": vm_id, "snapshot": snapshot, "linked": linked, "storage": storage, **placed}
    step = Step(Op.CLONE, {"name": name}, how, clone_needs(snapshot, not linked, storage), source)
    copy = {**backend.clone_of(_at(backend, source, snapshot), name), **placed}
    if storage:
        copy["disks"] = {slot: {**disk, "storage": storage} for slot, disk in copy.get("disks", {}).items()}
    return Plan({}, copy, (), (step,)).and_then(plan_settings(copy, wanted))


def clone_needs(snapshot: str | None, full: bool | None, storage: str | None) -> tuple[Op, ...]:
    """What a backend must be able to do beside ``Op.CLONE`` for such a copy, whatever the source is.

    :param full: as in ``plan_clone``.
    """
    return ops_asked_for({Op.CLONE_LINKED: full is False, Op.CLONE_SNAPSHOT: snapshot, Op.CLONE_STORAGE: storage})


def _at(backend: Backend, source: VM, snapshot: str | None) -> VM:
    """The source as it is, or was at a snapshot.

    :raises NotFound: it has no such snapshot.
    """
    if not snapshot:
        return source
    if snapshot not in source["snapshots"]:
        known = ", ".join(sorted(source["snapshots"])) or "none"
        raise NotFound(f"VM {source['name']} has no snapshot {snapshot}.", advice=f"It has: {known}.")
    from ._snapshots import at_snapshot

    backend.load_snapshot(source, snapshot)
    return at_snapshot(source, source["snapshots"][snapshot].get("config"))
