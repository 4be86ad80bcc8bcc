# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which function carries out which API, and what is checked before it may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .access import Caller
from .contract import Api
from .errors import bad_argument, missing
from .state import UUID, Cloud, Row

ROUTES: dict[str, Callable[[Call], Any]] = {}


@dataclass(frozen=True)
class Call:
    """One call of an API: who, with what."""

    cloud: Cloud
    api: Api
    params: dict[str, Any]
    tags: list[str] = field(default_factory=list)
    user_tags: list[str] = field(default_factory=list)
    caller: Caller = field(default_factory=Caller)

    def row(self, kind: str, name: str = "uuid") -> Row:
        return self.cloud.row(kind, self.params.get(name))

    @property
    def vm(self) -> Row:
        """The VM that the path names."""
        return self.row("VmInstance", "vmInstanceUuid" if "vmInstanceUuid" in self.api.params else "uuid")

    def check_state(self, vm: Row, outer: str = "SYS.1006") -> None:
        self.cloud.check_state(vm, self.api.name, outer)

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the named parameters that were given."""
        return {name: self.params[name] for name in names if self.params.get(name) is not None}

    def lock(self) -> str:
        """What the call has to itself while it works: the VM, or the resource that the path names."""
        uuids = [str(self.params.get(name, "")) for name, spec in self.api.params.items() if spec["in"] == "path"]
        uuids += [str(self.params[name]) for name in ("rootVolumeUuid", "vmInstanceUuid") if self.params.get(name)]
        for uuid in uuids:
            owner = self._owner(uuid)
            if owner:
                return owner
        return uuids[0] if uuids else ""

    def _owner(self, uuid: str) -> str | None:
        cloud = self.cloud
        if uuid in cloud.table("VmInstance"):
            return uuid
        snapshot = cloud.table("VolumeSnapshot").get(uuid)
        volume = cloud.table("Volume").get(snapshot["volumeUuid"] if snapshot else uuid)
        thing = volume or cloud.table("VmNic").get(uuid) or cloud.table("VmCdRom").get(uuid)
        thing = thing or cloud.table("VolumeSnapshotGroup").get(uuid)
        return thing.get("vmInstanceUuid") if thing else None


def handles(*names: str) -> Callable[[Callable[[Call], Any]], Callable[[Call], Any]]:
    def register(function: Callable[[Call], Any]) -> Callable[[Call], Any]:
        for name in names:
            ROUTES[name] = function
        return function

    return register


def check(call: Call) -> None:
    """The session, the parameters, and then what they refer to."""
    if call.api.authenticated:
        call.caller.check(call.api.name)
    for name, spec in call.api.params.items():
        _check_value(call, name, spec)
    for name, spec in call.api.params.items():
        _check_reference(call, name, spec)


def work(call: Call) -> Any:
    check(call)
    return ROUTES[call.api.name](call)


def _check_value(call: Call, name: str, spec: dict[str, Any]) -> None:
    value, what = call.params.get(name), f"field[{name}] of message[org.zstack.API{call.api.name}Msg]"
    if value is None:
        if spec.get("required"):
            raise bad_argument(f"{what} is mandatory, can not be null")
        return
    if "enum" in spec and value not in spec["enum"]:
        raise bad_argument(f"valid value of {what} is one of {spec['enum']}, but got {value}")
    low, high = spec.get("range", (value, value))
    if spec["type"] in ("int", "long") and not low <= value <= high:
        raise bad_argument(f"{what} must be in range of [{low}, {high}], but got {value}")
    if isinstance(value, str) and not spec.get("minLength", 0) <= len(value) <= spec.get("maxLength", len(value)):
        raise bad_argument(f"{what} has a wrong length")
    if spec.get("nonempty") and not value:
        raise bad_argument(f"{what} can not be empty")


def _check_reference(call: Call, name: str, spec: dict[str, Any]) -> None:
    kind, value = spec.get("resource"), call.params.get(name)
    if kind is None or value is None:
        return
    for uuid in value if isinstance(value, list) else [value]:
        tables = call.cloud.tables.values() if kind == "Resource" else [call.cloud.table(kind)]
        known = uuid in call.cloud.access.sessions if kind == "Session" else any(uuid in table for table in tables)
        if not known and not (spec.get("may_be_missing") and UUID.fullmatch(uuid)):
            raise missing(kind, uuid)
