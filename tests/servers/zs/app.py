# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a request to a reply, in the order of the real server's checks: path, action key, who, parameters, job id."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from ..http import Reply, Request
from . import (
    clone,
    console,
    create,
    devices,
    guest,
    images,
    login,
    longjobs,
    migrate,
    nics,
    power,
    query,
    snapshot_groups,
    snapshots,
    tags,
    update,
    volumes,
    zql,
)
from .access import Caller
from .arguments import Arguments
from .contract import Api
from .errors import ApiError, TextError
from .routes import ROUTES, Call, work
from .state import Cloud

# Imported for what they register.
__all__ = [
    "clone", "console", "create", "devices", "guest", "images", "login", "longjobs", "migrate", "nics", "power",
    "query", "snapshot_groups", "snapshots", "tags", "update", "volumes", "zql",
]  # fmt: skip
# They are no GET, and yet change nothing.
_HARMLESS = re.compile(r"Log(in|In|Out).*|GetVersion|GetCurrentTime|GetVolumeSnapshotSize|RenewSession")


@dataclass
class Asked:
    """What a request asks for, as far as its text tells. error: what the HTTP layer finds wrong with it."""

    path: str
    api: Api | None = None
    values: dict[str, str] = field(default_factory=dict)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    body: Any = None
    error: TextError | None = None
    write: bool = False
    shown: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    job: str = ""


def text_reply(status: int, text: str) -> Reply:
    return Reply(status, "-", body=text.encode())


def json_reply(status: int, body: dict[str, Any], empty: str = "{}") -> Reply:
    """empty: the text of a body without anything in it."""
    return Reply(status, "-", body=(json.dumps(body) if body else empty).encode())


def failure(error: ApiError) -> Reply:
    return json_reply(503, {"error": error.row()})


class Entry:
    """The REST front end. context: the context path; location: what a 202 names as the way to the job.

    empty: what an answer is that says nothing: "{}"; older servers send an empty text.
    """

    def __init__(self, cloud: Cloud, context: str, location: str, empty: str = "{}") -> None:
        self.cloud = cloud
        self.context = context
        self.location = location
        self.empty = empty
        self.complaints: list[str] = []

    # -- reading ------------------------------------------------------------------------------------------------------

    def read(self, request: Request) -> Asked:
        """Needs no lock, and raises nothing: what is wrong is kept for answer()."""
        raw, _mark, text = request.target.partition("?")
        path = unquote(raw)
        inside = path.removeprefix(self.context)
        asked = Asked(inside.removeprefix("/v1"), pairs=parse_qsl(text, keep_blank_values=True))
        asked.write = request.method != "GET"
        try:
            if not (path.startswith(self.context) and inside.startswith("/v1/")):
                raise TextError(404, f"no api mapping to {path}")
            asked.body = self._body(request)
            asked.api, asked.values = self._api(request, asked)
            asked.write = asked.write and not _HARMLESS.fullmatch(asked.api.name)
            asked.shown, asked.tags = Arguments(asked.api, self.cloud.product).show(asked)
        except TextError as exc:
            asked.error = exc
        return asked

    @staticmethod
    def _body(request: Request) -> Any:
        if not request.body.strip():
            return None
        try:
            return json.loads(request.body)
        except ValueError as exc:
            raise TextError(500, f"malformed JSON: {exc}") from None

    def _api(self, request: Request, asked: Asked) -> tuple[Api, dict[str, str]]:
        by_verb = self.cloud.contract.find(asked.path)
        if not by_verb:
            raise TextError(404, f"no api mapping to {asked.path}")
        entries = by_verb.get(request.method)
        if not entries:
            raise TextError(405, f"the method[{request.method}] is not allowed for the path {asked.path}")
        if len(entries) == 1:
            return entries[0]
        if asked.body is None:
            raise TextError(500, "null")
        for api, values in entries:
            if isinstance(asked.body, dict) and api.key in asked.body:
                return api, values
        raise TextError(400, f"the body doesn't contain action mapping to the URL[{asked.path}]")

    # -- answering ----------------------------------------------------------------------------------------------------

    def answer(self, request: Request, asked: Asked) -> Reply:
        """The caller holds the lock."""
        try:
            if asked.error:
                raise asked.error
            assert asked.api
            if asked.api.name == "QueryApiJob":
                return self._poll(asked.values["uuid"])
            return self._call(request, asked, asked.api)
        except TextError as exc:
            return text_reply(exc.status, exc.text)
        except ApiError as exc:
            return failure(exc)

    def _call(self, request: Request, asked: Asked, api: Api) -> Reply:
        cloud, caller = self.cloud, Caller()
        if api.authenticated:
            signed = unquote(request.target.partition("?")[0]).removeprefix(self.context)
            caller = cloud.access.identify(request.method, request.headers, signed)
        arguments = Arguments(api, cloud.product)
        params = arguments.convert(asked)
        top, user_tags = arguments.tags(asked, "systemTags"), arguments.tags(asked, "userTags")
        self.complaints += arguments.complaints
        job_id, seconds = self._job_headers(request, api)
        call = Call(cloud, api, params, top, user_tags, caller)
        if not api.asynchronous:
            return json_reply(200, {**work(call), **self._schema(request, api)}, self.empty)
        asked.job = job_id or cloud.new_uuid()
        cloud.jobs.spawn(asked.job, api.name, call.lock(), lambda: work(call))
        location = f"{self.location}{self.context}/v1/api-jobs/{asked.job}"
        return json_reply(202, {"location": location, "apiTimeout": seconds * 1000})

    @staticmethod
    def _schema(request: Request, api: Api) -> dict[str, Any]:
        """Queries tell the class of each part; other answers when they are asked to."""
        if not api.query and "x-json-schema" not in request.headers:
            return {}
        kind = api.name.removeprefix("Query") if api.query else api.name
        return {"schema": {"inventories[0]" if api.query else "inventory": f"org.zstack.{kind}Inventory"}}

    def _job_headers(self, request: Request, api: Api) -> tuple[str, int]:
        """The id that the client chose for the job, and the job's timeout in seconds."""
        uuid = request.headers.get("x-job-uuid", "")
        if "x-job-uuid" in request.headers and len(uuid) != 32:
            raise TextError(400, f"Invalid header[X-Job-UUID], it must be a UUID with '-' stripped, {uuid}")
        if uuid in self.cloud.jobs.by_uuid and request.method in ("POST", "PUT", "DELETE"):
            raise TextError(400, f"Duplicate job uuid[{uuid}]")
        seconds = request.headers.get("x-api-timeout", str(api.timeout))
        if not seconds.isdigit():
            raise TextError(400, f"Invalid header[X-API-Timeout], {seconds} is no number of seconds")
        return uuid, int(seconds)

    def _poll(self, uuid: str) -> Reply:
        job = self.cloud.jobs.poll(uuid)
        if job is None:
            return json_reply(202, {}, self.empty)
        if job.error:
            return failure(job.error)
        return json_reply(200, job.result or {}, self.empty)


def simulated(api: Api) -> bool:
    return api.name == "QueryApiJob" or api.name in ROUTES
