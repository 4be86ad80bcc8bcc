# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an inventory costs, in requests and connections."""

from __future__ import annotations

from collections import Counter

import pytest

from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.servers.pve.state import Pool
from ansible_collections.anyvirt.compute.tests.unit.inventory.command import Site, asked, reach

LIST = "/cluster/resources"


def fill(server: ProxmoxServer, count: int) -> None:
    """VMs on all nodes, in pools, with tags."""
    nodes = list(server.state.nodes)
    for number in range(count):
        server.add_vm(100 + number, f"vm{number}", nodes[number % len(nodes)], running=number % 2 == 0, tags="web;prod")
    for number in range(5):
        server.state.pools[f"pool{number}"] = Pool(f"pool{number}", vms=list(range(100 + number, 100 + count, 5)))


@pytest.mark.parametrize(("nodes", "vms"), [(4, 100), (64, 100), (64, 10_000)])
def test_one_request_tells_all(site: Site, nodes: int, vms: int) -> None:
    with ProxmoxServer(nodes=nodes, read_only=True) as server:
        fill(server, vms)
        told = site.hosts(reach(server))
        assert asked(server) == [LIST]
        assert server.connections == 1
    assert len(told.hosts) == vms
    assert len(told.of("vm_state_running")) == vms // 2
    assert len(told.of("vm_pool_pool0")) == len(told.of("vm_pool_pool4")) == vms // 5
    assert sum(len(told.of(f"vm_node_pve{number + 1}")) for number in range(nodes)) == vms


def test_nodes_cost_one_request_more(site: Site, server: ProxmoxServer) -> None:
    fill(server, 8)
    server.add_vm(300, "pve2")
    told = site.hosts({**reach(server), "nodes": True})
    assert asked(server) == [LIST, "/cluster/status"]
    assert server.connections == 1
    assert told.of("vm_nodes") == {"pve1", "pve2_node", "pve3", "pve4"}
    assert told.hosts["pve2_node"]["ansible_host"] == server.state.nodes["pve2"].address
    assert told.hosts["pve2"]["vm_id"] == "300"


def test_facts_cost_what_they_must(site: Site) -> None:
    """Of 48 VMs half run, and of these half have an agent; four are in no pool."""
    with ProxmoxServer(nodes=6, read_only=True, latency=0.03) as server:
        for number in range(48):
            server.add_vm(
                100 + number, f"vm{number}", f"pve{number % 6 + 1}", running=number % 2 == 0, agent=str(number // 2 % 2)
            )
        server.state.pools["prod"] = Pool("prod", vms=list(range(104, 148)))
        facts = {"facts": ["config", "agent", "snapshots"], "select": {"pool": "prod"}}
        told = site.hosts({**reach(server), **facts, "filters": ["vm_id != '104'"]})
        times = Counter(asked(server))
        assert server.connections <= 16
        most = server.front.most_at_once
    assert set(times.values()) == {1}
    wanted = range(105, 148)
    with_agent = [vmid for vmid in wanted if (vmid - 100) % 4 == 2]
    assert sorted(path.split("/")[4] for path in times if path.endswith("/pending")) == [str(one) for one in wanted]
    assert sorted(path.split("/")[4] for path in times if path.endswith("/snapshot")) == [str(one) for one in wanted]
    assert sorted(path.split("/")[4] for path in times if "/agent/" in path) == [str(one) for one in with_agent]
    assert len(times) == 1 + 2 * len(wanted) + len(with_agent)
    assert 1 < most.pop("") <= 16
    assert 1 < max(most.values()) <= 4
    assert len(told.hosts) == len(wanted)
    assert {name for name, agent in told.all("vm_agent").items() if agent["running"]} == {
        f"vm{vmid - 100}" for vmid in with_agent
    }
    assert "vm_facts_error" not in told.out


def test_parallel_requests_can_be_limited(site: Site) -> None:
    with ProxmoxServer(nodes=3, read_only=True, latency=0.02) as server:
        fill(server, 18)
        site.hosts({**reach(server), "facts": ["snapshots"], "max_parallel": 3, "max_parallel_per_node": 2})
        assert len(server.requests) == 19
        assert 1 < server.front.most_at_once[""] <= 3
        assert max(server.front.most_at_once[node] for node in server.state.nodes) <= 2


def test_agents_without_config_are_asked_of_all_that_run(site: Site, server: ProxmoxServer) -> None:
    fill(server, 6)
    server.vm(100).config.update(agent="1", net0="virtio=52:54:00:00:00:01,bridge=vmbr0")
    told = site.hosts({**reach(server), "facts": ["agent"]})
    assert len(server.requests) == 1 + 3
    assert told.hosts["vm0"]["vm_addresses"] == ["192.0.2.50"]
    assert told.hosts["vm2"]["vm_agent"]["running"] is False
    assert "agent" in told.hosts["vm2"]["vm_agent"]["error"]


def test_containers_and_templates_are_asked_nothing_unless_listed(site: Site, server: ProxmoxServer) -> None:
    server.add_vm(100, "web")
    server.add_vm(101, "golden", template=True)
    server.add_container(200, "ct", tags="web")
    facts = {**reach(server), "facts": ["config"]}
    assert set(site.hosts(facts).hosts) == {"web"}
    assert len(server.requests) == 2
    server.forget()
    told = site.hosts({**facts, "types": ["vm", "container"], "templates": True})
    assert set(told.hosts) == {"web", "golden", "ct"}
    assert len(server.requests) == 3
    assert told.of("vm_template") == {"golden"}
    assert told.of("vm_type_container") == {"ct"}
    assert told.of("vm_type_vm") == {"web", "golden"}
    assert told.of("vm_tag_web") == {"ct"}
