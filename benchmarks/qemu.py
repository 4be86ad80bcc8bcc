# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the local backend costs."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import Identity
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu import command, power, process, tools
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.driver import QemuBackend
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.machine import Machine
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.qmp import Monitor
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import TransportError
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import Op, Step, plan_create
from ansible_collections.anyvirt.compute.plugins.module_utils._task import Deadline
from benchmarks.measure import Ratio, seconds, task_times

SETTINGS = {
    "memory": 128,
    "cpu_type": "qemu64",
    "disks": {"virtio0": {"slot": "virtio0", "size": 1}},
    "nics": {"net0": {"slot": "net0", "network": "user"}},
}
TASK_SETTINGS = {**SETTINGS, "disks": [{"size": 1}], "nics": [{"network": "user"}]}


def bare_start(backend: QemuBackend) -> float:
    """QEMU's own start: the same command line, from fork to the monitor's greeting."""
    record = backend.store.load("bench")
    if record is None:
        raise SystemExit("The VM of the benchmark is gone.")
    vm_dir = backend.store.vm_dir("bench")
    arguments = command.CommandLine(record, vm_dir, process.accelerator("auto"), {}).arguments()
    directory = process.run_dir(vm_dir)
    shutil.rmtree(directory, ignore_errors=True)
    os.mkdir(directory, 0o700)
    begin = time.perf_counter()
    running = subprocess.Popen([tools.program(tools.SYSTEM), *arguments], cwd=directory, stderr=subprocess.DEVNULL)
    while True:
        try:
            monitor = Monitor(directory)
            break
        except TransportError:
            time.sleep(0.002)
    took = time.perf_counter() - begin
    monitor.command("quit")
    monitor.close()
    running.wait()
    return took


def driver_start(backend: QemuBackend) -> float:
    record = backend.store.load("bench")
    if record is None:
        raise SystemExit("The VM of the benchmark is gone.")
    machine = Machine(backend.store, record)
    took = seconds(lambda: power.start(machine, Deadline(60)))
    power.kill(machine)
    return took


def create(backend: QemuBackend, name: str) -> None:
    for step in plan_create(name, SETTINGS).steps:
        backend.perform(step, Deadline(60))


def remove(backend: QemuBackend, name: str) -> None:
    vm = backend.find(Identity(name=name))
    if vm is not None:
        backend.perform(Step(Op.DELETE, vm), Deadline(60))


def measure(runs: int) -> Iterator[Ratio]:
    with tempfile.TemporaryDirectory() as state_dir:
        yield from measure_in(runs, state_dir)


def measure_in(runs: int, state_dir: str) -> Iterator[Ratio]:
    backend, options = QemuBackend({"state_dir": state_dir}), {"state_dir": state_dir}
    backend.store.prepare()
    create(backend, "bench")
    bare = [bare_start(backend) for _run in range(runs)]
    driver = [driver_start(backend) for _run in range(runs)]
    remove(backend, "bench")

    def task(module: str, **options: Any) -> dict[str, Any]:
        return {module: options}

    vm = "anyvirt.compute.vm"
    six = [
        task(vm, name="six", **TASK_SETTINGS),
        task(vm, name="six", state="started"),
        task(vm, name="six", state="started"),
        task("anyvirt.compute.vm_info", name="six"),
        task(vm, name="six", state="stopped", force=True, shutdown_timeout=0),
        task(vm, name="six", state="absent", force=True),
    ]
    pings = [task("ansible.builtin.ping")] * 6
    whole, floor = [], []
    for _run in range(runs):
        whole.append(sum(task_times(six, options)))
        floor.append(sum(task_times(pings, options)))

    for number in range(50):
        create(backend, f"vm{number}")
    infos, single = [], []
    for _run in range(runs):
        infos += task_times([task("anyvirt.compute.vm_info")] * 3, options)
        single += task_times(pings[:3], options)
    idle = task_times([task(vm, name="vm0", **TASK_SETTINGS)] * runs, options)
    middle = statistics.median
    yield Ratio("VM start to monitor ready / bare process", middle(driver), middle(bare), 1.3)
    yield Ratio("six tasks, create to remove / six pings and a start", middle(whole), middle(floor) + middle(bare), 1.5)
    yield Ratio("vm_info of 50 stopped VMs / one ping", middle(infos), middle(single), 1.3)
    yield Ratio("vm, one VM, nothing to do / one ping", middle(idle), middle(single), 1.15)
