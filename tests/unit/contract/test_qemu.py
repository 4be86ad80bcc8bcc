# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contract on plain QEMU: real processes that sit in their firmware, for these VMs have no system."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import Backend
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu import process
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.driver import QemuBackend
from ansible_collections.anyvirt.compute.tests.console import assert_all_ended, free_port, websockifys
from ansible_collections.anyvirt.compute.tests.setup import novnc
from ansible_collections.anyvirt.compute.tests.unit.contract.cases import BASE
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
from ansible_collections.anyvirt.compute.tests.unit.contract.suite import BackendContract

PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "genisoimage": "genisoimage"}


@pytest.fixture(scope="session")
def one_vm(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A state directory with the base VM, to be copied."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if missing:
        pytest.fail(f"These tests run QEMU, which is not installed: apt install {' '.join(missing)}")
    path = tmp_path_factory.mktemp("qemu") / "state"
    options = {
        "backend": "qemu",
        "state_dir": str(path),
        "name": BASE,
        "memory": "64",
        "cpu_type": "qemu64",
        "disks": [{"size": "16MiB"}],
        "nics": [{"network": "user"}],
    }
    made = run("vm", options)
    assert made.changed, made.result
    return path


@pytest.fixture(scope="session")
def pages() -> pathlib.Path:
    return novnc.pages()


def content(path: pathlib.Path) -> Any:
    about = path.lstat()
    if stat.S_ISREG(about.st_mode):
        return about.st_mode, about.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()
    return about.st_mode


def processes(root: str) -> dict[str, list[str]]:
    """Those that work below a directory, with what they were started as."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/cwd").startswith(f"{root}/"):
                found[pid] = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return found


class TestQemu(BackendContract):
    names_are_unique: ClassVar[bool] = True

    @pytest.fixture
    def connection(self, one_vm: pathlib.Path, pages: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[dict[str, Any]]:
        root = tmp_path / "state"
        shutil.copytree(one_vm, root)
        self.console = {"novnc_path": str(pages), "web_port": free_port()}
        yield {"backend": "qemu", "state_dir": str(root)}
        backend = QemuBackend({"state_dir": str(root)})
        for name in backend.store.names():
            if process.is_alive(backend.store.vm_dir(name)):
                process.kill(backend.store.vm_dir(name))
            backend.store.remove(name)
        assert processes(str(root)) == {}
        assert_all_ended(root)

    def test_memory_is_not_saved_for_other_hardware(self, ask: Any, connection: Mapping[str, Any]) -> None:
        for done in (
            ask("vm_power", name=BASE, state="started"),
            ask("vm_config", name=BASE, memory="128"),
            ask("vm_config", name=BASE, tags=["a"], apply="next_boot"),
        ):
            assert done.changed
        before = self.fingerprint(connection)
        for check in (True, False):
            answer = ask("vm_power", check=check, name=BASE, state="suspended")
            assert (answer.failed, answer.result["kind"]) == (True, "conflict")
        assert self.fingerprint(connection) == before
        assert ask("vm_config", name=BASE, memory="64").result["pending"] == ["tags"]
        assert ask("vm_power", name=BASE, state="suspended").changed
        assert ask("vm_power", name=BASE, state="resumed").vm["tags"] == ["a"]

    def backend_class(self) -> type[Backend]:
        return QemuBackend

    def fingerprint(self, connection: Mapping[str, Any]) -> Any:
        """All files and what is in them, the processes, and what QEMU says. Who asks takes turns by a lock file."""
        root = pathlib.Path(connection["state_dir"])
        turns = {"info.lock", "agent.lock"}
        files = {str(path): content(path) for path in root.rglob("*") if path.name not in turns}
        states = [(vm["name"], vm["native_state"]) for vm in QemuBackend(connection).list()]
        return files, processes(str(root)), websockifys(root), states
