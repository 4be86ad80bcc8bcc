# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to the HTTP manager: which dialect it speaks, and what counts as a success."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from ..._errors import BackendError, Conflict, Error, InvalidRequest, NotFound, TransportError
from ..._http import Answer, Http
from .dialects import DIALECTS, Dialect, Row

EXAMPLE = "http://manager.example.com:3000"
LONG = 300.0
"""Seconds for the answer to a write, which comes when all is done; a restart takes 3 at least, a snapshot its time."""

_CODES: Mapping[str, type[Error]] = {
    "VM_NOT_FOUND": NotFound,
    "VM_ALREADY_RUNNING": Conflict,
    "VM_ALREADY_STOPPED": Conflict,
    "VM_NOT_RUNNING": Conflict,
    "INVALID_REQUEST_PARAMS": InvalidRequest,
}
_TEXTS: tuple[tuple[str, type[Error], str], ...] = (
    (
        "虚拟机未运行或不存在",
        Conflict,
        "The VM is not running, or was not started by this process of the server with a plain start. After a restart of"
        " the VM or of the server, stop it and start it.",
    ),
    ("already (running|exists)|已存在", Conflict, ""),
    ("Address already in use", Conflict, "Another process has its VNC port or its monitor port; see native.vncPort."),
)
"""Of a server that gives no codes: a pattern of its text, and what it means."""


class Manager:
    """One manager. Reads are repeated when an answer is lost; a write is sent once.

    :param options: ``url`` with or without ``/api`` at its end, ``dialect``, and those of TLS.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        urls = [url.rstrip("/").removesuffix("/api") for url in options.get("url") or []]
        self._http = Http("qemu_api", {**options, "url": urls}, EXAMPLE)
        self._told = options.get("dialect") or "auto"
        self._dialect: Dialect | None = DIALECTS.get(self._told)
        self._config_prefix: str | None = None

    @property
    def dialect(self) -> Dialect:
        """That of the option, else as the list of VMs has shown it; where none was read yet it is read."""
        if self._dialect is None:
            self._dialect = self._list()[0]
        return self._dialect

    @property
    def host(self) -> str:
        return urlsplit(self._http.endpoint).hostname or ""

    def rows(self) -> Sequence[Row]:
        """The VMs as the server lists them.

        :raises BackendError: what comes back is no list of VMs in the dialect that was told, or in any.
        """
        self._dialect, rows = self._list()
        return rows

    def _list(self) -> tuple[Dialect, Sequence[Row]]:
        told = self.get("/vms")
        speaks = next((one for one in DIALECTS.values() if one.is_list(told)), None)
        if speaks is None or self._told not in ("auto", speaks.name):
            what = f"a list as in dialect {speaks.name}" if speaks else f"something else: {json.dumps(told)[:120]}"
            raise BackendError(
                f"GET /api/vms: expected a list of VMs in dialect {self._told}, got {what}.",
                advice="Check url, and dialect, which may be left out.",
            )
        return speaks, speaks.rows(told)

    def get(self, path: str, **query: Any) -> Any:
        """
        :raises TransportError: nobody answered within half a minute.
        """
        return self._http.repeat(lambda: result_of(self._http.send("GET", f"/api{path}", headers={}, query=query)))

    def write(self, method: str, *path: str, body: Mapping[str, Any] | None = None) -> Any:
        """
        :raises TransportError: no answer came; it is open whether it was done.
        """
        return result_of(self._send(method, "/api", path, body))

    def _send(self, method: str, prefix: str, path: Sequence[str], body: Mapping[str, Any] | None) -> Answer:
        full = "/".join([prefix, *(quote(part, safe="") for part in path)])
        return self._http.send(method, full, headers={}, body=body, read_timeout=LONG)

    def write_config(self, name: str, values: Mapping[str, Any]) -> Any:
        """The document has this one path without ``/api``, the open-source server has it with it."""
        prefixes = ["/api", ""] if self._config_prefix is None else [self._config_prefix]
        for prefix in prefixes:
            answer = self._send("PUT", prefix, ["vms", name, "config"], values)
            if answer.status != 404 or is_json(answer):
                self._config_prefix = prefix
                break
        return result_of(answer)

    def close(self) -> None:
        self._http.close()


def is_json(answer: Answer) -> bool:
    return answer.text.lstrip()[:1] in ("{", "[") or answer.text.strip() in ("true", "false", "null")


def result_of(answer: Answer) -> Any:
    """The body of an answer that is a success in every respect.

    :raises Error: the status, or anything in the body, says that it is none.
    """
    if answer.status in (502, 503, 504):
        raise TransportError(f"{answer.what}: {answer.status}: the server behind the gateway does not answer.")
    if not is_json(answer):
        raise BackendError(
            f"{answer.what}: {answer.status}, and no JSON: {plain(answer.text)}.",
            advice="Check url: it is that of the manager, with or without /api.",
            code=answer.status,
        )
    body = answer.json()
    fields = body if isinstance(body, dict) else {}
    if body is False:
        raise BackendError(f"{answer.what}: {answer.status}: the server answered false: it could not.", answer=False)
    if 200 <= answer.status < 300 and not fields.get("error") and fields.get("success") is not False:
        return body
    raise _failure(answer, fields)


def _failure(answer: Answer, fields: Mapping[str, Any]) -> Error:
    """The text and the code stand in different places; the document does not tell where."""
    inner = fields["error"] if isinstance(fields.get("error"), dict) else fields
    code = str(inner.get("code") or fields.get("code") or "")
    text = inner.get("error") or inner.get("message") or fields.get("message") or code
    if not isinstance(text, str) or not text:
        text = f"the server answered {answer.text.strip()[:80]}"
    # the command line in front of it is the server's own business
    text = plain(text.partition("\n")[2] or text if text.startswith("Command failed:") else text)
    message = f"{answer.what}: {answer.status}{f' {code}' if code else ''}: {text}."
    if code in _CODES:
        return _CODES[code](message, code=answer.status)
    for pattern, make, advice in _TEXTS:
        if re.search(pattern, text):
            return make(message, advice=advice, code=answer.status)
    return BackendError(message, code=answer.status)


def plain(text: str) -> str:
    """One line without tags, and not too long."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())[:300].rstrip(".")
