# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a NIC is connected to: QEMU's own user network, a bridge of the host, or a tap device that is there already."""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Any

from ..._errors import BackendError, NotFound, PermissionDenied
from . import tools

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_CLASS_NET = "/sys/class/net"


def kind_of(network: str) -> str:
    """``user``, ``bridge`` or ``tap``.

    :raises NotFound: the host has no such network; the message names those that it has.
    """
    if network == "user":
        return "user"
    if "/" not in network and network not in ("", ".", ".."):
        if os.path.isdir(os.path.join(_CLASS_NET, network, "bridge")):
            return "bridge"
        if os.path.exists(os.path.join(_CLASS_NET, network, "tun_flags")):
            return "tap"
    bridges = sorted(name for name in os.listdir(_CLASS_NET) if os.path.isdir(os.path.join(_CLASS_NET, name, "bridge")))
    raise NotFound(
        f"There is no bridge or tap device '{network}' on {os.uname().nodename}.",
        advice=f"A NIC's network is one of: {', '.join(['user', *bridges])}, or an existing tap device.",
    )


def open_tap(bridge: str) -> int:
    """A new tap device in a bridge, as a descriptor for QEMU; it vanishes when QEMU closes it.

    :raises PermissionDenied: only root may make one.
    """
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        asked = struct.pack("16sH22x", b"avtap%d", _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR)
        name = fcntl.ioctl(descriptor, _TUNSETIFF, asked)[:16].rstrip(b"\0").decode()
        ip = tools.program("ip")
        tools.run([ip, "link", "set", "dev", name, "master", bridge, "up"])
    except (PermissionError, BackendError) as error:
        os.close(descriptor)
        raise PermissionDenied(
            f"No tap device could be put into bridge {bridge}: {error}.",
            advice="Run as root, with become: true, or use network: user.",
        ) from error
    return descriptor


def netdev(slot: str, nic: dict[str, Any], tap: int | str | None) -> dict[str, Any]:
    """QEMU's end of the host side.

    :param tap: the descriptor of the tap device of a bridge, or the name by which QEMU knows it.
    """
    name = nic["network"]
    if name == "user":
        forwards = [{"str": forward_rule(forward)} for forward in nic.get("forwards") or ()]
        return {"type": "user", "id": f"host-{slot}", **({"hostfwd": forwards} if forwards else {})}
    if tap is not None:
        return {"type": "tap", "id": f"host-{slot}", "fd": str(tap)}
    return {"type": "tap", "id": f"host-{slot}", "ifname": name, "script": "no", "downscript": "no"}


def forward_rule(forward: dict[str, Any]) -> str:
    """A forward in QEMU's words. It listens on the loopback address: who wants more puts a proxy before it."""
    return f"{forward['protocol']}:127.0.0.1:{forward['host_port']}-:{forward['guest_port']}"


def forward_listener(forward: dict[str, Any]) -> str:
    return f"{forward['protocol']}:127.0.0.1:{forward['host_port']}"
