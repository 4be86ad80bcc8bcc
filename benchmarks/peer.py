# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same work by community.proxmox, on the same server in the same run. Needs that collection."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.fleet import ALL, CUT, POWER
from benchmarks.inventory import LATENCY, listed
from benchmarks.measure import Ratio, proxmox_server, task_times

STARTS = 10


def measure(runs: int) -> Iterator[Ratio]:
    with tempfile.TemporaryDirectory() as name, proxmox_server(nodes=4, vms=1000, latency=LATENCY) as server:
        yield from inventories(Path(name), server)
    with proxmox_server(nodes=4, vms=STARTS, task_seconds=1) as server:
        yield from starts(server)


def inventories(directory: Path, server: Mapping[str, Any]) -> Iterator[Ratio]:
    user, _mark, token = server["token_id"].partition("!")
    theirs = {
        "plugin": "community.proxmox.proxmox",
        **{"url": server["url"][0], "user": user, "token_id": token, "token_secret": server["token_secret"]},
    }
    trust = {"REQUESTS_CA_BUNDLE": server["ca_path"]}
    ours = {"plugin": "anyvirt.compute.vms", **server}
    facts = ["config", "agent", "snapshots"]
    for what, more_of_theirs, more_of_ours in (
        ("inventory of 1,000 VMs at 20 ms", {}, {}),
        ("the same with facts", {"want_facts": True}, {"facts": facts}),
    ):
        took = listed(directory, "a.vms.yml", {**ours, **more_of_ours}, 1).wall
        floor = listed(directory, "a.proxmox.yml", {**theirs, **more_of_theirs}, 1, **trust).wall
        yield Ratio(f"{what} / community.proxmox", took, floor)


def starts(server: Mapping[str, Any]) -> Iterator[Ratio]:
    where = urlsplit(server["url"][0])
    user, _mark, token = server["token_id"].partition("!")
    theirs = {
        **{"api_host": where.hostname, "api_port": where.port, "api_user": user, "api_token_id": token},
        **{"api_token_secret": server["token_secret"], "validate_certs": False, "state": "started"},
    }
    loop = [{"community.proxmox.proxmox_kvm": {**theirs, "vmid": 100 + number}} for number in range(STARTS)]
    cut = {POWER: {**ALL, **CUT}}
    times = task_times([cut, {POWER: {**ALL, "state": "started"}}, cut, *loop], server)
    yield Ratio(f"{STARTS} starts in one task / community.proxmox, one by one", times[1], sum(times[3:]))
