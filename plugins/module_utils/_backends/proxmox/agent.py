# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guest itself tells, by its agent."""

from __future__ import annotations

from typing import Any

from ..._errors import BackendError, Conflict, NotFound, TransportError
from ..._plan import VM
from ..addresses import usable
from .api import Api


def facts(api: Api, vm: VM) -> dict[str, Any]:
    """``agent`` and ``addresses`` of a VM; where nobody answers they are empty, with the reason where there is one."""
    nothing: dict[str, Any] = {"running": False, "interfaces": []}
    if vm["state"] != "running" or not vm.get("guest_agent", True):
        return {"agent": nothing, "addresses": []}
    try:
        told = api.get("nodes", vm["node"], "qemu", vm["id"], "agent", "network-get-interfaces")
    except (BackendError, Conflict, NotFound, TransportError) as error:
        return {"agent": {**nothing, "error": error.message}, "addresses": []}
    interfaces = told["result"]
    return {"agent": {"running": True, "interfaces": interfaces}, "addresses": usable(interfaces)}
