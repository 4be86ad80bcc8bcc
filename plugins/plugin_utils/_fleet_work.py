# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a list of VMs, and what there is, to the tasks that bring them about. Free of effects."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..module_utils._spec import SETTINGS
from ._fleet_schema import by_word, merge, origins, source_of

Row = Mapping[str, Any]
"""A VM as vm_info tells it; one that cannot be read has an ``error``."""

Task = dict[str, Any]
"""``vms``: the names of the VMs that it is about, by the words that address them; ``options`` of the module."""


@dataclass(frozen=True)
class Member:
    """A VM of the fleet: what is wanted, and what there is.

    :param given: all that the user said of it, with the defaults.
    :param origins: the names of the VMs of the fleet that it is cloned from.
    :param row: None where there is no such VM yet.
    """

    given: Mapping[str, Any]
    origins: Sequence[str]
    row: Optional[Row]  # noqa: UP045 - evaluated by dataclasses on Python 3.9

    @property
    def name(self) -> str:
        return str(self.given["name"])

    @property
    def word(self) -> str:
        return str(self.given.get("id") or self.name)

    @property
    def identity(self) -> dict[str, str]:
        return {"name": self.name, "id": self.word} if self.given.get("id") else {"name": self.name}

    @property
    def state(self) -> str:
        return self.given.get("state", "present")

    @property
    def settings(self) -> dict[str, Any]:
        return {name: self.given[name] for name in SETTINGS if name in self.given}

    @property
    def is_renamed(self) -> bool:
        return self.row is not None and self.row["name"] != self.name

    def task(self, **options: Any) -> Task:
        return {"vms": {self.word: self.name}, "options": options}


@dataclass(frozen=True)
class Fleet:
    """
    :param members: the VMs of the list that could be read.
    :param rows: what there is, by name and by id.
    :param tag: what those bear that the fleet has made; empty for none.
    :param check: whether nothing will be done, so that what is to be made is not there for a later task.
    """

    members: Sequence[Member]
    rows: Mapping[str, Row]
    tag: str
    check: bool

    def of(self, *states: str) -> list[Member]:
        return [one for one in self.members if one.state in states]

    @property
    def there(self) -> list[Member]:
        return self.of("present", "started", "stopped")

    @property
    def made(self) -> list[Member]:
        return [one for one in self.there if one.row is None]

    @property
    def unseen(self) -> set[str]:
        """In check mode: those that no later task will find."""
        return {one.name for one in self.made} if self.check else set()

    @property
    def left_out(self) -> list[str]:
        """In check mode: those that would be cloned from one that is not there yet."""
        unseen = self.unseen
        return [one.name for one in self.made if unseen.intersection(one.origins)]


def marks(name: str, tag: str) -> set[str]:
    """The tags of a VM that the fleet has made.

    A clone has the tags of its source, but another name; so that it is not taken for one of the fleet, one of the tags
    is a digest of the name.
    """
    return {tag, f"{tag}.{hashlib.sha256(name.encode()).hexdigest()[:8]}"} if tag else set()


def is_made_by(tag: str, row: Row) -> bool:
    return bool(tag) and marks(str(row["name"]), tag) <= set(row.get("tags") or ())


def words(vms: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any]) -> list[str]:
    """What addresses the VMs of the fleet and those that they are cloned from, each once."""
    merged = [merge(defaults, vm) for vm in vms]
    own = [str(vm.get("id") or vm["name"]) for vm in merged]
    return list(dict.fromkeys([*own, *filter(None, map(source_of, merged))]))


def work(
    vms: Sequence[Mapping[str, Any]],
    defaults: Mapping[str, Any],
    found: Sequence[Row],
    *,
    made: Sequence[Row] = (),
    tag: str = "",
    place: bool = False,
    check: bool = False,
) -> dict[str, Any]:
    """The tasks of each step, by a label for people.

    :param found: what was read of ``words``.
    :param made: the VMs that bear the tag, where those that are not in the list shall go.
    :param place: whether VMs are moved to their ``node``.
    :param check: whether it is check mode.
    """
    merged = [merge(defaults, vm) for vm in vms]
    rows = {row[key]: row for key in ("name", "id") for row in found}
    errors = {row["name"]: row["error"] for row in found if "error" in row}
    known = by_word(merged)
    everyone = [Member(vm, origins(known, vm), _row_of(vm, rows)) for vm in merged]
    fleet = Fleet([one for one in everyone if one.word not in errors], rows, tag, check)
    listed = {one.name for one in everyone}
    leaving = [row for row in made if is_made_by(tag, row) and row["name"] not in listed]
    removals = {**dict(_removals(fleet)), **_prunings(leaving)}
    bases = _bases(fleet, leaving) if check and len(removals) > 1 else ()
    return {
        "create": dict(_creations(fleet)),
        "clone": _clones(fleet),
        "configure": _configurations(fleet),
        "place": _placements(fleet) if place else {},
        "power": _powers(fleet),
        "remove": {name: task for name, task in removals.items() if name not in bases},
        "order": [one.name for one in everyone],
        "left_out": {
            "clone": fleet.left_out,
            "start": [one.name for one in fleet.of("started") if check and one.row is None],
            "remove": [name for name in removals if name in bases],
        },
        "off": [one.name for one in fleet.of("stopped", "absent")],
        "errors": {one.name: errors[one.word] for one in everyone if one.word in errors}
        | {name: _named_alike(name, times) for name, times in _times(leaving).items() if times > 1},
    }


def _row_of(vm: Mapping[str, Any], rows: Mapping[str, Row]) -> Row | None:
    """A name that is another VM's id addresses nothing."""
    key = "id" if vm.get("id") else "name"
    row = rows.get(str(vm[key]))
    return row if row and row[key] == str(vm[key]) else None


def _creations(fleet: Fleet) -> Iterator[tuple[str, Task]]:
    """Those made from nothing, and those that only get another name."""
    for one in fleet.there:
        if not source_of(one.given) and (one.row is None or one.is_renamed):
            yield one.name, one.task(**one.identity, **_tagged(fleet, one))


def _clones(fleet: Fleet) -> dict[str, Task]:
    """One task for each way of cloning: sources that are clones themselves come first."""
    groups: dict[str, Task] = {}
    left_out = set(fleet.left_out)
    for one in sorted(fleet.there, key=lambda one: len(one.origins)):
        source = source_of(one.given)
        if not source or one.name in left_out:
            continue
        how = {key: value for key, value in one.given["clone_from"].items() if key in ("snapshot", "full", "storage")}
        label = ", ".join([source, *(f"{key} {value}" for key, value in sorted(how.items()))])
        group = groups.setdefault(label, {"vms": {}, "options": {"source": source, **how, "clones": []}})
        group["vms"][one.word] = one.name
        group["options"]["clones"].append({**one.identity, **_tagged(fleet, one)})
    return groups


def _configurations(fleet: Fleet) -> dict[str, Task]:
    """Those that are there, in groups with equal settings."""
    groups: dict[str, tuple[list[Member], dict[str, Any]]] = {}
    for one in fleet.there:
        if one.row is not None and not one.is_renamed and not source_of(one.given):
            # of a VM that is there its node is not compared
            settings = {name: value for name, value in _tagged(fleet, one).items() if name != "node"}
            members, _same = groups.setdefault(json.dumps(settings, sort_keys=True), ([], settings))
            members.append(one)
    return {_label(members): _bulk(members, settings) for members, settings in groups.values() if settings}


def _tagged(fleet: Fleet, one: Member) -> dict[str, Any]:
    """The settings of a VM, with the marks of the fleet on what it makes or has made."""
    settings = one.settings
    if not fleet.tag:
        return settings
    is_ours = one.row is not None and is_made_by(fleet.tag, one.row)
    if one.row is None:
        kept = _inherited(fleet, one)
    elif is_ours and one.is_renamed:
        kept = set(one.row["tags"]) - marks(one.row["name"], fleet.tag)
    elif is_ours and "tags" in settings:
        kept = set()
    else:
        return settings
    wanted = (set(settings["tags"]) if "tags" in settings else kept) | marks(one.name, fleet.tag)
    if one.row is not None and wanted == set(one.row["tags"]):
        # what is so already needs no saying, and would keep it out of a group
        return {name: value for name, value in settings.items() if name != "tags"}
    return {**settings, "tags": sorted(wanted)}


def _inherited(fleet: Fleet, one: Member) -> set[str]:
    """The tags that a clone has of its source, without those that say who made that."""
    row = fleet.rows.get(source_of(one.given))
    if row is not None and "error" not in row:
        return set(row.get("tags") or ()) - marks(row["name"], fleet.tag)
    tags = next((other.given.get("tags") for other in fleet.members if other.name in one.origins[:1]), None)
    return set(tags or ())


def _placements(fleet: Fleet) -> dict[str, Task]:
    moving: dict[str, list[Member]] = {}
    for one in fleet.there:
        if one.row is not None and one.given.get("node") not in (None, one.row["node"]):
            moving.setdefault(one.given["node"], []).append(one)
    return {node: _bulk(group, {}) for node, group in moving.items()}


def _powers(fleet: Fleet) -> dict[str, Task]:
    unseen = fleet.unseen
    groups = {state: [one for one in fleet.of(state) if one.name not in unseen] for state in ("stopped", "started")}
    return {state: _bulk(group, {}) for state, group in groups.items() if group}


def _removals(fleet: Fleet) -> Iterator[tuple[str, Task]]:
    """Clones before their sources, which mostly stand before them in the list."""
    last_first = list(reversed(fleet.of("absent")))
    for one in sorted(last_first, key=lambda one: -len(one.origins)):
        if one.row is not None:
            yield one.name, one.task(id=one.row["id"])


def _bases(fleet: Fleet, leaving: Sequence[Row]) -> set[str]:
    """Those that go, and may not go before others that are clones of them and go as well."""
    absent = fleet.of("absent")
    rows = [*leaving, *(one.row for one in absent if one.row is not None)]
    return {row["name"] for row in rows if row.get("template")}.union(*(one.origins for one in absent))


def _prunings(leaving: Sequence[Row]) -> dict[str, Task]:
    """Templates last, for their clones go with them. A name that two of them have is nobody's."""
    times = _times(leaving)
    return {
        row["name"]: {"vms": {row["id"]: row["name"]}, "options": {"id": row["id"]}}
        for row in sorted(leaving, key=lambda row: bool(row.get("template")))
        if times[row["name"]] == 1
    }


def _times(rows: Sequence[Row]) -> Counter[str]:
    return Counter(row["name"] for row in rows)


def _named_alike(name: str, times: int) -> str:
    return f"{times} VMs are named {name} and bear the tag of the fleet. Remove the right one by its id."


def _bulk(group: Sequence[Member], options: Mapping[str, Any]) -> Task:
    return {"vms": {one.word: one.name for one in group}, "options": dict(options)}


def _label(group: Sequence[Member]) -> str:
    return group[0].name if len(group) == 1 else f"{group[0].name} and {len(group) - 1} more"


def outcome(work: Mapping[str, Any], ends: Mapping[str, Any]) -> dict[str, Any]:
    """What became of the fleet so far.

    :param work: the tasks, as ``work`` made them.
    :param ends: what was registered of each step's loop over its labels.
    """
    left_out = work["left_out"]
    changed, removed = {*left_out["clone"], *left_out["remove"]}, list(left_out["remove"])
    waiting: set[str] = set()
    errors = dict(work["errors"])
    for step, registered in ends.items():
        for name, end in _each(work[step], registered):
            if end.get("changed"):
                changed.add(name)
                if step == "remove":
                    removed.append(name)
            if end.get("restart_required") and name not in work["off"]:
                waiting.add(name)
            if end.get("failed"):
                errors.setdefault(name, end["msg"])
    order = list(dict.fromkeys([*work["order"], *work["remove"], *left_out["remove"]]))
    failed = [*(name for name in order if name in errors), *(name for name in errors if name not in order)]
    return {
        "changed": [name for name in order if name in changed],
        "removed": removed,
        "restart_required": [name for name in order if name in waiting and name not in errors],
        "failed": failed,
        "errors": {name: errors[name] for name in failed},
    }


def _each(tasks: Mapping[str, Task], registered: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The name of each VM that a step was about, and what became of it."""
    for end in registered.get("results", ()):
        # while a loop runs its last round stands here, which has rounds of its own no more
        if "ansible_loop_var" not in end or end.get("skipped"):
            continue
        vms = tasks[end[end["ansible_loop_var"]]]["vms"]
        if "results" in end:
            for one in end["results"]:
                name = vms.get(one.get("id")) or vms.get(one.get("name")) or one["name"]
                yield name, one
        else:
            # of one VM; or of none, where the whole task failed
            fate = end if "vm" in end else {"failed": True, "changed": end.get("changed"), "msg": end["msg"]}
            yield from ((name, fate) for name in vms.values())
