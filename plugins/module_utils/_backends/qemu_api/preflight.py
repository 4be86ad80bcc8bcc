# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What makes a step fail, or hit another VM, and can be known from the list of VMs before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..._errors import Conflict, InvalidRequest, Unsupported
from ..._plan import Change, Op, Step
from .dialects import DISK, FIRST_PORT, Dialect, Row

if TYPE_CHECKING:
    from .driver import QemuApiBackend

_SNAPSHOT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PATH = re.compile(r"/[A-Za-z0-9._/+-]+")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ON_PROCESS = (Op.STOP, Op.RESTART, Op.DELETE)
_WITH_MONITOR = (Op.SNAPSHOT, Op.SNAPSHOT_DELETE, Op.REVERT)


def check(backend: QemuApiBackend, step: Step) -> None:
    """
    :raises InvalidRequest: a name or a value would mean something else to the server.
    :raises Unsupported: the server has no such thing.
    :raises Conflict: the VM is not in a state for it, or could not be told apart from another one.
    """
    dialect, name = backend.manager.dialect, step.vm["name"]
    # a VM that others have made may have any name
    backend.check_name(name)
    row = backend.rows.get(name)
    others = [one for one in backend.rows.values() if one.get("name") != name]
    if step.op is Op.CREATE:
        _check_settings(step.arguments["settings"])
        dialect.new(name, step.arguments["settings"], FIRST_PORT)
        _refuse_danger(dialect, name, others)
    elif row is not None and step.op is not Op.DELETE and not dialect.settings(row):
        raise Conflict(
            f"Of VM {name} there is only a folder without a configuration, as a failed create leaves it behind.",
            advice="Delete it with state: absent and force: true, and make it anew.",
        )
    if step.op is Op.UPDATE:
        _check_changes(step.arguments["changes"])
    if step.op in (Op.START, Op.RESTART):
        _refuse_danger(dialect, name, [one for one in others if one.get("status") == "running"])
    if row is not None and step.op in _ON_PROCESS and step.vm.get("state") != "stopped":
        refuse_unclear_process(dialect, row, others)
    if step.op is Op.RESTART and (not step.arguments["force"] or step.arguments["shutdown_timeout"]):
        raise Unsupported(
            f"Backend {backend.name} cannot have the guest of VM {name} shut down.", operation=Op.SHUTDOWN.value
        )
    if step.op in (*_WITH_MONITOR, Op.CONSOLE):
        _check_running(step)


def _refuse_danger(dialect: Dialect, name: str, others: Sequence[Row]) -> None:
    reason = dialect.danger(name, others)
    if reason:
        raise Conflict(reason, advice="Use another name; with a running VM in the way, stop that first.")


def refuse_unclear_process(dialect: Dialect, row: Row, others: Sequence[Row]) -> None:
    """
    :raises Conflict: the server has noted one process for two VMs, and would end the wrong one, or none at all.
    """
    pid = dialect.pid(row)
    if pid is None and dialect.ends_by_pid and row.get("status") == "running":
        raise Conflict(
            f"The server has noted no process for VM {row['name']}, and would only mark it as stopped.",
            advice="End its QEMU on its host.",
        )
    same = [one["name"] for one in others if one.get("status") == "running" and pid and dialect.pid(one) == pid]
    if same:
        raise Conflict(
            f"The server has noted process {pid} for VM {row['name']} and for VM {same[0]} as well: it would end the"
            " wrong one.",
            advice="Find out on its host which of them it is, and end the other one's QEMU there.",
        )


def _check_settings(settings: Mapping[str, Any]) -> None:
    for slot, disk in settings.get("disks", {}).items():
        if slot != DISK or "size" not in disk:
            raise InvalidRequest(
                f"disks: {slot} cannot be made.", advice=f"A VM has one disk here, {DISK}, and it needs a size."
            )
    for number, (slot, nic) in enumerate(sorted(settings.get("nics", {}).items())):
        if slot != f"net{number}" or not _WORD.fullmatch(nic.get("network") or ""):
            raise InvalidRequest(
                f"nics: {slot} cannot be made.",
                advice="They are net0, net1 and so on, and each needs a network: user, or the name of a bridge.",
            )
    _check_image(settings.get("cdrom"))


def _check_changes(changes: Sequence[Change]) -> None:
    for change in changes:
        if change.path == ("native",) and change.after is None:
            raise Unsupported("native: a VM cannot be without a VNC port.", setting="native")
        if change.path[0] == "cdrom":
            _check_image({"image": change.after} if change.path[1:] else change.after)


def _check_image(cdrom: Mapping[str, Any] | None) -> None:
    """The path reaches a shell of the server unescaped."""
    image = (cdrom or {}).get("image")
    if image and not _PATH.fullmatch(image):
        raise InvalidRequest(
            f"cdrom: {image!r} is not a path that the server can take.",
            advice="It is absolute, on the server, and has letters, digits and . _ + - / only.",
        )


def _check_running(step: Step) -> None:
    vm, wanted = step.vm, step.arguments.get("snapshot", "")
    if step.op is Op.SNAPSHOT and not _SNAPSHOT_NAME.fullmatch(wanted):
        raise InvalidRequest(
            f"{wanted!r} cannot be the name of a snapshot.", advice="It has letters, digits, - and _, at most 64."
        )
    if step.op is Op.SNAPSHOT and not step.arguments["memory"]:
        raise Unsupported(
            "The server takes snapshots of running VMs only, and always with the memory.",
            advice="Use memory: true.",
            operation=Op.SNAPSHOT.value,
        )
    if vm.get("state") != "running":
        raise Conflict(f"VM {vm['name']} is {vm.get('state')}: the server does that with a running VM only.")
