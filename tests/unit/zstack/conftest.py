# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A management node for each test, and tasks that are run on it. No test may send what the server does not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.zstack.cloud import Ask, asking, connection_to, doing, hurry


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture
def product() -> str:
    """The product line of the server; a test module may have another."""
    return "cloud"


@pytest.fixture
def server(product: str) -> Iterator[ZStackServer]:
    with ZStackServer(product, task_seconds=0.005) as server:
        server.set_config("vm", "numa", "true")
        yield server
        assert server.complaints == []
        assert [one.path for one in server.requests if not one.api] == []


@pytest.fixture
def connection(server: ZStackServer) -> dict[str, Any]:
    return connection_to(server)


@pytest.fixture
def ask(connection: dict[str, Any]) -> Ask:
    return asking(connection)


@pytest.fixture
def do(ask: Ask, server: ZStackServer) -> Ask:
    return doing(ask, server)
