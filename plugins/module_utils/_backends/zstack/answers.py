# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an answer of ZStack means. Errors are told by their codes: the texts are Chinese or English."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..._errors import (
    AuthenticationFailed,
    BackendError,
    Conflict,
    Error,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    TransportError,
)


class SessionEnded(AuthenticationFailed):
    """The session expired, or another login has ended it: nothing was done."""


_MEANINGS: tuple[tuple[str, type[Error], str], ...] = (
    ("ID.1001", SessionEnded, "Another login of the same user may end this one, if sessions are unique."),
    ("ID.1000", AuthenticationFailed, "Check username, password and login_type."),
    ("ID.1005", AuthenticationFailed, "Log in once with the web interface and change the password."),
    (
        "ID.1006",
        AuthenticationFailed,
        "Too many sessions of this user are open. They end by themselves after two hours; or use an access key.",
    ),
    ("ID.2001", AuthenticationFailed, "This user needs a second factor. Use an access key, or another user."),
    ("ID.1002", PermissionDenied, "Give the user a role or policy that has this API."),
    ("ID.1003", Conflict, "The quota of the account is used up."),
    ("SYS.1010", TransportError, "The management node is starting."),
    ("VM.1010", Conflict, ""),
    ("HOST_ALLOCATION.1000", Conflict, "No host has room, or those that have are disabled or not connected."),
    ("SYS.1003", NotFound, ""),
    ("SYS.1007", InvalidRequest, ""),
    ("SYS.1001", BackendError, "The server stopped waiting for it; the work may go on. Look at the VM."),
)
"""A code anywhere in the chain of causes, the error, and what to do; the first that fits."""

_SECRET = re.compile(r"(userdata|sshkey|rootPassword|consolePassword)::[^\s\],;]+")
"""System tags that the server may repeat in an error."""
_TOKEN = re.compile(r"[0-9a-f]{32}_[0-9a-f]{32}")
"""The token of a console, which is also the name of a file on the management node."""

_ACCESS_KEY = "Check access_key_id and access_key_secret, and that the key is enabled."
_SKEW = "The clocks differ by more than 15 minutes, or server_timezone is not that of the server."


def codes_of(error: Mapping[str, Any]) -> list[str]:
    """The codes of an ErrorCode and all its causes, from the outside in."""
    return [one["code"] for one in _chain(error) if one.get("code")]


def text_of(error: Mapping[str, Any]) -> str:
    """The server's words: those of the innermost cause, or of all where there are several, and the codes."""
    told = [str(one.get("details") or one.get("description") or "") for one in _innermost(error)]
    words = "; ".join(dict.fromkeys(text.strip().rstrip(".") for text in told if text.strip()))
    words = _TOKEN.sub("...", _SECRET.sub(r"\1::...", words))
    return f"{words or 'no reason is given'} ({', '.join(dict.fromkeys(codes_of(error)))})"


def advice_of(error: Mapping[str, Any]) -> str:
    """What to do about an ErrorCode; empty where there is nothing to say."""
    known = codes_of(error)
    return next((advice for code, _make, advice in _MEANINGS if code in known), "")


def _chain(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield error
    for cause in [error["cause"]] if error.get("cause") else error.get("causes") or ():
        yield from _chain(cause)


def _innermost(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    causes = [error["cause"]] if error.get("cause") else error.get("causes") or []
    for cause in causes:
        yield from _innermost(cause)
    if not causes:
        yield error


def error_of(what: str, error: Mapping[str, Any]) -> Error:
    """The error for an ErrorCode; ``what`` was asked."""
    known = codes_of(error)
    message = f"{what}: {text_of(error)}."
    for code, make, advice in _MEANINGS:
        if code in known:
            return make(message, advice=advice, code=code)
    return BackendError(message, code=known[0] if known else None)


def error_of_status(what: str, status: int, text: str) -> Error:
    """The error for an answer that is no ErrorCode. Only such a 503 comes from a proxy or an overload."""
    said = " ".join(text.split())[:200] or "no text"
    message = f"{what}: {status} {said}."
    if status in (502, 503, 504):
        return TransportError(message, advice="A proxy before the management node, or the node itself, is overloaded.")
    if status == 403:
        return AuthenticationFailed(message, advice=_SKEW if "Skewed" in said else _ACCESS_KEY)
    if status == 404:
        return BackendError(message, advice="Check url: the API begins at /zstack/v1, or say where with .../v1.")
    return BackendError(message, advice="" if status != 405 else "This version of ZStack has no such request.")
