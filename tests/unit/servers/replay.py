# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sends recorded exchanges to the Proxmox VE test server again and tells where the answers differ."""

from __future__ import annotations

import http.client
import json
import pathlib
import re
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote, urlencode

from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.servers.pve.auth import Caller
from ansible_collections.anyvirt.compute.tests.servers.pve.tasks import Task

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "fixtures" / "proxmox"
Exchange = dict[str, Any]
_UPID = re.compile(r"UPID:(\w+):([0-9A-F]{8}):([0-9A-F]{8}):([0-9A-F]{8}):(\w+):([^:]*):([^:]+):")
# Values count as well, not only their types, except in what depends on the moment or on other scenarios.
_LOOSE = re.compile(r"/(tasks|resources|pools|ticket|capabilities/.*|agent/.*|log)$")
_MOMENT = re.compile(
    r"(time|uptime|digest|cpu|mem|net(in|out)|disk(read|write)|pid|pstart|upid|used|ctime|content|size|total|user)$"
)
_VOLATILE = [
    (_UPID, r"UPID:\1:\5:\6:\7"),
    (re.compile(r"BC:24:11:[0-9A-F:]{8}"), "MAC"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b[0-9a-f]{40}\b"), "SHA1"),
    (re.compile(r"ctime=\d+"), "ctime="),
    (re.compile(r"\.conf\.tmp\.\d+"), ".conf.tmp"),
    (re.compile(r"suspend-\d{4}-\d\d-\d\d"), "suspend-DATE"),
]
# By which key the rows of a list are told apart.
_ROW_KEYS = ("upid", "volid", "key", "iface", "poolid", "id", "storage", "vmid", "n", "name")
# Lists that do not depend on the state: catalogues, of which one row is enough.
_CATALOGUES = re.compile(r"/(capabilities/.*|nodes/\w+|qemu/\d+)$")


def load(version: str, scenario: str) -> list[Exchange]:
    return json.loads((FIXTURES / version / f"{scenario}.json").read_text())


def plain(value: Any) -> Any:
    """A text without what changes from run to run."""
    if isinstance(value, str):
        for pattern, replacement in _VOLATILE:
            value = pattern.sub(replacement, value)
    return value


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else type(value).__name__


def differences(recorded: Any, answered: Any, path: str = "", exact: bool = False) -> Iterator[str]:
    """Where the shape differs: keys and JSON types; with exact also values."""
    if _kind(recorded) != _kind(answered):
        yield f"{path or 'body'}: recorded {_kind(recorded)}, answered {_kind(answered)}"
    elif isinstance(recorded, dict):
        if set(recorded) != set(answered):
            missing, extra = sorted(set(recorded) - set(answered)), sorted(set(answered) - set(recorded))
            yield f"{path}: missing {missing}, extra {extra}"
        for key in sorted(set(recorded) & set(answered)):
            yield from differences(recorded[key], answered[key], f"{path}.{key}", exact)
    elif isinstance(recorded, list):
        yield from _rows(recorded, answered, path, exact)
    elif exact and not _MOMENT.search(path) and plain(recorded) != plain(answered):
        yield f"{path}: recorded {plain(recorded)!r}, answered {plain(answered)!r}"


def _rows(recorded: list[Any], answered: list[Any], path: str, exact: bool) -> Iterator[str]:
    if recorded and isinstance(recorded[0], str):
        recorded, answered = sorted(recorded), sorted(answered)
        if exact and recorded != answered:
            yield f"{path}: recorded {recorded}, answered {answered}"
        return
    both = [row for row in (*recorded, *answered) if isinstance(row, dict)]
    key = next((k for k in _ROW_KEYS if both and all(k in row for row in both)), None)
    if bool(recorded) != bool(answered):
        yield f"{path}: recorded {len(recorded)} rows, answered {len(answered)}"
    elif key is None or path.endswith(".supported_commands"):
        for row in answered[:1]:
            yield from differences(recorded[0], row, f"{path}[]", exact)
    elif key == "n":  # the lines of a log are their version's own; the last one is not
        yield from differences(recorded[0], answered[0], f"{path}[0]")
        over = recorded[-1]["t"].startswith("TASK ")
        if over and plain(recorded[-1]["t"]) != plain(answered[-1]["t"]):
            yield f"{path}: recorded last line {recorded[-1]['t']!r}, answered {answered[-1]['t']!r}"
    else:
        ours, theirs = {row[key]: row for row in answered}, {row[key]: row for row in recorded}
        if set(ours) != set(theirs):
            missing, extra = sorted(set(theirs) - set(ours), key=str), sorted(set(ours) - set(theirs), key=str)
            yield f"{path}: missing rows {missing[:4]}, extra rows {extra[:4]}"
        for name in [name for name in theirs if name in ours]:
            yield from differences(theirs[name], ours[name], f"{path}[{name}]", exact)


class Replay:
    """One scenario against one server. Time stands still but for what the recording waited for."""

    def __init__(self, version: str, exchanges: list[Exchange]) -> None:
        self.version = version
        self.exchanges = exchanges
        self.server = ProxmoxServer(version, nodes=2, speed=0, start=self._start(), task_seconds=0.3)
        access = self.server.state.access
        access.users["root@pam"].password = "example-pass"
        access.add_user("low@pve", "example-pass")
        self.low_secret = access.add_token("low@pve", "tok", privsep=False)
        self.upids: dict[str, str] = {}
        self.digests: dict[str, str] = {}
        self.pids: dict[int, int] = {}
        self._connection: http.client.HTTPSConnection | None = None
        self._context = ssl.create_default_context(cafile=self.server.ca_path)
        self._ticket: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.extra: dict[str, str] = {}

    def _start(self) -> float:
        started = [_UPID.match(e["body"]["data"]) for e in self.exchanges if _is_upid(e)]
        return float(int(started[0].group(4), 16) if started and started[0] else 1795223000)

    def close(self) -> None:
        self._hang_up()
        self.server.close()

    # -- sending ------------------------------------------------------------------------------------------------------

    def authorization(self, how: str) -> dict[str, str]:
        if how == "token":
            return self.server.authorization
        if how == "low":
            return {"Authorization": f"PVEAPIToken=low@pve!tok={self.low_secret}"}
        if how == "bad":
            return {"Authorization": "PVEAPIToken=root@pam!api=00000000-0000-0000-0000-000000000000"}
        if how == "ticket":
            if not self._ticket:
                made = self.server.state.access.ticket("root@pam", "example-pass")
                assert made
                cookie = f"PVEAuthCookie={quote(made['ticket'], safe='')}"
                self._ticket = {"Cookie": cookie, "CSRFPreventionToken": made["CSRFPreventionToken"]}
            return self._ticket
        return {}

    def _hang_up(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def send(
        self, method: str, target: str, headers: dict[str, str], body: str | None, via: str | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """One request; connections are kept as long as the server lets them."""
        if via or self._connection is None:
            self._hang_up()
            url = self.server.urls[1 if via == "pve2" else 0]
            self._connection = http.client.HTTPSConnection(url.removeprefix("https://"), context=self._context)
        self._connection.putrequest(method, target, skip_accept_encoding=True)
        for key, value in headers.items():
            self._connection.putheader(key, value)
        if body is not None:
            self._connection.putheader("Content-Length", str(len(body.encode())))
        self._connection.endheaders(body.encode() if body is not None else None)
        response = self._connection.getresponse()
        text = response.read().decode()
        got = {"connection": response.headers["Connection"], "reason": response.reason}
        if response.headers["Connection"] == "close" or via:
            self._hang_up()
        if "json" in (response.headers["Content-Type"] or ""):
            return response.status, got, json.loads(text)
        return response.status, got, text

    def request(self, exchange: Exchange) -> tuple[int, dict[str, str], Any]:
        path = exchange["path"] if exchange.get("full_path") else "/api2/json" + self._here(exchange["path"])
        params = {key: self._mapped(key, value) for key, value in (exchange.get("params") or {}).items()}
        headers = {**self.authorization(exchange["auth"]), **self.headers}
        body = exchange.get("request_body")
        if body is not None:
            headers["Content-Type"] = exchange["request_content_type"]
        elif params and exchange["method"] in ("POST", "PUT"):
            body = urlencode(params)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif params:
            path = f"{path}?{urlencode(params)}"
        return self.send(exchange["method"], path, headers, body, exchange.get("via"))

    def _here(self, path: str) -> str:
        """The path with our own UPIDs in it."""
        found = _UPID.search(unquote(path))
        if not found:
            return path
        theirs = found.group(0)
        return unquote(path).replace(theirs, quote(self.upids.get(theirs, theirs), safe=""))

    def _mapped(self, key: str, value: Any) -> Any:
        if key == "digest":
            return self.digests.get(value, value)
        return self.pids.get(value, value) if key == "pid" else value

    # -- one exchange -------------------------------------------------------------------------------------------------

    def play(self, number: int) -> list[str]:
        """Send it, compare, and wait where the recording waited."""
        exchange = self.exchanges[number]
        waited = re.search(r" after (\d+\.\d) s", exchange.get("note", ""))
        if waited and float(waited.group(1)) and "final poll" not in exchange["note"]:
            self.server.advance(10)
        answer = self.request(exchange)
        if "final poll" in exchange.get("note", ""):
            for _attempt in range(200):
                if answer[0] != 200 or answer[2]["data"]["status"] == "stopped":
                    break
                self.server.advance(0.5)
                answer = self.request(exchange)
        found = list(self._compare(exchange, *answer))
        self._learn(exchange, answer[2], number)
        return found

    def _compare(self, exchange: Exchange, status: int, headers: dict[str, str], body: Any) -> Iterator[str]:
        if status != exchange["status"]:
            yield f"status: recorded {exchange['status']}, answered {status} {json.dumps(body)[:200]}"
            return
        # A good answer that closes was the hundredth of the recorder's connection, unless it says so itself.
        for key in ("reason", "connection") if status >= 400 or "note" in exchange else ("reason",):
            if key in exchange["headers"] and plain(exchange["headers"][key]) != plain(headers[key]):
                yield f"{key}: recorded {exchange['headers'].get(key)!r}, answered {headers[key]!r}"
        recorded = exchange.get("body")
        if recorded is None:
            return
        recorded, body = self._comparable(exchange, recorded, body)
        if isinstance(recorded, dict) and "message" in recorded:
            yield from differences(recorded, body, exact=True)
            return
        yield from differences(recorded, body, exact=not _LOOSE.search(exchange["path"]))
        data, ours = (b.get("data") if isinstance(b, dict) else None for b in (recorded, body))
        if isinstance(data, str) and data.startswith("UPID:") and plain(data) != plain(ours):
            yield f"recorded {plain(data)}, answered {plain(ours)}"
        if isinstance(data, dict) and "exitstatus" in data and plain(data["exitstatus"]) != plain(ours["exitstatus"]):
            yield f"exitstatus: recorded {data['exitstatus']!r}, answered {ours['exitstatus']!r}"

    def _comparable(self, exchange: Exchange, recorded: Any, body: Any) -> tuple[Any, Any]:
        """Without what the recording left out, and lists of tasks as the kinds of their rows."""
        note = exchange.get("note", "")
        data: Any = body.get("data") if isinstance(body, dict) else None
        if note.startswith("excerpt") and isinstance(data, dict):
            written = set(recorded["data"]) | {key for key in data if key.startswith("unused")}
            return recorded, {"data": {key: value for key, value in data.items() if key in written}}
        if isinstance(data, list) and "left out" in note:
            kept = {row["id"] if "id" in row else row["vmid"] for row in recorded["data"]}
            mentioned = self._mentioned()
            rows = [r for r in data if r.get("id", r.get("vmid")) in kept or r.get("vmid") in mentioned]
            return recorded, {**body, "data": rows}
        if isinstance(data, list) and _CATALOGUES.search(exchange["path"]):
            return {**recorded, "data": [sorted(recorded["data"][0])]}, {**body, "data": [sorted(data[0])]}
        if isinstance(data, list) and exchange["path"].endswith("/tasks"):
            return tuple({**part, "data": _task_rows(part["data"])} for part in (recorded, body))
        return recorded, body

    def _mentioned(self) -> set[int]:
        found = {
            int(match.group(1))
            for e in self.exchanges
            for match in [re.search(r"/qemu/(\d+)", e["path"] or "")]
            if match
        }
        return found | {
            e["params"][k] for e in self.exchanges for k in ("vmid", "newid") if k in (e.get("params") or {})
        }

    def _learn(self, exchange: Exchange, body: Any, number: int) -> None:
        recorded = exchange.get("body")
        if not (isinstance(recorded, dict) and isinstance(body, dict)):
            return
        theirs, ours = recorded.get("data"), body.get("data")
        if isinstance(theirs, str) and theirs.startswith("UPID:") and isinstance(ours, str):
            self.upids[theirs] = ours
            if not self._polled_later(theirs, number):
                self.finish(ours)
        elif isinstance(theirs, dict) and isinstance(ours, dict):
            if "digest" in theirs and "digest" in ours:
                self.digests[theirs["digest"]] = ours["digest"]
            if isinstance(theirs.get("pid"), int) and list(theirs) == ["pid"]:
                self.pids[theirs["pid"]] = ours["pid"]

    def finish(self, upid: str) -> None:
        """Let time pass until the task is over."""
        task = self.server.state.tasks.by_upid[upid]
        for _attempt in range(100):
            if not task.running:
                return
            self.server.advance(0.5)

    def _polled_later(self, upid: str, number: int) -> bool:
        """Whether something else was asked before the task was over."""
        return any(
            upid in unquote(e["path"] or "") and ("final poll" in e.get("note", "") or "running" in e.get("note", ""))
            for e in self.exchanges[number + 1 :]
        )

    # -- seeding ------------------------------------------------------------------------------------------------------

    def seed_history(self) -> None:
        """The tasks in the recorded lists that the scenario itself did not start."""
        started = {e["body"]["data"] for e in self.exchanges if _is_upid(e)}
        rows: dict[str, dict[str, Any]] = {}
        for exchange in self.exchanges:
            if (exchange["path"] or "").endswith("/tasks") and exchange["status"] == 200:
                for row in exchange["body"]["data"]:
                    if row["upid"] not in started and "endtime" in row:
                        rows.setdefault(row["upid"], row)
        for row in sorted(rows.values(), key=lambda row: row["starttime"]):
            self.seed_task(row["upid"], row["status"], row["endtime"])

    def seed_task(self, upid: str, status: str, endtime: int) -> None:
        found = _UPID.fullmatch(upid)
        assert found, upid
        node, pid, pstart, began, kind, ident, user = found.groups()
        caller = Caller(*user.split("!")) if "!" in user else Caller(user)
        task = Task(upid, node, int(pid, 16), int(pstart, 16), int(began, 16), kind, ident, caller, lambda _task: None)
        task.exitstatus, task.endtime, task.log = status, endtime, [f"TASK {status}"]
        tasks = self.server.state.tasks
        tasks.by_upid[upid] = task
        tasks.finished.setdefault(node, []).append(task)


def _is_upid(exchange: Exchange) -> bool:
    body = exchange.get("body")
    return isinstance(body, dict) and isinstance(body.get("data"), str) and body["data"].startswith("UPID:")


def _task_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each kind of row: running or over, by token or by ticket."""
    kinds = {("endtime" in row, "tokenid" in row, "!" in row["user"]): row for row in rows}
    return [
        {**row, "upid": str(kind), "saved": 1} if "saved" in row else {**row, "upid": str(kind)}
        for kind, row in kinds.items()
    ]
