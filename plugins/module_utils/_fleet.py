# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which VMs a task is about, and how many of them at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from threading import Event
from typing import Any, TypeVar

from ._backends.base import Backend, Identity
from ._errors import Error
from ._plan import VM

T = TypeVar("T")


def is_selected(vm: VM, select: Mapping[str, Any]) -> bool:
    """Whether a row fits every part of a selector; ``name`` is a pattern with * and ?, all ``tags`` must be there."""
    if select.get("name") is not None and not fnmatchcase(vm["name"], select["name"]):
        return False
    if not set(select.get("tags") or ()) <= set(vm.get("tags") or ()):
        return False
    wanted = {"pool": "pool", "node": "node", "status": "state", "template": "template"}
    return all(select.get(option) in (None, vm.get(key)) for option, key in wanted.items())


def addressed(params: Mapping[str, Any], backend: Backend) -> list[Identity]:
    """The VMs of ``vms`` in the order given, each once, or those that ``select`` finds, by name."""
    if params.get("vms") is not None:
        return [Identity.either(word) for word in dict.fromkeys(params["vms"])]
    return [Identity(name=row["name"], id=row["id"]) for row in read_rows(params["select"], backend)]


def read_rows(select: Mapping[str, Any], backend: Backend) -> list[VM]:
    """The rows of all VMs that fit, by name."""
    rows = [row for row in backend.list() if is_selected(row, select)]
    return sorted(rows, key=lambda row: (row["name"], row["id"]))


class NotBegun(Exception):
    """The work on a VM was not begun, since that on another one failed."""


def for_each(
    identities: Sequence[Identity],
    work: Callable[[Identity], T],
    *,
    max_parallel: int,
    halt: Event | None = None,
) -> list[T | Error | None]:
    """Do ``work`` for every VM, some at once: what came of it, in the same order.

    A failure is the Error itself, and None is one that was not begun.

    :param halt: set by the first failure, and then no work is begun any more; what waits inside of ``work`` may look at
        it and raise NotBegun. None means that a failure stops no other.
    """
    if not identities:
        return []
    from concurrent.futures import ThreadPoolExecutor

    def one(identity: Identity) -> T | Error | None:
        if halt and halt.is_set():
            return None
        try:
            return work(identity)
        except NotBegun:
            return None
        except Error as error:
            if halt:
                halt.set()
            return error

    ends: list[T | Error | None] = [None] * len(identities)
    positions = iter(range(len(identities)))

    def take_turns() -> None:
        for position in positions:
            ends[position] = one(identities[position])

    workers = min(max_parallel, len(identities))
    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(take_turns) for _worker in range(workers)]:
            future.result()
    return ends
