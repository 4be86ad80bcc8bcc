# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The QEMU process of a VM: started, found, ended.

A VM is alive exactly while its life lock is held. QEMU inherits the locked descriptor, so the kernel keeps the
answer true through kill -9, zombies, reused pids and lost pidfiles.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..._errors import BackendError, Conflict, Error, TaskTimeout, TransportError
from ..._task import Deadline
from . import tools
from .locks import EXCLUSIVE, is_held, wait_for_lock
from .qmp import Monitor
from .store import write_atomically

_CPU_FLAGS = {"vmx", "svm"}


def run_dir(vm_dir: str) -> str:
    return os.path.join(vm_dir, "run")


def is_alive(vm_dir: str) -> bool:
    return is_held(os.path.join(vm_dir, "run.lock"))


def claim_life(vm_dir: str) -> int:
    """The life lock as a descriptor for QEMU. One second is enough for the probes of others to end.

    :raises Conflict: the VM is alive.
    """
    descriptor = wait_for_lock(os.path.join(vm_dir, "run.lock"), EXCLUSIVE, Deadline(1.0))
    if descriptor is None:
        raise Conflict(f"{os.path.basename(vm_dir)} is running already.")
    return descriptor


def accelerator(wanted: str, device: str = "/dev/kvm", cpuinfo: str = "/proc/cpuinfo") -> str:
    """``kvm`` or ``tcg``.

    ``auto`` is kvm only where guests will really run: on nested hosts /dev/kvm may open, make VMs and never run them.
    """
    if wanted != "auto":
        return wanted
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
        with open(cpuinfo, encoding="utf-8") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return "tcg"
    return "kvm" if _CPU_FLAGS & {*flags.split()} else "tcg"


def spawn(vm_dir: str, arguments: Sequence[str], uuid: str, life: int, descriptors: Sequence[int]) -> Monitor:
    """Start QEMU, which then waits for cont; its monitor.

    :param life: the descriptor that holds the life lock.
    :param descriptors: further ones that QEMU is to inherit.
    :raises BackendError: it did not start; the message holds what it said.
    """
    directory = run_dir(vm_dir)
    log = os.path.join(vm_dir, "qemu.log")
    with open(log, "ab") as output:
        offset = output.tell()
        # run_command would wait for the end of a process that is to outlive the module
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            [tools.program(tools.SYSTEM), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=directory,
            start_new_session=True,
            pass_fds=[life, *descriptors],
        )
    deadline = Deadline(30.0)
    for _turn in deadline.intervals(0.01, 0.05):
        if process.poll() is not None:
            break
        with suppress(TransportError):
            monitor = Monitor(directory)
            if monitor.command("query-uuid")["UUID"] == uuid:
                leave_service(process.pid, f"anyvirt-{uuid}")
                return monitor
            monitor.close()
    process.kill()
    process.wait()
    with open(log, "rb") as file:
        file.seek(offset)
        said = file.read()[-4000:].decode(errors="replace").strip() or "it said nothing"
    raise BackendError(f"QEMU did not start: {said}", advice=f"Its log is {log}.")


def fresh_run_dir(vm_dir: str, running: dict[str, Any]) -> None:
    """An empty run directory, with what the process is started with."""
    directory = run_dir(vm_dir)
    shutil.rmtree(directory, ignore_errors=True)
    os.mkdir(directory, 0o700)
    write_running(vm_dir, running)


def write_running(vm_dir: str, running: dict[str, Any]) -> None:
    write_atomically(os.path.join(run_dir(vm_dir), "running.json"), json.dumps(running).encode())


def read_running(vm_dir: str) -> dict[str, Any]:
    """What the live process runs with: ``config`` and ``boot``, an id of this start. Empty where that is not known."""
    try:
        with open(os.path.join(run_dir(vm_dir), "running.json"), encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):
        return {}


def was_killed(vm_dir: str) -> bool:
    """Whether the last process went without tidying up: QEMU removes its pidfile when it ends by itself."""
    return os.path.exists(os.path.join(run_dir(vm_dir), "pid"))


def pid_of(vm_dir: str) -> int | None:
    """The process that holds the pidfile's lock, which is QEMU itself and nobody who got its number later.

    Where the pidfile was lost it is the process that works in the directory and has the life lock open.
    """
    try:
        with open(os.path.join(run_dir(vm_dir), "pid"), "rb") as file:
            asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            answer = struct.unpack("hhqqi", fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except FileNotFoundError:
        return _pid_in(vm_dir)
    return answer[4] if answer[0] != fcntl.F_UNLCK else None


def _pid_in(vm_dir: str) -> int | None:
    directory = os.path.realpath(run_dir(vm_dir))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            works_here = os.readlink(f"/proc/{pid}/cwd") in (directory, f"{directory} (deleted)")
            if works_here and any(
                os.path.samefile(f"/proc/{pid}/fd/{number}", os.path.join(vm_dir, "run.lock"))
                for number in os.listdir(f"/proc/{pid}/fd")
            ):
                return int(pid)
    return None


def wait_dead(vm_dir: str, seconds: float) -> bool:
    return any(not is_alive(vm_dir) for _turn in Deadline(seconds).intervals(0.005, 0.1))


def kill(vm_dir: str) -> None:
    """Cut the power: ask QEMU to quit, then end the process.

    :raises TaskTimeout: it is alive all the same.
    """
    with suppress(Error), Monitor(run_dir(vm_dir), timeout=2.0) as monitor:
        monitor.command("quit", timeout=2.0)
    if wait_dead(vm_dir, 5.0):
        return
    pid = pid_of(vm_dir)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not wait_dead(vm_dir, 10.0):
        raise TaskTimeout(
            f"QEMU of {os.path.basename(vm_dir)} did not end (pid {pid}).", advice="The host may hang on its disk."
        )


def new_boot_id() -> str:
    return f"{time.time_ns():x}"


def leave_service(pid: int, scope_name: str) -> None:
    """Move a process out of a systemd service that runs Ansible, which would take it along when it stops.

    Where that is refused it runs all the same.
    """
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            group = file.read().strip()
    except OSError:
        return
    if not os.path.isdir("/run/systemd/system") or not group.endswith(".service") or os.geteuid() != 0:
        return
    manager = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"]
    scope = ["ssa(sv)a(sa(sv))", f"{scope_name}.scope", "fail", "1", "PIDs", "au", "1", str(pid), "0"]
    with suppress(Error):
        tools.run([tools.program("busctl"), "call", *manager, "StartTransientUnit", *scope], timeout=10)
