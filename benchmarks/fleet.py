# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one task for many VMs costs on Proxmox VE, against the parts that no task can do without."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.measure import Ratio, proxmox_server, task_times

TASK_SECONDS, AT_ONCE = 1.0, 16
POWER, SNAPSHOT = "anyvirt.compute.vm_power", "anyvirt.compute.vm_snapshot"
ALL = {"select": {"tags": ["demo"]}, "max_parallel": 100, "max_parallel_per_node": 25}
CUT = {"state": "stopped", "force": True, "shutdown_timeout": 0}
PING, PROXMOXER = {"ansible.builtin.ping": {}}, {"proxmoxer_ping": {}}
REQUESTS = 100 + 12
"""A write for each VM, and the lists before and after."""


def measure(runs: int) -> Iterator[Ratio]:
    for latency in (0.0, 0.02):
        with proxmox_server(nodes=4, vms=100, task_seconds=TASK_SECONDS, latency=latency) as server:
            yield from hundred(runs, server, latency)
    for count in (100, 500, 1000, 5000):
        with proxmox_server(nodes=4, vms=count, task_seconds=0.05) as server:
            yield from nothing_to_do(runs, server, count)


def hundred(runs: int, server: Mapping[str, Any], latency: float) -> Iterator[Ratio]:
    one = {POWER: {"id": "100", **CUT}}
    tasks = [{POWER: {**ALL, **CUT}}, one, PROXMOXER]
    rounds = [
        {POWER: {**ALL, "state": "started"}},
        {SNAPSHOT: {**ALL, "snapshot": "bench", "memory": False}},
        {SNAPSHOT: {**ALL, "snapshot": "bench", "state": "absent"}},
        {POWER: {**ALL, **CUT}},
        one,
        PROXMOXER,
    ]
    times = task_times(tasks + rounds * runs, server)[len(tasks) :]
    start, snapshot, _absent, _stop, idle, ping = (statistics.median(times[step::6]) for step in range(6))
    floor = idle + TASK_SECONDS + REQUESTS * latency / AT_ONCE
    at = f"at {latency * 1000:.0f} ms"
    yield Ratio(f"100 starts {at} / an idle task, 1 s, and the requests", start, floor, 1.15)
    yield Ratio(f"100 snapshots {at} / the same", snapshot, floor)
    yield Ratio(f"one VM, nothing to do, {at} / a task that imports proxmoxer", idle, ping, 1.4)


def nothing_to_do(runs: int, server: Mapping[str, Any], count: int) -> Iterator[Ratio]:
    tasks = [{POWER: {**ALL, **CUT}}] + [{POWER: {**ALL, "state": "stopped"}}, PING] * (runs + 1)
    times = task_times(tasks, server)[3:]
    promised = {100: 1.3, 5000: 2.5}.get(count)
    idle, ping = statistics.median(times[::2]), statistics.median(times[1::2])
    yield Ratio(f"{count} VMs by tag, nothing to do / one ping", idle, ping, promised)
