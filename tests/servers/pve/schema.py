# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The contract of one version: which methods there are, and what is wrong with the parameters of a call."""

from __future__ import annotations

import functools
import json
import pathlib
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from .errors import ApiError
from .formats import PROPERTY_STRINGS, SIMPLE, Schema

CONTRACTS = pathlib.Path(__file__).resolve().parents[2] / "contracts"
# How many of each numbered option there are; "numa" also has an option without a number.
COUNTS = {
    "net": 32, "scsi": 31, "virtio": 16, "sata": 6, "ide": 4, "unused": 256, "ipconfig": 32, "serial": 4,
    "parallel": 3, "usb": 14, "hostpci": 16, "numa": 8, "virtiofs": 10,
}  # fmt: skip
_TRUE = re.compile(r"1|on|yes|true", re.IGNORECASE)
_FALSE = re.compile(r"0|off|no|false", re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TYPES = {
    "integer": _INTEGER,
    "number": _NUMBER,
    "boolean": re.compile(r"[01]"),
}


@functools.cache
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\(\?\^([a-z]*):", r"(?\1:", pattern))


def _expand(parameters: dict[str, Schema]) -> dict[str, Schema]:
    """net[n] becomes net0, net1, ..."""
    result: dict[str, Schema] = {}
    for key, schema in parameters.items():
        if key.endswith("[n]"):
            stem = key[:-3]
            result.update({f"{stem}{i}": schema for i in range(COUNTS[stem])})
        else:
            result[key] = schema
    return result


@dataclass(slots=True)
class Method:
    """One method of the API and its parameters."""

    verb: str
    path: str
    parameters: dict[str, Schema]
    required: list[str]
    permissions: dict[str, Any]
    token: bool
    proxied: bool


class Contract:
    """The methods of one version, found by verb and path."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.new = version.startswith("9")
        self._tree: dict[str, Any] = {}
        self.methods: list[Method] = []
        self._parsed: dict[tuple[str, str], dict[str, str]] = {}
        for row in json.loads((CONTRACTS / f"proxmox-{version}.json").read_text()):
            self._add(row)

    def _add(self, row: dict[str, Any]) -> None:
        parameters = _expand(row["parameters"])
        required = [key for key, schema in parameters.items() if not schema.get("optional") and "alias" not in schema]
        method = Method(
            row["method"],
            row["path"],
            parameters,
            required,
            row.get("permissions") or {},
            bool(row.get("allowtoken", 1)),
            row.get("proxyto") == "node",
        )
        self.methods.append(method)
        node = self._tree
        for part in row["path"].strip("/").split("/"):
            node = node.setdefault(part if not part.startswith("{") else "{}", {})
            if part.startswith("{"):
                node.setdefault("", part[1:-1])
        node.setdefault("#", {})[row["method"]] = method

    def find(self, verb: str, path: str) -> tuple[Method, dict[str, str]]:
        """The method and the parameters in the path; 501 when there is none."""
        found: dict[str, str] = {}
        node: dict[str, Any] | None = self._tree
        parts = [part for part in path.split("/") if part]
        for i, part in enumerate(parts):
            if node is not None and part not in node and "{}" in node:
                node = node["{}"]
                if node[""] == "volume":  # the rest of the path, slashes and all
                    found["volume"] = unquote("/".join(parts[i:]))
                    break
                found[node[""]] = unquote(part)
            else:
                node = node.get(part) if node is not None else None
        method = node and node.get("#", {}).get(verb)
        if not method:
            raise ApiError(f"Method '{verb} /{'/'.join(parts)}' not implemented", 501)
        return method, found

    # -- parameters ---------------------------------------------------------------------------------------------------

    def check(self, method: Method, given: dict[str, Any]) -> dict[str, Any]:
        """The parameters as the API's own types; every bad one is told at once."""
        errors: dict[str, str] = {}
        self._object(method.parameters, method.required, given, "", errors)
        if errors:
            raise ApiError("Parameter verification failed.\n", 400, errors)
        return {key: self._typed(method.parameters[key], value) for key, value in given.items()}

    @staticmethod
    def _typed(schema: Schema, value: Any) -> Any:
        return int(value) if schema.get("type") in ("integer", "boolean") else value

    def _object(
        self, schemas: dict[str, Schema], required: list[str], given: dict[str, Any], path: str, errors: dict[str, str]
    ) -> None:
        prefix = f"{path}." if path else ""
        for key in required:
            if key not in given:
                errors[prefix + key] = "property is missing and it is not optional"
        for key, value in given.items():
            schema = schemas.get(key)
            if schema is None:
                errors[prefix + key] = (
                    "property is not defined in schema and the schema does not allow additional properties"
                )
                continue
            text = self._problem(schema, value, prefix + key)
            if text:
                errors.setdefault(prefix + key, text)
            wanted = schema.get("requires")
            if wanted and wanted not in given:
                errors[prefix + wanted] = self._requires(prefix + key)

    def _requires(self, key: str) -> str:
        if self.new:
            return f"missing property required by '{key}'"
        return f"missing property - '{key}' requires this property"

    def _problem(self, schema: Schema, value: Any, path: str) -> str:
        """What is wrong with one value, or an empty string. The order of the checks is the server's."""
        if isinstance(value, list):
            return "" if schema.get("type") == "array" else f"type check ('{schema.get('type')}') failed - got ARRAY"
        kind = _TYPES.get(schema.get("type", "string"))
        if kind and not kind.fullmatch(value):
            return f"type check ('{schema['type']}') failed - got '{value}'"
        form = schema.get("format")
        if form is not None:
            try:
                self._format(form, value, path)
            except ValueError as exc:
                return f"invalid format - {exc}"
        if "pattern" in schema and not _regex(schema["pattern"]).fullmatch(value):
            return "value does not match the regex pattern"
        if len(value) > schema.get("maxLength", len(value)):
            return f"value may only be {schema['maxLength']} characters long"
        if len(value) < schema.get("minLength", 0):
            return f"value must be at least {schema['minLength']} characters long"
        return self._range(schema, value)

    @staticmethod
    def _range(schema: Schema, value: str) -> str:
        if _NUMBER.fullmatch(value):
            for limit, word, sign in (("maximum", "maximum", 1), ("minimum", "minimum", -1)):
                bound = schema.get(limit)
                if bound is not None and (float(value) - float(bound)) * sign > 0:
                    return f"value must have a {word} value of {bound}"
        if "enum" in schema and value not in schema["enum"]:
            return f"value '{value}' does not have a value in the enumeration '{', '.join(schema['enum'])}'"
        return ""

    def _format(self, form: str | dict[str, Schema], value: str, path: str) -> None:
        if isinstance(form, dict):
            self.parse(form, value, path)
        elif form in PROPERTY_STRINGS:
            parsed = self.parse(PROPERTY_STRINGS[form], value, path)
            if form == "pve-vm-cpu-conf" and "cputype" in parsed:
                SIMPLE["pve-cpu-type"](parsed["cputype"])
        elif form in SIMPLE:
            SIMPLE[form](value)
        elif form.endswith("-list") and form[:-5] in SIMPLE:
            for item in split_list(value):
                SIMPLE[form[:-5]](item)

    # -- property strings ---------------------------------------------------------------------------------------------

    def parse(self, form: dict[str, Schema], text: str, path: str = "") -> dict[str, str]:
        """A property string as a dict; raises ValueError with the server's text."""
        result: dict[str, str] = {}
        for part in text.split(","):
            if not part.strip():
                continue
            key, equals, value = part.partition("=")
            if equals and key and value:
                self._keyed(form, result, key, value)
            elif not equals:
                self._bare(form, result, part)
            else:
                raise ValueError("missing key in comma-separated list property\n")
        errors: dict[str, str] = {}
        required = [
            key
            for key, schema in form.items()
            if not schema.get("optional") and "alias" not in schema and "type" in schema
        ]
        schemas = {key: schema for key, schema in form.items() if "alias" not in schema and key in result}
        for key in schemas:
            if schemas[key].get("format") == "pve-cpu-type":  # its text stands alone, without "format error"
                schemas[key] = {"type": "string"}
        self._object(schemas, required, result, path, errors)
        if errors:
            raise ValueError("format error\n" + "".join(f"{key}: {text}\n" for key, text in sorted(errors.items())))
        return result

    @staticmethod
    def _keyed(form: dict[str, Schema], result: dict[str, str], key: str, value: str) -> None:
        schema = form.get(key, {})
        if "alias" in schema:
            if "keyAlias" in schema:
                if schema["keyAlias"] in result:
                    raise ValueError(f"key alias '{schema['keyAlias']}' is already defined\n")
                result[schema["keyAlias"]] = key
            key = schema["alias"]
            schema = form.get(key, {})
        if key in result:
            raise ValueError(f"duplicate key in comma-separated list property: {key}\n")
        result[key] = boolean(value) if schema.get("type") == "boolean" else value

    def _bare(self, form: dict[str, Schema], result: dict[str, str], value: str) -> None:
        key = next((key for key, schema in form.items() if schema.get("default_key")), None)
        if key is None:
            raise ValueError("value without key, but schema does not define a default key\n")
        if key in result:
            raise ValueError(f"duplicate key in comma-separated list property: {key}\n")
        if self.new and form[key].get("type") == "boolean":
            value = boolean(value)
        result[key] = value

    @functools.cached_property
    def config(self) -> dict[str, Schema]:
        """The options of a guest's configuration."""
        return self.find("PUT", "/nodes/n/qemu/100/config")[0].parameters

    def options(self, key: str, text: str) -> dict[str, str]:
        """A property string of a guest's configuration as a dict."""
        if (key, text) not in self._parsed:
            form = self.config[key]["format"]
            self._parsed[key, text] = self.parse(PROPERTY_STRINGS[form] if isinstance(form, str) else form, text)
        return dict(self._parsed[key, text])

    def text(self, key: str, options: dict[str, str]) -> str:
        """The other way round: the default key first, the rest by name; a NIC as model=MAC."""
        form = self.config[key]["format"]
        rest = dict(options)
        default = next((name for name, schema in form.items() if schema.get("default_key")), "")
        parts = []
        if default in rest:
            first = rest.pop(default)
            alias = form.get(first, {}).get("alias") if form.get(first, {}).get("keyAlias") == default else None
            parts.append(f"{first}={rest.pop(alias)}" if alias in rest else first)
        return ",".join([*parts, *(f"{name}={rest[name]}" for name in sorted(rest))])


def boolean(value: str) -> str:
    """The wider booleans of property strings as 1 or 0; anything else as it is."""
    if _TRUE.fullmatch(value):
        return "1"
    return "0" if _FALSE.fullmatch(value) else value


def split_list(value: str) -> list[str]:
    """A list parameter: commas, semicolons, blanks and NULs part its items."""
    return [item for item in re.split(r"[,;\s\0]+", value) if item]


@functools.cache
def contract(version: str) -> Contract:
    return Contract(version)
