# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands in for the command pvesh: asks a test server, waits for tasks, and prints as the real one does.

Beside it lies ``pvesh.json`` with ``host``, ``port``, ``ca``, ``authorization`` and ``log``, a file that gets a line
for each call. pvesh runs tasks in the foreground: their log goes to stdout before their id, what they fail of to
stderr, and the exit status is 0 all the same (PVE::RESTEnvironment, fork_worker and tee_worker).
"""

from __future__ import annotations

import http.client
import json
import pathlib
import ssl
import sys
import time
from typing import Any
from urllib.parse import quote, urlencode

VERBS = {"get": "GET", "create": "POST", "set": "PUT", "delete": "DELETE"}
ANSWERS = True
"""False: it does not understand what another node answers to a POST, though that was done."""
SITE: dict[str, Any] = json.loads(pathlib.Path(sys.argv[0]).with_suffix(".json").read_text())


def request(verb: str, path: str, values: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """The status and what was answered."""
    context = ssl.create_default_context(cafile=SITE["ca"])
    connection = http.client.HTTPSConnection(SITE["host"], SITE["port"], context=context, timeout=20)
    target, body, headers = f"/api2/json{quote(path, safe='/@!:')}", None, {"Authorization": SITE["authorization"]}
    if verb in ("GET", "DELETE"):
        target += f"?{urlencode(values)}" if values else ""
    else:
        body, headers["Content-Type"] = urlencode(values), "application/x-www-form-urlencoded"
    connection.request(verb, target, body=body, headers=headers)
    response = connection.getresponse()
    text = response.read()
    return response.status, json.loads(text) if text else {"message": response.reason}


def run_in_the_foreground(upid: str) -> None:
    path = f"/nodes/{upid.split(':')[1]}/tasks/{upid}"
    while True:
        told = request("GET", f"{path}/status", {})[1]["data"]
        if told["status"] == "stopped":
            break
        time.sleep(0.01)
    for row in request("GET", f"{path}/log", {})[1]["data"]:
        if not row["t"].startswith("TASK "):
            print(row["t"])
    if told["exitstatus"] != "OK":
        print(told["exitstatus"], file=sys.stderr)


def main(words: list[str]) -> int:
    with open(SITE["log"], "a", encoding="utf-8") as log:
        log.write(json.dumps(words) + "\n")
    verb, path, *options = words
    values = {name.lstrip("-"): value for name, value in zip(options[::2], options[1::2])}
    if values.pop("output-format") != "json":
        return 2
    status, answer = request(VERBS[verb], path, values)
    print("perl: warning: Setting locale failed.", file=sys.stderr)
    if status == 595:
        print(f"ssh: connect to host 192.0.2.12 port 22: {answer['message']}", file=sys.stderr)
        print(f"proxy handler failed: command 'ssh pvesh {verb} {path}' failed: exit code 255", file=sys.stderr)
        return 255
    if status >= 400:
        number = f"{status} " if status < 500 else ""
        print(f"{number}{answer['message'].strip()}", file=sys.stderr)
        for name, text in answer.get("errors", {}).items():
            print(f"{name}: {text.strip()}", file=sys.stderr)
        return 255
    if verb == "create" and not ANSWERS:
        sys.exit("malformed JSON string, neither tag, array, object, number, string or atom")
    if isinstance(answer["data"], str) and answer["data"].startswith("UPID:"):
        run_in_the_foreground(answer["data"])
    if answer["data"] is not None:
        print(json.dumps(answer["data"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
