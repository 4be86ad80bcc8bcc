# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many requests and connections the modules need."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox.driver import ProxmoxBackend
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.proxmox.conftest import Ask


@pytest.fixture
def many() -> object:
    with ProxmoxServer(nodes=4, task_seconds=0.05) as server:
        for number in range(100):
            server.add_vm(100 + number, f"vm{number}", f"pve{number % 4 + 1}", running=True, memory="64")
        yield server


def connection_to(server: ProxmoxServer) -> dict[str, object]:
    return {
        "url": [server.url],
        "token_id": server.token_id,
        "token_secret": server.token_secret,
        "ca_path": server.ca_path,
    }


def test_an_unchanged_vm_by_id(ask: Ask, server: ProxmoxServer) -> None:
    server.add_vm(200, "web", memory="512")
    told = ask("vm_config", id="200", memory="512MiB")
    assert (told.failed, told.changed) == (False, False)
    assert len(server.requests) <= 4
    assert server.connections == 1


def test_a_hundred_are_stopped_and_then_found_stopped(ask: Ask, many: ProxmoxServer) -> None:
    names = [f"vm{number}" for number in range(100)]
    options = {**connection_to(many), "vms": names, "state": "stopped", "max_parallel": 16}
    done = ask("vm_power", **options)
    assert not done.failed, done.result
    assert all(one["changed"] and one["vm"]["state"] == "stopped" for one in done.result["results"])
    reads = [one for one in many.requests if one.method == "GET" and "/tasks" not in one.path]
    assert len(many.writes) == 100
    assert len(reads) <= 12, [one.path for one in reads]
    many.forget()
    again = ask("vm_power", **options)
    assert (again.failed, again.changed) == (False, False)
    assert len(many.requests) <= 5


def test_a_hundred_tasks_are_polled_by_one(ask: Ask) -> None:
    with ProxmoxServer(nodes=4, task_seconds=1) as server:
        for number in range(100):
            server.add_vm(100 + number, f"vm{number}", f"pve{number % 4 + 1}", memory="64")
        server.forget()
        begin = time.monotonic()
        done = ask("vm_power", **connection_to(server), select={}, state="started", max_parallel_per_node=25)
        elapsed = time.monotonic() - begin
        assert not done.failed, done.result
        asked = Counter(one.path for one in server.requests if "/tasks" in one.path)
        lists = {path: times for path, times in asked.items() if path.endswith("/tasks")}
        # a few left over are asked about one by one, all others are read from the lists of cluster and nodes
        assert len(lists) <= 5
        polls = elapsed / ProxmoxBackend.poll_interval[0] + 1
        assert max(lists.values()) <= polls
        assert asked.total() - sum(lists.values()) <= 3 * polls


def test_hundreds_of_tasks_that_have_ended_are_told_by_a_list_of_each_node(ask: Ask, many: ProxmoxServer) -> None:
    begun = [many.add_task("qmstart", 100 + number, node=f"pve{number % 4 + 1}").upid for number in range(300)]
    done = ask("task_wait", **connection_to(many), tasks=begun)
    assert not done.failed, done.result
    assert [task["id"] for task in done.result["tasks"]] == begun
    assert {task["state"] for task in done.result["tasks"]} == {"succeeded"}
    assert len(many.requests) <= 5, [one.path for one in many.requests]


def test_thirty_clones_take_thirty_ids_at_the_first_attempt(ask: Ask, many: ProxmoxServer) -> None:
    many.add_vm(990, "golden", template=1, scsi0="shared:2,format=qcow2")
    clones = [{"name": f"c{number}"} for number in range(30)]
    many.forget()
    done = ask("vm_clone", **connection_to(many), source="golden", clones=clones)
    assert not done.failed, done.result
    assert len(many.writes) == 30
    lists = [one for one in many.requests if one.path.endswith(("/cluster/resources", "/qemu"))]
    assert len([one for one in lists if one.method == "GET"]) <= 2 * 5


def test_ids_that_lie_between_those_of_others_are_taken_at_the_first_attempt(ask: Ask, server: ProxmoxServer) -> None:
    for vmid in (100, 102, 103, 105):
        server.add_vm(vmid, f"vm{vmid}", memory="64")
    done = ask("vm", each=[{"name": f"new{number}"} for number in range(4)], memory="64")
    assert not done.failed, done.result
    assert sorted(one["vm"]["id"] for one in done.result["results"]) == ["101", "104", "106", "107"]
    assert len(server.writes) == 4


def test_forty_new_vms_are_spread_and_read_together(ask: Ask, many: ProxmoxServer) -> None:
    each = [{"name": f"new{number}"} for number in range(40)]
    done = ask("vm", **connection_to(many), each=each, memory="1GiB", max_parallel=16)
    assert not done.failed, done.result
    assert sorted(Counter(one["vm"]["node"] for one in done.result["results"]).items()) == [
        (f"pve{number}", 10) for number in (1, 2, 3, 4)
    ]
    assert len(many.writes) == 40
    lists = [one for one in many.requests if one.path.endswith(("/cluster/resources", "/qemu"))]
    assert len([one for one in lists if one.method == "GET"]) <= 2 * 5
    many.forget()
    again = ask("vm", **connection_to(many), each=each, memory="1GiB")
    assert (again.failed, again.changed) == (False, False)
    assert len(many.requests) <= 5 + 40


def test_no_more_vms_of_a_node_are_changed_at_once_than_may(ask: Ask) -> None:
    with ProxmoxServer(nodes=2, task_seconds=0.3) as server:
        for number in range(16):
            server.add_vm(100 + number, f"vm{number}", f"pve{number % 2 + 1}", memory="64")
        done = ask("vm_power", **connection_to(server), select={}, state="started", max_parallel_per_node=3)
        assert not done.failed, done.result
        for node in ("pve1", "pve2"):
            begun = sorted(one.time for one in server.writes if f"/nodes/{node}/" in one.path)
            assert len(begun) == 8
            # the fourth waits for the end of the first, and so on
            assert all(later - earlier >= 0.3 for earlier, later in zip(begun, begun[3:]))
