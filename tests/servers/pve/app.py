# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a request to a reply: formatting, who, what, may they, with which parameters, on which node."""

from __future__ import annotations

import functools
import gzip
import json
import posixpath
import re
from typing import Any
from urllib.parse import parse_qsl

from ..http import Reply, Request
from . import access, agent, clone, cloudinit, console, disks, migrate, pools, snapshots, storage_api, task_api
from .auth import Caller
from .errors import ApiError, EmptyError, PlainError, permission_error
from .routes import ROUTES, Answer, Call
from .schema import Method
from .state import REASONS, Cluster

# Imported for what they register.
__all__ = [
    "access", "agent", "clone", "cloudinit", "console", "disks", "migrate", "pools", "snapshots", "storage_api",
    "task_api",
]  # fmt: skip
_JSON = {"Content-Type": "application/json;charset=UTF-8"}
_HEADERS = {"Cache-Control": "max-age=0", "Pragma": "no-cache", "Server": "pve-api-daemon/3.0"}
_FORM = "application/x-www-form-urlencoded"
_PLACE = re.compile(r"\{([a-z]+)\}")
_NOBODY = Caller("", None, known=False)


def answer(cluster: Cluster, request: Request) -> tuple[Reply, str, dict[str, Any]]:
    """The reply, and for the log the path and the parameters. The caller holds the lock."""
    raw, _mark, query = request.target.partition("?")
    base, _slash, path = raw.lstrip("/").partition("/")
    formatter, _slash, path = path.partition("/")
    params: dict[str, Any] = {}
    shown = "/" + path.strip("/")
    try:
        if base != "api2" or formatter not in ("json", "extjs"):
            raise PlainError(501, f"no such file '{raw}'")
        params = _parameters(cluster, request, query)
        data = _dispatch(cluster, request, path, params)
        return _success(cluster, request, data, formatter), shown, params
    except PlainError as exc:
        return Reply(exc.status, exc.reason, dict(_HEADERS), exc.reason.encode()), shown, params
    except EmptyError as exc:
        cluster.sleep(exc.seconds)
        return Reply(exc.status, exc.reason, dict(_HEADERS)), shown, params
    except ApiError as exc:
        return _failure(exc), shown, params


def _success(cluster: Cluster, request: Request, data: Any, formatter: str) -> Reply:
    extra: dict[str, Any] = {"success": 1} if formatter == "extjs" else {}
    if isinstance(data, Answer):
        if not data.ordered and isinstance(data.data, list):
            cluster.random.shuffle(data.data)
        extra.update(data.extra)
        data = data.data
    if isinstance(data, dict):
        keys = list(data)
        cluster.random.shuffle(keys)
        data = {key: data[key] for key in keys}
    body = json.dumps({"data": data, **extra}, separators=(",", ":")).encode()
    headers = {**_HEADERS, **_JSON}
    if len(body) > 1024 and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 1)
        headers["Content-Encoding"] = "gzip"
    return Reply(200, "OK", headers, body)


def _failure(error: ApiError) -> Reply:
    body: dict[str, Any] = {"data": None, "message": error.message}
    if error.errors:
        body["errors"] = error.errors
    reason = error.message.split("\n", 1)[0]
    return Reply(error.status, reason, {**_HEADERS, **_JSON}, json.dumps(body).encode())


# -- parameters -------------------------------------------------------------------------------------------------------


def _parameters(cluster: Cluster, request: Request, query: str) -> dict[str, Any]:
    """Query and body as one dict of strings; lists stay lists."""
    params: dict[str, Any] = {}
    pairs = parse_qsl(query, keep_blank_values=True)
    if request.body:
        if request.method not in ("POST", "PUT"):
            raise PlainError(501, f"Unexpected content for method '{request.method}'")
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind == "application/json":
            params.update(_from_json(request.body, 934 if cluster.new else 917))
        elif kind in (_FORM, ""):
            pairs += parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
        else:
            raise PlainError(506, f"upload 'Content-Type '{kind}' not implemented")
    for key, value in pairs:
        if key in params:
            params[key] = [*params[key], value] if isinstance(params[key], list) else [params[key], value]
        else:
            params[key] = value
    return params


def _from_json(body: bytes, line: int) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except ValueError as exc:
        where = f'at character offset {getattr(exc, "pos", 0)} (before "(end of string)")'
        what = "malformed JSON string, neither tag, array, object, number, string or atom, "
        raise PlainError(500, f"{what}{where} at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line {line}.\n") from None
    return {key: _scalar(value) for key, value in values.items() if value is not None}


def _scalar(value: Any) -> Any:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list):
        return [_scalar(item) for item in value]
    return value if isinstance(value, str) else str(value)


# -- the way to the method ----------------------------------------------------------------------------------------


def _dispatch(cluster: Cluster, request: Request, path: str, given: dict[str, Any]) -> Any:
    caller = _NOBODY
    if path.strip("/") != "access/ticket" or "authorization" in request.headers:
        caller = cluster.access.identify(request.method, request.headers)
    method, in_path = cluster.contract.find(request.method, path)
    if caller.token and not method.token:
        url = posixpath.join("/", path)
        raise permission_error(f"URI '{url}' not available with API token, need proper ticket.\n")
    given.update(in_path)
    for key, value in given.items():  # a repeated parameter that is no list: the last counts
        if isinstance(value, list) and method.parameters.get(key, {}).get("type") != "array":
            given[key] = value[-1]
    _check_rights(cluster, caller, method.permissions.get("check"), given)
    if method.proxied or (in_path.get("node") and in_path["node"] not in cluster.nodes):
        _reach(cluster, in_path["node"], request.listener)
    params = cluster.contract.check(method, given)
    handler = ROUTES.get((method.verb, method.path))
    if handler is None:
        raise ApiError(f"the test server does not simulate '{method.verb} {method.path}'\n", 501)
    return handler(Call(cluster, caller, params, request.listener))


def _reach(cluster: Cluster, name: str, local: str) -> None:
    """Hand the call to its node, if that can be reached."""
    node = cluster.nodes.get(name)
    if node is None:
        why = "Temporary failure in name resolution"
        raise ApiError(f"hostname lookup '{name}' failed - failed to get address info for: {name}: {why}\n")
    if name == local or node.proxy == "ok":
        return
    if node.proxy == "hang":
        raise EmptyError(596, "Connection timed out", 30.0)
    seconds = {"timeout": 30.0, "noroute": 12.0}.get(node.proxy, 0.0)
    raise EmptyError(595, REASONS[node.proxy], seconds)


def _check_rights(cluster: Cluster, caller: Caller, check: list[Any] | None, params: dict[str, Any]) -> None:
    """The rights that the contract names for the method."""
    if not check or caller.is_root:
        _check_path(check, params)
        return
    kind = check[0]
    if kind == "and":
        for part in check[1:]:
            _check_rights(cluster, caller, part, params)
    elif kind == "or":
        if not any(_passes(cluster, caller, part, params) for part in check[1:]):
            raise permission_error()
    elif kind == "perm":
        path = _check_path(check, params)
        options = check[3:]
        if "require_param" in options and options[options.index("require_param") + 1] not in params:
            raise permission_error()
        rights = [check[2]] if "any" in options else [[right] for right in check[2]]
        for any_of in rights:
            cluster.access.require(caller, path, *any_of)


def _passes(cluster: Cluster, caller: Caller, check: list[Any], params: dict[str, Any]) -> bool:
    try:
        _check_rights(cluster, caller, check, params)
    except ApiError:
        return False
    return True


@functools.cache
def _path_pattern() -> re.Pattern[str]:
    return re.compile(r"/[a-zA-Z0-9._\-/@!]*")


def _check_path(check: list[Any] | None, params: dict[str, Any]) -> str:
    """The path of a check with the parameters filled in; one that cannot be a path is refused to everybody."""
    if not check or check[0] != "perm":
        return ""
    path = _PLACE.sub(lambda match: str(params.get(match.group(1), "")), check[1])
    if not _path_pattern().fullmatch(path):
        raise permission_error(f", {'|'.join(check[2])}")
    return path


def simulated(method: Method) -> bool:
    return (method.verb, method.path) in ROUTES
