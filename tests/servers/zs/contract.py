# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The contract: which APIs there are, where each is found, and the facts about states, errors and inventories.

Both were read from the server's public source (5.3.0) and the generated SDK (5.3.20); parameters with "since" are those
of the ZSphere line. None of it was recorded from a running server.
"""

from __future__ import annotations

import functools
import json
import pathlib
from dataclasses import dataclass, field
from typing import Any

CONTRACTS = pathlib.Path(__file__).resolve().parents[2] / "contracts"
QUERY: dict[str, dict[str, Any]] = {
    "q": {"in": "query", "type": "string", "repeatable": True},
    "limit": {"in": "query", "type": "int"},
    "start": {"in": "query", "type": "int"},
    "count": {"in": "query", "type": "boolean"},
    "replyWithCount": {"in": "query", "type": "boolean"},
    "sort": {"in": "query", "type": "string"},
    "fields": {"in": "query", "type": "string", "repeatable": True},
}


@dataclass(frozen=True)
class Api:
    """One API. key: what wraps its parameters in the body; timeout: of the server, in seconds."""

    name: str
    method: str
    path: str
    key: str | None = None
    asynchronous: bool = False
    authenticated: bool = True
    timeout: int = 1800
    params: dict[str, dict[str, Any]] = field(default_factory=dict)
    query: bool = False


class Contract:
    """The APIs, found by verb and path."""

    def __init__(self) -> None:
        self.apis: dict[str, Api] = {}
        self._tree: dict[str, Any] = {}
        for row in json.loads((CONTRACTS / "zstack-api.json").read_text()):
            query = bool(row.get("query"))
            api = Api(
                row["api"],
                row["method"],
                row["path"],
                row.get("key"),
                bool(row.get("async")),
                row.get("auth", True),
                row.get("timeout", 1800),
                {**row.get("params", {}), **(QUERY if query else {})},
                query,
            )
            self.apis[api.name] = api
            self._add(api, api.path)
            if query:
                self._add(api, api.path + "/{uuid}")

    def _add(self, api: Api, path: str) -> None:
        node, names = self._tree, []
        for part in path.strip("/").split("/"):
            if part.startswith("{"):
                names.append(part[1:-1])
                part = "{}"
            node = node.setdefault(part, {})
        node.setdefault("#", {}).setdefault(api.method, []).append((api, names))

    def find(self, path: str) -> dict[str, list[tuple[Api, dict[str, str]]]]:
        """The APIs at a path below /v1 by verb, each with the values of its path variables; empty: none."""
        values: list[str] = []
        found = self._walk(self._tree, [part for part in path.split("/") if part], values)
        return {
            verb: [(api, dict(zip(names, values))) for api, names in entries] for verb, entries in (found or {}).items()
        }

    def _walk(self, node: dict[str, Any], parts: list[str], values: list[str]) -> dict[str, Any] | None:
        """A fixed part goes before a variable one, as /volume-snapshots/group before /volume-snapshots/{uuid}."""
        if not parts:
            return node.get("#")
        first, rest = parts[0], parts[1:]
        if first in node and (found := self._walk(node[first], rest, values)):
            return found
        if "{}" not in node:
            return None
        values.append(first)
        found = self._walk(node["{}"], rest, values)
        if not found:
            values.pop()
        return found


@functools.cache
def contract() -> Contract:
    return Contract()


@functools.cache
def facts() -> dict[str, Any]:
    """States, transitions, error codes, inventory fields and defaults."""
    return json.loads((CONTRACTS / "zstack-facts.json").read_text())
