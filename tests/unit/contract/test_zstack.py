# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contract on ZStack: the test server, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import Backend
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.zstack.driver import ZStackBackend
from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.contract.cases import BASE, TAKEN_MEMORY, Case
from ansible_collections.anyvirt.compute.tests.unit.contract.site import Site
from ansible_collections.anyvirt.compute.tests.unit.contract.suite import BackendContract
from ansible_collections.anyvirt.compute.tests.unit.zstack.cloud import connection_to, hurry

MIB = 1024**2


class Networks(Site):
    """A VM has one card at most in each network: every card of a task is in another one."""

    def _fitted(self, name: str, value: Any) -> Any:
        if name != "nics":
            return super()._fitted(name, value)
        slots = [entry.get("slot", f"net{position}") for position, entry in enumerate(value)]
        return [{"network": f"net-{int(slot[3:]) + 1}", **entry} for slot, entry in zip(slots, value)]


class TestZStack(BackendContract):
    names_are_unique: ClassVar[bool] = False
    bad_names: ClassVar[tuple[str, ...]] = ("a\nb", "a" * 256, "", " ", " a", "a ")
    site: ClassVar[Site] = Networks(node="host-2", storage="ps-2", unknown_id="0" * 32)
    refuses: ClassVar[Mapping[str, str]] = {
        # every VM has a root disk, and its disks and cards have the numbers that ZStack gives them
        "create stopped": "invalid_request",
        "create": "invalid_request",
        "create started": "invalid_request",
        "config absent": "unsupported",
        # the model of a card is said when it is made
        "config devices": "unsupported",
        "config part pending": "unsupported",
        # nothing waits for a restart: what cannot be changed at once is not changed
        "config next boot": "unsupported",
        "config paused": "conflict",
        "config taken back": "conflict",
        "snapshot memory paused": "conflict",
        # with a snapshot all that follow it would go
        "snapshot delete parent": "conflict",
        "snapshot retention": "conflict",
        # only what runs is on a host
        "migrate": "conflict",
    }
    product: ClassVar[str] = "cloud"
    server: ZStackServer

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hurry(monkeypatch)

    @pytest.fixture
    def connection(self, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
        with ZStackServer(self.product, task_seconds=0.005) as server:
            options = getattr(request.node, "callspec", None) and request.node.callspec.params.get("options")
            # with hot plug nothing needs a restart that apply: fail could refuse
            server.set_config("vm", "numa", "false" if (options or {}).get("apply") == "fail" else "true")
            self.make_base(server)
            self.server = server
            yield connection_to(server)
            assert server.complaints == []

    def make_base(self, server: ZStackServer) -> None:
        options = {"cpu": 1, "memory": 64 * MIB, "root_size": 16 * MIB, "storage": "ps-1", "host": "host-1"}
        # nothing in it hears a shutdown, and no guest tools run
        server.add_vm(BASE, "Stopped", tags=("createWithoutCdRom::true",), _tools=False, **options)
        server.hang_guest(BASE)

    def backend_class(self) -> type[Backend]:
        return ZStackBackend

    def make_twin(self, connection: Mapping[str, Any]) -> None:
        self.server.add_vm(BASE, "Stopped", memory=64 * MIB)

    def prepare(self, case: Case, ask: Any) -> None:
        if case.state == "paused" and TAKEN_MEMORY in case.first:
            pytest.skip("ZStack saves the memory of VMs that are Running only")
        if any("template" in options for _module, options in case.first):
            self.require(set(), frozenset({"template"}))
        super().prepare(case, ask)

    def fingerprint(self, connection: Mapping[str, Any]) -> Any:
        self.server.settle()
        return self.server.fingerprint()


class TestZSphere(TestZStack):
    """The same on the other product line."""

    product: ClassVar[str] = "zsphere"
