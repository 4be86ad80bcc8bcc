# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From connection options to a backend. Drivers are imported here, when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import InvalidRequest
from .base import Backend


def connect(options: Mapping[str, Any]) -> Backend:
    """The backend that ``options["backend"]`` names; nothing is sent yet.

    AnsiballZ ships what it sees as an import statement, so each driver has one.
    """
    name = options["backend"]
    if name == "qemu":
        from .qemu.driver import QemuBackend

        return QemuBackend(options)
    if name == "proxmox":
        from .proxmox.driver import ProxmoxBackend

        return ProxmoxBackend(options)
    if name == "vsd":
        from .vsd.driver import VsdBackend

        return VsdBackend(options)
    if name == "zstack":
        from .zstack.driver import ZStackBackend

        return ZStackBackend(options)
    if name == "qemu_api":
        from .qemu_api.driver import QemuApiBackend

        return QemuApiBackend(options)
    raise InvalidRequest(f"There is no backend '{name}'.")
