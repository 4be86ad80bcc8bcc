# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contract on VSD: the test server, over HTTP. It cannot make VMs, so much of the contract is skipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import Backend
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.vsd.driver import VsdBackend
from ansible_collections.anyvirt.compute.tests.servers.vsd import MIB, VsdServer
from ansible_collections.anyvirt.compute.tests.unit.contract.cases import BASE, Case
from ansible_collections.anyvirt.compute.tests.unit.contract.site import Site
from ansible_collections.anyvirt.compute.tests.unit.contract.suite import BackendContract
from ansible_collections.anyvirt.compute.tests.unit.vsd.reach import connection_to, hurry


class TestVsd(BackendContract):
    names_are_unique: ClassVar[bool] = False
    site: ClassVar[Site] = Site(node="host-2")
    refuses: ClassVar[Mapping[str, str]] = {
        # only a running VM has memory to save
        "snapshot memory paused": "conflict",
        # only a running VM moves
        "migrate": "conflict",
        # the network cards of a clone stay as they are
        "clone changed": "unsupported",
    }
    server: VsdServer

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hurry(monkeypatch)

    @pytest.fixture
    def connection(self) -> Iterator[dict[str, Any]]:
        with VsdServer() as server:
            self.server = server
            self._add_base()
            yield connection_to(server)

    def _add_base(self) -> None:
        vm = self.server.add_vm(BASE, memory=64 * MIB, agent=False, hangs=True)
        vm.config["mem_max"] = vm.config["mem_size"]

    def prepare(self, case: Case, ask: Any) -> None:
        """What leads to a case may be more than this backend can do."""
        for module, options in case.first:
            if module == "vm_config" and not {*options} <= {"name", *VsdBackend.capabilities.fields}:
                pytest.skip(f"{VsdBackend.name} cannot change {', '.join(sorted(options))}")
            if module == "vm_config" and case.state != "stopped":
                pytest.skip(f"{VsdBackend.name} has nothing pending")
            if options.get("memory") is True and case.state != "running":
                pytest.skip(f"{VsdBackend.name} saves the memory of a running VM only")
        super().prepare(case, ask)

    def test_work_that_is_not_waited_for_can_be_waited_for_later(self, ask: Any) -> None:
        """With an agent that hears it, and does nothing: without one the power is cut at once."""
        next(iter(self.server.state.vms.values())).agent = True
        super().test_work_that_is_not_waited_for_can_be_waited_for_later(ask)

    def backend_class(self) -> type[Backend]:
        return VsdBackend

    def make_twin(self, connection: Mapping[str, Any]) -> None:
        self._add_base()

    def fingerprint(self, connection: Mapping[str, Any]) -> Any:
        return self.server.fingerprint()
