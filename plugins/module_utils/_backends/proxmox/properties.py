# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Property strings: several values in one, as Proxmox writes network cards, disks and much else.

``virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=12`` is a dict of sub-options. A part without a name is the value of the
default key. The formats here hold what the API's schema says and a client needs: default keys, aliases, booleans.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..._errors import BackendError, InvalidRequest

NIC_MODELS = (
    "virtio",
    "e1000",
    "e1000e",
    "vmxnet3",
    "rtl8139",
    "i82551",
    "i82557b",
    "i82559er",
    "ne2k_isa",
    "ne2k_pci",
    "pcnet",
)
_TRUE, _FALSE = ("1", "on", "yes", "true"), ("0", "off", "no", "false")


@dataclass(frozen=True)
class Format:
    """
    :param default: the key of a part that has no name.
    :param booleans: sub-options that are stored as 1 or 0, and may be written as on, yes, true.
    :param models: names that, as a key, give both ``model`` and ``macaddr``.
    """

    default: str = ""
    booleans: frozenset[str] = field(default_factory=frozenset)
    models: tuple[str, ...] = ()


DISK = Format("file", frozenset({"backup", "iothread", "ro", "shared", "ssd", "snapshot", "replicate"}))
FORMATS: Mapping[str, Format] = {
    "net": Format("model", frozenset({"firewall", "link_down"}), NIC_MODELS),
    "virtio": DISK,
    "scsi": DISK,
    "sata": DISK,
    "ide": DISK,
    "efidisk": Format("file", frozenset({"pre-enrolled-keys"})),
    "tpmstate": Format("file"),
    "agent": Format("enabled", frozenset({"enabled", "fstrim_cloned_disks", "freeze-fs-on-backup"})),
    "boot": Format("legacy"),
    "cpu": Format("cputype", frozenset({"hidden"})),
    "ipconfig": Format(),
    "machine": Format("type"),
    "memory": Format("current"),
    "rng": Format("source"),
    "smbios": Format("", frozenset({"base64"})),
    "startup": Format("order"),
    "vga": Format("type"),
    "watchdog": Format("model"),
}


def format_of(key: str) -> Format | None:
    """The format of a configuration key such as ``net0`` or ``agent``; None where its value is a plain one."""
    match = re.fullmatch(r"([a-z]+)\d*", key)
    return FORMATS.get(match[1]) if match else None


def parse(key: str, text: str) -> dict[str, str]:
    """The sub-options of a property string, with the names and forms that the server uses.

    :raises BackendError: a sub-option occurs twice, or one without a name where there is no default.
    """
    form = format_of(key) or Format()
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in str(text).split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            name, value = form.default, part
        for one, content in _named(form, name, value):
            if not one or one in found:
                raise BackendError(f"{key}: '{text}' is no property string: {one or part} has no place in it.")
            found[one] = content
    return found


def _named(form: Format, name: str, value: str) -> list[tuple[str, str]]:
    if name in form.models:
        return [("model", name), ("macaddr", value.upper())]
    if name == "macaddr":
        return [(name, value.upper())]
    if name in form.booleans:
        return [(name, boolean(value))]
    return [(name, value)]


def boolean(value: str) -> str:
    """1 or 0, however it was written; anything else is left for the server to judge."""
    lowered = value.lower()
    return "1" if lowered in _TRUE else "0" if lowered in _FALSE else value


def build(key: str, options: Mapping[str, Any]) -> str:
    """A property string as the server writes it: the default key first, the rest in alphabetical order.

    :raises InvalidRequest: a value has a comma, or a line break, which would end it.
    """
    form = format_of(key) or Format()
    left = {name: str(value) for name, value in options.items() if value is not None}
    for name, value in left.items():
        if re.search(r"[,\x00-\x1f]", value):
            raise InvalidRequest(f"{key}: {name}: {value!r} has a character that cannot be in it.")
    parts = []
    if form.models and "model" in left:
        model, mac = left.pop("model"), left.pop("macaddr", "")
        parts.append(f"{model}={mac}" if mac else model)
    elif form.default in left:
        parts.append(left.pop(form.default))
    return ",".join([*parts, *(f"{name}={left[name]}" for name in sorted(left))])
