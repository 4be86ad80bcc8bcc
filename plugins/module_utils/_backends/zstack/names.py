# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of what VMs lie on, and their uuids. Names are not unique: one that fits several is never guessed at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..._errors import Ambiguous, NotFound, PermissionDenied
from .api import Api, equals

KINDS: Mapping[str, tuple[str, str]] = {
    "network": ("l3network", "L3 network"),
    "node": ("host", "host"),
    "storage": ("primarystorage", "primary storage"),
    "cluster": ("cluster", "cluster"),
    "zone": ("zone", "zone"),
    "instanceOffering": ("instanceoffering", "instance offering"),
}
"""Our word, the name in ZQL, and what it is called."""

_STATEMENTS = tuple(f"query {kind}.uuid,name limit 10000" for kind, _words in KINDS.values())
_SHOWN = 20


class Names:
    """What is called how, read once in a run, together with the first question about a VM."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, dict[str, str]] = {}
        self._images: dict[tuple[str, str], str] = {}

    def ask(self, *statements: str) -> list[list[dict[str, Any]]]:
        """The rows of statements, and with the first of them all names, in one request."""
        if self._known:
            return self._api.zql(*statements) if statements else []
        try:
            rows = self._api.zql(*statements, *_STATEMENTS)
        except PermissionDenied:
            # not everybody may see hosts and storages
            found = self._api.zql(*statements) if statements else []
            rows = [*found, *(self._ask_alone(statement) for statement in _STATEMENTS)]
        for kind, told in zip(KINDS, rows[len(statements) :]):
            self._known[kind] = {row["uuid"]: row["name"] for row in told}
        return rows[: len(statements)]

    def _ask_alone(self, statement: str) -> list[dict[str, Any]]:
        try:
            return self._api.zql(statement)[0]
        except PermissionDenied:
            return []

    def word(self, kind: str, uuid: str | None) -> str | None:
        """How something is called; by its uuid where the name is not its alone, or may not be seen."""
        known = self._table(kind)
        name = known.get(uuid or "")
        return name if name and list(known.values()).count(name) == 1 else uuid

    def uuid(self, kind: str, word: str) -> str:
        """
        :raises NotFound: nothing is called so.
        :raises Ambiguous: several are.
        """
        known = self._table(kind)
        if word in known:
            return word
        return _only(KINDS[kind][1], word, [uuid for uuid, name in known.items() if name == word], known.values())

    def normal(self, kind: str, word: str) -> str:
        """A name or a uuid as ``word`` tells it."""
        return self.word(kind, self.uuid(kind, word)) or word

    def image(self, word: str, media: Sequence[str] = ("RootVolumeTemplate", "ISO")) -> str:
        """The uuid of an image that can be used.

        :raises NotFound: there is none, or it is not enabled and ready.
        :raises Ambiguous: several are called so.
        """
        key = (word, ",".join(media))
        if key not in self._images:
            usable = f"state = 'Enabled' and status = 'Ready' and {equals('mediaType', media)}"
            by_uuid, by_name = self._api.zql(
                *(f"query image where {equals(field, [word])} and {usable}" for field in ("uuid", "name"))
            )
            found = by_uuid or [row for row in by_name if row["name"] == word]
            self._images[key] = _only("usable image", word, [row["uuid"] for row in found], ())
        return self._images[key]

    def normal_iso(self, word: str) -> str:
        """The name or the uuid of an ISO image as ``image_names`` tells it.

        :raises NotFound, Ambiguous: as ``image``.
        """
        uuid = self.image(word, ("ISO",))
        return self.image_names([uuid]).get(uuid, uuid)

    def image_names(self, uuids: Sequence[str]) -> dict[str, str]:
        """How images are called, by uuid; by the uuid where the name is not its alone."""
        if not uuids:
            return {}
        (rows,) = self._api.zql(f"query image where {equals('uuid', uuids)}")
        (same,) = self._api.zql(f"query image where {equals('name', [row['name'] for row in rows])}") if rows else [[]]
        names = [row["name"] for row in same]
        return {row["uuid"]: row["name"] if names.count(row["name"]) == 1 else row["uuid"] for row in rows}

    def _table(self, kind: str) -> Mapping[str, str]:
        if not self._known:
            self.ask()
        return self._known[kind]


def _only(what: str, word: str, found: Sequence[str], known: Any) -> str:
    if len(found) > 1:
        raise Ambiguous(
            f"{len(found)} things of the kind {what} are called '{word}': {', '.join(found)}.",
            advice="Give the uuid.",
            candidates=[{"id": uuid} for uuid in found],
        )
    if not found:
        names = sorted(set(known))
        more = ", ..." if len(names) > _SHOWN else ""
        advice = f"There are: {', '.join(names[:_SHOWN])}{more}." if names else "Check the name."
        raise NotFound(f"There is no {what} '{word}'.", advice=advice)
    return found[0]
