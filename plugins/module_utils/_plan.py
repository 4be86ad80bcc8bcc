# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what is to what is wanted: pure, nothing here reads or writes anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Optional

from ansible.module_utils.common.dict_transformations import dict_merge, recursive_diff

from ._errors import InvalidRequest, NotFound
from ._fields import PLAIN, VM_FIELDS, Field, comparable

VM = dict[str, Any]
"""A VM: ``id``, ``name``, ``backend``, ``node``, ``state`` and its settings, with devices as dicts by slot."""


class Op(str, Enum):
    """What a backend can be asked to do; the value is the word for the user."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    START = "start"
    SHUTDOWN = "shutdown"
    STOP = "stop"
    RESTART = "restart"
    RESET = "reset"
    PAUSE = "pause"
    RESUME = "resume"
    SUSPEND = "suspend"
    CLONE = "clone"
    CLONE_LINKED = "clone_linked"
    CLONE_SNAPSHOT = "clone_snapshot"
    CLONE_STORAGE = "clone_storage"
    SNAPSHOT = "snapshot"
    SNAPSHOT_MEMORY = "snapshot_memory"
    SNAPSHOT_DESCRIBE = "snapshot_describe"
    SNAPSHOT_DELETE = "snapshot_delete"
    REVERT = "revert"
    REVERT_DISKS = "revert_disks"
    MIGRATE = "migrate"
    MIGRATE_ONLINE = "migrate_online"
    MIGRATE_LOCAL_DISKS = "migrate_local_disks"
    CLUSTER_INFO = "cluster_info"
    NODE_INFO = "node_info"
    TASK_INFO = "task_info"
    CONSOLE = "console"
    CLOSE_CONSOLE = "close_console"


def ops_asked_for(asked: Mapping[Op, object]) -> tuple[Op, ...]:
    """Those that have something true beside them."""
    return tuple(op for op, is_asked in asked.items() if is_asked)


@dataclass(frozen=True)
class Change:
    """One difference.

    :param path: ``("memory",)``, a whole device ``("nics", "net1")``, or a part of one ``("nics", "net0", "model")``.
    :param before: None where it is new.
    :param after: None where it goes away.
    """

    path: tuple[str, ...]
    before: Any
    after: Any

    @property
    def setting(self) -> str:
        """The name in the table of capabilities: ``memory``, ``nics``, ``nics.model``."""
        one = VM_FIELDS.get(self.path[0], PLAIN)
        return ".".join(self.path[:1] + self.path[2:] if one.keyed_by else self.path[:2])

    @property
    def settings(self) -> list[str]:
        """``setting`` and, of a device that is added, each of its parts."""
        one = VM_FIELDS.get(self.path[0], PLAIN)
        is_whole = len(self.path) == (2 if one.keyed_by else 1)
        if isinstance(self.after, dict) and one.fields and is_whole:
            return [self.setting, *(f"{self.path[0]}.{part}" for part in self.after)]
        return [self.setting]


@dataclass(frozen=True)
class Step:
    """One request to a backend.

    :param vm: the VM as it was read, or the name of one that is to be made.
    :param needs: what the backend must be able to do beside ``op``.
    :param source: the VM that is copied.
    """

    op: Op
    vm: VM
    arguments: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[Op, ...] = ()
    source: Optional[VM] = None  # noqa: UP045 - evaluated by dataclasses on Python 3.9


@dataclass(frozen=True)
class Plan:
    """What would be done, and what that changes.

    :param before: the state that was read, in the words of the options; empty where there is nothing yet.
    :param after: the state that will be read when all steps are done.
    """

    before: VM
    after: VM
    changes: tuple[Change, ...] = ()
    steps: tuple[Step, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.steps)

    def and_then(self, following: Plan) -> Plan:
        """Both, where ``following`` was made from this one's ``after``."""
        return replace(
            self,
            after=following.after,
            changes=self.changes + following.changes,
            steps=self.steps + following.steps,
            warnings=self.warnings + following.warnings,
        )


def plan_settings(
    current: VM, wanted: Mapping[str, Any], absent: Sequence[str] = (), apply: str = "live", force: bool = False
) -> Plan:
    """Bring a VM that exists to ``wanted``; what is not named stays.

    :param wanted: normalised settings.
    :param absent: settings and slots to take away.
    :param apply: live, or next_boot to leave a running VM as it is.
    :param force: take a medium from a guest that holds it.
    :raises InvalidRequest: a disk would shrink, or something is wanted and unwanted at once.
    :raises NotFound: ``absent`` names what no VM can have.
    """
    # a text or list that is not there is empty
    told = {name: value for name, value in wanted.items() if value not in ("", []) or name in current}
    after = dict_merge(current, comparable(told, current))
    for name in absent:
        _take_away(after, name, wanted)
    changes = _with_secrets(tuple(differences(current, after)), wanted)
    for change in changes:
        if change.setting == "disks.size" and change.after < change.before:
            raise InvalidRequest(
                f"disk {change.path[1]} has {change.before} GiB and cannot shrink to {change.after} GiB:"
                " its end would be lost.",
                advice="Make a smaller disk and copy what is needed.",
            )
    steps = (Step(Op.UPDATE, current, {"changes": changes, "apply": apply, "force": force}),) if changes else ()
    return Plan(current, after, changes, steps)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """Every setting that differs; of devices that stay, each part by itself."""
    old, new = recursive_diff(before, after) or ({}, {})
    for name in sorted({*old, *new}):
        one = VM_FIELDS.get(name, PLAIN)
        paths: list[tuple[str, ...]] = [(name,)]
        if one.fields:
            paths = list(_parts(name, one, before.get(name) or {}, after.get(name) or {}))
        for path in paths:
            change = Change(path, _at(before, path), _at(after, path))
            if change.before != change.after:
                yield change


def _parts(name: str, one: Field, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    if not one.keyed_by:
        yield from ((name, part) for part in sorted({*before, *after})) if before and after else [(name,)]
        return
    for key in sorted({*before, *after}):
        if key in before and key in after:
            yield from ((name, key, part) for part in sorted({*before[key], *after[key]}))
        else:
            yield (name, key)


def _at(settings: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = settings
    for key in path:
        value = (value or {}).get(key)
    return value


def _take_away(settings: VM, name: str, wanted: Mapping[str, Any]) -> None:
    device_lists = [kind for kind, one in VM_FIELDS.items() if one.slots]
    if name in wanted or any(name in wanted.get(kind, {}) for kind in device_lists):
        raise InvalidRequest(f"{name} is both given and listed in absent.")
    if name in ("tags", "boot_order", "description"):
        if settings.get(name):
            settings[name] = "" if name == "description" else []
    elif name in ("cdrom", "cloud_init", "native", "pool"):
        settings.pop(name, None)
    elif any(name.startswith(prefix) for prefix in ("virtio", "scsi", "sata", "ide", "net")):
        for kind in device_lists:
            settings.get(kind, {}).pop(name, None)
    else:
        raise NotFound(
            f"absent: '{name}' is nothing that can be taken away.",
            advice="It takes description, tags, boot_order, cdrom, cloud_init, native, pool, and slots such as net1.",
        )


def _with_secrets(changes: tuple[Change, ...], wanted: Mapping[str, Any]) -> tuple[Change, ...]:
    """A write-only secret goes along when its surroundings change."""
    found = []
    for name in {change.path[0] for change in changes if len(change.path) == 2}:
        for part, one in VM_FIELDS.get(name, PLAIN).fields.items():
            if one.write_only and part in wanted.get(name, {}):
                found.append(Change((name, part), None, wanted[name][part]))
    return changes + tuple(found)


def plan_create(name: str, wanted: Mapping[str, Any], vm_id: str | None = None) -> Plan:
    """A VM that does not exist yet, stopped.

    :param vm_id: the id that it shall have, where the backend does not choose it.
    """
    settings = {**wanted, "name": name}
    after = {**settings, "state": "stopped"}
    step = Step(Op.CREATE, {"name": name}, {"settings": settings, "id": vm_id})
    return Plan({}, after, tuple(differences({}, settings)), (step,))


def plan_delete(current: VM, *, force: bool, purge: bool) -> Plan:
    """No VM, whatever its state was; the caller has decided that it may go."""
    gone = {"id": current["id"], "name": current["name"], "state": "absent"}
    return Plan(current, gone, (), (Step(Op.DELETE, current, {"force": force, "purge": purge}),))


def unchanged(current: VM, *warnings: str) -> Plan:
    return Plan(current, current, warnings=warnings)
