# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of Proxmox VE's words the collection has words for. All the rest is ``native``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..._errors import BackendError, InvalidRequest
from . import properties

DRIVE = re.compile(r"(virtio|scsi|sata|ide)\d+")

PLAIN = {"name": "name", "description": "description", "cores": "cores", "sockets": "sockets"}
SUB_OPTION = {
    "memory": ("memory", "current"),
    "cpu_type": ("cpu", "cputype"),
    "guest_agent": ("agent", "enabled"),
    "boot_order": ("boot", "order"),
}
NIC = {"network": "bridge", "model": "model", "mac": "macaddr", "vlan": "tag", "connected": "link_down"}
CLOUD_INIT = {
    "user": "ciuser",
    "password": "cipassword",
    "nameservers": "nameserver",
    "search_domains": "searchdomain",
}
IP = {"ip": "ip", "gateway": "gw", "ip6": "ip6", "gateway6": "gw6"}

IDENTITY = frozenset(
    {
        *("digest", "meta", "vmgenid", "lock", "parent", "snaptime", "snapstate", "vmstate"),
        *("runningmachine", "runningcpu", "running-nets-host-mtu"),
    }
)
"""Keys that the server gives by itself."""

KEYS: Mapping[str, str] = {
    **{key: name for name, key in PLAIN.items()},
    **{key: f"cloud_init.{name}" for name, key in CLOUD_INIT.items()},
    **{"sshkeys": "cloud_init.ssh_keys", "ipconfig": "cloud_init.ip_config", "bios": "firmware"},
    **{"tags": "tags", "template": "template", "memory": "memory", "boot": "boot_order"},
}
"""Keys for which the collection has a word."""

PARTS: Mapping[str, Mapping[str, str]] = {
    "cpu": {"cputype": "cpu_type"},
    "agent": {"enabled": "guest_agent"},
    "net": {part: f"nics.{name}" for name, part in NIC.items()},
    **{
        drive: {"file": "disks", "size": "disks.size", "format": "disks.format", "media": "cdrom"}
        for drive in ("virtio", "scsi", "sata", "ide")
    },
}
"""The same for sub-options, by the name of the key without its number."""

_LIVE = frozenset(
    {
        *("onboot", "protection", "startup", "hookscript", "hotplug"),
        *("cpuunits", "cpulimit", "balloon", "shares"),
    }
)
"""Native settings of no device, which take effect while the VM runs."""


def stem_of(key: str) -> str:
    """``net`` for ``net0``."""
    return key.rstrip("0123456789")


def native_settings(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Native settings in the form in which they are compared.

    :raises InvalidRequest: one of them has a setting of its own, or belongs to the server.
    """
    found = {key: native_value(key, value) for key, value in wanted.items()}
    for key, value in found.items():
        stem = stem_of(key)
        words = {key: KEYS[stem]} if stem in KEYS else {}
        if isinstance(value, Mapping):
            words.update((f"{key}.{part}", word) for part, word in PARTS.get(stem, {}).items() if part in value)
        if words:
            name, word = next(iter(words.items()))
            raise InvalidRequest(f"native: {name} has a setting of its own.", advice=f"Use {word}.")
        if key in IDENTITY or stem == "unused" or (key == "smbios1" and "uuid" in value):
            raise InvalidRequest(f"native: {key} is given by the server alone.")
    return found


def is_live(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether native settings that differ take effect while the VM runs: those of no device, and those of NICs."""
    differing = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    return all(key in _LIVE or stem_of(key) == "net" for key in differing)


def without_words(key: str, value: Any) -> Any:
    """Of a property string what has no setting; a VM's UUID belongs to itself."""
    if not isinstance(value, Mapping):
        return value
    words = {"uuid"} if key == "smbios1" else PARTS.get(key, {})
    return {part: one for part, one in value.items() if part not in words}


def native_value(key: str, value: Any) -> Any:
    """A value as it is compared: a property string as a dict, everything else as text."""
    if isinstance(value, Mapping):
        return {name: text_of(one) for name, one in value.items()}
    if properties.format_of(key) is None:
        return text_of(value)
    try:
        return properties.parse(key, text_of(value))
    except BackendError:
        # a form that is newer than this
        return text_of(value)


def text_of(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
