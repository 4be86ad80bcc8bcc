# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a VM setting is: its unit, its normal form, and whether it is secret."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._errors import InvalidRequest

KIB, MIB, GIB, TIB = (1024**power for power in (1, 2, 3, 4))
_UNITS = {"K": KIB, "M": MIB, "G": GIB, "T": TIB}
# a small number is told with an exponent, 6.1e-05, and may come back so
_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?(?:e-[0-9]{1,2})?)\s*(?P<unit>[KMGT](?:iB)?)?")
_MAC = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
_SLOT = re.compile(r"(virtio|scsi|sata|ide|net)(0|[1-9][0-9]?)")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def size_in_bytes(value: str | int | float, bare_unit: int) -> int:
    """``4GiB``, ``512M`` or a bare number, in bytes.

    Letters are powers of 1024, as QEMU and Proxmox read them. GB and MB are refused: they mean two things.

    :param bare_unit: the bytes that a number without a unit counts.
    :raises InvalidRequest: no such unit, not a number, zero or negative, or not a whole number of bytes.
    """
    match = _SIZE.fullmatch(str(value).strip())
    if not match:
        raise InvalidRequest(
            f"'{value}' is not a size.", advice="Write a positive number with KiB, MiB, GiB or TiB, such as 4GiB."
        )
    unit = match["unit"]
    size = float(match["number"]) * (_UNITS[unit[0]] if unit else bare_unit)
    if not 1 <= size < 2**63 or size != int(size):
        raise InvalidRequest(f"'{value}' is not a size: it must be a positive whole number of bytes.")
    return int(size)


def memory_in_mib(value: str | int) -> int:
    size = size_in_bytes(value, MIB)
    if size % MIB:
        raise InvalidRequest(f"memory '{value}' is not a whole number of MiB.")
    return size // MIB


def disk_in_gib(value: str | float) -> int | float:
    """A disk's size in GiB: an integer where it is one, else the exact fraction."""
    size = size_in_bytes(value, GIB)
    if size % 512:
        raise InvalidRequest(f"disk size '{value}' is not a whole number of 512-byte sectors.")
    return size // GIB if size % GIB == 0 else size / GIB


def mac_address(value: str) -> str:
    mac = value.upper().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise InvalidRequest(f"'{value}' is not a MAC address such as 52:54:00:12:34:56.")
    if int(mac[:2], 16) & 1:
        raise InvalidRequest(f"'{value}' is a multicast address, which no network card can have.")
    return mac


def slot_name(value: str) -> str:
    if not _SLOT.fullmatch(value):
        raise InvalidRequest(
            f"'{value}' is not a slot.", advice="Slots are virtio0, scsi0, sata0, ide0, net0 and so on."
        )
    return value


def tag_set(value: list[str]) -> list[str]:
    """Tags have no order: sorted, each once."""
    for tag in value:
        if not _TAG.fullmatch(tag):
            raise InvalidRequest(
                f"'{tag}' is not a tag.",
                advice="A tag has letters, digits and _ . + - and begins with a letter, digit or _.",
            )
    return sorted(set(value))


def plain_line(value: str) -> str:
    if _CONTROL.search(value):
        raise InvalidRequest(f"{value!r} has a line break or another control character.")
    return value


def at_least_one(value: int) -> int:
    if value < 1:
        raise InvalidRequest(f"{value} is too small: it must be at least 1.")
    return value


def vlan_tag(value: int) -> int:
    if not 1 <= value <= 4094:
        raise InvalidRequest(f"{value} is not a VLAN: it must be from 1 to 4094.")
    return value


def forward_list(value: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Port forwards have no order; a host port can be given away once per protocol."""
    taken = [(forward["protocol"], forward["host_port"]) for forward in value]
    for forward in value:
        for name in ("host_port", "guest_port"):
            if not 1 <= forward[name] <= 65535:
                raise InvalidRequest(f"forwards: {name} {forward[name]} is not a port: it must be from 1 to 65535.")
    if len(set(taken)) < len(taken):
        raise InvalidRequest("forwards: a host port is given twice for the same protocol.")
    return sorted(value, key=lambda forward: (forward["protocol"], forward["host_port"]))


def ssh_key_list(value: list[str]) -> list[str]:
    return [plain_line(key.strip()) for key in value if key.strip()]


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Field:
    """One setting.

    :param normalise: brings a value of the user to the form in which it is compared. Raises InvalidRequest.
    :param create_only: says how something is made; of a VM or device that exists it is neither known nor compared.
    :param secret: shown as a digest only, in results and diffs.
    :param write_only: a secret that no backend tells: sent when its surroundings are made or change.
    :param fields: the sub-options of a dict.
    :param keyed_by: for a list of dicts: the sub-option that tells them apart.
    :param slots: for such a list: the prefix of the slot that an entry without one gets.
    """

    normalise: Callable[[Any], Any] = _unchanged
    create_only: bool = False
    secret: bool = False
    write_only: bool = False
    fields: Mapping[str, Field] = field(default_factory=dict)
    keyed_by: str = ""
    slots: str = ""

    def __post_init__(self) -> None:
        if self.keyed_by and not self.fields:
            raise ValueError("a keyed list needs fields")
        if self.write_only and not self.secret:
            raise ValueError("what is write-only is secret")
        if self.create_only and self.write_only:
            raise ValueError("create-only and write-only contradict each other")


PLAIN = Field()
"""A setting of which there is nothing special to know."""

DISK_FIELDS = {
    "slot": Field(slot_name),
    "size": Field(disk_in_gib),
    "storage": Field(plain_line),
    "format": PLAIN,
    "source": Field(plain_line, create_only=True),
    "checksum": Field(str.lower, create_only=True),
}
NIC_FIELDS = {
    "slot": Field(slot_name),
    "network": Field(plain_line),
    "model": PLAIN,
    "mac": Field(mac_address),
    "vlan": Field(vlan_tag),
    "connected": PLAIN,
    "forwards": Field(forward_list),
}
CLOUD_INIT_FIELDS = {
    "user": Field(plain_line),
    "password": Field(plain_line, secret=True, write_only=True),
    "ssh_keys": Field(ssh_key_list),
    "hostname": Field(plain_line),
    "nameservers": PLAIN,
    "search_domains": PLAIN,
    "ip_config": Field(
        keyed_by="nic",
        fields={
            "nic": Field(slot_name),
            "ip": Field(plain_line),
            "gateway": Field(plain_line),
            "ip6": Field(plain_line),
            "gateway6": Field(plain_line),
        },
    ),
    "user_data": Field(secret=True),
}
VM_FIELDS = {
    "name": PLAIN,
    "description": PLAIN,
    "memory": Field(memory_in_mib),
    "cores": Field(at_least_one),
    "sockets": Field(at_least_one),
    "cpu_type": Field(plain_line),
    "firmware": PLAIN,
    "boot_order": Field(lambda value: [slot_name(slot) for slot in value]),
    "tags": Field(tag_set),
    "guest_agent": PLAIN,
    "template": PLAIN,
    "node": Field(plain_line, create_only=True),
    "pool": Field(plain_line),
    "disks": Field(fields=DISK_FIELDS, keyed_by="slot", slots="virtio"),
    "nics": Field(fields=NIC_FIELDS, keyed_by="slot", slots="net"),
    "cdrom": Field(fields={"slot": Field(slot_name), "image": Field(plain_line)}),
    "cloud_init": Field(fields=CLOUD_INIT_FIELDS),
    "native": PLAIN,
}
"""Every setting of a VM, in the words of the options. ``memory`` is in MiB, a disk's ``size`` in GiB."""


def normalised(params: Mapping[str, Any], fields: Mapping[str, Field] | None = None) -> dict[str, Any]:
    """What the user named, in normal form: None means not named, lists of devices become dicts by slot.

    :raises InvalidRequest: a value is wrong; the message begins with the option's name.
    """
    settings: dict[str, Any] = {}
    for name, one in (VM_FIELDS if fields is None else fields).items():
        if params.get(name) is not None:
            try:
                settings[name] = _normal_value(params[name], one)
            except InvalidRequest as error:
                raise InvalidRequest(f"{name}: {error.message}", advice=error.advice) from error
    return settings


def named(params: Mapping[str, Any]) -> set[str]:
    """The settings that the user named, with parts of devices as ``nics.model``.

    Left out are what is empty, which takes nothing away where there is no such setting, and what matters only when
    something is made.
    """
    found: set[str] = set()
    for name in _given(params, VM_FIELDS):
        devices = params[name] if isinstance(params[name], list) else [params[name]]
        parts = [part for device in devices for part in _given(device, VM_FIELDS[name].fields)]
        found.update((name, *(f"{name}.{part}" for part in parts)))
    return found


def _given(params: Mapping[str, Any], fields: Mapping[str, Field]) -> list[str]:
    return [name for name, one in fields.items() if not one.create_only and params.get(name) not in (None, "", [], {})]


def _normal_value(value: Any, one: Field) -> Any:
    if one.keyed_by:
        return _by_key(value, one)
    if one.fields:
        return normalised(value, one.fields)
    return one.normalise(value)


def _by_key(entries: list[dict[str, Any]], one: Field) -> dict[str, Any]:
    keyed: dict[str, Any] = {}
    for position, entry in enumerate(entries):
        settings = normalised(entry, one.fields)
        key = settings.setdefault(one.keyed_by, f"{one.slots}{position}" if one.slots else None)
        if key is None:
            raise InvalidRequest(f"entry {position} has no {one.keyed_by}.")
        if key in keyed:
            raise InvalidRequest(f"{one.keyed_by} {key} is used twice.")
        keyed[key] = settings
    return keyed


def comparable(
    wanted: dict[str, Any], current: Mapping[str, Any], fields: Mapping[str, Field] | None = None
) -> dict[str, Any]:
    """``wanted`` without what cannot be compared with ``current``, which exists."""
    kept = {}
    for name, value in wanted.items():
        one = (VM_FIELDS if fields is None else fields)[name]
        if one.create_only or one.write_only:
            continue
        known = current.get(name)
        if one.keyed_by and known:
            value = {
                key: comparable(entry, known[key], one.fields) if key in known else entry
                for key, entry in value.items()
            }
        elif one.fields and known:
            value = comparable(value, known, one.fields)
        kept[name] = value
    return kept


def shown(settings: Mapping[str, Any], fields: Mapping[str, Field] | None = None) -> dict[str, Any]:
    """For the user's eyes: devices as lists in slot order, secrets as digests, how things were made left out."""
    result = {}
    for name, value in settings.items():
        one = (VM_FIELDS if fields is None else fields).get(name, PLAIN)
        if one.write_only or (one.create_only and name != "node"):
            continue
        if one.secret:
            value = "sha256:" + hashlib.sha256(str(value).encode()).hexdigest()[:12]
        elif one.keyed_by:
            value = [shown(value[key], one.fields) for key in sorted(value, key=natural)]
        elif one.fields:
            value = shown(value, one.fields) if value else value
        result[name] = value
    return result


def shown_at(path: Sequence[str], value: Any, fields: Mapping[str, Field] | None = None) -> Any:
    """One value as ``shown`` shows it among all; None where it does not.

    :param path: as in a Change.
    """
    name, *rest = path
    one = (VM_FIELDS if fields is None else fields).get(name, PLAIN)
    if value is None:
        return None
    if one.keyed_by and rest:
        return shown_at(rest[1:], value, one.fields) if rest[1:] else shown(value, one.fields)
    return shown_at(rest, value, one.fields) if rest else shown({name: value}, fields).get(name)


def natural(text: str) -> tuple[str, int]:
    """Sorts net2 before net10."""
    head = text.rstrip("0123456789")
    return head, int(text[len(head) :] or 0)
