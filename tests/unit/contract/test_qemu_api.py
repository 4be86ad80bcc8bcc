# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contract on the HTTP manager, in both dialects: the test server, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import Backend, Capabilities
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu_api.dialects import SNAPSHOTS
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu_api.driver import QemuApiBackend
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import Op
from ansible_collections.anyvirt.compute.tests.servers.qemu_api import QemuApiServer
from ansible_collections.anyvirt.compute.tests.unit.contract.cases import BASE, Case
from ansible_collections.anyvirt.compute.tests.unit.contract.site import Site
from ansible_collections.anyvirt.compute.tests.unit.contract.suite import BackendContract
from ansible_collections.anyvirt.compute.tests.unit.qemu_api.manager import connection_to, hurry


class TestVoidVm(BackendContract):
    names_are_unique: ClassVar[bool] = True
    site: ClassVar[Site] = Site(nic={"network": "user"})
    refuses: ClassVar[Mapping[str, str]] = {
        # these need more settings than they are about
        **dict.fromkeys(("create started", "config link", "config part pending"), "unsupported"),
        # a disk keeps its size, and a network card has no model
        **dict.fromkeys(("config devices", "config grow running"), "unsupported"),
        # no guest can be asked to shut down
        "config reboot": "unsupported",
        "config reboot for what is pending": "unsupported",
        # snapshots are always with the memory
        "snapshot": "unsupported",
        "snapshot running": "unsupported",
        "snapshot pending": "unsupported",
        "revert to memory": "conflict",
    }
    dialect: ClassVar[str] = "voidvm"
    base: ClassVar[Mapping[str, Any]] = {"network": [{"type": "user"}], "disk": "16M"}
    server: QemuApiServer

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hurry(monkeypatch)

    @pytest.fixture
    def connection(self) -> Iterator[dict[str, Any]]:
        with QemuApiServer(self.dialect) as server:
            server.add_vm(BASE, memory=64, cpuCores=1, **self.base)
            self.server = server
            yield connection_to(server)

    @pytest.fixture
    def two(self, ask: Any) -> tuple[str, str]:
        assert ask("vm", name="other", memory="64", disks=[{"size": "1GiB"}]).changed
        return BASE, "other"

    def prepare(self, case: Case, ask: Any) -> None:
        """What leads to a case may be more than this backend can do."""
        for module, options in case.first:
            if module == "vm_config" and not {*options} <= {"name", *QemuApiBackend.capabilities.fields}:
                pytest.skip(f"{QemuApiBackend.name} cannot change {', '.join(sorted(options))}")
            if module == "vm_snapshot" and not (options.get("memory") and case.state == "running"):
                pytest.skip(f"{QemuApiBackend.name} takes snapshots of running VMs with the memory only")
        super().prepare(case, ask)

    def backend_class(self) -> type[Backend]:
        return QemuApiBackend

    def fingerprint(self, connection: Mapping[str, Any]) -> Any:
        return self.server.fingerprint()


class TestDocumented(TestVoidVm):
    """The same with what its document has."""

    dialect: ClassVar[str] = "documented"
    base: ClassVar[Mapping[str, Any]] = {"disk": 1}
    refuses: ClassVar[Mapping[str, str]] = {
        **TestVoidVm.refuses,
        # its disk has 1 GiB, the least there is, and would shrink
        "config grow running": "invalid_request",
    }

    def declared(self) -> Capabilities:
        declared = super().declared()
        return Capabilities(declared.operations - SNAPSHOTS, declared.fields)

    def prepare(self, case: Case, ask: Any) -> None:
        for module, _options in case.first:
            if module == "vm_snapshot":
                pytest.skip("the document has no snapshots")
            if module == "vm_config" and case.state == "running":
                pytest.skip("what is pending is known only to the task that changed it")
        super().prepare(case, ask)

    def test_snapshots_are_an_operation_of_the_other_dialect(self, ask: Any) -> None:
        assert Op.SNAPSHOT in QemuApiBackend.capabilities.operations
        told = ask("vm_info", gather=["capabilities"]).result["capabilities"]["operations"]
        assert not {op.value for op in SNAPSHOTS} & set(told)
