# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON over HTTP, by requests: endpoints, certificates, time limits, lost answers. Nothing of any API."""

from __future__ import annotations

import json
import os
import random
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ._errors import BackendError, InvalidRequest, TransportError
from ._library import require
from ._task import Deadline

CONNECTIONS = 16
CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 60.0
PATIENCE, FIRST_PATIENCE = 30.0, 5.0
"""For how many seconds a lost answer is asked for again, and for how many before anything has ever answered."""
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What came back.

    :param what: the request, for messages.
    """

    what: str
    status: int
    text: str

    def json(self) -> Any:
        """
        :raises BackendError: it is no JSON.
        """
        try:
            return json.loads(self.text)
        except ValueError as error:
            raise BackendError(
                f"{self.what}: the answer ({self.status}) is no JSON.", advice="Check that url is that of the API."
            ) from error


class Http:
    """Requests to the first of some endpoints that share their state. Threads may share it.

    :param backend: its name, for messages.
    :param options: ``url``, ``validate_certs`` and ``ca_path``.
    :param example: of a url, for the advice where there is none.
    """

    def __init__(self, backend: str, options: Mapping[str, Any], example: str) -> None:
        self._backend = backend
        self._options = options
        self._example = example
        self._endpoints = list(options.get("url") or [])
        self._lock = threading.Lock()
        self._session: Any = None
        self._has_answered = False

    @property
    def endpoint(self) -> str:
        """The url that is used now, without a slash at its end.

        :raises InvalidRequest: there is none, or it cannot be read.
        """
        advice = f"Such as url: {self._example}."
        if not self._endpoints:
            raise InvalidRequest(f"Backend {self._backend} needs a url.", advice=advice)
        url = self._endpoints[0]
        full = url if "://" in url else f"https://{url}"
        try:
            parts = urlsplit(full)
            is_usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError as error:
            raise InvalidRequest(f"url: '{url}' cannot be read: {error}.", advice=advice) from error
        if not is_usable or parts.username or parts.query or parts.fragment:
            raise InvalidRequest(f"url: '{url}' is not the address of an API.", advice=advice)
        return full.rstrip("/")

    def turn_away(self, used: str) -> None:
        """The next endpoint is used from now on, unless another thread has turned away already."""
        with self._lock:
            if self.endpoint == used:
                self._endpoints = self._endpoints[1:] + self._endpoints[:1]

    def repeat(self, ask: Callable[[], T]) -> T:
        """Ask until there is an answer, the next endpoint each time, and each of them at least once.

        :raises TransportError: there is none within half a minute, or has never been one within some seconds.
        """
        lost: TransportError | None = None
        for _turn in attempts(len(self._endpoints), self._has_answered):
            used = self.endpoint
            try:
                return ask()
            except TransportError as error:
                lost = error
                self.turn_away(used)
        raise lost or TransportError("No endpoint answered.")

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        read_timeout: float = READ_TIMEOUT,
    ) -> Answer:
        """One request, sent once.

        :param body: sent as JSON unless it is None.
        :raises TransportError: no answer came; it is open whether the request did.
        :raises BackendError: the certificate cannot be verified, or the server sends us elsewhere.
        """
        endpoint, what = self.endpoint, f"{method} {path}"

        def sign(request: Any) -> Any:
            """Credentials are ours alone: without this, requests would take others from ~/.netrc."""
            request.headers.update(headers)
            return request

        try:
            response = self._connected().request(
                method,
                endpoint + path,
                params=query,
                json=body,
                auth=sign,
                timeout=(CONNECT_TIMEOUT, read_timeout),
                verify=(checked_ca_path(self._options) or True) if self._options.get("validate_certs", True) else False,
                allow_redirects=False,
            )
        except OSError as error:  # and with it all that requests raises
            raise self._translated(what, endpoint, error) from error
        self._has_answered = True
        if 300 <= response.status_code < 400:
            raise BackendError(
                f"{what}: {endpoint} sends us to {response.headers.get('Location')}.",
                advice="Credentials are not sent elsewhere. Give the url at which the API really is.",
            )
        return Answer(what, response.status_code, response.text)

    def close(self) -> None:
        """Give back the connections."""
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None

    def _connected(self) -> Any:
        requests = require("requests", f"for backend {self._backend}")
        with self._lock:
            if self._session is None:
                self._session = requests.Session()
                adapter = requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS, pool_block=True)
                self._session.mount("https://", adapter)
                self._session.mount("http://", adapter)
            return self._session

    def _translated(self, what: str, endpoint: str, error: OSError) -> BackendError | TransportError:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return BackendError(
                f"{what}: the certificate of {endpoint} cannot be verified: {_reason(error)}.",
                advice="Give ca_path, or validate_certs: false if you accept that.",
            )
        return TransportError(
            f"{what}: {endpoint} does not answer: {_reason(error)}.", advice="Check url, and that the API is up."
        )


def attempts(endpoints: int, has_answered: bool) -> Iterator[None]:
    """The times at which an answer that may be lost is asked for, at least one for each endpoint.

    :param has_answered: where nothing ever has it is rather the url that is wrong, and the patience is shorter.
    """
    deadline = Deadline(PATIENCE if has_answered else FIRST_PATIENCE)
    # the wait for the first endpoint may take longer than there is time
    return chain(deadline.intervals(0.2 + random.random() / 10, 2.0), repeat(None, endpoints - 1))


def checked_ca_path(options: Mapping[str, Any]) -> str | None:
    """
    :raises InvalidRequest: there are no certificates in ``ca_path``.
    """
    path = options.get("ca_path")
    if path and not os.path.isdir(path):
        try:
            ssl.create_default_context(cafile=path)
        except OSError as error:
            raise InvalidRequest(
                f"ca_path: there is no certificate in {path}: {error}.", advice="It is a file in PEM form."
            ) from error
    return path


def _reason(error: BaseException) -> str:
    """What lies at the bottom of an error that requests and urllib3 have wrapped, without the names of objects."""
    inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    reason = getattr(inner, "reason", None) or inner
    last = reason.args[-1] if isinstance(reason, Exception) and reason.args else reason
    return re.sub(r"<[^<>]*>(\(.*?\))?: ", "", str(last)).rpartition("): ")[2].rstrip(".")
