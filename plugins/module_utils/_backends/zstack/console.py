# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the server tells of a console: where its proxy is, and the token that opens it.

No address of a page is documented. These are as ZStack's web interface (4.0 and newer) is known to make them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from .times import seconds_of

WEB_INTERFACE = 5000
"""Its port unless it was set up otherwise."""


def console_of(told: Mapping[str, Any], name: str, web_host: str, offset: int) -> dict[str, Any]:
    """A console as results have it.

    :param told: a ConsoleInventory: ``scheme`` (http: a websockify of the management node, wss: the hypervisor itself,
        and then the token is the path), ``hostname``, ``port``, ``token``, ``expiredDate``.
    :param name: of the VM, as the title of the page.
    :param web_host: where the web interface is.
    :param offset: seconds that the server's clock on the wall is ahead of UTC.
    """
    # it may be told as 4900.0
    port = int(told["port"])
    place, page = f"{_bracketed(told['hostname'])}:{port}", None
    if told["scheme"] == "http":
        where = {"host": told["hostname"], "port": port, "token": told["token"], "title": name}
        page = f"http://{_bracketed(web_host)}:{WEB_INTERFACE}/novnc/index.html?{urlencode(where)}"
        websocket = f"ws://{place}/websockify?{urlencode({'token': told['token']})}"
    else:
        websocket = f"{told['scheme']}://{place}/{told['token'].lstrip('/')}"
    return {
        **dict.fromkeys(("password", "vnc_port", "pid")),
        "url": page,
        "websocket": websocket,
        "token": told["token"],
        "expires": seconds_of(told.get("expiredDate"), offset),
        "web_port": port,
    }


def session_of(token: str) -> str:
    """The session that opened the console first: the token begins with its id, and the console ends with it."""
    return token.partition("_")[0]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
