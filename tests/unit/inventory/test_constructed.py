# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Expressions mean what they mean to Ansible's own plugin ``constructed``, and only those of users are any."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.inventory.command import Site, reach

LOOSE: dict[str, Any] = {
    "compose": {
        "plain": "vm_node",
        "deep": "vm_cloud_init.user",
        "many": "vm_nics",
        "first": "vm_nics.0.model",
        "method": "vm_native.keys() | list",
        "lower": "vm_name | upper",
        "constant": "true",
        "text": "'{{ vm_name }}'",
        "missing": "vm_nowhere",
        "missing_deep": "vm_native.nowhere.at_all",
        "broken": "vm_name +",
        "of_another": "plain",
        "address": "ansible_host",
        "name": "inventory_hostname",
        "filtered": "vm_tags | map('regex_replace', '^', vm_node) | list",
        "chosen": "(vm_tags | select('match', 'w') | list) is any",
        "either": "vm_template | ternary(vm_name, vm_id)",
        "looked_up": "lookup('ansible.builtin.vars', 'vm_node', default='none')",
        "queried": "q('ansible.builtin.varnames', '^vm_n')",
        "dict": "{'a': {'b': vm_id}}['a']",
        "two": "vm_name }}{{ vm_id",
        "loop": "[vm_nics | length, vm_memory] | map('int') | sum",
        "number": 5,
        "listed": ["vm_name"],
    },
    "groups": {
        "large": "vm_memory >= 1024",
        "cloudy": "vm_cloud_init is defined",
        "with-dash": "vm_template",
        "by_composed": "plain == 'pve1'",
        "broken": "vm_nowhere > 1",
    },
    "keyed_groups": [
        {"key": "vm_node", "prefix": "at"},
        {"key": "vm_tags", "prefix": "", "separator": ""},
        {"key": "vm_pool", "prefix": "pool", "default_value": "none"},
        {"key": "vm_native", "prefix": "native", "parent_group": "natives"},
        {"key": "plain", "parent_group": "{{ vm_state }}"},
        {"key": "vm_cloud_init.user", "prefix": "user", "trailing_separator": False},
        {"key": "vm_memory // 1024 | string", "prefix": "gib"},
        {"key": "vm_nowhere", "prefix": "nowhere"},
        {"key": "(vm_memory // 512) | string"},
    ],
}
STRICT: dict[str, Any] = {
    "strict": True,
    "leading_separator": False,
    "compose": {name: LOOSE["compose"][name] for name in ("plain", "many", "method", "lower", "address")},
    "groups": {name: LOOSE["groups"][name] for name in ("large", "cloudy", "with-dash")},
    "keyed_groups": [LOOSE["keyed_groups"][number] for number in (0, 1, 2, 4, 8)],
}


@pytest.fixture
def filled(server: ProxmoxServer) -> ProxmoxServer:
    server.add_vm(100, "web", running=True, tags="web;prod", net0="virtio,bridge=vmbr0", onboot=True)
    cloud_init = {"ide2": "shared:cloudinit", "ciuser": "debian", "ipconfig0": "ip=192.0.2.9/24"}
    server.add_vm(101, "db", "pve2", memory=2048, **cloud_init)
    server.add_vm(102, "old", "pve3", numa=True, hotplug="disk", tags="prod")
    return server


WITH_EXTRA_VARS: dict[str, Any] = {
    "use_extra_vars": True,
    "compose": {"plain": "vm_node", "given": "extra", "both": "vm_id ~ extra"},
    "groups": {"large": "vm_memory >= 1024"},
    "keyed_groups": [{"key": "vm_node", "prefix": "at"}, {"key": "extra"}],
}


@pytest.mark.parametrize("options", [LOOSE, STRICT, WITH_EXTRA_VARS], ids=["loose", "strict", "with extra vars"])
def test_expressions_mean_what_they_mean_elsewhere(site: Site, filled: ProxmoxServer, options: dict[str, Any]) -> None:
    plain = {**reach(filled), "facts": ["config"]}
    command = ["-m", "ansible", "inventory", "--list"]
    if "use_extra_vars" in options:
        command += ["-e", "extra=given", "-e", "vm_node=pve1"]
    ours = site.run(command, site.source({**plain, **options}))
    stock = site.source({"plugin": "ansible.builtin.constructed", **options}, "stock.yml")
    theirs = site.run(command, site.source(plain), stock)
    assert ours.status == theirs.status == 0
    assert "Failed to parse" not in theirs.err
    assert ours.hosts == theirs.hosts
    assert {name: ours.of(name) for name in ours.groups} == {name: theirs.of(name) for name in theirs.groups}
    assert {name: ours.children(name) for name in ours.groups} == {
        name: theirs.children(name) for name in theirs.groups
    }
    assert {"large", "at_pve1"} <= set(ours.groups)
    assert "plain" in ours.hosts["web"]


@pytest.mark.parametrize(
    "change",
    [
        {"compose": {"one": "vm_nowhere"}},
        {"compose": {"one": "vm_name.first.second"}},
        {"groups": {"one": "vm_nowhere"}},
        {"keyed_groups": [{"key": "vm_pool"}]},
    ],
    ids=str,
)
def test_strict_makes_errors_of_what_cannot_be_evaluated(
    site: Site, filled: ProxmoxServer, change: dict[str, Any]
) -> None:
    told = site.list(site.source({**reach(filled), **change, "strict": True}))
    assert (told.status, told.out) == (1, "")
    assert "vms.yml" in told.warned
    assert "Traceback" not in told.err
    assert "host db" in told.warned


@pytest.mark.parametrize("filters", ["vm_disks | length > 0", "vm_name >", "vm_memory > 'x'", "vm_name"])
def test_a_filter_that_cannot_be_evaluated_is_an_error(site: Site, filled: ProxmoxServer, filters: str) -> None:
    told = site.list(site.source({**reach(filled), "filters": [filters]}))
    assert (told.status, told.out) == (1, "")
    assert filters in told.warned
    assert "Traceback" not in told.err


def test_what_the_server_tells_is_no_template(site: Site, server: ProxmoxServer) -> None:
    """Neither in the inventory nor in the play that uses it."""
    mark = site.path / "mark"
    evil = f"{{{{ lookup('ansible.builtin.pipe', 'touch {mark}') }}}}"
    server.add_vm(100, "good", tags="prod", description=evil)
    guest = server.add_vm(101, "evil", running=True)
    guest.config.update(name=evil, tags=f"{{{{1+1}}}};{evil}")
    server.refresh_resources()
    source = site.source(
        {
            **reach(server),
            "facts": ["config"],
            "hostname": "vm_id",
            "compose": {"copied": "vm_description", "made": "vm_name ~ '!'"},
            "keyed_groups": [{"key": "vm_tags", "prefix": "keyed"}],
            "groups": {"named": "vm_name != ''"},
            "filters": ["vm_description is defined"],
        }
    )
    told = site.list(source)
    assert told.status == 0, told.err
    assert told.hosts["100"]["vm_description"] == told.hosts["100"]["copied"] == evil
    assert told.hosts["101"]["vm_name"] == told.hosts["101"]["ansible_host"] == evil
    assert told.hosts["101"]["made"] == f"{evil}!"
    assert "{{1+1}}" in told.hosts["101"]["vm_tags"]
    words = "{{ [vm_description, copied, vm_name, ansible_host, made, vm_tags] }}"
    shown = site.run(["-m", "ansible", "adhoc", "all", "-m", "debug", "-a", f"msg={words}"], source)
    assert shown.status == 0, shown.err
    assert shown.out.count("lookup(") == 2 * 3
    assert not mark.exists()
