# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Queries: conditions as the real server splits them, paging, counting, sorting, choice of fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .contract import contract, facts
from .errors import TextError, bad_argument
from .routes import ROUTES, Call
from .rows import PARTS, REFERENCES, part_kind, parts, views
from .state import Cloud, Row

# In the order in which they are looked for in the whole text of a condition.
OPERATORS = ("!=", ">=", "<=", "!?=", "!~=", "~=", "?=", "=", ">", "<", "is null", "not null")
LIMIT: int = facts()["defaults"]["query.limit"]
# Kinds whose inventories the facts do not list.
_OTHER_FIELDS = {
    "Account": "uuid name description type createDate lastOpDate",
    "GlobalConfig": "name category description defaultValue value",
    "L2Network": "uuid name description zoneUuid physicalInterface type attachedClusterUuids createDate lastOpDate",
    "BackupStorage": "uuid name url description totalCapacity availableCapacity type state status createDate",
    "Tag": "uuid name value description color type createDate lastOpDate",
    "ManagementNode": "uuid hostName joinDate heartBeat",
}


def fields_of(kind: str) -> dict[str, str]:
    """The fields that a query of that kind knows, with their types."""
    if kind in facts()["inventories"]:
        return facts()["inventories"][kind]
    return dict.fromkeys(_OTHER_FIELDS[kind].split(), "String")


# -- comparing --------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> str:
    """As the data base compares: without case, without blanks at the end."""
    return (str(value).lower() if isinstance(value, bool) else str(value)).lower().rstrip(" ")


def _like(value: Any, pattern: str) -> bool:
    text = "".join({"%": ".*", "_": "."}.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(text, str(value), re.IGNORECASE | re.DOTALL) is not None


def _order(value: Any, other: str) -> int:
    try:
        left, right = float(value), float(other)
        return (left > right) - (left < right)
    except ValueError:
        return (_plain(value) > _plain(other)) - (_plain(value) < _plain(other))


def _equal(value: Any, other: str) -> bool:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _order(value, other) == 0
    return _plain(value) == _plain(other)


def matches(value: Any, operator: str, other: str) -> bool:
    """One comparison. A null is equal to nothing and different from nothing."""
    if operator in ("is null", "not null"):
        return (value is None) == (operator == "is null")
    if value is None:
        return False
    tests: dict[str, Callable[[], bool]] = {
        "=": lambda: _equal(value, other),
        "!=": lambda: not _equal(value, other),
        ">": lambda: _order(value, other) > 0,
        "<": lambda: _order(value, other) < 0,
        ">=": lambda: _order(value, other) >= 0,
        "<=": lambda: _order(value, other) <= 0,
        "~=": lambda: _like(value, other),
        "!~=": lambda: not _like(value, other),
        "?=": lambda: any(_equal(value, item) for item in other.split(",")),
        "!?=": lambda: not any(_equal(value, item) for item in other.split(",")),
    }
    return tests[operator]()


def split_condition(text: str) -> tuple[str, str, str]:
    """Field, operator and value, which cannot be empty; a value with an operator in it is split there."""
    operator = next((operator for operator in OPERATORS if operator in text), None)
    if operator is None:
        raise TextError(400, f"Invalid query parameter. The '{text}' in the parameter[q] doesn't contain any operator")
    field, _operator, value = text.partition(operator)
    if operator in ("is null", "not null"):
        return field.strip(), operator, ""
    while value.startswith(operator):  # separators side by side count as one
        value = value.removeprefix(operator)
    if not field or not value:
        raise TextError(400, f"Invalid query parameter. The '{text}' in parameter[q] is not a key-value pair")
    return field.strip(), operator, value


def values(cloud: Cloud, kind: str, row: Row, field: str) -> list[Any]:
    """What a field, also one of another table, is for a row."""
    if field in ("__systemTag__", "__userTag__"):
        tags = cloud.rows("SystemTag" if field == "__systemTag__" else "UserTag", resourceUuid=row["uuid"])
        return [tag["tag"] for tag in tags]
    name, dot, rest = field.partition(".")
    if not dot:
        return [row.get(name)]
    found: list[Any] = []
    for part in parts(cloud, kind, row, name) or []:
        inner = part_kind(kind, name)
        found += values(cloud, inner, part, rest) if inner else [part.get(rest)]
    return found


def check_field(kind: str, field: str) -> None:
    """Refuse a field that the kind does not have."""
    name, dot, rest = field.partition(".")
    known = fields_of(kind)
    if not dot:
        good = name in ("__systemTag__", "__userTag__") or (name in known and not known[name].startswith("List"))
    elif (name in REFERENCES and REFERENCES[name][1] in known) or name in [part[0] for part in PARTS.get(kind, ())]:
        return check_field(part_kind(kind, name), rest)
    else:
        good = known.get(name, "").startswith("List")
    if not good:
        raise bad_argument(f"field[{field}] is not a queryable field of the inventory[{kind}Inventory]")
    return None


# -- a query ----------------------------------------------------------------------------------------------------------


def select(cloud: Cloud, kind: str, conditions: list[tuple[str, str, str]]) -> list[Row]:
    """The rows that fulfil all conditions (field, operator, value)."""
    for field, _operator, _value in conditions:
        check_field(kind, field)
    found = list(cloud.table(kind).values())
    for field, operator, value in conditions:
        found = [
            row for row in found if any(matches(item, operator, value) for item in values(cloud, kind, row, field))
        ]
    return found


def sort(kind: str, rows: list[Row], order: str) -> list[Row]:
    field = order[1:] if order[0] in "+-" else order
    check_field(kind, field)
    there = sorted((row for row in rows if row.get(field) is not None), key=lambda row: row[field])
    absent = [row for row in rows if row.get(field) is None]
    return there[::-1] + absent if order[0] == "-" else absent + there


def choose(kind: str, rows: list[dict[str, Any]], fields: str) -> list[dict[str, Any]]:
    """Only some fields, and only plain ones."""
    names = [name.strip() for name in fields.split(",")]
    for name in names:
        if "." in name or fields_of(kind).get(name, "List").startswith("List"):
            raise bad_argument(f"field[{name}] is not a primitive field on the inventory {kind}Inventory")
    return [{name: row[name] for name in names if name in row} for row in rows]


def query(call: Call) -> dict[str, Any]:
    kind, params = call.api.name.removeprefix("Query"), call.params
    if "uuid" in params:  # nothing else counts then
        rows = select(call.cloud, kind, [("uuid", "=", params["uuid"])])
        return {"inventories": views(call.cloud, kind, rows)}
    found = select(call.cloud, kind, [split_condition(text) for text in params.get("q", [])])
    if params.get("count"):
        return {"total": len(found)}
    total = len(found)
    if params.get("sort"):
        found = sort(kind, found, params["sort"].strip())
    start, limit = params.get("start", 0), params.get("limit", LIMIT)
    if start < 0 or limit < 0:
        raise TextError(400, f"Invalid query parameter, start[{start}] and limit[{limit}] must not be negative")
    rows = views(call.cloud, kind, found[start : start + limit])
    if params.get("fields"):
        rows = choose(kind, rows, params["fields"][0])
    return {"inventories": rows, **({"total": total} if params.get("replyWithCount") else {})}


for _api in contract().apis.values():
    if _api.query:
        ROUTES[_api.name] = query
