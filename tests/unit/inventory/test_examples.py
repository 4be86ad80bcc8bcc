# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples of the documentation, as they stand there but for the url, and what ansible-doc makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from ansible_collections.anyvirt.compute.plugins.inventory.vms import EXAMPLES
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.inventory.command import Site

DOCUMENTS = list(yaml.safe_load_all(EXAMPLES))


@pytest.fixture
def access(server: ProxmoxServer) -> dict[str, str]:
    """The environment of the user that the examples speak of."""
    user = "ansible@pve"
    server.state.access.add_user(user)
    secret = server.state.access.add_token(user, "inventory", privsep=False)
    server.state.access.grant("/", user, "PVEAuditor", "VM.GuestAgent.Audit")
    cloud_init = {"ide2": "shared:cloudinit", "ipconfig0": "ip=198.51.100.9/24"}
    server.add_vm(100, "web1", running=True, tags="web;dmz", memory=1024, agent="1", **cloud_init)
    nic = {"net0": "virtio,bridge=vmbr0", "agent": "1", "addresses": ["198.51.100.8/24", "192.0.2.8/24"]}
    server.add_vm(101, "web2", running=True, tags="web;debian", memory=32768, **nic)
    server.add_vm(102, "private", memory=2048, tags="no-ansible")
    server.add_vm(103, "small", memory=512)
    return {"ANYVIRT_TOKEN_SECRET": secret, "PVE_SECRET": secret, "ANYVIRT_CA_PATH": server.ca_path}


def at(server: ProxmoxServer, example: Mapping[str, Any]) -> dict[str, Any]:
    """The example, with a url at which there is something."""
    urls = {"url": server.urls[:2] if isinstance(example["url"], list) else server.url} if "url" in example else {}
    return {**example, **urls}


def test_all_of_a_cluster(site: Site, server: ProxmoxServer, access: dict[str, str]) -> None:
    assert set(site.hosts(at(server, DOCUMENTS[0]), **access).hosts) == {"web1", "web2", "private", "small"}


def test_all_of_this_host(site: Site) -> None:
    assert DOCUMENTS[1]["backend"] == "qemu"
    assert site.hosts(DOCUMENTS[1]).hosts == {}


def test_running_web_servers(site: Site, server: ProxmoxServer, access: dict[str, str]) -> None:
    told = site.hosts(at(server, DOCUMENTS[2]), **{**access, "ANYVIRT_TOKEN_SECRET": "of another"})
    assert told.all("ansible_host") == {"web1": "198.51.100.9", "web2": "192.0.2.8"}


def test_groups_of_ones_own(site: Site, server: ProxmoxServer, access: dict[str, str]) -> None:
    assert len(DOCUMENTS) == 4
    source = site.source(at(server, DOCUMENTS[3]))
    told = site.list(source, **access)
    assert (told.status, told.err) == (0, "")
    assert told.all("ansible_user") == {"web1": "root", "web2": "debian"}
    assert told.of("large") == {"web2"}
    assert told.of("pool_none") == told.of("web") == {"web1", "web2"}
    assert (told.of("dmz"), told.of("debian")) == ({"web1"}, {"web2"})
    server.forget()
    assert site.list(source, **access).out == told.out
    assert server.requests == []


def test_ansible_doc_knows_all_of_it(site: Site) -> None:
    told = site.run(["-m", "ansible", "doc", "-t", "inventory", "anyvirt.compute.vms"])
    assert (told.status, told.err) == (0, "")
    for option in ("host_address_by_group", "stale_ok", "keyed_groups", "cache_plugin", "token_secret"):
        assert option in told.out
    assert "ANYVIRT_TOKEN_SECRET" in told.out
