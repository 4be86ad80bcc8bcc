# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parameters of a call: out of path, query and body, as the API's own types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .contract import Api
from .errors import TextError

if TYPE_CHECKING:
    from .app import Asked

_TAGS = ("systemTags", "userTags")


class Arguments:
    """What was given for one API; what the real server ignores silently is noted in complaints."""

    def __init__(self, api: Api, product: str) -> None:
        self.api = api
        # What the contract marks with "since" belongs to the ZSphere line.
        self.specs = {name: spec for name, spec in api.params.items() if product == "zsphere" or "since" not in spec}
        self.complaints: list[str] = []

    def show(self, asked: Asked) -> tuple[dict[str, Any], list[str]]:
        """Parameters and system tags as they came, for the log."""
        wrapped = self._wrapped(asked)
        shown: dict[str, Any] = {**asked.values, **{k: v for k, v in wrapped.items() if k not in _TAGS}}
        for key, value in asked.pairs:
            shown[key] = [*shown[key], value] if isinstance(shown.get(key), list) else value
            if self.specs.get(key, {}).get("repeatable") and not isinstance(shown[key], list):
                shown[key] = [value]
        return shown, self.tags(asked, "systemTags")

    def convert(self, asked: Asked) -> dict[str, Any]:
        """Typed parameters; TextError 400 for a number or boolean that is none."""
        given = self._from_query(asked) if self.api.method in ("GET", "DELETE") else self._from_body(asked)
        given.update({name: value for name, value in asked.values.items() if name in self.specs or self.api.query})
        result = {}
        for name, value in given.items():
            spec = self.specs.get(name)
            if spec is None and not (self.api.query and name == "uuid"):
                self._complain(f"unknown parameter '{name}'")
            elif value is not None:
                result[name] = self._typed(name, spec or {"type": "string"}, value)
        return result

    def tags(self, asked: Asked, name: str) -> list[str]:
        """Top level wins over those inside the wrapper."""
        top = asked.body.get(name) if isinstance(asked.body, dict) else None
        found = top if top is not None else self._wrapped(asked).get(name)
        if found is not None and not isinstance(found, list):
            raise TextError(500, f"{name} must be a list")
        return [str(tag) for tag in found or []]

    def _complain(self, text: str) -> None:
        self.complaints.append(f"{self.api.name}: {text}")

    # -- the body -----------------------------------------------------------------------------------------------------

    def _wrapped(self, asked: Asked) -> dict[str, Any]:
        body = asked.body if isinstance(asked.body, dict) else {}
        wrapped = body.get(self.api.key) if self.api.key else {}
        return wrapped if isinstance(wrapped, dict) else {}

    def _from_body(self, asked: Asked) -> dict[str, Any]:
        if asked.body is not None and not isinstance(asked.body, dict):
            raise TextError(500, "the body must be a JSON object")
        for key, _value in asked.pairs:
            self._complain(f"query parameter '{key}' beside a body")
        for key in asked.body or {}:
            if key not in (self.api.key, *_TAGS):
                self._complain(f"unknown key '{key}' in the body")
        return {key: value for key, value in self._wrapped(asked).items() if key not in _TAGS}

    # -- the query string ---------------------------------------------------------------------------------------------

    def _from_query(self, asked: Asked) -> dict[str, Any]:
        """Lists repeat the name or count it (name.0); maps are name.key."""
        if asked.body:
            self._complain("a body, where only the query string counts")
        result: dict[str, Any] = {}
        if self.api.query and "uuid" in asked.values and asked.pairs:
            self._complain("a query string, where only the uuid counts")
        for key, value in asked.pairs:
            name, dot, rest = key.partition(".")
            spec = self.specs.get(name, {})
            if spec.get("type") == "map" and dot:
                result.setdefault(name, {})[rest] = value
            elif spec.get("type") in ("list", "set") or spec.get("repeatable"):
                result.setdefault(name, []).append(value)
            elif key in result and self.api.query:
                self._complain(f"'{key}' is given twice, the first counts")
            elif key in result and key in self.specs:
                raise TextError(400, f"Invalid query parameter[{key}], only single value is allowed for it")
            else:
                result[key] = value
        return result

    # -- types --------------------------------------------------------------------------------------------------------

    def _typed(self, name: str, spec: dict[str, Any], value: Any) -> Any:
        kind = spec["type"]
        if kind in ("int", "long"):
            return self._integer(name, kind, value)
        if kind == "boolean":
            return self._boolean(name, value)
        if spec.get("repeatable"):
            return value
        if name == "vmNicParams" and self.api.name == "CloneVmInstance" and "description" in self.specs:
            kind = "string"  # the ZSphere line takes JSON text here
        shapes: dict[str, type] = {"list": list, "set": list, "map": dict, "object": dict}
        if kind in shapes:
            if not isinstance(value, shapes[kind]):
                raise TextError(500, f"Expected a {kind} for {name} but was {type(value).__name__}")
            return value
        if isinstance(value, (dict, list)):
            raise TextError(500, f"Expected a string for {name} but was {type(value).__name__}")
        if not isinstance(value, str):
            self._complain(f"'{name}' should be text")
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _integer(self, name: str, kind: str, value: Any) -> int:
        if isinstance(value, str) and self.api.method in ("POST", "PUT"):
            self._complain(f"'{name}' should be a number")
        try:
            if isinstance(value, (bool, list, dict)) or float(value) != int(float(value)):
                raise ValueError
            return int(value)
        except ValueError:
            raise TextError(400, f"Invalid value[{value}] of {name}, it must be of type {kind}") from None

    def _boolean(self, name: str, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        if self.api.method in ("POST", "PUT"):
            self._complain(f"'{name}' should be a boolean")
        if str(value).lower() not in ("true", "false") and not self.api.query:
            raise TextError(400, f"Invalid value[{value}] of {name}, it must be of type boolean")
        return str(value).lower() == "true"
