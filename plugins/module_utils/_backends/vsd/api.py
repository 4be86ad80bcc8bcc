# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to TopHC: who asks, what the envelope of an answer says, pages, and what may be repeated.

HTTP says 200 whatever happened. A call has succeeded only if the code in its envelope is 0.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from ..._errors import (
    Ambiguous,
    AuthenticationFailed,
    BackendError,
    Error,
    InvalidRequest,
    NotFound,
    TransportError,
)
from ..._http import READ_TIMEOUT, Answer, Http

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LOGIN = "/v1/authentication/login"
SYSTEM = "system"
PAGE = 100
_GATEWAY = (502, 503, 504)
_OF_SESSIONS = re.compile(r"token|log ?in\b|logged|unauthori[sz]ed|令牌|登录|未认证", re.IGNORECASE)


class Api:
    """One session with a platform, in one of its clusters.

    Reads are repeated, on the next url, when an answer is lost. A write is sent once: a lost answer is a
    TransportError, and the caller has to look whether it was done. A token that has worked and is refused later is
    replaced once.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._http = Http("vsd", options, "https://vsd.example.com")
        self._entering = threading.RLock()
        self._login: Mapping[str, Any] = {}
        self._cluster = ""
        self._proven: Mapping[str, Any] | None = None
        """The login whose token has worked."""

    def close(self) -> None:
        self._http.close()

    # --- where we are

    @property
    def _tenant(self) -> str:
        """As it is given: a name for the login, with a token a uuid."""
        return self._options.get("tenant") or SYSTEM

    @property
    def scope(self) -> dict[str, str]:
        """What every request names: ``cluster_uuid`` and ``tenant``.

        The tenant of the platform itself is left empty: its users work on the VMs of all tenants, and an empty one is
        not checked.

        :raises NotFound: there is no such cluster.
        :raises Ambiguous: the name fits several.
        :raises InvalidRequest: no cluster is given, and the user has no default one.
        """
        tenant = "" if self._tenant == SYSTEM else self._entered().get("tenant_uuid") or ""
        with self._entering:
            if not self._cluster:
                self._cluster = self._find_cluster()
            return {"cluster_uuid": self._cluster, "tenant": tenant}

    def _find_cluster(self) -> str:
        wanted = self._options.get("cluster") or self._entered().get("default_cluster_uuid")
        if not wanted:
            raise InvalidRequest("Backend vsd needs a cluster: this user has no default one.", advice="Give cluster.")
        if UUID.fullmatch(wanted.lower()):
            return wanted.lower()
        rows = self.rows("/v1/cluster/list", "list", itemgetter("cluster_uuid"), filter_name="")
        found = [row["cluster_uuid"] for row in rows if row["cluster_name"] == wanted]
        if len(found) > 1:
            raise Ambiguous(f"{len(found)} clusters are named '{wanted}': {', '.join(found)}.", advice="Give the uuid.")
        if not found:
            known = ", ".join(sorted(row["cluster_name"] for row in rows)) or "none"
            raise NotFound(f"There is no cluster '{wanted}'.", advice=f"There are: {known}. A uuid will do as well.")
        return found[0]

    # --- questions and changes

    def get(self, path: str, **query: Any) -> Any:
        """The data of an answer.

        :raises TransportError: no answer came within half a minute.
        """
        return self._http.repeat(lambda: self._request("GET", path, query, None, READ_TIMEOUT))

    def post(self, path: str, body: Mapping[str, Any], read_timeout: float = READ_TIMEOUT) -> Any:
        """The data of an answer; what stands inside of a batch is for the caller to look at.

        :param read_timeout: seconds; many changes are answered only when they are done.
        """
        return self._request("POST", path, None, body, max(READ_TIMEOUT, read_timeout))

    def rows(
        self, path: str, key: str, identity: Callable[[Mapping[str, Any]], str], **query: Any
    ) -> Sequence[Mapping[str, Any]]:
        """All rows of a list: in one answer, and in pages of a server that gives fewer at once.

        :param key: the name of the list.
        :param identity: what tells rows apart.
        :raises BackendError: not all can be told.
        """
        rows, total = self._page(path, key, 0, 0, query)
        if len(rows) >= total:
            return rows
        known: dict[str, Mapping[str, Any]] = {}
        for number in itertools.count():
            rows, total = self._page(path, key, number, PAGE, query)
            before = len(known)
            known.update((identity(row), row) for row in rows)
            if len(known) >= total:
                break
            if len(known) == before:
                raise BackendError(
                    f"GET {path}: it has {total} rows, but only {before} are told.",
                    advice="Run the task again: the list may have changed meanwhile.",
                )
        return list(known.values())

    def _page(
        self, path: str, key: str, number: int, size: int, query: Mapping[str, Any]
    ) -> tuple[Sequence[Mapping[str, Any]], int]:
        """The rows of a page, and how many there are in all; a size of 0 asks for everything.

        The documents name the page in two ways, ``page_number`` in the tables and ``page_num`` in the examples: both
        are sent, always with the same value.
        """
        told = self.get(path, **query, page_number=number, page_num=number, page_size=size) or {}
        for part in told.get("each_range_list_state") or []:
            error = refusal(f"GET {path}: cluster {part.get('cluster_name')}", part.get("result"))
            if error is not None:
                raise error
        return told.get(key) or [], int(told.get("total_count") or 0)

    # --- one request

    def _request(self, method: str, path: str, query: Any, body: Any, read_timeout: float) -> Any:
        login = self._entered()
        try:
            data = self._send(method, path, login["token"], query, body, read_timeout)
        except BackendError as error:
            if not _is_of_session(error):
                raise
            if not self._may_be_expired(login):
                raise AuthenticationFailed(
                    error.message,
                    advice="Check the token, and whether the platform wants authorization: plain.",
                    **error.facts,
                ) from error
            login = self._entered(after=login)
            data = self._send(method, path, login["token"], query, body, read_timeout)
        self._proven = login
        return data

    def _may_be_expired(self, login: Mapping[str, Any]) -> bool:
        """Whether logging in once more may help. The platform locks users out, so a login is not simply repeated."""
        return not self._options.get("token_secret") and (self._proven is login or self._login is not login)

    def _entered(self, after: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """What the login told; all threads share one.

        :param after: the login that is not good any more.
        """
        with self._entering:
            if not self._login or self._login is after:
                self._login = self._enter()
            return self._login

    def _enter(self) -> Mapping[str, Any]:
        """
        :raises InvalidRequest: there is neither a token nor a password.
        :raises AuthenticationFailed: they are refused.
        """
        options = self._options
        if options.get("token_secret"):
            is_uuid = UUID.fullmatch(self._tenant)
            return {"token": options["token_secret"], "tenant_uuid": self._tenant if is_uuid else ""}
        if not options.get("username") or not options.get("password"):
            raise InvalidRequest(
                "Backend vsd needs credentials.", advice="Give username and password, or a token as token_secret."
            )
        body = {
            "tenant": self._tenant,
            "user": options["username"],
            "password": hashed(options["password"]),
            "is_ldap": False,
        }
        try:
            told = self._send("POST", LOGIN, "", None, body, READ_TIMEOUT)
        except BackendError as error:
            if "code" not in error.facts:
                raise
            raise AuthenticationFailed(
                error.message,
                advice="Check tenant, username and password. After some failures the platform locks the user.",
                code=error.facts["code"],
            ) from error
        if not isinstance(told, Mapping) or not told.get("token"):
            raise BackendError(f"POST {LOGIN}: the answer has no token.", advice="Check that url is that of TopHC.")
        return told

    def _send(self, method: str, path: str, token: str, query: Any, body: Any, read_timeout: float) -> Any:
        headers = {"Accept": "application/json"}
        if token:
            is_plain = self._options.get("authorization") == "plain"
            headers["Authorization"] = token if is_plain else f"Bearer {token}"
        answer = self._http.send(method, path, headers=headers, query=query, body=body, read_timeout=read_timeout)
        if answer.status != 200:
            raise _of_status(answer)
        told = answer.json()
        error = refusal(answer.what, told)
        if error is not None:
            raise error
        return told.get("data")


def _is_of_session(error: BackendError) -> bool:
    """Whether a refusal is about who asks. No code is documented for that, so its words decide."""
    return error.facts.get("status") == 401 or bool(_OF_SESSIONS.search(error.message.partition(": ")[2]))


def hashed(password: str) -> str:
    """What a login sends: the MD5 of the password in hexadecimal, or the one that is given as ``md5:...``."""
    if password.startswith("md5:"):
        return password[len("md5:") :].lower()
    digest = hashlib.new("md5", usedforsecurity=False)
    digest.update(password.encode())
    return digest.hexdigest()


def refusal(what: str, told: Any) -> BackendError | None:
    """The error that an envelope tells, in both of its languages; None where it tells success.

    Older pages of the documents have ``status_code`` for ``scode``, and ``message_en`` for ``message``. The ``stack``
    is left out: it is of the server's inside.

    :param what: the request, for the message.
    """
    told = told if isinstance(told, Mapping) else {}
    code = told.get("scode", told.get("status_code"))
    if isinstance(code, bool) or not str(code).lstrip("-").isdigit():
        return BackendError(f"{what}: the answer has no code.", advice="Check that url is that of TopHC.")
    if int(code) == 0:
        return None
    names = ("message", "message_en", "message_cn", "messageCn", "desc")
    texts = dict.fromkeys(str(told[name]).strip().rstrip(".") for name in names if told.get(name))
    return BackendError(f"{what}: code {code}: {' / '.join(texts) or 'no reason is told'}.", code=int(code))


def _of_status(answer: Answer) -> Error:
    message = f"{answer.what}: HTTP status {answer.status}."
    if answer.status in _GATEWAY:
        return TransportError(message, advice="Check that the platform is up.", status=answer.status)
    if answer.status == 404:
        advice = "The platform does not know this path: check url, and the version of TopHC."
        return BackendError(message, advice=advice, status=answer.status)
    return BackendError(message, advice="Check that url is that of TopHC.", status=answer.status)
