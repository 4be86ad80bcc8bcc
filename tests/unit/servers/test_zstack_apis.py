# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ZStack test server: each API of the contract is there and answers."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from ansible_collections.anyvirt.compute.tests.servers.zs import app
from ansible_collections.anyvirt.compute.tests.servers.zs.contract import Api, contract, facts
from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.servers.zstack_client import NOBODY, Client


def test_every_api_of_the_contract_is_simulated() -> None:
    assert not [api.name for api in contract().apis.values() if not app.simulated(api)]


def plausible(server: ZStackServer, spec: dict[str, Any]) -> Any:
    """A value that a parameter of that kind may have."""
    table = server.state.table("VmInstance" if spec.get("resource") == "Resource" else spec.get("resource", ""))
    value = next(iter(table), None)
    if spec.get("resource") == "Session":
        value = server.session()
    if "enum" in spec:
        value = spec["enum"][0]
    if spec["type"] in ("int", "long"):
        value = max(1, spec.get("range", [1])[0])
    if spec["type"] == "boolean":
        value = True
    value = "x" * spec.get("minLength", 1) if value is None else value
    return [value] if spec["type"] in ("list", "set") else value


def furnished() -> ZStackServer:
    """One thing of every kind."""
    server = ZStackServer(speed=0, task_seconds=1)
    server.add_vm("web", "Stopped")
    server.add_volume("data")
    server.add_tag("web", "hostname::web")
    server.add_snapshot("web", "one")
    server.add_snapshot_group("web", "two")
    server.state.add("Tag", name="mine", value="mine")
    row = server.state.add("LongJob", name="old", jobName="APIMigrateVmMsg", jobData="{}", state="Failed")
    row["_job"] = None
    return server


@pytest.mark.parametrize("api", contract().apis.values(), ids=lambda api: api.name)
def test_every_api_answers(api: Api) -> None:
    """Whatever plausible is asked, there is an answer, and an error has a code of the contract."""
    with furnished() as server:
        client = Client(server)
        params = {name: plausible(server, spec) for name, spec in api.params.items() if spec.get("required")}
        path = re.sub(r"{(\w+)}", lambda found: str(params.pop(found.group(1), "") or NOBODY), api.path)
        body = {api.key: params} if api.key else None
        answer = client(api.method, path, body, () if body else [*parse_qsl(urlencode(params, doseq=True))])
        if client.status == 202:
            server.advance(3)
            client.finish(answer)
        expected = (404,) if api.name == "QueryApiJob" else (200, 503)
        assert client.status in expected, client.text
        assert all(code in facts()["error_codes"] for code in client.codes())
        assert not server.complaints
