# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to Proxmox VE, by proxmoxer: which endpoint answers, what an error means, and what may be repeated."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import mktime_tz, parsedate_tz
from itertools import chain
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
from ..._http import attempts, checked_ca_path
from ..._library import require
from . import commands

DEFAULT_PORT = 8006
CONNECTIONS = 16
TRANSIENT = (595, 596, 597, 599, 502, 503, 504)
"""Statuses of a node that could not be asked. Of a write they leave open whether it was done."""
_QUORUM_LOST = "no quorum|'/etc/pve/.*Permission denied"
NO_QUORUM = "The cluster has no quorum, so nothing can be changed. Bring its nodes back; see pvecm status."


class Api:
    """One session with a cluster, over the first of its endpoints that answers.

    Reads are repeated, on the next endpoint, when an answer is lost. A write is sent once: a lost answer is a
    TransportError, and the caller has to look whether it was done. A ticket that has grown too old is replaced.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._endpoints = list(options.get("url") or [])
        self._connection: Any = None
        self._connecting = threading.Lock()
        self._has_answered = False
        self.clock_ahead = 0.0
        """Seconds that the server's clock is ahead of ours, as its last answer said."""

    def get(self, *path: object, **params: Any) -> Any:
        """What the server tells.

        :raises NotFound: there is no such guest, snapshot or storage.
        :raises TransportError: no endpoint answered within half a minute, or none has ever within some seconds.
        """
        return self._read(path, params, is_poll=False)

    def ask(self, *path: object, **params: Any) -> Any:
        """The same for what is asked again and again: a node that cannot be reached is told of at once.

        :raises TransportError: its ``code`` is among the facts if an endpoint answered, but could not reach the node.
        """
        return self._read(path, params, is_poll=True)

    def of_nodes(self, nodes: Sequence[str], *path: object, is_poll: bool = False, **params: Any) -> dict[str, Any]:
        """What each node tells below ``/nodes/NODE``, asked side by side; one that cannot be reached is left out.

        :param is_poll: as ``ask`` does.
        """
        from concurrent.futures import ThreadPoolExecutor

        def read(node: str) -> list[tuple[str, Any]]:
            try:
                return [(node, self._read(("nodes", node, *path), params, is_poll))]
            except TransportError:
                return []

        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return dict(chain.from_iterable(pool.map(read, nodes)))

    def _read(self, path: tuple[object, ...], params: Mapping[str, Any], is_poll: bool) -> Any:
        lost: TransportError | None = None
        for _turn in attempts(len(self._endpoints), self._has_answered):
            used = self._connection
            try:
                return self._request("get", path, params)
            except TransportError as error:
                lost = error
                self._turn_away(used)
                if is_poll and "code" in error.facts:
                    break
        raise lost or TransportError("No endpoint answered.")

    def post(self, *path: object, **data: Any) -> Any:
        return self._request("post", path, data)

    def put(self, *path: object, **data: Any) -> Any:
        return self._request("put", path, data)

    def delete(self, *path: object, **params: Any) -> Any:
        return self._request("delete", path, params)

    def _request(self, method: str, path: tuple[object, ...], params: Mapping[str, Any]) -> Any:
        used = self._connection
        try:
            return self._send(method, path, params)
        except AuthenticationFailed:
            if used is None or self._has_token or self.is_command:
                raise
        # The ticket was too old, and so nothing was done.
        self._forget(used)
        return self._send(method, path, params)

    def check_values(self, values: Mapping[str, Any]) -> None:
        """
        :raises Unsupported: this transport would show a secret among them.
        """
        if self.is_command:
            commands.check_arguments(values)

    def _send(self, method: str, path: tuple[object, ...], params: Mapping[str, Any]) -> Any:
        what = f"{method.upper()} /{'/'.join(str(part) for part in path)}"
        values = {name: int(value) if isinstance(value, bool) else value for name, value in params.items()}
        self.check_values(values)
        parts = [str(part) if self.is_command else quote(str(part), safe="@!:") for part in path]
        with _translated(what, self._endpoints[0] if self._endpoints else "this host"):
            told = getattr(self._connected()("/".join(parts)), method)(**values)
        if isinstance(told, dict) and isinstance(told.get("errors"), (bytes, str)):
            # so proxmoxer returns what is no JSON; pvesh prints nothing where there is nothing to tell
            if self.is_command and not told["errors"]:
                return None
            raise BackendError(f"{what}: the answer is no JSON.", advice="Check that url is that of Proxmox VE.")
        return told

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

    def _forget(self, used: Any) -> None:
        with self._connecting:
            if self._connection is used:
                self._connection = None

    @property
    def is_command(self) -> bool:
        """Whether requests are commands, and not sent over the network."""
        return self._options.get("transport") in ("local", "openssh")

    @property
    def _has_token(self) -> bool:
        return bool(self._options.get("token_id") and self._options.get("token_secret"))

    def _connect(self) -> Any:
        """proxmoxer's root resource. A ticket is asked for here, a token is only sent along."""
        proxmoxer = require("proxmoxer", "for backend proxmox")
        if self._options.get("transport") == "local":
            return commands.connection(proxmoxer, ())
        host, port = self._address()
        if self._options.get("transport") == "openssh":
            prefix = commands.over_ssh(host, self._options.get("username") or "root")
            self.clock_ahead = commands.clock_ahead(prefix)
            return commands.connection(proxmoxer, prefix)
        requests = require("requests", "for backend proxmox")
        connection = proxmoxer.ProxmoxAPI(
            f"[{host}]" if ":" in host else host,
            port=port or DEFAULT_PORT,
            verify_ssl=(checked_ca_path(self._options) or True) if self._options["validate_certs"] else False,
            timeout=(10, 60),
            **self._credentials(),
        )
        _limit_connections(connection, requests)
        connection._store["session"].hooks["response"].append(self._note_answer)
        return connection

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of the endpoint that is used now; None where requests are commands of this host."""
        if self._options.get("transport") == "local":
            return None
        host, port = self._address()
        return host, port or DEFAULT_PORT

    def _address(self) -> tuple[str, int | None]:
        """Host and port of the endpoint that is used now.

        :raises InvalidRequest: there is no url, or none that can be read.
        """
        advice = "Such as url: https://pve1.example.com:8006."
        if not self._endpoints:
            raise InvalidRequest("Backend proxmox needs a url.", advice=advice)
        url = self._endpoints[0]
        try:
            parts = urlsplit(url if "://" in url else f"https://{url}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InvalidRequest(f"url: '{url}' cannot be read: {error}.", advice=advice) from error
        if not host:
            raise InvalidRequest(f"url: '{url}' names no host.", advice=advice)
        return host, port

    def _note_answer(self, response: Any, **_options: Any) -> None:
        self._has_answered = True
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
def _translated(what: str, endpoint: str) -> Iterator[None]:
    """Errors of proxmoxer and requests become ours; ``what`` is the request, for the message."""
    core = require("proxmoxer", "for backend proxmox").core
    try:
        yield
    except core.ResourceException as error:
        raise of_status(what, error.status_code, str(error.content or ""), error.errors) from error
    except core.AuthenticationError as error:
        code = re.search(r"code: (\d+)$", str(error))
        if code and int(code[1]) != 401:
            raise of_status(f"POST {endpoint}/access/ticket", int(code[1]), "No ticket was given") from error
        raise AuthenticationFailed(
            f"{what}: {error}.", advice="Check username, with its realm, and password."
        ) from error
    except OSError as error:  # and with it all that requests raises
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise BackendError(
                f"{what}: the certificate of {endpoint} cannot be verified: {_reason(error)}.",
                advice="Give ca_path, or validate_certs: false if you accept that.",
            ) from error
        raise TransportError(
            f"{what}: {endpoint} does not answer: {_reason(error)}.", advice="Check url, and that the API is up."
        ) from error


def _reason(error: OSError) -> str:
    """What lies at the bottom of an error that requests and urllib3 have wrapped."""
    inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    reason = getattr(inner, "reason", None) or inner
    last = reason.args[-1] if isinstance(reason, Exception) and reason.args else reason
    return str(last).rpartition("): ")[2].rstrip(".")


def lacks_quorum(text: str) -> bool:
    """Whether that is why something was not done."""
    return re.search(_QUORUM_LOST, text) is not None


def of_status(what: str, status: int, text: str, errors: Any = None) -> Error:
    """The error for an answer. PVE says 500 for nearly all that goes wrong, so there its text must tell."""
    # of a body that is no JSON proxmoxer makes an error in bytes
    told = {name: said for name, said in errors.items() if isinstance(said, str)} if isinstance(errors, Mapping) else {}
    if told:
        text = "; ".join(f"{name}: {said.strip()}" for name, said in sorted(told.items()))
    text = " ".join(text.split()).removeprefix(f"{status} ").rstrip(".!")
    message = f"{what}: {status} {text}."
    for statuses, pattern, make, advice in _TEXTS:
        if status in statuses and re.search(pattern, text):
            return make(message, advice=advice, code=status)
    return BackendError(message, code=status)


_ANY = range(1000)
_TEXTS: tuple[tuple[Container[int], str, type[Error], str], ...] = (
    (TRANSIENT, "", TransportError, "A node of the cluster does not answer."),
    (
        (401,),
        "",
        AuthenticationFailed,
        "Check token_id and token_secret, and that the token is neither expired nor off.",
    ),
    ((403,), r"pool '.*' does not exist", NotFound, "Make the pool first, or check its name."),
    ((403,), r"\(", PermissionDenied, "Give the user, and the token, that privilege on that path."),
    ((403,), "", PermissionDenied, "A new VM needs VM.Allocate on /vms/{id}, or on the pool that it is made in."),
    ((400,), "", InvalidRequest, ""),
    (_ANY, _QUORUM_LOST, BackendError, NO_QUORUM),
    (_ANY, "locked|can't lock file", Conflict, "Another task works on the VM; wait for it with task_wait."),
    (_ANY, "checksum mismatch", Conflict, "Someone else changed the VM meanwhile; run the task again."),
    (_ANY, "already exists|already used", Conflict, "Use another name or id."),
    (_ANY, "not running|is running|already running|protect", Conflict, ""),
    (_ANY, "does not exist|unable to find configuration file|no such", NotFound, ""),
)
"""Status, a pattern of the text, and what they mean; the first that fits."""
