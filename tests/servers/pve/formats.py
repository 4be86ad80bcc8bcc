# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The named formats of the API: checks of single values, lists, and property strings the contract only names."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]


def _matcher(pattern: str, text: str, flags: int = 0) -> Callable[[str], None]:
    """A check that fails with the text, in which {value} stands for what was given."""
    compiled = re.compile(pattern, flags)

    def check(value: str) -> None:
        if not compiled.fullmatch(value):
            raise ValueError(text.format(value=value) + "\n")

    return check


def _address(parse: Callable[[str], Any], text: str, words: tuple[str, ...] = ()) -> Callable[[str], None]:
    def check(value: str) -> None:
        if value in words:
            return
        try:
            parse(value)
        except ValueError:
            raise ValueError(text + "\n") from None

    return check


def _network(kind: type, value: str) -> None:
    if "/" not in value:
        raise ValueError(value)
    kind(value)


_HOST = r"[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?"
_VOLUME = r"[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]:.+"
_BUILTIN_CPUS = re.compile(
    r"(custom-.+|host|max|base|kvm32|kvm64|qemu32|qemu64|486|athlon|phenom|pentium.*|core.*|Conroe|Penryn|Nehalem.*"
    r"|Westmere.*|SandyBridge.*|IvyBridge.*|Haswell.*|Broadwell.*|Skylake.*|Cascadelake.*|Cooperlake.*|Icelake.*"
    r"|SapphireRapids.*|GraniteRapids.*|SierraForest.*|ClearwaterForest.*|KnightsMill|Opteron_G[1-5]|EPYC.*|x86-64-v[234].*)"
)


def _cpu_type(value: str) -> None:
    if not _BUILTIN_CPUS.fullmatch(value):
        raise ValueError(f"Built-in cputype '{value}' is not defined (missing 'custom-' prefix?)\n")


def _task_status(value: str) -> None:
    if value not in ("ok", "error", "warning", "unknown"):
        raise ValueError(f"invalid status '{value}'\n")


SIMPLE: dict[str, Callable[[str], None]] = {
    "pve-vmid": _matcher(r"[1-9][0-9]{2,8}", "value does not look like a valid VM ID"),
    "pve-node": _matcher(_HOST, "value does not look like a valid node name"),
    "pve-storage-id": _matcher(
        r"[a-z][a-z0-9\-_.]*[a-z0-9]", "storage ID '{value}' contains illegal characters", re.IGNORECASE
    ),
    "dns-name": _matcher(rf"({_HOST}\.)*{_HOST}", "value does not look like a valid DNS name"),
    "pve-configid": _matcher(r"[a-z][a-z0-9_-]+", "invalid configuration ID '{value}'", re.IGNORECASE),
    "pve-poolid": _matcher(r"[A-Za-z0-9._\-]+(/[A-Za-z0-9._\-]+){0,2}", "invalid pool name '{value}'"),
    "pve-realm": _matcher(r"[A-Za-z][A-Za-z0-9.\-_]+", "value does not look like a valid realm"),
    "pve-iface": _matcher(r"[a-zA-Z][a-zA-Z0-9_]{1,20}([:.]\d+)?", "invalid network interface name '{value}'"),
    "pve-bridge-id": _matcher(r"[-_.\w]+", "invalid bridge ID '{value}'"),
    "pve-tag": _matcher(r"[a-z0-9_][a-z0-9_\-+.]*", "invalid characters in tag", re.IGNORECASE),
    "pve-task-status-type": _task_status,
    "urlencoded": _matcher(r"[-%a-zA-Z0-9_.!~*'()]*", "invalid urlencoded string: {value}"),
    "mac-addr": _matcher(
        r"[a-f0-9][02468ace](:[a-f0-9]{2}){5}", "value does not look like a valid unicast MAC address", re.IGNORECASE
    ),
    "disk-size": _matcher(r"\d+(\.\d+)?[KMGT]?", "value does not look like a valid disk size: {value}"),
    "pve-volume-id": _matcher(_VOLUME, "unable to parse volume ID '{value}'"),
    "pve-volume-id-or-absolute-path": _matcher(rf"/.*|{_VOLUME}", "unable to parse volume ID '{value}'"),
    "pve-volume-id-or-qm-path": _matcher(
        rf"none|cdrom|/.*|(\d+(\.\d+)?)|{_VOLUME}", "unable to parse volume ID '{value}'"
    ),
    "pve-startup-order": _matcher(
        r"(order=)?\d+(,(up|down)=\d+)*|(up|down)=\d+(,(up|down|order)=\d+)*", "unable to parse startup options"
    ),
    "pve-hotplug-features": _matcher(
        r"0|1|(network|disk|cpu|memory|usb|cloudinit)(,(network|disk|cpu|memory|usb|cloudinit))*",
        "invalid hotplug features '{value}'",
    ),
    "pve-qm-bootdisk": _matcher(r"(ide|sata|scsi|virtio)\d+", "invalid boot disk '{value}'"),
    "pve-qm-bootdev": _matcher(r"(ide|sata|scsi|virtio|net|usb|hostpci)\d+", "invalid boot device '{value}'"),
    "pve-cpuset": _matcher(r"\d+(-\d+)?(,\d+(-\d+)?)*", "unable to parse CPU set '{value}'"),
    "storage-pair": _matcher(r"1|[\w.\-]+(:[\w.\-]+)?", "invalid storage ID mapping '{value}'"),
    "pve-cpu-type": _cpu_type,
    "address": _matcher(r"[0-9a-fA-F:.]+|[\w.\-]+", "value does not look like a valid address: {value}"),
    "ipv4": _address(ipaddress.IPv4Address, "value does not look like a valid IPv4 address"),
    "ipv6": _address(ipaddress.IPv6Address, "value does not look like a valid IPv6 address"),
    "pve-ipv4-config": _address(
        lambda value: _network(ipaddress.IPv4Interface, value),
        "value does not look like a valid ipv4 network configuration",
        ("dhcp", "manual"),
    ),
    "pve-ipv6-config": _address(
        lambda value: _network(ipaddress.IPv6Interface, value),
        "value does not look like a valid ipv6 network configuration",
        ("auto", "dhcp", "manual"),
    ),
}


def _text(**more: Any) -> Schema:
    return {"type": "string", "optional": 1, **more}


_FLAG: Schema = {"type": "boolean", "optional": 1}

PROPERTY_STRINGS: dict[str, dict[str, Schema]] = {
    "pve-qm-ipconfig": {
        "ip": _text(format="pve-ipv4-config"),
        "gw": _text(format="ipv4", requires="ip"),
        "ip6": _text(format="pve-ipv6-config"),
        "gw6": _text(format="ipv6", requires="ip6"),
    },
    "pve-qm-boot": {
        "legacy": _text(default_key=1, pattern="[acdn]{1,4}"),
        "order": _text(format="pve-qm-bootdev-list"),
    },
    "pve-vm-cpu-conf": {
        "cputype": _text(default_key=1, format="pve-cpu-type"),
        "reported-model": _text(),
        "hidden": _FLAG,
        "hv-vendor-id": _text(),
        "flags": _text(),
        "phys-bits": _text(),
        "guest-phys-bits": {"type": "integer", "optional": 1},
    },
    "pve-qm-hostpci": {
        "host": _text(default_key=1),
        "mapping": _text(format="pve-configid"),
        **dict.fromkeys(("rombar", "pcie", "x-vga", "legacy-igd"), _FLAG),
        **{key: _text() for key in ("romfile", "mdev", "vendor-id", "device-id", "sub-vendor-id", "sub-device-id")},
    },
    "pve-qm-smbios1": {
        "uuid": _text(pattern="[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}"),
        **{key: _text() for key in ("version", "serial", "manufacturer", "product", "sku", "family")},
        "base64": _FLAG,
    },
    "pve-qm-watchdog": {
        "model": _text(default_key=1, enum=["i6300esb", "ib700"]),
        "action": _text(enum=["reset", "shutdown", "poweroff", "pause", "debug", "none"]),
    },
    "pve-qm-rng": {
        "source": {"type": "string", "default_key": 1, "enum": ["/dev/urandom", "/dev/random", "/dev/hwrng"]},
        "max_bytes": {"type": "integer", "optional": 1},
        "period": {"type": "integer", "optional": 1},
    },
    "pve-qm-cicustom": {key: _text(format="pve-volume-id") for key in ("meta", "network", "user", "vendor")},
}
