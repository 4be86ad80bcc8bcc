# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the local backend costs, as ratios against floors that are measured in the same run.

Needs ansible-core beside the Python that runs it, the collection in ANSIBLE_COLLECTIONS_PATH and PYTHONPATH, and QEMU.
Nothing here decides a test.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import Identity
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu import command, power, process, tools
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.driver import QemuBackend
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.machine import Machine
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.qmp import Monitor
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import TransportError
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import Op, Step, plan_create
from ansible_collections.anyvirt.compute.plugins.module_utils._task import Deadline

SETTINGS = {
    "memory": 128,
    "cpu_type": "qemu64",
    "disks": {"virtio0": {"slot": "virtio0", "size": 1}},
    "nics": {"net0": {"slot": "net0", "network": "user"}},
}
TASK_SETTINGS = {**SETTINGS, "disks": [{"size": 1}], "nics": [{"network": "user"}]}


@dataclass(frozen=True)
class Ratio:
    """A measured time against its floor, both in seconds, and the ratio that is promised."""

    what: str
    took: float
    floor: float
    promised: float


def seconds(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def task_times(tasks: Sequence[dict[str, Any]], state_dir: str) -> list[float]:
    """The time of each task of a play on this host, as Ansible's own junit callback tells it."""
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "module_defaults": {"group/anyvirt.compute.all": {"state_dir": state_dir}},
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": list(tasks),
    }
    with tempfile.TemporaryDirectory() as directory:
        playbook = Path(directory, "play.json")
        playbook.write_text(json.dumps([play]), encoding="utf-8")
        environment = {**os.environ, "ANSIBLE_CALLBACKS_ENABLED": "junit", "JUNIT_OUTPUT_DIR": f"{directory}/junit"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        program = str(Path(sys.executable).parent / "ansible-playbook")
        done = subprocess.run(
            [program, "-i", "localhost,", str(playbook)], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        report = ElementTree.parse(next(Path(directory, "junit").iterdir()))
        return [float(case.attrib["time"]) for case in report.iter("testcase")]


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


def measure(runs: int, state_dir: str) -> list[Ratio]:
    backend = QemuBackend({"state_dir": state_dir})
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
        whole.append(sum(task_times(six, state_dir)))
        floor.append(sum(task_times(pings, state_dir)))

    for number in range(50):
        create(backend, f"vm{number}")
    infos, single = [], []
    for _run in range(runs):
        infos += task_times([task("anyvirt.compute.vm_info")] * 3, state_dir)
        single += task_times(pings[:3], state_dir)
    middle = statistics.median
    return [
        Ratio("VM start to monitor ready, driver / bare process", middle(driver), middle(bare), 1.3),
        Ratio("six tasks, create to remove / six pings and a start", middle(whole), middle(floor) + middle(bare), 1.5),
        Ratio("vm_info of 50 stopped VMs / one ping", middle(infos), middle(single), 1.3),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each, of which the median counts (default: 5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as state_dir:
        ratios = measure(options.runs, state_dir)
    print(f"{'':52} {'took':>8} {'floor':>8} {'ratio':>6} {'promised':>9}")
    for one in ratios:
        ratio = one.took / one.floor
        print(f"{one.what:52} {one.took:7.3f}s {one.floor:7.3f}s {ratio:6.2f} {one.promised:9.2f}")


if __name__ == "__main__":
    main()
