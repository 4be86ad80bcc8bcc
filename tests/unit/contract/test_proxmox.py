# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contract on a cluster of Proxmox VE: the test server, over HTTPS."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import Backend
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox.driver import ProxmoxBackend
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.contract.cases import BASE
from ansible_collections.anyvirt.compute.tests.unit.contract.site import Site
from ansible_collections.anyvirt.compute.tests.unit.contract.suite import BackendContract
from ansible_collections.anyvirt.compute.tests.unit.proxmox.cluster import connection_to, hurry

BASE_VM: Mapping[str, Any] = {
    "memory": "64",
    "cores": 1,
    "virtio0": "shared:0.015625,format=qcow2,discard=on",
    "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1",
    # nobody in it hears a shutdown
    "shutdown_seconds": None,
}


class TestProxmox(BackendContract):
    names_are_unique: ClassVar[bool] = False
    site: ClassVar[Site] = Site(
        disk={"storage": "shared", "format": "qcow2"},
        nic={"network": "vmbr0"},
        node="pve2",
        storage="local",
        unknown_id="99999",
    )
    refuses: ClassVar[Mapping[str, str]] = {
        # what can be changed at once is changed at once
        "config next boot": "unsupported",
        # the disks of a VM that may run cannot be shared
        "clone linked": "unsupported",
    }
    console: ClassVar[Mapping[str, Any]] = {"websocket": True}
    version: ClassVar[str] = "9.2"
    server: ProxmoxServer

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hurry(monkeypatch)

    @pytest.fixture
    def connection(self) -> Iterator[dict[str, Any]]:
        with ProxmoxServer(self.version, task_seconds=0.02) as server:
            server.add_vm(100, BASE, **BASE_VM)
            self.server = server
            yield connection_to(server)

    def backend_class(self) -> type[Backend]:
        return ProxmoxBackend

    def make_twin(self, connection: Mapping[str, Any]) -> None:
        self.server.add_vm(101, BASE, "pve2", **BASE_VM)

    def fingerprint(self, connection: Mapping[str, Any]) -> Any:
        """What the cluster stores and runs, and how many requests it got that write."""
        self.server.settle()
        state = self.server.state
        with state.lock:
            stored = copy.deepcopy((state.pools, {name: one.volumes for name, one in state.storages.items()}))
            guests = {
                vmid: (guest.node, guest.digest(), guest.running, guest.paused, guest.started, guest.pid)
                for vmid, guest in state.guests.items()
            }
        return stored, guests, len(self.server.writes)


class TestProxmoxBefore9(TestProxmox):
    """The same on the older version."""

    version: ClassVar[str] = "8.4"
