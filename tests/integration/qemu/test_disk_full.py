# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host without room: on a small file system of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu import build, disks
from ansible_collections.anyvirt.compute.tests.integration.qemu.lab import (
    Failed,
    Lab,
    check_image,
    content,
    eventually,
    fill,
    qemu_pids,
)

MIB = 1024 * 1024


@pytest.fixture
def small(playground):
    """A lab on a file system of 48 MiB."""
    if os.geteuid() != 0:
        pytest.fail("The tests with a full disk mount a small file system: run them as root, as CI does.")
    folder = playground / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], check=True)
    lab = Lab(folder / "state")
    try:
        yield lab
        lab.clear()
    finally:
        for pid in qemu_pids(folder):
            os.kill(pid, signal.SIGKILL)
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def use_up(lab, leave=0):
    """Fill the file system but for some bytes; the file that does it."""
    about = os.statvfs(lab.state_dir)
    path = lab.state_dir.parent / "ballast"
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, about.f_bavail * about.f_frsize - leave)
    return path


def test_clone_that_does_not_fit_is_refused_at_once(small):
    small.run("vm", name="vm", disks=[{"size": "64MiB"}])
    fill(small.disk("vm"), 1, size="20M")
    ballast = use_up(small, leave=10 * MIB)
    for run in (small.check, small.run):
        with pytest.raises(Failed, match=r"needs 2\d MiB") as failure:
            run("vm_clone", source="vm", name="copy")
        assert failure.value.kind == "invalid_request"
    ballast.unlink()
    small.twice("vm_clone", source="vm", name="copy")


@pytest.mark.parametrize("running", [False, True])
def test_disk_full_in_the_middle_of_a_clone(small, running, monkeypatch):
    """Someone else takes the room after it was looked for."""
    small.run("vm", name="vm", memory="32", disks=[{"size": "64MiB"}])
    fill(small.disk("vm"), 1, size="20M")
    if running:
        small.run("vm_power", name="vm", state="started")
    with monkeypatch.context() as patched:
        patched.setattr(build, "require_space_for_clone", lambda *_arguments: None)
        ballast = use_up(small, leave=10 * MIB)
        with pytest.raises(Failed, match="No space left on device") as failure:
            small.run("vm_clone", source="vm", name="copy")
    assert failure.value.kind == "backend_error" and not failure.value.result["changed"]
    assert small.state("copy") == "absent" and not small.debris()
    assert small.state("vm") == ("running" if running else "stopped")
    ballast.unlink()
    small.twice("vm_clone", source="vm", name="copy")
    assert content(small.disk("copy"))[: 20 * MIB] == b"\1" * (20 * MIB)
    if running:
        assert not small.qmp("vm", "query-jobs")


def test_disk_full_while_a_disk_is_made_from_an_image(small, tmp_path, monkeypatch):
    image = tmp_path / "image.raw"
    image.write_bytes(os.urandom(20 * MIB))
    small.run("vm", name="vm")
    use_up(small, leave=10 * MIB)
    with pytest.raises(Failed, match=r"needs 2\d MiB"):
        small.run("vm", name="new", disks=[{"source": str(image)}])
    monkeypatch.setattr(disks, "require_space", lambda *_arguments: None)
    for module, options in (("vm", {"name": "new"}), ("vm_config", {"name": "vm"})):
        with pytest.raises(Failed, match="No space left on device"):
            small.run(module, **options, disks=[{"source": str(image)}])
        assert small.state("new") == "absent" and not small.info("vm", "config")["disks"] and not small.debris()


def test_disk_full_for_the_record_itself(small):
    """Not even vm.json can be written: the old one stays."""
    small.run("vm", name="vm", memory="64")
    ballast = use_up(small)
    with pytest.raises(Failed, match="No space left on device") as failure:
        small.run("vm_config", name="vm", memory="128", description="x" * 20000)
    assert failure.value.kind == "backend_error"
    assert small.info("vm")["memory"] == 64 and not small.debris()
    with pytest.raises(Failed, match="No space left on device"):
        small.run("vm", name="new")
    assert small.state("new") == "absent"
    ballast.unlink()
    small.twice("vm_config", name="vm", memory="128")


def test_disk_full_under_a_running_guest(small, guest):
    """The VM stops and says why; once there is room it goes on and has lost nothing."""
    small.boot("vm", guest, disks=[{"size": "64MiB"}])
    ballast = use_up(small, leave=6 * MIB)
    small.shell("vm", "dd if=/dev/urandom of=/dev/shm/data bs=1M count=20 2>/dev/null")
    small.shell("vm", "(dd if=/dev/shm/data of=/dev/vda bs=1M oflag=direct && touch /run/written) >/dev/null 2>&1 &")
    eventually(lambda: small.info("vm")["native_state"] == "io-error")
    assert small.info("vm")["state"] == "paused"
    with pytest.raises(Failed):
        small.run("vm_snapshot", name="vm", snapshot="ram", memory=True)
    assert small.snapshots("vm") == {}
    ballast.unlink()
    small.twice("vm_power", name="vm", state="started")
    eventually(lambda: small.shell("vm", "ls /run/written", check=False))
    small.shell("vm", "cmp -n 20971520 /dev/shm/data /dev/vda")
    assert small.state("vm") == "running"
    small.run("vm_power", name="vm", state="stopped", shutdown_timeout=60)
    check_image(small.disk("vm"))
