# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet as data: its JSON Schema, which is made from the options of the modules, and all that is wrong with a list.

Free of effects. Values of secret settings are in no message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.validation import check_type_bool, check_type_int

from ..module_utils._errors import InvalidRequest
from ..module_utils._fields import VM_FIELDS, Field, normalised, plain_line, tag_set
from ..module_utils._library import require
from ..module_utils._spec import CLONE_FROM, IDENTITY, SETTINGS

Options = Mapping[str, Mapping[str, Any]]
Checks = dict[str, Callable[[Any], bool]]
"""The formats of a schema: each tells whether a value has it, or raises InvalidRequest."""

COMMON: Options = {
    "state": {"type": "str", "choices": ["present", "started", "stopped", "absent"]},
    "clone_from": CLONE_FROM,
    **SETTINGS,
}
"""What all VMs of a fleet may have in common."""
VM: Options = {"name": {**IDENTITY["name"], "required": True}, "id": IDENTITY["id"], **COMMON}

_TYPES: Mapping[str, Any] = {
    "str": ["string", "number"],
    "int": ["integer", "string"],
    "bool": ["boolean", "integer", "string"],
    "list": "array",
    "dict": "object",
}
_WORDS = {"str": "a text", "int": "a whole number", "bool": "true or false", "list": "a list", "dict": "a dictionary"}
_CONVERT: Mapping[str, Callable[[Any], Any]] = {"str": str, "int": check_type_int, "bool": check_type_bool}
_PLAIN = {"str": (str, int, float), "int": (str, int), "bool": (str, int)}


def _fleet_name(value: str) -> str:
    if not plain_line(value).strip() or value.isdigit():
        raise InvalidRequest(f"{value!r} is not a name that tells a VM from an id.")
    return value


FIELDS: Mapping[str, Field] = {**VM_FIELDS, "name": Field(_fleet_name), "id": Field(plain_line)}


def schema_of(options: Options) -> tuple[dict[str, Any], Checks]:
    """The JSON Schema of a dictionary with these options, and the formats that it speaks of."""
    checks: Checks = {}
    return _object(options, FIELDS, checks, ()), checks


def _object(
    options: Options, fields: Mapping[str, Field], checks: Checks, path: tuple[str, ...], **rules: Any
) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: _value(spec, fields.get(name, Field()), checks, (*path, name)) for name, spec in options.items()
        },
        "required": [name for name, spec in options.items() if spec.get("required")],
    }
    if rules.get("required_one_of"):
        schema["oneOf"] = [{"required": [name]} for names in rules["required_one_of"] for name in names]
    return schema


def _value(spec: Mapping[str, Any], one: Field, checks: Checks, path: tuple[str, ...]) -> dict[str, Any]:
    kind = spec["type"]
    if kind == "dict" and "options" in spec:
        schema = _object(spec["options"], one.fields, checks, path, required_one_of=spec.get("required_one_of"))
        if not one.fields:
            schema["format"] = ".".join(path)
            checks[schema["format"]] = _check_of_all(spec["options"], one)
        return schema
    if kind == "list":
        entry = {**spec, "type": spec["elements"]}
        # a rule for a list holds for each of its entries too
        alone = one if one.fields else Field(lambda value: one.normalise([value]))
        return {"type": "array", "items": _value(entry, alone, checks, path)}
    schema = {"type": _TYPES[kind]}
    if "choices" in spec:
        schema["enum"] = spec["choices"]
    elif kind in _CONVERT:
        schema["format"] = ".".join(path)
        checks[schema["format"]] = _check_of(kind, one)
    if spec.get("no_log"):
        schema["writeOnly"] = True
    return schema


def _check_of(kind: str, one: Field) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, _PLAIN[kind]) or (kind != "bool" and isinstance(value, bool)):
            return True  # its type is told already
        try:
            converted = _CONVERT[kind](value)
        except TypeError as error:
            raise InvalidRequest(f"{value!r} is not {_WORDS[kind]}.") from error
        one.normalise(converted)
        return True

    return check


def _check_of_all(options: Options, one: Field) -> Callable[[Any], bool]:
    form = ArgumentSpecValidator(dict(options))

    def check(value: Any) -> bool:
        result = form.validate(value) if isinstance(value, dict) else None
        if result is not None and not result.error_messages:
            one.normalise(result.validated_parameters)
        return True  # what is wrong with its parts is told already

    return check


def problems(vms: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any], tag: str, prune: bool) -> list[str]:
    """All that is wrong with a fleet, each with its path in the data, such as ``vm_fleet_vms[3].disks[0].size: ...``.

    :param vms: as the user wrote them; what is None is not named.
    :param defaults: what holds for each VM that does not say it itself.
    :param tag: by which the fleet knows what it made; empty for none.
    :param prune: whether VMs that are not in the list shall go.
    :raises MissingLibrary: jsonschema is not installed.
    """
    found = list(_Form(COMMON).faults(defaults, "vm_fleet_defaults"))
    form = _Form(VM)
    for position, vm in enumerate(vms):
        found += form.faults(vm, f"vm_fleet_vms[{position}]")
    found += _given_twice(vms)
    found += _of_tag(tag, prune)
    return list(dict.fromkeys(found)) or list(_circles(vms, defaults))


class _Form:
    """What a dictionary with some options has to look like."""

    def __init__(self, options: Options) -> None:
        jsonschema = require("jsonschema", "to check vm_fleet_vms")
        schema, checks = schema_of(options)
        formats = jsonschema.FormatChecker(formats=())
        for name, check in checks.items():
            formats.checks(name, raises=InvalidRequest)(check)
        self._validator = jsonschema.Draft202012Validator(schema, format_checker=formats)
        self._settings = {name: ArgumentSpecValidator({name: dict(options[name])}) for name in SETTINGS}

    def faults(self, given: Mapping[str, Any], where: str) -> Iterator[str]:
        named = without_none(given)
        at_fault = set()
        for fault in self._validator.iter_errors(named):
            at_fault.update(list(fault.absolute_path)[:1])
            yield from _told(fault, where)
        if not isinstance(named, dict):
            return
        for name, form in self._settings.items():
            if name in named and name not in at_fault:
                result = form.validate({name: named[name]})
                yield from (f"{where}.{name}: {message}" for message in result.error_messages)
                if not result.error_messages:
                    yield from _as_a_whole(result.validated_parameters, where)


def _as_a_whole(setting: Mapping[str, Any], where: str) -> Iterator[str]:
    """What only shows when the parts of a setting are seen together, such as a slot that is used twice."""
    try:
        normalised(setting)
    except InvalidRequest as error:
        yield f"{where}.{error}"


def _told(fault: Any, where: str) -> Iterator[str]:
    """The messages of one fault that jsonschema found."""
    place = where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault.absolute_path)
    value, rule = fault.instance, fault.validator_value
    if fault.validator == "additionalProperties":
        for name in value:
            if name not in fault.schema["properties"]:
                like = get_close_matches(str(name), fault.schema["properties"], 1)
                yield f"{place}.{name}: there is no such setting." + (f" Did you mean {like[0]}?" if like else "")
    elif fault.validator == "required":
        yield from (f"{place}: {name} is missing." for name in rule if name not in value)
    elif fault.validator == "oneOf":
        if isinstance(value, dict):
            yield f"{place}: give one of {', '.join(name for one in rule for name in one['required'])}."
    elif fault.validator == "type":
        (wanted,) = (_WORDS[kind] for kind, types in _TYPES.items() if types == rule)
        yield f"{place}: it is {_word_for(value)} and must be {wanted}."
    elif fault.schema.get("writeOnly"):
        yield f"{place}: its value, which is not shown here, has a line break or another control character."
    elif fault.validator == "enum":
        yield f"{place}: {value!r} is none of {', '.join(rule)}."
    else:
        yield f"{place}: {fault.cause}"


def _word_for(value: Any) -> str:
    kinds = ((bool, "true or false"), (str, "a text"), (list, "a list"), (dict, "a dictionary"))
    return next((word for kind, word in kinds if isinstance(value, kind)), "a number")


def _given_twice(vms: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for key in ("name", "id"):
        first: dict[str, int] = {}
        for position, vm in enumerate(vms):
            value = vm.get(key) if isinstance(vm, Mapping) else None
            if value is not None and first.setdefault(str(value), position) != position:
                yield f"vm_fleet_vms[{position}].{key}: {value} is that of vm_fleet_vms[{first[str(value)]}] already."


def _of_tag(tag: str, prune: bool) -> Iterator[str]:
    if not tag:
        if prune:
            yield "vm_fleet_prune: without a vm_fleet_tag nobody knows which VMs this fleet has made."
        return
    try:
        tag_set([tag])
    except InvalidRequest as error:
        yield f"vm_fleet_tag: {error}"
        return
    if tag != tag.lower() or len(tag) > 100:
        yield f"vm_fleet_tag: '{tag}' must be of small letters, and at most 100 characters long."


def _circles(vms: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any]) -> Iterator[str]:
    """VMs that would be cloned from each other."""
    merged = [merge(defaults, vm) for vm in vms]
    known = by_word(merged)
    for position, vm in enumerate(merged):
        if vm["name"] in origins(known, vm):
            yield f"vm_fleet_vms[{position}].clone_from: in the end {vm['name']} would be cloned from itself."


def by_word(merged: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The VMs of a fleet by their names and ids."""
    return {str(one[key]): one for key in ("name", "id") for one in merged if key in one}


def origins(known: Mapping[str, Mapping[str, Any]], vm: Mapping[str, Any]) -> list[str]:
    """The names of the VMs of the fleet that a VM comes from, its source first; in a circle each once.

    :param known: as ``by_word`` tells them.
    """
    found: list[str] = []
    one = known.get(source_of(vm))
    while one and one["name"] not in found:
        found.append(one["name"])
        one = known.get(source_of(one))
    return found


def source_of(vm: Mapping[str, Any]) -> str:
    """The name or id of the VM that it is cloned from, empty for none."""
    source = vm.get("clone_from") or {}
    return str(source.get("id") or source.get("name") or "")


def merge(defaults: Mapping[str, Any], vm: Mapping[str, Any]) -> dict[str, Any]:
    """A VM with what the defaults add to it.

    Dictionaries are merged key by key, except for ``clone_from``; lists are taken whole; None takes a default away.
    """
    result = _merged(defaults, vm)
    if vm.get("clone_from") is not None:
        result["clone_from"] = vm["clone_from"]
    return without_none(result)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for name, value in above.items():
        if isinstance(value, Mapping) and isinstance(result.get(name), Mapping):
            value = _merged(result[name], value)
        result[name] = value
    return result


def without_none(value: Any) -> Any:
    """Plain data without keys that are None. What is no plain data, such as a text from a vault, becomes a text."""
    if isinstance(value, Mapping):
        return {str(key): without_none(one) for key, one in value.items() if one is not None}
    if isinstance(value, (list, tuple)):
        return [without_none(one) for one in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
