# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ZQL: the query language whose values are quoted, so that they may hold what an operator looks like.

A value stands in single or in double quotes; there is no escaping. Keywords are in lower case.
"""

from __future__ import annotations

import re
from typing import Any

from .contract import contract
from .errors import bad_argument
from .query import LIMIT, choose, select, sort
from .routes import Call, handles
from .rows import views

_WORDS = ("not in", "not like", "is not null", "is null", "order by", "return with", r"\w[\w.]*", r"-?\d+")
_SIGNS = ("!=", ">=", "<=", "[=<>(),;]")
_TOKEN = re.compile(rf"""\s*(?:'([^']*)'|"([^"]*)"|({"|".join([*_WORDS, *_SIGNS])}))""")
_OPERATORS = {
    "in": "?=",
    "not in": "!?=",
    "like": "~=",
    "not like": "!~=",
    "is null": "is null",
    "is not null": "not null",
}
_KINDS = {
    name.removeprefix("Query").lower(): name.removeprefix("Query") for name in contract().apis if name[:5] == "Query"
}


class _Reader:
    """The words of one statement; a quoted text is a word with a quote before it."""

    def __init__(self, text: str) -> None:
        self._words: list[str] = []
        text = text.strip()
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise bad_argument(f"cannot parse the ZQL {text!r} at {at}")
            single, double, word = match.groups()
            self._words.append(word if word else "'" + (single or double or ""))
            at = match.end()

    def next(self) -> str:
        if not self._words:
            raise bad_argument("the ZQL ends too early")
        return self._words.pop(0)

    def take(self, *words: str) -> bool:
        """Drop the words if they come next."""
        if self._words[: len(words)] != list(words):
            return False
        del self._words[: len(words)]
        return True

    def need(self, word: str) -> None:
        if not self.take(word):
            raise bad_argument(f"the ZQL misses {word!r}")

    def number(self) -> int:
        word = self.next()
        if not word.isdigit():
            raise bad_argument(f"the ZQL has {word!r} where a number belongs")
        return int(word)

    @property
    def over(self) -> bool:
        return not self._words


def _condition(words: _Reader) -> tuple[str, str, str]:
    field, operator = words.next(), words.next()
    if operator in ("is null", "is not null"):
        return field, _OPERATORS[operator], ""
    if operator in ("in", "not in"):
        words.need("(")
        items = [words.next().removeprefix("'")]
        while words.take(","):
            items.append(words.next().removeprefix("'"))
        words.need(")")
        return field, _OPERATORS[operator], ",".join(items)
    return field, _OPERATORS.get(operator, operator), words.next().removeprefix("'")


@handles("ZQLQuery")
def zql(call: Call) -> dict[str, Any]:
    """Several statements with a semicolon between them have a result each, in their order."""
    words = _Reader(call.params.get("zql", ""))
    results = [_statement(call, words)]
    while words.take(";"):
        results.append(_statement(call, words))
    if not words.over:
        raise bad_argument(f"ZQL does not know {words.next()!r} here")
    return {"results": results}


def _statement(call: Call, words: _Reader) -> dict[str, Any]:
    """One "query": its clauses have a fixed order. "or", "count", "restrict by" and the like are not simulated."""
    words.need("query")
    name, _dot, fields = words.next().partition(".")
    if name.lower() not in _KINDS:
        raise bad_argument(f"ZQL knows no inventory {name}")
    while fields and words.take(","):
        fields += "," + words.next()
    kind, conditions, order = _KINDS[name.lower()], [], ""
    if words.take("where"):
        conditions.append(_condition(words))
        while words.take("and"):
            conditions.append(_condition(words))
    total = words.take("return with", "(", "total", ")")
    if words.take("order by"):
        field, way = words.next(), words.next()
        order = {"asc": "+", "desc": "-"}.get(way, way) + field
    limit = words.number() if words.take("limit") else LIMIT
    start = words.number() if words.take("offset") else 0
    found = select(call.cloud, kind, conditions)
    count = len(found)
    found = sort(kind, found, order) if order else found
    rows = views(call.cloud, kind, found[start : start + limit])
    rows = choose(kind, rows, fields) if fields else rows
    return {"inventories": rows, **({"total": count} if total else {})}
