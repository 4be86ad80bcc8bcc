# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fixtures of the tests with real QEMU processes and a real guest."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ansible_collections.anyvirt.compute.tests.integration.qemu.lab import Lab, qemu_pids

BUILDER = Path(__file__).parents[2] / "guest" / "build.py"


def guest_folder() -> Path:
    """Where the test guest lies, or is to be built."""
    if "ANYVIRT_TEST_GUEST" in os.environ:
        return Path(os.environ["ANYVIRT_TEST_GUEST"])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("ANYVIRT_WORK") or cache / "anyvirt.compute") / "guest"


@pytest.fixture(scope="session")
def guest():
    """What a VM needs to boot the test guest, as options of the modules."""
    folder = guest_folder()
    if not all((folder / name).exists() for name in ("kernel", "bzImage", "initrd", "cmdline")):
        subprocess.run([sys.executable, str(BUILDER), "--output", str(folder)], check=True)
    return {
        "memory": "128",
        "cpu_type": "qemu64",
        "guest_agent": True,
        "native": {
            "kernel": str(folder / "kernel"),
            "initrd": str(folder / "initrd"),
            "kernel_args": (folder / "cmdline").read_text(),
        },
    }


@pytest.fixture(scope="session")
def playground():
    """A directory for all state directories; at the end no QEMU process may be left in it."""
    root = tempfile.mkdtemp(prefix="anyvirt-qemu-")
    yield Path(root)
    left = qemu_pids(root)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(root)
    assert not left, f"QEMU processes were left behind: {left}"


@pytest.fixture(scope="module")
def lab(playground, request):
    """A state directory of the test file's own; its VMs are removed at the end."""
    lab = Lab(playground / request.module.__name__.rpartition(".")[2])
    yield lab
    lab.clear()


@pytest.fixture
def fresh(playground):
    """A state directory of the test's own."""
    lab = Lab(Path(tempfile.mkdtemp(dir=playground)) / "state")
    yield lab
    lab.clear()
