# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster for each test, and tasks that are run on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import Answer, run
from ansible_collections.anyvirt.compute.tests.unit.proxmox.cluster import connection_to, hurry

Ask = Callable[..., Answer]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture
def version() -> str:
    """Of the server; a test module may have both."""
    return "9.2"


@pytest.fixture
def server(version: str) -> Iterator[ProxmoxServer]:
    with ProxmoxServer(version, task_seconds=0.02) as server:
        yield server


@pytest.fixture
def connection(server: ProxmoxServer) -> dict[str, Any]:
    return connection_to(server)


@pytest.fixture
def ask(connection: dict[str, Any]) -> Ask:
    """One task; options of the connection may be given, or be taken away with None."""

    def ask(module: str, check: bool = False, **options: Any) -> Answer:
        given = {name: value for name, value in {**connection, **options}.items() if value is not None}
        return run(module, given, check=check)

    return ask


@pytest.fixture
def do(ask: Ask, server: ProxmoxServer) -> Ask:
    """One task that changes something: foretold in check mode without a write, then done, then found done."""

    def do(module: str, again: bool = True, vague: tuple[str, ...] = (), **options: Any) -> Answer:
        before = len(server.writes)
        foretold = ask(module, check=True, **options)
        assert not foretold.failed, foretold.result
        assert len(server.writes) == before
        real = ask(module, **options)
        assert not real.failed, real.result
        assert (foretold.changed, real.changed) == (True, True)
        for name, value in foretold.vm.items():
            if name not in ("disks", "nics", "snapshots", "lock", "native_state", *vague):
                assert real.vm.get(name) == value, (name, value, real.vm.get(name))
        assert foretold.result.get("pending") == real.result.get("pending")
        if again:
            before = len(server.writes)
            once_more = ask(module, **options)
            assert not once_more.failed, once_more.result
            assert not once_more.changed, once_more.result["diff"]
            assert len(server.writes) == before
        return real

    return do
