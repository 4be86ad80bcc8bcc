# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a list of VMs, and what there is, to the tasks that bring them about. Free of effects."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Optional

from ..module_utils._spec import SETTINGS
from ._fleet_schema import by_word, merge, origins, source_of

Row = Mapping[str, Any]
"""A VM as vm_info tells it; one that cannot be read has an ``error``."""

Task = dict[str, Any]
"""``vms``: the names of the VMs that it is about, by the words that address them; ``each`` for the module vm."""


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
        """What is wanted of it; where a VM is that exists is no matter of its settings."""
        said = {name: self.given[name] for name in SETTINGS if name in self.given}
        return said if self.row is None else {name: value for name, value in said.items() if name != "node"}

    @property
    def is_renamed(self) -> bool:
        return self.row is not None and self.row["name"] != self.name


@dataclass(frozen=True)
class Entry:
    """A VM in a task of the module vm.

    :param stage: what sorts before it is done before it.
    :param word: what addresses the VM.
    :param options: of this VM.
    """

    stage: tuple[int, bool]
    word: str
    name: str
    options: Mapping[str, Any]


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
    removals = sorted([*_removals(fleet), *_prunings(leaving)], key=lambda one: one.stage)
    bases = _bases(fleet, leaving) if check and len(removals) > 1 else ()
    return {
        "make": _staged(_makings(fleet)),
        "place": _placements(fleet) if place else {},
        "power": _powers(fleet),
        "remove": _staged(one for one in removals if one.name not in bases),
        "order": list(dict.fromkeys([*(one.name for one in everyone), *(one.name for one in removals)])),
        "left_out": {
            "clone": fleet.left_out,
            "start": [one.name for one in fleet.of("started") if check and one.row is None],
            "remove": [one.name for one in removals if one.name in bases],
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


def _staged(entries: Iterable[Entry]) -> dict[str, Task]:
    """One task for all of a stage."""
    tasks: dict[tuple[int, bool], Task] = {}
    for one in sorted(entries, key=lambda one: one.stage):
        task = tasks.setdefault(one.stage, {"vms": {}, "each": []})
        task["vms"][one.word] = one.name
        task["each"].append(dict(one.options))
    return {_label(list(task["vms"].values())): task for task in tasks.values()}


def _makings(fleet: Fleet) -> Iterator[Entry]:
    """Those that are made, cloned, changed, or only get another name. What is cloned comes before its clones."""
    left_out, existing = set(fleet.left_out), {one.name for one in fleet.members if one.row is not None}
    for one in fleet.there:
        settings = _tagged(fleet, one)
        if one.name in left_out or (one.row is not None and not one.is_renamed and not settings):
            continue
        origin = {"clone_from": one.given["clone_from"]} if source_of(one.given) else {}
        yield Entry((_depth(one, existing), False), one.word, one.name, {**one.identity, **origin, **settings})


def _depth(one: Member, existing: Collection[str]) -> int:
    """How many VMs of the fleet have to be made, or changed, one after the other before this one can be cloned."""
    if one.row is not None:
        return 0
    missing = list(takewhile(lambda name: name not in existing, one.origins))
    return min(len(missing) + 1, len(one.origins))


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
    return {node: _bulk(group) for node, group in moving.items()}


def _powers(fleet: Fleet) -> dict[str, Task]:
    unseen = fleet.unseen
    groups = {state: [one for one in fleet.of(state) if one.name not in unseen] for state in ("stopped", "started")}
    return {state: _bulk(group) for state, group in groups.items() if group}


def _removals(fleet: Fleet) -> Iterator[Entry]:
    """Clones before their sources, and templates last."""
    for one in fleet.of("absent"):
        if one.row is not None:
            stage = (-len(one.origins), bool(one.row.get("template")))
            yield Entry(stage, one.row["id"], one.name, {"id": one.row["id"]})


def _bases(fleet: Fleet, leaving: Sequence[Row]) -> set[str]:
    """Those that go, and may not go before others that are clones of them and go as well."""
    absent = fleet.of("absent")
    rows = [*leaving, *(one.row for one in absent if one.row is not None)]
    return {row["name"] for row in rows if row.get("template")}.union(*(one.origins for one in absent))


def _prunings(leaving: Sequence[Row]) -> Iterator[Entry]:
    """Templates last, for their clones go with them. A name that two of them have is nobody's."""
    times = _times(leaving)
    for row in leaving:
        if times[row["name"]] == 1:
            yield Entry((0, bool(row.get("template"))), row["id"], row["name"], {"id": row["id"]})


def _times(rows: Sequence[Row]) -> Counter[str]:
    return Counter(row["name"] for row in rows)


def _named_alike(name: str, times: int) -> str:
    return f"{times} VMs are named {name} and bear the tag of the fleet. Remove the right one by its id."


def _bulk(group: Sequence[Member]) -> Task:
    return {"vms": {one.word: one.name for one in group}}


def _label(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


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
    order = work["order"]
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
            # the task failed as a whole
            yield from ((name, {"failed": True, "msg": end["msg"]}) for name in vms.values())
