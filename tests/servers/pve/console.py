# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proxies for one VNC connection each, and the tickets that open them. A plain GET takes the place of a WebSocket."""

from __future__ import annotations

import base64
import secrets
import string
from dataclasses import dataclass
from typing import Any

from .errors import ApiError
from .routes import VM, Call, route
from .tasks import Later, Task

WAIT_SECONDS = 10
_PORTS = range(5900, 6000)


@dataclass(slots=True, eq=False)
class Proxy:
    """One that waits, or is in use. who: the only user or token for whom the ticket is good."""

    node: str
    port: int
    vmid: int
    who: str
    ticket: str
    password: str
    used: bool = False


def _ended(proxy: Proxy, call: Call) -> Later | None:
    """What the task of the proxy does when somebody has come, or nobody."""
    call.cluster.proxies.remove(proxy)
    guest = call.cluster.guests.get(proxy.vmid)
    if not proxy.used:
        raise ApiError("connection timed out\n")
    if guest is None or not guest.running:
        raise ApiError("Failed to run vncproxy.\n")
    return None


@route("POST", VM + "/vncproxy")
def open_proxy(call: Call) -> dict[str, Any]:
    """The proxy is on the node that is asked, wherever the guest is, and nobody looks whether that runs."""
    cluster, here = call.cluster, call.local
    call.guest()
    taken = {proxy.port for proxy in cluster.proxies if proxy.node == here}
    port = next(port for port in _PORTS if port not in taken)
    signature = base64.b64encode(secrets.token_bytes(256)).decode()
    ticket = f"PVEVNC:{cluster.clock.seconds():08X}::{signature}"
    letters = string.ascii_letters + string.punctuation
    password = "".join(secrets.choice(letters) for _letter in range(8))
    told = password if cluster.new or call.params.get("generate-password") else ""
    if cluster.new:
        ticket = f"{password}:{ticket}"
    proxy = Proxy(here, port, call.vmid, call.caller.id, ticket, told or ticket[:8])
    cluster.proxies.append(proxy)

    def wait(_task: Task) -> Later | None:
        return _ended(proxy, call)

    upid = cluster.tasks.spawn(call.caller, here, "vncproxy", call.vmid, wait, seconds=WAIT_SECONDS)
    answer = {"user": call.caller.id, "ticket": ticket, "port": port, "upid": upid, "cert": "-----BEGIN..."}
    return {**answer, "password": told} if told else answer


@route("GET", VM + "/vncwebsocket")
def come(call: Call) -> dict[str, Any]:
    cluster, given = call.cluster, call.params
    place = (call.local, given["port"], call.vmid, call.caller.id)
    waiting = [proxy for proxy in cluster.proxies if proxy.ticket == given["vncticket"] and not proxy.used]
    if not waiting or (waiting[0].node, waiting[0].port, waiting[0].vmid, waiting[0].who) != place:
        cluster.sleep(3)
        raise ApiError("permission denied - invalid PVEVNC ticket\n", 401)
    call.guest()
    waiting[0].used = True
    return {"port": str(given["port"])}
