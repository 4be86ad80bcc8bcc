# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A manager whose VMs are real QEMU processes, run by the local backend."""

from __future__ import annotations

import pathlib
from typing import Any

from ansible_collections.anyvirt.compute.tests.servers.qemu_api import QemuApiServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
from ansible_collections.anyvirt.compute.tests.unit.contract.test_qemu import processes
from ansible_collections.anyvirt.compute.tests.unit.qemu_api.manager import CUT, connection_to


def test_a_life_of_real_processes(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "state"
    with QemuApiServer("documented", state_dir=str(root)) as server:

        def do(module: str, **options: Any) -> None:
            told = run(module, {**connection_to(server), "name": "web", **options})
            assert (told.failed, told.changed) == (False, True), told.result

        def memory() -> list[str]:
            return [words[words.index("-m") + 1] for words in processes(str(root)).values()]

        try:
            do("vm", memory="64", cores=1, disks=[{"size": "1GiB"}])
            assert memory() == []
            do("vm_power", state="started")
            pid = "".join(processes(str(root)))
            assert server.vm("web")["pid"] == int(pid)
            before = memory()
            do("vm_config", memory="96")
            assert memory() == before
            do("vm_power", state="restarted", **CUT)
            assert (len(memory()), memory() != before) == (1, True)
            assert pid not in processes(str(root))
            do("vm_power", state="stopped", **CUT)
            assert memory() == []
            do("vm_power", state="started")
        finally:
            do("vm", state="absent", force=True)
        assert processes(str(root)) == {}
        assert list((root / "vms").iterdir()) == []
