# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How tests reach a cluster; the driver only waits less than for users."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils import _http
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox import driver
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between polls, and no options from outside."""
    for name in [*os.environ]:
        if name.startswith(("ANYVIRT_", "PROXMOX_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(driver.ProxmoxBackend, "poll_interval", (0.02, 0.1))
    monkeypatch.setattr(driver, "_SETTLE_TIME", 3.0)
    monkeypatch.setattr(_http, "PATIENCE", 3.0)
    monkeypatch.setattr(_http, "FIRST_PATIENCE", 3.0)


def connection_to(server: ProxmoxServer) -> dict[str, Any]:
    """A module's options."""
    return {
        "backend": "proxmox",
        "url": [server.url],
        "token_id": server.token_id,
        "token_secret": server.token_secret,
        "ca_path": server.ca_path,
    }
