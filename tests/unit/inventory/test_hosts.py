# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which VMs become hosts, with which variables, groups and addresses."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.servers.pve.state import Pool
from ansible_collections.anyvirt.compute.tests.unit.inventory.command import Site, asked, reach

ADDRESSES = ["169.254.7.7/16", "2001:db8::7/64", "192.0.2.7/24"]


@pytest.fixture
def mixed(server: ProxmoxServer) -> ProxmoxServer:
    """VMs of all kinds."""
    nic = {"net0": "virtio,bridge=vmbr0", "agent": "1"}
    bridges = {"docker0": ["172.17.0.1/16"], "tun0": ["198.51.100.7/24"]}
    server.add_vm(100, "web", running=True, tags="web;prod", addresses=ADDRESSES, interfaces=bridges, **nic)
    server.add_vm(101, "six", running=True, tags="dmz", addresses=["fe80::1/64", "2001:db8::8/64"], **nic)
    cloud_init = {"ide2": "shared:cloudinit", "ipconfig0": "ip=203.0.113.9/24,gw=203.0.113.1", "ciuser": "debian"}
    server.add_vm(102, "off", "pve2", tags="dmz", cipassword="hidden-word", **cloud_init)
    server.add_vm(103, "dhcp", "pve2", ide2="shared:cloudinit", ipconfig0="ip=dhcp")
    server.add_vm(104, "big", "pve3", paused=True, memory=4096, cores=8, tags="a-b")
    server.add_vm(105, "golden", "pve3", template=True, tags="web")
    server.state.pools["prod-1"] = Pool("prod-1", vms=[100, 102])
    server.refresh_resources()
    return server


# --- variables and groups


def test_what_one_request_tells(site: Site, mixed: ProxmoxServer) -> None:
    told = site.hosts(reach(mixed))
    assert told.hosts["web"] == {
        "ansible_host": "web",
        "vm_backend": "proxmox",
        "vm_cores": 1,
        "vm_ha": False,
        "vm_id": "100",
        "vm_lock": None,
        "vm_memory": 512,
        "vm_name": "web",
        "vm_node": "pve1",
        "vm_pool": "prod-1",
        "vm_state": "running",
        "vm_tags": ["prod", "web"],
        "vm_template": False,
        "vm_type": "vm",
    }
    assert told.hosts["big"]["vm_memory"] == 4096
    everything = {"web", "six", "off", "dhcp", "big"}
    assert {name: told.of(name) for name in told.groups if name not in ("_meta", "all")} == {
        "vm_backend_proxmox": everything,
        "vm_type_vm": everything,
        "vm_node_pve1": {"web", "six"},
        "vm_node_pve2": {"off", "dhcp"},
        "vm_node_pve3": {"big"},
        "vm_pool_prod_1": {"web", "off"},
        "vm_state_running": {"web", "six"},
        "vm_state_stopped": {"off", "dhcp"},
        "vm_state_paused": {"big"},
        "vm_tag_web": {"web"},
        "vm_tag_prod": {"web"},
        "vm_tag_dmz": {"six", "off"},
        "vm_tag_a_b": {"big"},
    }


def test_facts_are_typed_and_without_secrets(site: Site, mixed: ProxmoxServer) -> None:
    told = site.hosts({**reach(mixed), "facts": ["config"], "group_prefix": "pve_", "templates": True})
    web, off = told.hosts["web"], told.hosts["off"]
    assert [(nic["slot"], nic["network"], nic["model"]) for nic in web["vm_nics"]] == [("net0", "vmbr0", "virtio")]
    assert off["vm_cloud_init"]["user"] == "debian"
    assert off["vm_cloud_init"]["ip_config"] == [{"nic": "net0", "ip": "203.0.113.9/24", "gateway": "203.0.113.1"}]
    assert told.of("pve_template") == {"golden"}
    assert told.of("pve_tag_web") == {"golden", "web"}
    assert not [name for name in told.groups if name.startswith("vm_")]
    assert "hidden-word" not in told.out
    assert mixed.token_secret not in told.out


# --- which


@pytest.mark.parametrize(
    ("options", "hosts"),
    [
        ({"select": {"tags": ["dmz"], "node": "pve2"}}, {"off"}),
        ({"select": {"name": "?i*", "status": "running"}}, {"six"}),
        ({"select": {"template": True}}, {"golden"}),
        ({"filters": ["vm_memory > 1024 or 'web' in vm_tags", "vm_node != 'pve3'"], "templates": True}, {"web"}),
    ],
)
def test_what_is_left_out(site: Site, mixed: ProxmoxServer, options: dict[str, Any], hosts: set[str]) -> None:
    assert set(site.hosts({**reach(mixed), **options}).hosts) == hosts


def test_a_filter_may_look_at_facts(site: Site, mixed: ProxmoxServer) -> None:
    filters = ["vm_state != 'paused'", "vm_cloud_init is defined"]
    told = site.hosts({**reach(mixed), "facts": ["config"], "filters": filters})
    assert set(told.hosts) == {"off", "dhcp"}
    ids = ((1, 100), (1, 101), (2, 102), (2, 103))
    assert sorted(asked(mixed))[1:] == [f"/nodes/pve{node}/qemu/{vmid}/pending" for node, vmid in ids]


# --- addresses


def test_addresses_by_default_are_the_best_that_is_known(site: Site, mixed: ProxmoxServer) -> None:
    told = site.hosts({**reach(mixed), "facts": ["config", "agent"]})
    # off has none of an agent, and dhcp none that cloud-init knows
    by_host = {"web": "198.51.100.7", "six": "2001:db8::8", "off": "203.0.113.9", "dhcp": "dhcp", "big": "big"}
    assert told.all("ansible_host") == by_host


def test_addresses_by_policy_and_group(site: Site, mixed: ProxmoxServer) -> None:
    told = site.hosts(
        {
            **reach(mixed),
            "facts": ["config", "agent"],
            "host_address": {"sources": ["agent"], "family": "ipv4", "interfaces": ["eth*"]},
            "host_address_by_group": {
                "cloudy": {"sources": ["cloud_init", "name"], "networks": ["203.0.113.0/24"]},
                "vm_tag_dmz": {"family": "ipv6", "sources": ["agent"]},
            },
            "keyed_groups": [{"key": "'cloudy' if vm_cloud_init is defined else 'bare'", "separator": ""}],
        }
    )
    assert told.of("cloudy") == {"off", "dhcp"}
    assert told.all("ansible_host") == {"web": "192.0.2.7", "six": "2001:db8::8", "off": "203.0.113.9"}


def test_compose_goes_before_policies(site: Site, mixed: ProxmoxServer) -> None:
    told = site.hosts(
        {
            **reach(mixed),
            "compose": {"ansible_host": "vm_name ~ '.example.com'"},
            "host_address_by_group": {"vm_node_pve1": {"sources": ["name"]}},
        }
    )
    assert told.hosts["web"]["ansible_host"] == "web.example.com"
    assert told.hosts["off"]["ansible_host"] == "off.example.com"
