# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who asks: what a login of each kind sends, and how an access key signs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from ..._errors import InvalidRequest

_OFFSET = re.compile(r"(?P<sign>[+-])(?P<hours>\d\d):(?P<minutes>[0-5]\d)")

Login = tuple[str, str, dict[str, str]]
"""Path, body key and parameters of a login."""


def login_of(options: Mapping[str, Any]) -> Login:
    """
    :raises InvalidRequest: there is no username or no password, or something does not fit the kind of login.
    """
    name, password = options.get("username"), options.get("password")
    if not name or not password:
        raise InvalidRequest(
            "Backend zstack needs credentials.",
            advice="Give access_key_id and access_key_secret, or username and password.",
        )
    hashed = hashlib.sha512(password.encode()).hexdigest()
    kind = options.get("login_type") or "account"
    if options.get("project") and kind != "iam2":
        raise InvalidRequest("project: only a virtual ID works in a project.", advice="That is login_type: iam2.")
    if kind == "account":
        return "/accounts/login", "logInByAccount", {"accountName": name, "password": hashed}
    if kind == "iam2":
        return "/iam2/virtual-ids/login", "loginIAM2VirtualID", {"name": name, "password": hashed}
    if kind == "ldap":
        # the directory compares it, so it goes as it is
        return "/ldap/login", "logInByLdap", {"uid": name, "password": password}
    account, slash, user = name.partition("/")
    if not slash:
        raise InvalidRequest(
            f"username: '{name}' names no account.", advice="With login_type: user it is ACCOUNT/USER, as in admin/ops."
        )
    parameters = {"accountName": account, "userName": user, "password": hashed}
    return "/accounts/users/login", "logInByUser", parameters


def utc_offset(text: str | None) -> int:
    """The seconds that a time zone such as ``+08:00`` is ahead of UTC.

    :raises InvalidRequest: it is not written so.
    """
    match = _OFFSET.fullmatch(text or "+00:00")
    if not match:
        raise InvalidRequest(f"server_timezone: '{text}' is not an offset from UTC.", advice="Write it as +08:00.")
    seconds = int(match["hours"]) * 3600 + int(match["minutes"]) * 60
    return seconds if match["sign"] == "+" else -seconds


def signed(options: Mapping[str, Any], method: str, path: str, now: float) -> dict[str, str]:
    """The headers of a request with an access key.

    The server compares the date with the clock on its wall and by default ignores the zone, so the date is told in the
    server's zone. Neither the context path, nor the query, nor the body is signed.

    :param path: from ``/v1`` on, not quoted.
    """
    offset = utc_offset(options.get("server_timezone"))
    sign, (hours, rest) = "-" if offset < 0 else "+", divmod(abs(offset), 3600)
    zone = f"GMT{sign}{hours:02}:{rest // 60:02}" if offset else "GMT"
    date = formatdate(now + offset, usegmt=True).replace("GMT", zone)
    secret = options["access_key_secret"].encode()
    digest = hmac.new(secret, f"{method}\n{date}\n{path}".encode(), hashlib.sha1).digest()
    signature = base64.b64encode(digest).decode()
    return {"Authorization": f"ZStack {options['access_key_id']}:{signature}", "Date": date}
