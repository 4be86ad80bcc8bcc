# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What makes a step fail and can be known by reading, before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..._errors import Conflict, InvalidRequest, NotFound, Unsupported
from ..._plan import Change, Op, Step, differences
from . import config as translation

if TYPE_CHECKING:
    from .driver import ProxmoxBackend

_SNAPSHOT_NAME = re.compile(r"(?!(?:current|pending)$)[A-Za-z][A-Za-z0-9_-]{1,39}")

_LEFT_TO_HA = (Op.START, Op.STOP, Op.SHUTDOWN, Op.MIGRATE)
_HA_ERROR = "Put right what it runs into, then set it to disabled and back to started with ha-manager."


class Preflight:
    def __init__(self, backend: ProxmoxBackend) -> None:
        self._backend = backend
        self._api = backend.api

    def check(self, step: Step) -> None:
        if step.arguments.get("apply") == "next_boot" and step.vm.get("state") in ("running", "paused"):
            raise Unsupported("Backend proxmox applies at once what it can: apply: next_boot is not possible.")
        if step.op is Op.CLONE and step.arguments["linked"] and not (step.source or {}).get("template"):
            raise Unsupported("Proxmox VE makes linked clones of templates only.", advice="Leave out full: false.")
        if step.vm.get("id") in self._backend.in_error and step.op in _LEFT_TO_HA:
            raise Conflict(f"HA has given VM {step.vm['name']} up: it is in state error.", advice=_HA_ERROR)
        if step.op is Op.CONSOLE:
            self._backend.consoles.check(step.vm)
        if step.op is Op.MIGRATE:
            self._check_migration(step)
        node = step.arguments.get("node") or step.arguments.get("settings", {}).get("node")
        if step.op in (Op.CREATE, Op.CLONE) and node:
            self._check_node(node)
        if step.op in (Op.CREATE, Op.UPDATE):
            changes = step.arguments.get("changes") or tuple(differences({}, step.arguments["settings"]))
            self._check_changes(changes, step.vm.get("disks", {}))
        if step.op is Op.SNAPSHOT and not _SNAPSHOT_NAME.fullmatch(step.arguments["snapshot"]):
            raise InvalidRequest(
                f"{step.arguments['snapshot']!r} cannot be the name of a snapshot.",
                advice="It has 2 to 40 letters, digits, - and _, begins with a letter, and is not current or pending.",
            )

    def _check_changes(self, changes: Sequence[Change], disks: Mapping[str, Any]) -> None:
        for change in changes:
            if change.path == ("template",) and change.before:
                raise Unsupported("A template of Proxmox VE cannot become a VM again.", advice="Clone it.")
            if change.path == ("native",) and change.after is None:
                raise Unsupported("Backend proxmox cannot take away all native settings at once.")
            if change.path == ("cdrom",) and change.after is not None and not change.after.get("slot"):
                raise InvalidRequest("cdrom: it needs a slot.", advice="Such as slot: ide2.")
            if change.setting == "cloud_init" and "password" in (*change.path, *(change.after or ())):
                self._api.check_values({"cipassword": ""})
        translation.write_of([change for change in changes if change.setting == "disks"], {})
        if translation.needs_drive(changes):
            translation.shared_storage(changes, disks)

    def _check_node(self, name: str) -> None:
        online = sorted(row["node"] for row in self._api.get("nodes") if row.get("status") == "online")
        if name not in online:
            raise NotFound(f"Node {name} is not in the cluster or offline.", advice=f"These are: {', '.join(online)}.")

    def _check_migration(self, step: Step) -> None:
        """What the cluster says beforehand. It does not look at the target that it is asked about."""
        target, name = step.arguments["node"], step.vm["name"]
        if step.vm["state"] in ("running", "paused") and not step.arguments["online"]:
            raise Conflict(f"VM {name} is {step.vm['state']}.", advice="Stop it first, or leave out online: false.")
        told = self._api.get("nodes", self._backend.node_of(step.vm), "qemu", step.vm["id"], "migrate", target=target)
        self._check_node(target)
        reasons = told.get("not_allowed_nodes", {}).get(target) or {}
        if reasons:
            raise Conflict(f"VM {name} cannot migrate to {target}: {reasons}.", reasons=reasons)
        if told.get("local_resources"):
            raise Conflict(f"VM {name} cannot migrate: it uses local resources {', '.join(told['local_resources'])}.")
        local = [disk["volid"] for disk in told.get("local_disks", ()) if not disk.get("cdrom")]
        if step.arguments["online"] and local and not step.arguments["with_local_disks"]:
            raise Conflict(
                f"VM {name} runs and has local disks: {', '.join(local)}.",
                advice="Use with_local_disks: true, which copies them, or stop it first.",
                local_disks=local,
            )
