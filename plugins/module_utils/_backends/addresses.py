# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""IP addresses as guest agents tell them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def usable(interfaces: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the agent tells, without loopback and link-local addresses; IPv4 first."""
    found = [
        (one["ip-address-type"] != "ipv4", one["ip-address"])
        for interface in interfaces
        if interface["name"] != "lo"
        for one in interface.get("ip-addresses", ())
    ]
    return [ip for _later, ip in sorted(set(found)) if not ip.lower().startswith(("127.", "169.254.", "fe80:", "::1"))]
