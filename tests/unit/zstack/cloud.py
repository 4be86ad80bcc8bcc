# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How tests reach a management node; the driver only waits less than for users."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils import _http
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.zstack import driver
from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import Answer, run

Ask = Callable[..., Answer]


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between polls, and no options from outside."""
    for name in [*os.environ]:
        if name.startswith(("ANYVIRT_", "ZSTACK_", "PROXMOX_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(driver.ZStackBackend, "poll_interval", (0.01, 0.05))
    monkeypatch.setattr(_http, "PATIENCE", 2.0)
    monkeypatch.setattr(_http, "FIRST_PATIENCE", 2.0)


def connection_to(server: ZStackServer) -> dict[str, Any]:
    """A module's options."""
    return {"backend": "zstack", "url": [server.url], "username": server.account, "password": server.password}


def asking(connection: dict[str, Any]) -> Ask:
    """One task; options of the connection may be given, or be taken away with None."""

    def ask(module: str, check: bool = False, **options: Any) -> Answer:
        given = {name: value for name, value in {**connection, **options}.items() if value is not None}
        return run(module, given, check=check)

    return ask


def doing(ask: Ask, server: ZStackServer) -> Ask:
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
            if name not in ("disks", "nics", "snapshots", "native_state", "native"):
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
