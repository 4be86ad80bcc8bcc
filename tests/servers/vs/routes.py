# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which function answers which route, and the parameters that it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .state import ApiError, Platform, Vm

if TYPE_CHECKING:
    from .app import Entry

SCOPE = (
    "cluster_uuid* cluster_name cluster_mode tenant tenant_name namespace_uuid namespace_name multiple:bool vm_type"
    " compute_uuid* compute_name owner"
)
"""How a change names its VM."""

ROUTES: dict[tuple[str, str], Route] = {}
KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,), "bool": (bool,), "int": (int,), "list": (list,), "dict": (dict,),
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One request: of whom, with what."""

    platform: Platform
    entry: Entry
    params: dict[str, Any]
    user: str

    @property
    def vm(self) -> Vm:
        return self.platform.vm(self.params)

    def flag(self, name: str) -> bool:
        return self.params.get(name) in (True, "true")


@dataclass(frozen=True)
class Route:
    answer: Callable[[Call], Any]
    params: dict[str, str]
    required: frozenset[str]
    is_write: bool

    def check(self, given: dict[str, Any], is_query: bool) -> list[str]:
        """Raise for what is missing or of a wrong type; returns the names that the real server ignores."""
        for name in sorted(self.required - given.keys()):
            raise ApiError(10001, "parameter parse error", "参数解析错误", f"missing {name}")
        for name, value in given.items():
            kind = self.params.get(name, "")
            if kind and not is_query and isinstance(value, bool) != (kind == "bool"):
                raise ApiError(10001, "parameter parse error", "参数解析错误", f"{name} must be of type {kind}")
            if kind and not is_query and not isinstance(value, KINDS[kind]):
                raise ApiError(10001, "parameter parse error", "参数解析错误", f"{name} must be of type {kind}")
            if kind == "int" and is_query and not str(value).lstrip("-").isdigit():
                raise ApiError(10001, "parameter parse error", "参数解析错误", f"{name} must be a number")
        return sorted(given.keys() - self.params.keys())


def handles(method: str, path: str, spec: str, *, write: bool | None = None) -> Callable[..., Any]:
    """spec: names, with :type where it is no text, and * where it is required."""
    words = [(word.rstrip("*").partition(":"), word.endswith("*")) for word in spec.split()]
    params = {name: kind or "str" for (name, _colon, kind), _is_required in words}
    required = frozenset(name for (name, _colon, _kind), is_required in words if is_required)

    def register(function: Callable[[Call], Any]) -> Callable[[Call], Any]:
        is_write = method == "POST" if write is None else write
        ROUTES[method, f"/v1/{path}"] = Route(function, params, required, is_write)
        return function

    return register


def paged(call: Call, rows: list[Any]) -> tuple[list[Any], int]:
    """The page that was asked for, and how many rows there are; a size of 0 or less is everything."""
    size = int(call.params.get("page_size") or 0)
    number = int(call.params.get(call.entry.page_parameter) or 0)
    if call.entry.page_limit and not 0 < size <= call.entry.page_limit:
        size = call.entry.page_limit
    return (rows[number * size : (number + 1) * size] if size > 0 else rows), len(rows)
