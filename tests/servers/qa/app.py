# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a request to a reply, in either dialect."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from ..http import Reply, Request
from .documented import Documented
from .snapshots import Snapshots
from .voidvm import VoidVm
from .world import ApiError, HtmlError, World

_SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|DROP|CREATE|ALTER|EXEC|UNION|SCRIPT)\b", re.IGNORECASE)


@dataclass
class Asked:
    """What a request asks for. endpoint: its route as the document writes it, empty where there is none."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    endpoint: str = ""
    values: tuple[str, ...] = ()
    error: HtmlError | ApiError | None = None

    @property
    def write(self) -> bool:
        return self.method != "GET"


Work = Callable[..., Any]


def json_reply(status: int, body: Any) -> Reply:
    return Reply(status, "-", {"Content-Type": "application/json; charset=utf-8"}, json.dumps(body).encode())


def html_reply(error: HtmlError) -> Reply:
    text = f"<!DOCTYPE html>\n<html>\n<body>\n<pre>{html.escape(error.text)}</pre>\n</body>\n</html>\n"
    return Reply(error.status, "-", {"Content-Type": "text/html; charset=utf-8"}, text.encode())


class App:
    """What both dialects share: routes, JSON bodies, and the way from a failure to a reply."""

    def __init__(self, world: World, routes: dict[str, Work]) -> None:
        self.world = world
        self.routes = {route: (re.compile(self._pattern(route)), work) for route, work in routes.items()}

    @staticmethod
    def _pattern(route: str) -> str:
        return re.sub(r"\{\w+\}", "([^/]+)", re.escape(route).replace(r"\{", "{").replace(r"\}", "}"))

    def read(self, request: Request) -> Asked:
        raw, _mark, text = request.target.partition("?")
        asked = Asked(request.method, raw, dict(parse_qsl(text)))
        for route, (pattern, _work) in self.routes.items():
            match = pattern.fullmatch(f"{request.method} {raw}")
            if match:
                asked.endpoint, asked.values = route, tuple(unquote(value) for value in match.groups())
        if request.body and "json" in request.headers.get("content-type", ""):
            try:
                asked.body = json.loads(request.body)
            except ValueError as error:
                asked.error = HtmlError(400, f"SyntaxError: {error}")
        return asked

    def answer(self, asked: Asked) -> Reply:
        with self.world.lock:
            try:
                if asked.error:
                    raise asked.error
                return self._done(asked)
            except ApiError as error:
                return json_reply(error.status, self.error_body(error, asked))
            except HtmlError as error:
                return html_reply(error)

    def _done(self, asked: Asked) -> Reply:
        if not asked.endpoint:
            raise self.unknown_route(asked)
        _pattern, work = self.routes[asked.endpoint]
        inputs = [asked.body] if asked.method != "GET" else []
        told = work(asked, *asked.values, *inputs)
        return json_reply(*told) if isinstance(told, tuple) else json_reply(200, told)

    def unknown_route(self, asked: Asked) -> Exception:
        return HtmlError(404, f"Cannot {asked.method} {asked.path}")

    def error_body(self, error: ApiError, asked: Asked) -> dict[str, Any]:
        raise NotImplementedError


class DocumentedApp(App):
    """The ten endpoints of the document.

    config_paths: where the configuration is written: "literal" as the document has it, without /api, "api", or "both".
    error_shape: of the body of an error, which the document does not tell: "flat" or "nested".
    """

    def __init__(self, vms: Documented, config_paths: str, error_shape: str) -> None:
        self.error_shape = error_shape
        routes: dict[str, Work] = {
            "GET /api/vms": lambda _asked: vms.list(),
            "POST /api/vms": lambda _asked, body: vms.create(body or {}),
            "DELETE /api/vms/{name}": lambda _asked, name, body: vms.delete(name, body),
            "POST /api/vms/{name}/start": lambda _asked, name, body: vms.start(name, body),
            "POST /api/vms/{name}/stop": lambda _asked, name, body: vms.stop(name, body),
            "POST /api/vms/{name}/restart": lambda _asked, name, body: vms.restart(name, body),
            "POST /api/vms/{name}/toggleMountIso": lambda _asked, name, body: vms.mount_iso(name, body or {}),
            "POST /api/novnc": lambda _asked, body: vms.console(body or {}),
            "POST /api/novnc/{name}": lambda _asked, name, body: vms.console(body or {}, name),
        }
        for prefix, kind in (("", "literal"), ("/api", "api")):
            if config_paths in (kind, "both"):
                routes[f"PUT {prefix}/vms/{{name}}/config"] = lambda _asked, name, body: vms.configure(name, body or {})
        super().__init__(vms.world, routes)

    def error_body(self, error: ApiError, asked: Asked) -> dict[str, Any]:
        told = {"code": error.code, "message": error.text}
        if self.error_shape == "nested":
            return {"success": False, "error": told}
        return {"success": False, **told, "error": error.text}


class VoidVmApp(App):
    def __init__(self, vms: VoidVm) -> None:
        snapshots = Snapshots(vms)
        routes: dict[str, Work] = {
            "GET /api/vms": lambda _asked: vms.list(),
            "GET /api/isos": lambda _asked: vms.isos(),
            "POST /api/vms": lambda _asked, body: vms.create(self._body(body, 400, "vmName")),
            "DELETE /api/vms/{name}": lambda _asked, name, body: vms.delete(name, body),
            "PUT /api/vms/{name}/config": lambda _asked, name, body: vms.configure(name, body or {}),
            "POST /api/vms/{name}/start": lambda _asked, name, body: vms.start(name, self._body(body, 404, "config")),
            "POST /api/vms/{name}/stop": lambda _asked, name, body: vms.stop(name, self._body(body, 404, "metadata")),
            "POST /api/vms/{name}/restart": lambda _asked, name, body: vms.restart(
                name, self._body(body, 404, "metadata")
            ),
            "POST /api/vms/{name}/toggleMountIso": lambda _asked, name, body: vms.mount_iso(name, body or {}),
            "POST /api/novnc": lambda _asked, body: vms.console(self._body(body, 400, "vncPort")),
            "POST /api/novnc/{name}": lambda _asked, _name, body: vms.console(self._body(body, 400, "vncPort")),
            "POST /api/snapshots/create": lambda _asked, body: snapshots.create(body or {}),
            "POST /api/snapshots/load": lambda _asked, body: snapshots.load(body or {}),
            "GET /api/snapshots/{vm}": lambda asked, vm: snapshots.list(vm, asked.query),
            "GET /api/snapshots/{vm}/{name}": lambda _asked, vm, name: snapshots.get(vm, name),
            "DELETE /api/snapshots/{vm}/{name}": lambda _asked, vm, name, _body: snapshots.delete(vm, name),
            "PUT /api/snapshots/{vm}/{name}/rename": lambda _asked, vm, name, body: snapshots.rename(
                vm, name, body or {}
            ),
        }
        super().__init__(vms.world, routes)

    @staticmethod
    def _body(body: Any, status: int, first: str) -> Any:
        if body is None:
            text = f"Cannot destructure property '{first}' of 'req.body' as it is undefined."
            raise ApiError(status, "", text)
        return body

    def answer(self, asked: Asked) -> Reply:
        if any(_SQL.search(value) for value in asked.query.values()):
            return json_reply(400, {"error": "检测到潜在的 SQL 注入攻击"})
        return super().answer(asked)

    def error_body(self, error: ApiError, asked: Asked) -> dict[str, Any]:
        tells = "toggleMountIso" in asked.endpoint or "/snapshots/" in asked.endpoint
        return {**({"success": False} if tells else {}), "error": error.text}
