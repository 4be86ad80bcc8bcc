# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plainest client of the ZStack API: one connection for each request, and none of our driver's code."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from typing import Any
from urllib.parse import urlencode

from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer

# A well-formed uuid that nothing has.
NOBODY = "0" * 12 + "4000" + "8" + "0" * 15
BROKEN = (http.client.RemoteDisconnected, ConnectionError)


class Client:
    """Requests with a session; status, text and body are those of the last answer."""

    def __init__(self, server: ZStackServer, headers: dict[str, str] | None = None) -> None:
        self.server = server
        self.headers = {"Authorization": f"OAuth {server.session()}"} if headers is None else headers
        self.status, self.text, self.answer_headers = 0, "", {}
        self.body: Any = None

    def __call__(self, method: str, path: str, body: Any = None, query: Any = (), **headers: str) -> Any:
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=20)
        target = f"/zstack/v1{path}" + (f"?{urlencode(query)}" if query else "")
        sent = {**self.headers, **{key.replace("_", "-"): value for key, value in headers.items()}}
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, target, body=data, headers=sent)
            response = connection.getresponse()
            self.text = response.read().decode()
        finally:
            connection.close()
        self.status, self.answer_headers = response.status, dict(response.headers)
        self.body = json.loads(self.text) if self.text.startswith("{") else None
        return self.body

    def finish(self, answer: dict[str, Any]) -> Any:
        """Poll the job of a 202 to its end."""
        uuid = answer["location"].rpartition("/")[2]
        for _poll in range(1000):
            found = self("GET", f"/api-jobs/{uuid}")
            if self.status != 202:
                return found
            time.sleep(0.002)
        raise AssertionError(f"job {uuid} never ended")

    def job(self, method: str, path: str, body: Any = None, query: Any = (), **headers: str) -> Any:
        """An asynchronous call to its end."""
        answer = self(method, path, body, query, **headers)
        assert self.status == 202, self.text
        return self.finish(answer)

    def act(self, vm: str, key: str, **params: Any) -> Any:
        """An action on a VM to its end."""
        return self.job("PUT", f"/vm-instances/{vm}/actions", {key: params})

    def query(self, kind: str, *conditions: str, **more: Any) -> Any:
        """The rows of a query."""
        found = self("GET", f"/{kind}", query=[*(("q", text) for text in conditions), *more.items()])
        return found.get("inventories") if found else None

    def codes(self) -> list[str]:
        """The codes of the last error, from the outside in."""
        error, found = (self.body or {}).get("error"), []
        while error:
            found.append(error["code"])
            error = error.get("cause")
        return found


def sha512(text: str) -> str:
    return hashlib.sha512(text.encode()).hexdigest()
