# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where options come from, and what is said about wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.inventory.vms import InventoryModule
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
from ansible_collections.anyvirt.compute.tests.unit.inventory.command import Site, reach


@pytest.fixture
def one(server: ProxmoxServer) -> ProxmoxServer:
    server.add_vm(100, "web", running=True)
    return server


def test_all_from_the_environment(site: Site, one: ProxmoxServer) -> None:
    """As a custom credential of AWX gives them."""
    ours = {
        "ANYVIRT_BACKEND": "proxmox",
        "ANYVIRT_URL": f"https://127.0.0.1:1,{one.url}",
        "ANYVIRT_TOKEN_ID": one.token_id,
        "ANYVIRT_TOKEN_SECRET": one.token_secret,
        "ANYVIRT_CA_PATH": one.ca_path,
    }
    assert set(site.hosts({}, **ours).hosts) == {"web"}
    shared = {
        "ANYVIRT_BACKEND": "proxmox",
        "PROXMOX_HOST": one.url.removeprefix("https://"),
        "PROXMOX_USER": "root@pam",
        "PROXMOX_TOKEN_ID": "api",
        "PROXMOX_TOKEN_SECRET": one.token_secret,
        "PROXMOX_VALIDATE_CERTS": "no",
    }
    assert set(site.hosts({}, **shared).hosts) == {"web"}
    password = {"ANYVIRT_USERNAME": one.username, "ANYVIRT_PASSWORD": one.password}
    # what the file says goes before
    file = {"backend": "proxmox", "api_host": one.url, "ca_path": one.ca_path}
    assert set(site.hosts(file, **password, PROXMOX_URL="https://127.0.0.1:1").hosts) == {"web"}


def test_secrets_may_be_templates(site: Site, one: ProxmoxServer) -> None:
    secret = "{{ lookup('ansible.builtin.env', 'MY_SECRET') }}"
    address = "{{ 'https://' ~ lookup('ansible.builtin.env', 'MY_ADDRESS') }}"
    options = {**reach(one), "token_secret": secret, "url": [address]}
    address = one.url.removeprefix("https://")
    assert set(site.hosts(options, MY_SECRET=one.token_secret, MY_ADDRESS=address).hosts) == {"web"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"filter": ["true"]}, ["no option 'filter'", "Did you mean 'filters'"]),
        ({"facts": ["nonsense"]}, ["facts", "nonsense"]),
        ({"max_parallel": 0}, ["max_parallel", "at least 1"]),
        ({"token_secret": "wrong"}, ["401", "token_secret"]),
        ({"token_secret": None}, ["needs credentials"]),
        ({"hostname": "vm_nowhere"}, ["vm_nowhere"]),
        ({"backend": "qemu", "nodes": True}, ["Backend qemu has no nodes"]),
    ],
    ids=str,
)
def test_wrong_options_are_errors(site: Site, one: ProxmoxServer, options: dict[str, Any], words: list[str]) -> None:
    given = {name: value for name, value in {**reach(one), **options}.items() if value is not None}
    told = site.list(site.source(given))
    assert (told.status, told.out) == (1, ""), told.err
    assert [word for word in words if word not in told.warned] == [], told.err
    assert "Traceback" not in told.err
    assert one.token_secret not in told.err


def test_a_play_does_not_begin_without_its_hosts(site: Site, one: ProxmoxServer) -> None:
    source = site.source({**reach(one), "token_secret": "wrong"})
    told = site.run(["-m", "ansible", "adhoc", "all", "-m", "ping"], source)
    assert (told.status, told.out) == (1, "")
    assert "401" in told.warned


@pytest.mark.parametrize(
    ("name", "is_ours"), [("vms.yml", True), ("lab.vms.yaml", True), ("hosts.yml", False), ("vms.json", False)]
)
def test_only_files_with_its_name_are_read(site: Site, name: str, is_ours: bool) -> None:
    assert InventoryModule().verify_file(str(site.source({}, name))) is is_ours
    assert not InventoryModule().verify_file(str(site.path / "away" / name))


def test_a_file_for_another_plugin_is_left_to_it(site: Site) -> None:
    source = site.path / "static.vms.yml"
    source.write_text("all: {hosts: {one: {}}}")
    told = site.list(source, ANSIBLE_INVENTORY_ENABLED="anyvirt.compute.vms,ansible.builtin.yaml")
    assert (told.status, told.err) == (0, "")
    assert set(told.of("ungrouped")) == {"one"}


def test_vms_of_this_host(site: Site) -> None:
    state_dir = str(site.path / "other-state")
    made = {"backend": "qemu", "state_dir": state_dir, "memory": "64", "tags": ["lab"], "cpu_type": "qemu64"}
    assert not run("vm", {**made, "name": "one", "disks": [{"size": "16MiB"}]}).failed
    assert not run("vm", {**made, "name": "two"}).failed
    told = site.hosts({"backend": "qemu", "state_dir": state_dir, "facts": ["config", "agent", "snapshots"]})
    assert told.of("vm_backend_qemu") == told.of("vm_state_stopped") == told.of("vm_tag_lab") == {"one", "two"}
    assert told.of("vm_type_vm") == {"one", "two"}
    assert told.hosts["one"]["vm_memory"] == 64
    assert len(told.hosts["one"]["vm_disks"]) == 1
    assert told.hosts["two"]["vm_snapshots"] == []
    assert site.hosts({"backend": "qemu"}).hosts == {}
