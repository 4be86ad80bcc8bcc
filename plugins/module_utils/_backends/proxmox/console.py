# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The screens of guests: pages of the web interface, and WebSockets for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from ..._errors import Conflict, TransportError, Unsupported
from ..._plan import VM
from .api import DEFAULT_PORT, Api
from .overview import node_addresses

_PASSWORD_LENGTH = 8


class Consoles:
    """Pages, which are always there, and the WebSockets that this run has had opened."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._opened: dict[str, Mapping[str, Any]] = {}

    def of(self, vm: VM) -> dict[str, Any]:
        """The page that the web interface opens for a guest, for who is logged in there; with what was opened beside.

        It is made as ``openVNCViewer`` of pve-manager makes it.
        """
        host, port = self._address(vm)
        place = {"vmid": vm["id"], "vmname": vm["name"], "node": vm["node"]}
        query = urlencode({"console": "kvm", "novnc": 1, **place, "resize": "off"})
        page = {"url": f"https://{_authority(host, port)}/?{query}", "web_port": port}
        nothing = dict.fromkeys(("websocket", "token", "password", "expires", "vnc_port", "pid"))
        return {**nothing, **page, **self._opened.get(vm["id"], {})}

    def check(self, vm: VM) -> None:
        """
        :raises Unsupported: requests are commands. The ticket would be one of root's, and good for nobody else.
        :raises Conflict: the guest has no screen, since it does not run.
        """
        if self._api.is_command:
            raise Unsupported("websocket: pvesh opens none that others could use.", advice="Use transport: https.")
        name, state = vm["name"], vm["state"]
        if state not in ("running", "paused"):
            raise Conflict(f"VM {name} is {state} and has no screen.", advice="Start it.", state=state)

    def open(self, vm: VM, node: str) -> None:
        """A WebSocket for one connection, on the node that answers; it ends by itself if nobody comes for ten seconds.

        RFB asks for a password. Where none is told (qemu-server before 9.1.7) it is the ticket, of which QEMU takes the
        beginning.

        :raises TransportError: no answer came.
        """
        path = ("nodes", node, "qemu", vm["id"])
        try:
            told = self._api.post(*path, "vncproxy", websocket=1)
        except TransportError as error:
            error.advice = "What it may have opened ends by itself. Run the task again."
            raise
        host, port = self._address(vm)
        query = urlencode({"port": told["port"], "vncticket": told["ticket"]})
        self._opened[vm["id"]] = {
            "websocket": f"wss://{_authority(host, port)}/api2/json/{'/'.join(path)}/vncwebsocket?{query}",
            "token": told["ticket"],
            "password": told.get("password") or told["ticket"][:_PASSWORD_LENGTH],
        }

    def _address(self, vm: VM) -> tuple[str, int]:
        """Host and port of the web interface. Every node has it, and it is where the API is."""
        return self._api.address or (node_addresses(self._api).get(vm["node"]) or vm["node"], DEFAULT_PORT)


def _authority(host: str, port: int) -> str:
    return f"{f'[{host}]' if ':' in host else host}:{port}"
