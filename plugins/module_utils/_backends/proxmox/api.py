# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to Proxmox VE, by proxmoxer: which endpoint answers, what an error means, and what may be repeated."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import mktime_tz, parsedate_tz
from typing import Any
from urllib.parse import quote, urlsplit

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
from ..._library import require
from ..._task import Deadline

DEFAULT_PORT = 8006
CONNECTIONS = 16
READ_TIMEOUT = 30.0
TRANSIENT = (595, 596, 597, 599, 502, 503, 504)
"""Statuses of a node that could not be asked. Of a write they leave open whether it was done."""


class Api:
    """One session with a cluster, over the first of its endpoints that answers.

    Reads are repeated, on the next endpoint, when an answer is lost. A write is sent once: a lost answer is a
    TransportError, and the caller has to look whether it was done.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._endpoints = list(options.get("url") or [])
        self._connection: Any = None
        self._connecting = threading.Lock()
        self.clock_ahead = 0.0
        """Seconds that the server's clock is ahead of ours, as its last answer said."""

    def get(self, *path: object, **params: Any) -> Any:
        """What the server tells.

        :raises NotFound: there is no such guest, snapshot or storage.
        :raises TransportError: no endpoint answered within half a minute.
        """
        deadline = Deadline(READ_TIMEOUT)
        lost: TransportError | None = None
        for _turn in deadline.intervals(0.2 + random.random() / 10, 2.0):
            used = self._connection
            try:
                return self._request("get", path, params)
            except TransportError as error:
                lost = error
                self._turn_away(used)
        raise lost or TransportError("No endpoint answered.")

    def post(self, *path: object, **data: Any) -> Any:
        return self._request("post", path, data)

    def put(self, *path: object, **data: Any) -> Any:
        return self._request("put", path, data)

    def delete(self, *path: object, **params: Any) -> Any:
        return self._request("delete", path, params)

    def _request(self, method: str, path: tuple[object, ...], params: Mapping[str, Any]) -> Any:
        what = f"{method.upper()} /{'/'.join(str(part) for part in path)}"
        values = {name: int(value) if isinstance(value, bool) else value for name, value in params.items()}
        with _translated(what):
            resource = self._connected()("/".join(quote(str(part), safe="@!:") for part in path))
            return getattr(resource, method)(**values)

    def _connected(self) -> Any:
        """The connection that all threads share; a ticket is asked for once."""
        with self._connecting:
            if self._connection is None:
                self._connection = self._connect()
            return self._connection

    def _turn_away(self, used: Any) -> None:
        """The next endpoint is used from now on, unless another thread has turned away already."""
        with self._connecting:
            if self._connection is used:
                self._connection = None
                self._endpoints = self._endpoints[1:] + self._endpoints[:1]

    def _connect(self) -> Any:
        """proxmoxer's root resource. A ticket is asked for here, a token is only sent along."""
        proxmoxer = require("proxmoxer", "for backend proxmox")
        transport = self._options.get("transport") or "https"
        if transport == "local":
            return proxmoxer.ProxmoxAPI(backend="local")
        if not self._endpoints:
            raise InvalidRequest("Backend proxmox needs a url.", advice="Such as url: https://pve1.example.com:8006.")
        parts = urlsplit(self._endpoints[0] if "://" in self._endpoints[0] else f"https://{self._endpoints[0]}")
        host = parts.hostname or ""
        if transport == "openssh":
            return proxmoxer.ProxmoxAPI(host, backend="openssh", user=self._options.get("username") or "root")
        requests = require("requests", "for backend proxmox")
        connection = proxmoxer.ProxmoxAPI(
            f"[{host}]" if ":" in host else host,
            port=parts.port or DEFAULT_PORT,
            verify_ssl=(self._options.get("ca_path") or True) if self._options["validate_certs"] else False,
            timeout=(10, 60),
            **self._credentials(),
        )
        _limit_connections(connection, requests)
        connection._store["session"].hooks["response"].append(self._note_time)
        return connection

    def _note_time(self, response: Any, **_options: Any) -> None:
        told = parsedate_tz(response.headers.get("Date", ""))
        if told:
            self.clock_ahead = mktime_tz(told) - time.time()

    def _credentials(self) -> dict[str, str]:
        """
        :raises InvalidRequest: there is neither a token nor a password.
        """
        options = self._options
        if options.get("token_id") and options.get("token_secret"):
            user, mark, name = options["token_id"].rpartition("!")
            user = user if mark else options.get("username") or ""
            if user:
                return {"user": user, "token_name": name, "token_value": options["token_secret"]}
        if options.get("username") and options.get("password"):
            return {"user": options["username"], "password": options["password"]}
        raise InvalidRequest(
            "Backend proxmox needs credentials.",
            advice="Give token_id (user@realm!name) and token_secret, or username (with realm) and password.",
        )


def _limit_connections(connection: Any, requests: Any) -> None:
    """So many connections are kept, and no more are opened: a new one costs both sides more than a short wait."""
    adapter = requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=CONNECTIONS, pool_block=True)
    connection._store["session"].mount("https://", adapter)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Errors of proxmoxer and requests become ours; ``what`` is the request, for the message."""
    core = require("proxmoxer", "for backend proxmox").core
    try:
        yield
    except core.ResourceException as error:
        raise of_status(what, error.status_code, str(error.content or ""), error.errors) from error
    except core.AuthenticationError as error:
        raise AuthenticationFailed(
            f"{what}: {error}", advice="Check username, with its realm, and password."
        ) from error
    except OSError as error:  # and with it all that requests raises
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise BackendError(
                f"{what}: the server's certificate cannot be verified: {error}.",
                advice="Give ca_path, or validate_certs: false if you accept that.",
            ) from error
        raise TransportError(f"{what}: no answer: {error}.", advice="Check url, and that the API is up.") from error


def of_status(what: str, status: int, text: str, errors: Any = None) -> Error:
    """The error for an answer. PVE says 500 for nearly all that goes wrong, so there its text must tell."""
    text = text.strip().rstrip(".")
    # of a body that is no JSON proxmoxer makes an error in bytes
    told = {name: said for name, said in errors.items() if isinstance(said, str)} if isinstance(errors, Mapping) else {}
    if told:
        text = "; ".join(f"{name}: {said.strip()}" for name, said in sorted(told.items()))
    message = f"{what}: {status} {text}."
    if status in TRANSIENT:
        return TransportError(message, advice="A node of the cluster does not answer.", code=status)
    if status == 401:
        return AuthenticationFailed(message, advice="Check the token or password; a token's secret is shown only once.")
    if status == 403:
        return PermissionDenied(message, advice="Give the user, and the token, that privilege on that path.")
    if status == 400:
        return InvalidRequest(message, code=status)
    for pattern, make, advice in _TEXTS:
        if pattern.search(text):
            return make(message, advice=advice, code=status)
    return BackendError(message, code=status)


_TEXTS: tuple[tuple[re.Pattern[str], type[Error], str], ...] = (
    (re.compile(r"locked|can't lock file"), Conflict, "Another task works on the VM; wait for it with task_wait."),
    (re.compile(r"checksum mismatch"), Conflict, "Someone else changed the VM meanwhile; run the task again."),
    (re.compile(r"already exists|already used"), Conflict, "Use another name or id."),
    (re.compile(r"not running|is running|already running|protect"), Conflict, ""),
    (re.compile(r"does not exist|unable to find configuration file|no such"), NotFound, ""),
)
