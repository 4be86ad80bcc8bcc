# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tickets and the table of rights."""

from __future__ import annotations

from typing import Any

from .errors import ApiError
from .routes import Call, route


@route("GET", "/access/ticket")
def ticket_page(_call: Call) -> None:
    return None


@route("POST", "/access/ticket")
def make_ticket(call: Call) -> dict[str, Any]:
    user = call.params["username"]
    if "@" not in user and call.params.get("realm"):
        user = f"{user}@{call.params['realm']}"
    ticket = call.cluster.access.ticket(user, call.params["password"])
    if ticket is None:
        call.cluster.sleep(3)
        raise ApiError("authentication failure\n", 401)
    if call.cluster.access.may(call.caller, "/", "Sys.Audit") or user == "root@pam":
        ticket["clustername"] = call.cluster.name
    return ticket


@route("GET", "/access/permissions")
def permissions(call: Call) -> dict[str, Any]:
    return call.cluster.access.permissions(call.caller, call.params.get("path"))
