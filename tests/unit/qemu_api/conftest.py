# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A manager for each test, and tasks that are run on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.qemu_api import DIALECTS, QemuApiServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import Answer, run
from ansible_collections.anyvirt.compute.tests.unit.qemu_api.manager import connection_to, hurry

Ask = Callable[..., Answer]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    """Both, unless a test module has its own."""
    return request.param


@pytest.fixture
def server(dialect: str) -> Iterator[QemuApiServer]:
    with QemuApiServer(dialect) as server:
        yield server


@pytest.fixture
def ask(server: QemuApiServer) -> Ask:
    def ask(module: str, check: bool = False, **options: Any) -> Answer:
        return run(module, {**connection_to(server), **options}, check=check)

    return ask


@pytest.fixture
def do(ask: Ask, server: QemuApiServer) -> Ask:
    """One task that changes something: foretold in check mode without a write, then done, then found done."""

    def do(module: str, again: bool = True, **options: Any) -> Answer:
        before = len(server.writes)
        foretold = ask(module, check=True, **options)
        assert not foretold.failed, foretold.result
        assert len(server.writes) == before
        real = ask(module, **options)
        assert not real.failed, real.result
        assert (foretold.changed, real.changed) == (True, True)
        for name, value in foretold.vm.items():
            if name not in ("snapshots", "native_state"):
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
