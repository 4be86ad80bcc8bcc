# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How tests reach a manager; the driver only waits less than for users."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils import _http
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu_api import driver, operations
from ansible_collections.anyvirt.compute.tests.servers.qemu_api import QemuApiServer

CUT: Mapping[str, Any] = {"force": True, "shutdown_timeout": 0}
"""The server cannot ask a guest to shut down."""


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between two looks at the list, and no options from outside."""
    for name in [*os.environ]:
        if name.startswith("ANYVIRT_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(driver.QemuApiBackend, "poll_interval", (0.02, 0.1))
    monkeypatch.setattr(operations, "SETTLE_TIME", 0.3)
    monkeypatch.setattr(_http, "PATIENCE", 1.0)
    monkeypatch.setattr(_http, "FIRST_PATIENCE", 1.0)


def connection_to(server: QemuApiServer, suffix: str = "") -> dict[str, Any]:
    """A module's options."""
    return {"backend": "qemu_api", "url": [server.url + suffix], "ca_path": server.ca_path}
