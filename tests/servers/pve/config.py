# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading and changing a guest's configuration: pending changes, deletion, reverting, the digest."""

from __future__ import annotations

import re
from typing import Any

from .errors import ApiError, parameter_error
from .options import DRIVE, check_boot, check_values, drop_boot, is_live, need_right, stored
from .routes import VM, Answer, Call, route
from .schema import split_list
from .state import Cluster, Guest
from .tasks import Task
from .volumes import add_unused, drive_volume, free, is_cloudinit, make_drive

_CONTROL = ("delete", "digest", "force", "revert", "skiplock", "background_delay", "import-working-storage")
_HIDDEN = "**********"


def visible(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "cipassword": _HIDDEN} if "cipassword" in values else dict(values)


@route("GET", VM + "/config")
def read_config(call: Call) -> dict[str, Any]:
    guest = call.guest()
    name = call.params.get("snapshot")
    if name is not None:
        if call.params.get("current"):
            text = "cannot use 'snapshot' parameter with 'current'"
            raise parameter_error(snapshot=text, current=text)
        if name not in guest.snapshots:
            raise ApiError(f"snapshot '{name}' does not exist\n")
        return {**visible(guest.snapshots[name]), "digest": guest.digest()}
    return {**visible(guest.config if call.params.get("current") else guest.merged()), "digest": guest.digest()}


@route("GET", VM + "/pending")
def read_pending(call: Call) -> Answer:
    guest = call.guest()
    rows: list[dict[str, Any]] = [{"key": "digest", "value": guest.digest()}]
    running, waiting = visible(guest.config), visible(guest.pending)
    for key in sorted({*running, *waiting, *guest.pending_delete}):
        row: dict[str, Any] = {"key": key}
        if key in running:
            row["value"] = running[key]
        if key in waiting:
            row["pending"] = waiting[key]
        if key in guest.pending_delete:
            row["delete"] = guest.pending_delete[key]
        rows.append(row)
    return Answer(rows, ordered=False)


# -- changing -------------------------------------------------------------------------------------------------------


@route("PUT", VM + "/config")
def update_now(call: Call) -> None:
    change = _Change(call)
    change.admit()
    call.cluster.check_writable(call.node, call.vmid)
    change.apply([])


@route("POST", VM + "/config")
def update_later(call: Call) -> str | None:
    change = _Change(call)
    change.admit()

    def work(task: Task) -> None:
        task.log.append(f"update VM {call.vmid}: {change.text()}")
        call.cluster.check_writable(call.node, call.vmid)
        change.apply(task.log)

    upid = call.spawn("qmconfig", work, lock=call.vmid)
    delay = call.params.get("background_delay")
    task = call.cluster.tasks.by_upid[upid]
    if delay and call.cluster.clock.wait(delay, lambda: not task.running):
        if task.exitstatus != "OK":
            raise ApiError(f"{task.exitstatus}\n")
        return None
    return upid


class _Change:
    """One request to change a configuration."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.given = call.own(*_CONTROL)
        self.delete = split_list(call.params.get("delete", ""))
        self.revert = split_list(call.params.get("revert", ""))
        self.force = bool(call.params.get("force"))

    def text(self) -> str:
        shown = {**self.given, "cipassword": "<hidden>"} if "cipassword" in self.given else self.given
        parts = [f"-{key} {shown[key]}" for key in sorted(shown)]
        parts += [f"-{word} {self.call.params[word]}" for word in ("delete", "revert") if word in self.call.params]
        return " ".join(parts)

    def admit(self) -> None:
        """Everything that fails in the request itself."""
        call = self.call
        call.root_only("skiplock")
        known = call.cluster.contract.config
        for word, names in (("delete", self.delete), ("revert", self.revert)):
            for name in names:
                if name not in known or name in (*_CONTROL, "node", "vmid"):
                    raise parameter_error(**{word: f"unknown option '{name}'"})
                if name in self.given:
                    text = f"you can't use '-{name}' and -{word} {name}' at the same time"
                    raise parameter_error(**{word: text})
        if not (self.given or self.delete or self.revert):
            raise ApiError("no options specified\n")
        found = call.cluster.guests.get(call.vmid)
        for name in [*self.given, *self.delete, *self.revert]:
            need_right(call, name, self.given.get(name), found.config.get(name) if found else None)
        check_values(call, self.given)
        if call.cluster.new and not call.params.get("skiplock"):
            call.guest().check_lock()  # 8.4 waits for the file lock first
        call.cluster.tasks.wait_lock(call.vmid)
        guest = call.guest()
        digest = call.params.get("digest")
        if digest and digest != guest.digest():
            raise ApiError("checksum mismatch (file change by other user?)\n")
        if not call.params.get("skiplock"):
            guest.check_lock()

    def apply(self, log: list[str]) -> None:
        call, guest = self.call, self.call.guest()
        self._refuse(guest)
        for name in self.revert:
            guest.pending.pop(name, None)
            guest.pending_delete.pop(name, None)
        for name in self.delete:
            guest.pending.pop(name, None)
            if name not in guest.config:
                continue
            if guest.running and not is_live(guest, name, None, call.cluster):
                guest.pending_delete[name] = 2 if self.force else 1
            else:
                remove_now(call.cluster, guest, name, self.force)
        for name in sorted(self.given):
            self._set(guest, name, log)

    def _refuse(self, guest: Guest) -> None:
        protected = guest.config.get("protection")
        for name in self.delete:
            if protected and DRIVE.fullmatch(name) and name in guest.config:
                what = "unused disk" if name.startswith("unused") else "drive"
                raise ApiError(f"can't remove {what} '{name}' - protection mode enabled\n")
        if "boot" in self.given:
            check_boot(self.call.cluster, self.given["boot"], {**guest.merged(), **self.given})

    def _set(self, guest: Guest, name: str, log: list[str]) -> None:
        cluster, value = self.call.cluster, self.given[name]
        if DRIVE.fullmatch(name) and name[:6] != "unused":
            live = is_live(guest, name, value, cluster)
            value = make_drive(cluster, guest.node, guest.vmid, name, value, log)
        else:
            value = stored(cluster, name, value)
            live = is_live(guest, name, value, cluster)
        guest.pending_delete.pop(name, None)
        if guest.running and not live:
            guest.pending[name] = value
            if guest.config.get(name) == value:
                del guest.pending[name]
        else:
            guest.pending.pop(name, None)
            set_now(cluster, guest, name, value)


def set_now(cluster: Cluster, guest: Guest, name: str, value: Any) -> None:
    """Put a stored value into the running configuration; a volume that it replaces becomes unused."""
    old = guest.config.get(name)
    guest.config[name] = value
    if not DRIVE.fullmatch(name):
        return
    volume = drive_volume(cluster, name, value)
    before = drive_volume(cluster, name, old) if old else None
    for key in [key for key, held in guest.config.items() if key.startswith("unused") and held == volume]:
        del guest.config[key]
    if before and before != volume:
        _detach(cluster, guest, before, False)


def remove_now(cluster: Cluster, guest: Guest, name: str, force: bool = False) -> None:
    """Take an option out; the volume of a drive becomes unused, that of unusedN is destroyed."""
    old = guest.config[name]
    if DRIVE.fullmatch(name):
        volume = drive_volume(cluster, name, old)
        if volume and name.startswith("unused"):
            _check_snapshots(guest, name, volume)
            free(cluster, guest.node, volume)
        del guest.config[name]
        drop_boot(guest.config, name)
        if volume and not name.startswith("unused"):
            _detach(cluster, guest, volume, force)
        return
    del guest.config[name]
    drop_boot(guest.config, name)


def _detach(cluster: Cluster, guest: Guest, volume: str, force: bool) -> None:
    if is_cloudinit(volume):
        free(cluster, guest.node, volume)
    elif re.search(r":(\d+/)?\S*(vm|base)-\d+-", volume):
        if force:
            _check_snapshots(guest, volume, volume)
            free(cluster, guest.node, volume)
        else:
            add_unused(guest.config, volume)


def _check_snapshots(guest: Guest, name: str, volume: str) -> None:
    for config in guest.snapshots.values():
        if any(volume in str(value) for key, value in config.items() if DRIVE.fullmatch(key)):
            raise ApiError(f"can't remove '{name}' - volume '{volume}' is used by a snapshot\n")


def apply_pending(cluster: Cluster, guest: Guest) -> None:
    """What a stop, or the next start, does with the changes that waited."""
    deleted, waiting = guest.pending_delete, guest.pending
    guest.pending_delete, guest.pending = {}, {}
    for name, force in deleted.items():
        if name in guest.config:
            remove_now(cluster, guest, name, force == 2)
    for name in sorted(waiting):
        set_now(cluster, guest, name, waiting[name])
