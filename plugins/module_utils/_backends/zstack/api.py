# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to a ZStack management node: sessions, what may be repeated, and jobs.

The server's source decides, not its documentation: the parameters of an action are wrapped in its name, in its exact
case, and nearly every write is a job, whatever the documentation calls it. See test_wire.py.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Optional, TypeVar
from urllib.parse import urlsplit

from ..._errors import BackendError, Error, TransportError
from ..._http import Http
from . import sessions
from .answers import SessionEnded, error_of, error_of_status
from .times import seconds_of

T = TypeVar("T")

DEFAULT_PORT = 8080
LIMIT = 1000
"""The most rows that the server tells in one answer unless it is asked for more."""


@dataclass(frozen=True)
class Job:
    """What the server tells of a job.

    :param state: running, succeeded, failed or unknown. It forgets what was over three hours after it began.
    :param error: the ErrorCode of one that failed.
    """

    state: str
    result: Optional[Mapping[str, Any]] = None  # noqa: UP045 - evaluated by dataclasses on Python 3.9
    error: Optional[Mapping[str, Any]] = None  # noqa: UP045


class Api:
    """One session with a management node, over the first of its endpoints that answers.

    Reads are repeated, on the next endpoint, when an answer is lost. A write bears a job id of ours, so that it can be
    sent once more without being done twice. A session that has ended is replaced.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        urls = [_api_at(url) for url in options.get("url") or []]
        self._http = Http("zstack", {**options, "url": urls}, "https://zstack.example.com:8080")
        self._sessions: list[str] = []
        self._stays_open = False
        self._done: dict[str, Job] = {}
        self._logging_in = threading.Lock()
        self._wall: int | None = None

    # --- reading

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """What a query or another question is answered.

        :raises NotFound, InvalidRequest, PermissionDenied, Conflict, BackendError: what the server says.
        :raises TransportError: no endpoint answered within half a minute.
        """
        return self._http.repeat(lambda: _expected(f"GET {path}", *self._authorised("GET", path, query=params)))

    def zql(self, *statements: str) -> list[list[dict[str, Any]]]:
        """The rows of each statement. In ZQL a value is quoted; in plain queries it may look like an operator.

        :raises Error: as ``get``.
        """
        results = self.get("/zql", zql="; ".join(statements))["results"]
        return [result.get("inventories") or [] for result in results]

    def all(self, statement: str) -> list[dict[str, Any]]:
        """The rows of one statement, however many there are."""
        rows: list[dict[str, Any]] = []
        while True:
            (page,) = self.zql(f"{statement} order by uuid asc limit {LIMIT} offset {len(rows)}")
            rows += page
            if len(page) < LIMIT:
                return rows

    # --- writing

    def write(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        job: str = "",
    ) -> str:
        """Send a write and give back the id of its job.

        :param body: a POST's or an action's, whole; a DELETE has ``params``.
        :param job: an id to send it under; one that the server knows already means that it was sent before.
        :raises TransportError: no answer came, twice: whether it was done is not known.
        """
        job = job or uuid.uuid4().hex
        try:
            return self._submit(method, path, body, params, job)
        except TransportError:
            with suppress(TransportError):
                return self._submit(method, path, body, params, job)
            return self._settle(f"{method} {path}", job)

    def _submit(
        self, method: str, path: str, body: Mapping[str, Any] | None, params: Mapping[str, Any] | None, job: str
    ) -> str:
        headers = {"X-Job-UUID": job}
        status, answer, text = self._authorised(method, path, body=body, query=params, headers=headers)
        if status == 400 and "Duplicate job uuid" in text:
            return job
        told = _expected(f"{method} {path}", status, answer, text)
        if status == 200:
            # done at once, as the documentation has it: nobody can ask for it later
            self._done[job] = Job("succeeded", result=told)
            return job
        # the location names a host that may be unreachable from here, so only the id is taken from it
        return str(told["location"]).rstrip("/").rpartition("/")[2]

    def _settle(self, what: str, job: str) -> str:
        """After two lost answers: the server knows the job, or it never came.

        :raises TransportError: it never came, or nobody can be asked.
        """
        try:
            state = self.job(job).state
        except TransportError as error:
            error.advice = f"It is not known whether job {job} began: ask anyvirt.compute.task_wait."
            raise
        if state == "unknown":
            raise TransportError(f"{what}: no answer, twice.", advice="Nothing was done. Run the task again.")
        return job

    def job(self, job: str) -> Job:
        """What has become of a job; nobody has to be logged in for that.

        :raises TransportError: no endpoint answered within half a minute.
        """
        if job in self._done:
            return self._done[job]
        path = f"/api-jobs/{job}"
        return self._http.repeat(lambda: _job_of(f"GET {path}", *self._exchange("GET", path)))

    # --- the session

    @property
    def server_offset(self) -> int:
        """Seconds that the server's clock on the wall is ahead of UTC, as a login told it, in quarters of an hour."""
        if self._wall is None:
            self._wall = sessions.utc_offset(self._options.get("server_timezone"))
        return self._wall

    @property
    def host(self) -> str:
        """That of the endpoint that is used now."""
        return urlsplit(self._http.endpoint).hostname or ""

    def keep_session(self, session: str) -> None:
        """Do not log out, if that would end this session: what is bound to it shall outlive the run."""
        self._stays_open = self._stays_open or session in self._sessions

    def close(self) -> None:
        """Log out. It never hides what came before."""
        for session in [] if self._stays_open else self._sessions[::-1]:
            with suppress(Error):
                self._exchange("DELETE", f"/accounts/sessions/{session}")
        self._sessions.clear()
        self._http.close()

    @property
    def _has_key(self) -> bool:
        return bool(self._options.get("access_key_id") and self._options.get("access_key_secret"))

    def _authorised(self, method: str, path: str, **request: Any) -> tuple[int, Any, str]:
        if self._has_key:
            return self._exchange(method, path, **request)
        used = self._session()
        try:
            return _with_session(method, path, self._exchange(method, path, session=used, **request))
        except SessionEnded:
            # nothing was done
            self._forget(used)
            return self._exchange(method, path, session=self._session(), **request)

    def _session(self) -> str:
        """The session that all threads share."""
        with self._logging_in:
            if not self._sessions:
                self._log_in()
            return self._sessions[-1]

    def renew(self) -> None:
        """Log in anew with the next request."""
        self._forget(self._sessions[-1] if self._sessions else "")

    def _forget(self, used: str) -> None:
        with self._logging_in:
            if self._sessions and self._sessions[-1] == used:
                self._sessions.clear()

    def _log_in(self) -> None:
        path, key, parameters = sessions.login_of(self._options)
        body: dict[str, Any] = {key: parameters}
        told = self._http.repeat(lambda: _expected(f"PUT {path}", *self._exchange("PUT", path, body=body)))["inventory"]
        self._sessions.append(told["uuid"])
        begun = seconds_of(told.get("createDate"), 0)
        if begun is not None:
            self._wall = round((begun - time.time()) / 900) * 900
        project = self._options.get("project")
        if project:
            path = "/iam2/projects/login"
            body = {"loginIAM2Project": {"projectName": project}}
            answer = self._exchange("PUT", path, session=told["uuid"], body=body)
            self._sessions.append(_expected(f"PUT {path}", *answer)["inventory"]["uuid"])

    # --- one exchange

    def _exchange(
        self,
        method: str,
        path: str,
        *,
        session: str = "",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
    ) -> tuple[int, Any, str]:
        """Status, JSON or None, and text of one answer."""
        sent = dict(headers or {})
        if session:
            sent["Authorization"] = f"OAuth {session}"
        elif self._has_key:
            sent.update(sessions.signed(self._options, method, f"/v1{path}", time.time()))
        told = self._http.send(method, path, headers=sent, query=query or None, body=body)
        try:
            answer = json.loads(told.text) if told.text.lstrip().startswith("{") else None
        except ValueError:
            answer = None
        return told.status, answer, told.text


def _api_at(url: str) -> str:
    """Where paths of the API begin, up to ``/v1``. What cannot be read is left as it is, to be told when it is used."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        port = parts.port or DEFAULT_PORT
    except ValueError:
        return url
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    path = parts.path.rstrip("/") or "/zstack"
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
        return url
    return f"{parts.scheme}://{host}:{port}{path if path.endswith('/v1') else path + '/v1'}"


def _with_session(method: str, path: str, answer: tuple[int, Any, str]) -> tuple[int, Any, str]:
    """
    :raises SessionEnded: that is what the answer says.
    """
    status, told, _text = answer
    if status == 503 and isinstance(told, dict) and "error" in told:
        error = error_of(f"{method} {path}", told["error"])
        if isinstance(error, SessionEnded):
            raise error
    return answer


def _job_of(what: str, status: int, answer: Any, text: str) -> Job:
    """
    :raises TransportError: the management node is not ready to tell.
    """
    if status == 404:
        return Job("unknown")
    error = answer.get("error") if status == 503 and isinstance(answer, dict) else None
    if error and error.get("code") != "SYS.1010":
        return Job("failed", error=error)
    result = _expected(what, status, answer, text)
    return Job("running") if status == 202 else Job("succeeded", result=result)


def _expected(what: str, status: int, answer: Any, text: str) -> dict[str, Any]:
    """The answer, where it is a success.

    :raises Error: what else it says.
    """
    if status in (200, 202):
        if not isinstance(answer, dict):
            raise BackendError(f"{what}: the answer is no JSON.", advice="Check that url is that of ZStack's API.")
        return answer
    if status == 503 and isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        raise error_of(what, answer["error"])
    raise error_of_status(what, status, text)


def quoted(value: str) -> str:
    """A text in ZQL, whose strings have no escapes. With both kinds of quotes it needs ``like``: see ``equals``."""
    return f"'{value}'" if "'" not in value else f'"{value}"'


def equals(field: str, values: Sequence[str]) -> str:
    """A condition. The data base compares without case, so whoever asks looks at the rows again."""
    if len(values) > 1:
        return f"{field} in ({', '.join(quoted(value) for value in values)})"
    (value,) = values
    if "'" in value and '"' in value:
        # an underscore stands for any character
        return f"{field} like {quoted(value.replace(chr(34), '_'))}"
    return f"{field} = {quoted(value)}"
