# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a request to an answer: route, who, parameters, and the envelope around whatever comes of it."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from ..http import Reply, Request
from . import computes, snapshots
from .routes import ROUTES, Call, Route, handles
from .state import ApiError, Platform

# Imported for what they register.
__all__ = ["computes", "snapshots"]

_LOGIN = "/v1/authentication/login"
_STACK = ["host:10.0.0.1,pid:4242,module:center,filename:INTERNALS.go,func:Run,line:1"]
_MOST_FAILURES = 3


@dataclass
class Logged:
    """One request as the log keeps it. scode: of the envelope; status 0 and scode None: there was no answer."""

    method: str
    path: str
    params: dict[str, Any]
    write: bool
    status: int
    scode: int | None
    connection: int


@dataclass
class Fault:
    """What goes wrong with requests that match.

    kind: "lost" (done, but the connection closes without an answer), "dropped" (closed before anything is done), an
    HTTP status, or "scode" (an error with the text message).
    then: what happens after the request, before its answer.
    """

    kind: str | int
    path: str = ""
    times: int = 1
    message: str = "a fault of the test"
    message_cn: str = "测试故障"
    then: Callable[[], None] | None = None


class Entry:
    """The front end, with all the ways in which it may differ from one release to the next."""

    def __init__(self, platform: Platform, latency: float, read_only: bool, **manners: Any) -> None:
        self.platform = platform
        self.latency = latency
        self.read_only = read_only
        self.page_parameter: str = manners.pop("page_parameter", "page_num")
        self.page_limit: int = manners.pop("page_limit", 0)
        self.code_name: str = manners.pop("code_name", "scode")
        self.tells_rollback: bool = manners.pop("tells_rollback", False)
        self.tells_details: bool = manners.pop("tells_details", False)
        self.tells_memory: bool = manners.pop("tells_memory", True)
        self.wants_power_off: bool = manners.pop("wants_power_off", True)
        assert not manners, manners
        self.fails_migrations = False
        self.lost_clones: set[str] = set()
        self.broken: dict[str, ApiError] = {}
        """Clusters whose list fails, inside of an outer success."""
        self.faults: list[Fault] = []
        self.log: list[Logged] = []
        self.journal: Callable[[Logged], None] | None = None
        """Is told of each request before its answer goes out."""
        self.refused: list[str] = []
        self.complaints: list[str] = []

    # -- envelopes ----------------------------------------------------------------------------------------------------

    def envelope(self, data: Any, error: ApiError | None = None) -> dict[str, Any]:
        english = "message" if self.code_name == "scode" else "message_en"
        if error is None:
            told = {self.code_name: 0, "desc": "", english: "success", "message_cn": "成功", "stack": None}
        else:
            told = {self.code_name: error.code, "desc": error.desc, english: error.message}
            told.update(message_cn=error.message_cn, stack=_STACK)
        return {**told, "data": data}

    def batch(self, results: list[dict[str, Any]]) -> dict[str, Any]:
        fail = sum(1 for one in results if one[self.code_name])
        return {"success": len(results) - fail, "fail": fail, "results": results}

    # -- answering ----------------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        if self.latency:
            time.sleep(self.latency)
        path, _mark, text = request.target.partition("?")
        with self.platform.lock:
            route = ROUTES.get((request.method, path))
            params = self._params(request, text)
            fault = self._fault(path)
            reply, scode = self._reply(request, path, route, params, fault)
            if fault and fault.then:
                fault.then()
            is_write = route is not None and route.is_write
            status = 0 if reply.drop else reply.status
            self.log.append(Logged(request.method, path, params, is_write, status, scode, request.connection))
            if self.journal:
                self.journal(self.log[-1])
        return reply

    @staticmethod
    def _params(request: Request, text: str) -> dict[str, Any]:
        if request.method == "GET":
            return dict(parse_qsl(text, keep_blank_values=True))
        body = json.loads(request.body) if request.body.strip() else {}
        return body if isinstance(body, dict) else {}

    def _fault(self, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None

    def _reply(
        self, request: Request, path: str, route: Route | None, params: dict[str, Any], fault: Fault | None
    ) -> tuple[Reply, int | None]:
        kind = fault.kind if fault else None
        if kind == "dropped":
            return Reply(drop=True), None
        if isinstance(kind, int):
            return Reply(kind, "-", body=b"<html>a fault of the test</html>"), None
        if route is None:
            return Reply(404, "Not Found", body=b"404 page not found"), None
        try:
            if fault and kind == "scode":
                raise ApiError(29999, fault.message, fault.message_cn)
            told = self.envelope(self._data(request, path, route, params))
        except ApiError as error:
            told = self.envelope({}, error)
        body = json.dumps(told, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8"}
        return Reply(headers=headers, body=body, drop=kind == "lost"), told[self.code_name]

    def _data(self, request: Request, path: str, route: Route, params: dict[str, Any]) -> Any:
        user = "" if path == _LOGIN else self._user(request)
        unknown = route.check(params, is_query=request.method == "GET")
        self.complaints += [f"{path}: unknown parameter '{name}'" for name in unknown]
        if self.read_only and route.is_write:
            self.refused.append(path)
            raise ApiError(29998, "this test server is read-only", "测试服务器只读", path)
        return route.answer(Call(self.platform, self, params, user))

    def _user(self, request: Request) -> str:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.platform.tokens:
            raise ApiError(10104, "token is invalid or expired", "令牌无效或已过期")
        return self.platform.tokens[token]


@handles("POST", "authentication/login", "tenant* user* password* is_ldap:bool", write=False)
def login(call: Call) -> Any:
    platform, user, tenant = call.platform, call.params["user"], call.params["tenant"]
    if platform.failures.get(user, 0) >= _MOST_FAILURES:
        raise ApiError(10103, "user is locked", "用户已锁定", user)
    if platform.users.get((tenant, user)) != call.params["password"]:
        platform.failures[user] = platform.failures.get(user, 0) + 1
        raise ApiError(10101, "user name or password is wrong", "用户名或密码错误", user)
    token = secrets.token_hex(16)
    platform.tokens[token] = user
    uuid = next((uuid for uuid, name in platform.tenants.items() if name == tenant), "")
    return {
        "token": token, "user_role": "admin" if user in platform.admins else "user", "user_uuid": "u",
        "user_name": user,
        "ldap_enabled": False, "tenant_uuid": uuid, "default_cluster_uuid": next(iter(platform.clusters)),
        "is_deploy_mode": False,
    }  # fmt: skip


@handles("POST", "authentication/logout", "", write=False)
def logout(call: Call) -> Any:
    return ""
