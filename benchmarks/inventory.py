# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the inventory plugin costs, against a plugin that asks once and adds the hosts."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import BIN, ROOT, Ratio, Run, proxmox_server, run

LATENCY, AT_ONCE = 0.02, 16
KEYS = ["vmid", "name", "type", "node", "status", "template", "tags", "pool", "hastate", "lock", "maxmem", "maxcpu"]
"""As many variables as the plugin sets."""
CONSTRUCTED = {
    "keyed_groups": [{"key": "vm_pool", "prefix": "pool", "default_value": "none"}, {"key": "vm_tags", "prefix": "t"}],
    "compose": {"fqdn": "vm_name ~ '.example.com'"},
}


def listed(directory: Path, name: str, source: Mapping[str, Any], runs: int, **environment: str) -> Run:
    """The medians of several ``ansible-inventory --list``."""
    path = directory / name
    path.write_text(json.dumps(source), encoding="utf-8")
    command = [str(BIN / "ansible-inventory"), "-i", str(path), "--list", "--output", str(directory / "out.json")]
    plugins = {
        "ANSIBLE_INVENTORY_PLUGINS": str(ROOT / "benchmarks" / "plugins" / "inventory"),
        "ANSIBLE_INVENTORY_ENABLED": "minimal,auto",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
    }
    found = [run(command, **plugins, **environment) for _run in range(runs)]
    return Run(*(statistics.median(getattr(one, part) for one in found) for part in ("wall", "cpu", "peak")))


def minimal(server: Mapping[str, Any], keys: list[str]) -> dict[str, Any]:
    token = f"PVEAPIToken={server['token_id']}={server['token_secret']}"
    return {"plugin": "minimal", "url": server["url"][0], "token": token, "ca_path": server["ca_path"], "keys": keys}


def measure(runs: int) -> Iterator[Ratio]:
    with tempfile.TemporaryDirectory() as name:
        yield from measure_in(runs, Path(name))


def measure_in(runs: int, directory: Path) -> Iterator[Ratio]:
    with proxmox_server(nodes=4, vms=5000) as server:
        ours = {"plugin": "anyvirt.compute.vms", **server}
        floor = listed(directory, "minimal.yml", minimal(server, KEYS), runs)
        bare = listed(directory, "minimal.yml", minimal(server, []), runs)
        plain = listed(directory, "vms.yml", ours, runs)
        constructed = listed(directory, "vms.yml", {**ours, **CONSTRUCTED}, runs)
    yield Ratio("inventory of 5,000 VMs, CPU / a minimal plugin", plain.cpu, floor.cpu, 1.1)
    yield Ratio("with two keyed_groups and a compose / the same", constructed.cpu, floor.cpu, 1.3)
    yield Ratio("inventory of 5,000 VMs, CPU / names without variables and groups", plain.cpu, bare.cpu)
    with proxmox_server(nodes=4, vms=1000, latency=LATENCY) as server:
        ours = {"plugin": "anyvirt.compute.vms", **server, "facts": ["config", "agent", "snapshots"]}
        floor = listed(directory, "minimal.yml", minimal(server, KEYS), 1)
        facts = listed(directory, "vms.yml", ours, 1)
    # settings and snapshots of each, and the agents of those that run, which is half of them
    ideal = floor.wall + 2500 * LATENCY / AT_ONCE
    yield Ratio("1,000 VMs with all facts at 20 ms / the requests alone and a minimal plugin", facts.wall, ideal, 1.3)
    with proxmox_server(nodes=4, vms=10000) as server:
        peak = listed(directory, "vms.yml", {"plugin": "anyvirt.compute.vms", **server}, 1).peak
    yield Ratio("peak memory for 10,000 VMs / what it may use", peak, 200, 1, "MiB")
