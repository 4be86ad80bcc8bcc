# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of VMs: groups with one of each disk, and of the memory. Those of single disks are told too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .api import Api, equals
from .settings import volumes_of
from .times import seconds_of

_LIMIT = 10000


@dataclass(frozen=True)
class Taken:
    """A snapshot in ZStack's words.

    :param members: the snapshot of each disk that is still there, by slot.
    :param parents: the snapshots that those follow.
    :param is_group: whether it is one of the whole VM.
    :param is_current: whether the next one will follow it.
    """

    uuid: str
    row: Mapping[str, Any]
    members: Mapping[str, str]
    parents: frozenset[str]
    is_group: bool
    has_memory: bool
    is_current: bool


def read(api: Api, vm: Mapping[str, Any]) -> dict[str, Taken]:
    """The snapshots of a VM by name. Names are not unique: of several with one name each has its uuid behind an @."""
    slots = {volume["uuid"]: slot for slot, volume in volumes_of(vm).items()}
    groups, singles = api.zql(
        f"query volumesnapshotgroup where {equals('vmInstanceUuid', [vm['uuid']])} limit {_LIMIT}",
        f"query volumesnapshot where {equals('volumeUuid', list(slots))} limit {_LIMIT}",
    )
    by_uuid = {row["uuid"]: row for row in singles}
    taken = [_group(row, slots, by_uuid) for row in groups]
    known = {group.uuid for group in taken}
    for row in singles:
        if row.get("groupUuid") not in known:
            taken.append(_taken(row, {slots[row["volumeUuid"]]: row["uuid"]}, by_uuid, is_group=False))
    names = [one.row["name"] for one in taken]
    return {_label(one, names): one for one in taken}


def _group(row: Mapping[str, Any], slots: Mapping[str, str], by_uuid: Mapping[str, Mapping[str, Any]]) -> Taken:
    refs = row.get("volumeSnapshotRefs") or ()
    members = {
        slots[ref["volumeUuid"]]: ref["volumeSnapshotUuid"]
        for ref in refs
        if ref["volumeUuid"] in slots and ref["volumeSnapshotUuid"] in by_uuid
    }
    return _taken(row, members, by_uuid, has_memory=any(ref.get("volumeType") == "Memory" for ref in refs))


def _taken(
    row: Mapping[str, Any],
    members: Mapping[str, str],
    by_uuid: Mapping[str, Mapping[str, Any]],
    *,
    is_group: bool = True,
    has_memory: bool = False,
) -> Taken:
    rows = [by_uuid[uuid] for uuid in members.values()]
    parents = frozenset(one["parentUuid"] for one in rows if one.get("parentUuid"))
    is_current = any(one.get("latest") for one in rows)
    return Taken(row["uuid"], row, members, parents, is_group, has_memory, is_current)


def _label(one: Taken, names: Sequence[str]) -> str:
    name = one.row["name"]
    return name if names.count(name) == 1 else f"{name}@{one.uuid}"


def entries(taken: Mapping[str, Taken], offset: int) -> dict[str, dict[str, Any]]:
    """What the collection tells of them.

    :param offset: seconds that the server's clock is ahead of UTC: it writes times without a zone.
    """
    owner = {uuid: name for name, one in taken.items() for uuid in one.members.values()}
    return {
        name: {
            "id": one.uuid,
            "parent": next((owner[uuid] for uuid in sorted(one.parents) if uuid in owner), None),
            "time": seconds_of(one.row.get("createDate"), offset),
            "description": one.row.get("description") or "",
            "memory": one.has_memory,
            "complete": True,
            "disks": sorted(one.members),
        }
        for name, one in taken.items()
    }
