# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How tests reach a platform; the driver only waits less than for users."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils import _http
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.vsd import driver, operations, tasks
from ansible_collections.anyvirt.compute.tests.servers.vsd import VsdServer


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between polls, and no options from outside."""
    for name in [*os.environ]:
        if name.startswith(("ANYVIRT_", "PROXMOX_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(driver.VsdBackend, "poll_interval", (0.01, 0.05))
    monkeypatch.setattr(driver, "_SETTLE_TIME", 1.0)
    monkeypatch.setattr(operations, "SHOWS_WITHIN", 1.0)
    monkeypatch.setattr(_http, "PATIENCE", 1.0)
    monkeypatch.setattr(_http, "FIRST_PATIENCE", 1.0)
    monkeypatch.setattr(tasks, "QUIET_SECONDS", 0.3)


def connection_to(server: VsdServer) -> dict[str, Any]:
    """A module's options."""
    return {
        "backend": "vsd",
        "url": [server.url],
        "username": server.username,
        "password": server.password,
    }
