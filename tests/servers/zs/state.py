# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cloud as data: a table of rows for each kind of resource."""

from __future__ import annotations

import random
import re
import threading
import time
import uuid
from typing import Any

from ..clock import Clock
from .access import Access
from .contract import contract, facts
from .errors import ApiError, missing
from .jobs import Jobs

GIB = 1024**3
MIB = 1024**2
UUID = re.compile(r"[0-9a-f]{12}[1-5][0-9a-f]{3}[89ab][0-9a-f]{15}")
# A row holds the fields of its inventory; None is left out of answers, and so are keys that begin with "_".
Row = dict[str, Any]
WITHOUT_HOST = ("Created", "Stopped", "Destroyed", "Expunging", "VolumeMigrating", "Error")
_DESTROYED = ("Destroyed", "Expunging")
# What a VM is found to be after its job was lost halfway.
_FOUND = {
    "Starting": "Stopped",
    "Stopping": "Running",
    "Rebooting": "Running",
    "Migrating": "Running",
    "Pausing": "Running",
    "Resuming": "Paused",
    "VolumeMigrating": "Stopped",
    "Destroying": "Stopped",
    "Expunging": "Destroyed",
}


class Cloud:
    """Everything that one management node knows."""

    def __init__(
        self, product: str, *, speed: float = 1.0, task_seconds: float = 0.05, seed: int = 1, start: float | None = None
    ) -> None:
        self.product = product
        self.version = {"cloud": "5.3.20", "zsphere": "4.10.20"}[product]
        self.lock = threading.RLock()
        self.clock = Clock(self.lock, speed, start)
        self.random = random.Random(seed)
        self.contract = contract()
        self.jobs = Jobs(self.clock, task_seconds)
        self.access = Access(self)
        self.utc_offset = 0.0
        self.ha_seconds = 1.0
        self.failing: dict[tuple[str, str], tuple[str, bool]] = {}
        self.tables: dict[str, dict[str, Row]] = {}

    # -- values -------------------------------------------------------------------------------------------------------

    def new_uuid(self) -> str:
        return uuid.UUID(int=self.random.getrandbits(128), version=4).hex

    def stamp(self, seconds: float = 0.0, space: str = " ") -> str:
        """A time as Java's English locale writes it, in the server's local time; seconds: from now."""
        moment = time.gmtime(self.clock.now() + seconds + self.utc_offset * 3600)
        half = time.strftime("%p", moment)
        return f"{time.strftime('%b', moment)} {moment.tm_mday}, {moment.tm_year} {moment.tm_hour % 12 or 12}:" + (
            time.strftime("%M:%S", moment) + space + half
        )

    # -- rows ---------------------------------------------------------------------------------------------------------

    def table(self, kind: str) -> dict[str, Row]:
        return self.tables.setdefault(kind, {})

    def add(self, kind: str, **fields: Any) -> Row:
        """A new row with a uuid, unless one is given, and the times of its making."""
        row = {"uuid": fields.get("uuid") or self.new_uuid(), **{k: v for k, v in fields.items() if k != "uuid"}}
        row["createDate"] = self.stamp()
        self.touch(row)
        self.table(kind)[row["uuid"]] = row
        return row

    def touch(self, row: Row) -> None:
        """Newer Java puts a narrow no-break space before AM and PM; here lastOpDate has it and createDate has not."""
        row["lastOpDate"] = self.stamp(space="\u202f")

    def row(self, kind: str, key: str | None) -> Row:
        found = self.table(kind).get(key or "")
        if found is None:
            raise missing(kind, key or "")
        return found

    def rows(self, kind: str, **fields: Any) -> list[Row]:
        """The rows of which all the fields are so."""
        return [row for row in self.table(kind).values() if all(row.get(k) == v for k, v in fields.items())]

    def named(self, kind: str, who: str) -> Row:
        """By uuid, or by a name that only one row has (of the VMs: one that is not destroyed)."""
        if who in self.table(kind):
            return self.table(kind)[who]
        found = [row for row in self.rows(kind, name=who) if row.get("state") not in _DESTROYED]
        if len(found) != 1:
            raise KeyError(f"{len(found)} rows of {kind} are named {who}")
        return found[0]

    def vm_row(self, who: str) -> Row:
        return self.named("VmInstance", who)

    def remove(self, kind: str, key: str) -> None:
        """Delete a row and its tags."""
        self.table(kind).pop(key, None)
        for tags in ("SystemTag", "UserTag"):
            for tag in self.rows(tags, resourceUuid=key):
                self.table(tags).pop(tag["uuid"])

    # -- global configuration -----------------------------------------------------------------------------------------

    def config(self, category: str, name: str) -> str:
        (row,) = self.rows("GlobalConfig", category=category, name=name)
        return row["value"]

    # -- states -------------------------------------------------------------------------------------------------------

    def set_state(self, vm: Row, state: str) -> None:
        vm["state"] = state
        self.touch(vm)

    def check_state(self, vm: Row, api: str, outer: str = "SYS.1006") -> None:
        """Refuse what the VM's state forbids, as an error of the operation around VM.1010."""
        if api not in facts()["vm_api_allowed_by_state"].get(vm["state"], ()):
            cause = ApiError(
                "VM.1010",
                f"current vm instance state[{vm['state']}] doesn't allow to proceed message[org.zstack.API{api}Msg]",
            )
            raise ApiError(outer, f"cannot do {api} on vm[uuid:{vm['uuid']}, name:{vm['name']}]", cause)

    def find_out(self, uuid: str | None = None) -> None:
        """VMs (or one) whose job ended halfway are what their host says."""
        for vm in self.table("VmInstance").values():
            if vm["state"] in _FOUND and uuid in (None, vm["uuid"]):
                self.set_state(vm, _FOUND[vm["state"]])
