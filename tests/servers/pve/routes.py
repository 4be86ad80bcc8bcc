# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which function answers which method of the contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .auth import Caller
from .errors import ApiError
from .state import Cluster, Guest
from .tasks import Step

ROUTES: dict[tuple[str, str], Callable[[Call], Any]] = {}
VM = "/nodes/{node}/qemu/{vmid}"


@dataclass(slots=True)
class Answer:
    """Data with keys beside it; rows of lists are shuffled unless they are ordered."""

    data: Any
    extra: dict[str, Any] = field(default_factory=dict)
    ordered: bool = True


@dataclass(slots=True)
class Call:
    """One call of a method: who, with what."""

    cluster: Cluster
    caller: Caller
    params: dict[str, Any]
    local: str

    @property
    def node(self) -> str:
        return self.params["node"]

    @property
    def vmid(self) -> int:
        return self.params["vmid"]

    def guest(self) -> Guest:
        return self.cluster.guest(self.node, self.vmid)

    def may(self, path: str, *any_of: str) -> bool:
        return self.cluster.access.may(self.caller, path, *any_of)

    def require(self, path: str, *any_of: str) -> None:
        self.cluster.access.require(self.caller, path, *any_of)

    def own(self, *names: str) -> dict[str, Any]:
        """The parameters without those of the path and the named ones."""
        return {k: v for k, v in self.params.items() if k not in ("node", "vmid", *names)}

    def root_only(self, *names: str) -> None:
        """Options that only root@pam itself may use."""
        refused = {name: "Only root may use this option." for name in names if self.params.get(name)}
        if refused and not self.caller.is_root:
            raise ApiError("Parameter verification failed.\n", 400, refused)

    def spawn(
        self,
        kind: str,
        work: Step,
        *,
        ident: str | int | None = None,
        lock: int | None = None,
        begin: Step | None = None,
        undo: Callable[[], None] | None = None,
        seconds: float | None = None,
    ) -> str:
        who = self.vmid if ident is None else ident
        return self.cluster.tasks.spawn(
            self.caller, self.node, kind, who, work, lock=lock, begin=begin, undo=undo, seconds=seconds
        )


def route(method: str, *paths: str) -> Callable[[Callable[[Call], Any]], Callable[[Call], Any]]:
    def register(function: Callable[[Call], Any]) -> Callable[[Call], Any]:
        for path in paths:
            ROUTES[method, path] = function
        return function

    return register
