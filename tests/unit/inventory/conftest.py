# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A place for each test, and a cluster that refuses writes."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.inventory.command import Site


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def server() -> Iterator[ProxmoxServer]:
    with ProxmoxServer(nodes=4, read_only=True) as server:
        yield server
