# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a clone: copied, and then changed to what was asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._backends.base import Backend
from ._errors import InvalidRequest, NotFound
from ._plan import VM, Op, Plan, Step, plan_settings


def plan_clone(
    backend: Backend, source: VM, name: str, wanted: Mapping[str, Any], *, snapshot: str | None, full: bool | None
) -> Plan:
    """A stopped copy of ``source`` with the settings that are wanted.

    :param source: read with its settings and snapshots.
    :param full: None means linked for a template and full for anything else.
    :raises NotFound: the source has no such snapshot.
    """
    if name == source["name"]:
        raise InvalidRequest(f"VM {name} cannot be cloned to its own name.")
    linked = source["template"] and not snapshot if full is None else not full
    origin = source
    if snapshot:
        if snapshot not in source["snapshots"]:
            known = ", ".join(sorted(source["snapshots"])) or "none"
            raise NotFound(f"VM {source['name']} has no snapshot {snapshot}.", advice=f"It has: {known}.")
        from ._snapshots import at_snapshot

        backend.load_snapshot(source, snapshot)
        origin = at_snapshot(source, source["snapshots"][snapshot].get("config"))
    needs = ((Op.CLONE_LINKED,) if linked else ()) + ((Op.CLONE_SNAPSHOT,) if snapshot else ())
    placed = {key: wanted[key] for key in backend.places_clones if key in wanted}
    step = Step(Op.CLONE, {"name": name}, {"snapshot": snapshot, "linked": linked, **placed}, needs, source)
    copy = {**backend.clone_of(origin, name), **placed}
    return Plan({}, copy, (), (step,)).and_then(plan_settings(copy, wanted))
