# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A platform for each test, and tasks that are run on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.vsd import VsdServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import Answer, run
from ansible_collections.anyvirt.compute.tests.unit.vsd.reach import connection_to, hurry

Ask = Callable[..., Answer]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture
def manners() -> dict[str, Any]:
    """How the server behaves where the documents leave it open; a test may have others."""
    return {}


@pytest.fixture
def server(manners: dict[str, Any]) -> Iterator[VsdServer]:
    with VsdServer(**manners) as server:
        yield server
        # the real one would ignore them without a word
        assert not server.complaints


@pytest.fixture
def ask(server: VsdServer) -> Ask:
    """One task; options of the connection may be given, or be taken away with None."""

    def ask(module: str, check: bool = False, **options: Any) -> Answer:
        given = {name: value for name, value in {**connection_to(server), **options}.items() if value is not None}
        return run(module, given, check=check)

    return ask
