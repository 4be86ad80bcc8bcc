# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of the inventory that have no effects."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.anyvirt.compute.plugins.module_utils._errors import InvalidRequest
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import VM
from ansible_collections.anyvirt.compute.plugins.plugin_utils import _expressions, _hosts
from ansible_collections.anyvirt.compute.plugins.plugin_utils._host_address import AddressPolicy
from ansible_collections.anyvirt.compute.plugins.plugin_utils._listing import is_wanted
from ansible_collections.anyvirt.compute.plugins.plugin_utils._options import check_names, checked

REACH = {"backend": "proxmox", "url": "https://pve1.example.com:8006"}


def vm(**told: Any) -> VM:
    return {"id": "100", "name": "web", "backend": "proxmox", "state": "running", "template": False, **told}


# --- names


# names that look like others with an id behind them
vms = st.lists(
    st.builds(
        vm, id=st.sampled_from(["1", "2", "1_1", "2_1"]), name=st.none() | st.sampled_from(["a", "a_1", "a_1_1", "b"])
    ),
    unique_by=lambda one: one["id"],
)


@given(vms, st.randoms(use_true_random=False))
def test_names_are_unique_and_do_not_depend_on_the_order(found: list[VM], random: Any) -> None:
    names = dict(zip((one["id"] for one in found), _hosts.host_names(found, _hosts.plain_name)))
    assert len(set(names.values())) == len(found)
    random.shuffle(found)
    assert names == dict(zip((one["id"] for one in found), _hosts.host_names(found, _hosts.plain_name)))
    for one in found:
        namesakes = [other for other in found if one["name"] is not None and other["name"] == one["name"]]
        assert names[one["id"]].startswith(_hosts.plain_name(one))
        assert len(namesakes) < 2 or names[one["id"]].endswith(f"_{one['id']}")


def test_no_vm_takes_the_place_of_what_ansible_knows() -> None:
    found = [vm(id=str(number), name=name) for number, name in enumerate(("all", "localhost", "127.0.0.1", "web"))]
    assert _hosts.host_names(found, _hosts.plain_name) == ["all_0", "localhost_1", "127.0.0.1_2", "web"]
    assert [policy({}).address_of(one) for one in found] == ["all", None, None, "web"]


def test_hosts_are_in_a_natural_order() -> None:
    found = [vm(id=str(number), name=name) for number, name in ((9, "web10"), (10, "web2"), (100, None), (99, "web2"))]
    assert [one["id"] for one in _hosts.in_order(found)] == ["100", "10", "99", "9"]


# --- groups and variables


@pytest.mark.parametrize(
    ("told", "groups"),
    [
        ({}, {"backend_proxmox", "state_running", "type_vm"}),
        ({"type": "container", "node": "pve1"}, {"backend_proxmox", "state_running", "type_container", "node_pve1"}),
        (
            {"tags": ["a", "b"], "pool": "p"},
            {"backend_proxmox", "state_running", "type_vm", "tag_a", "tag_b", "pool_p"},
        ),
        ({"pool": None, "node": None, "tags": None}, {"backend_proxmox", "state_running", "type_vm"}),
        ({"template": True}, {"backend_proxmox", "state_running", "type_vm", "template"}),
        ({"state": "unknown"}, {"backend_proxmox", "state_unknown", "type_vm", "unknown"}),
        ({"name": None}, {"backend_proxmox", "state_running", "type_vm", "unknown"}),
    ],
)
def test_groups(told: dict[str, Any], groups: set[str]) -> None:
    found = _hosts.groups_of(vm(**told))
    assert set(found) == groups
    assert len(found) == len(groups)


def test_variables_have_lists_for_devices_and_no_secrets() -> None:
    nics = {"net1": {"slot": "net1", "vlan": 5}, "net0": {"slot": "net0"}}
    found = _hosts.variables_of(vm(nics=nics, cloud_init={"user": "a", "password": "hidden"}))
    assert [nic["slot"] for nic in found["vm_nics"]] == ["net0", "net1"]
    assert "hidden" not in str(found)
    assert _hosts.variables_of(vm()) == {f"vm_{name}": value for name, value in vm().items()}


# --- addresses


def interface(name: str, *addresses: str) -> dict[str, Any]:
    return {"name": name, "ip-addresses": [{"ip-address": address} for address in addresses]}


INTERFACES = [
    interface("lo", "127.0.0.1", "::1"),
    interface("docker0", "172.17.0.1"),
    interface("br-0123456789ab", "172.18.0.1"),
    {"name": "down"},
    interface("eth0", "169.254.3.4", "fe80::1", "2001:db8::5", "192.0.2.5"),
    interface("eth1", "198.51.100.5"),
]
GUEST = vm(
    agent={"running": True, "interfaces": INTERFACES},
    cloud_init={
        "ip_config": {
            "net0": {"nic": "net0", "ip": "dhcp", "ip6": "auto"},
            "net1": {"nic": "net1", "ip": "203.0.113.5/24", "ip6": "2001:db8:1::5/64"},
        }
    },
)
FACTS = ["config", "agent"]


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ({}, "192.0.2.5"),
        ({"family": "ipv6"}, "2001:db8::5"),
        ({"family": "ipv4", "interfaces": ["eth1"]}, "198.51.100.5"),
        ({"interfaces": ["docker*"]}, "172.17.0.1"),
        ({"interfaces": ["lo", "eth?"]}, "192.0.2.5"),
        ({"interfaces": ["lo"]}, "203.0.113.5"),
        ({"networks": ["198.51.100.0/25", "203.0.113.0/24"]}, "198.51.100.5"),
        ({"networks": ["203.0.113.0/24"]}, "203.0.113.5"),
        ({"networks": ["2001:db8:1::/48"]}, "2001:db8:1::5"),
        ({"networks": ["169.254.0.0/16", "127.0.0.0/8", "fe80::/10"]}, None),
        ({"sources": ["name", "agent"]}, "web"),
        ({"sources": ["cloud_init"]}, "203.0.113.5"),
        ({"sources": ["cloud_init"], "family": "ipv6"}, "2001:db8:1::5"),
        ({"sources": ["name"], "networks": ["192.0.2.0/24"]}, None),
    ],
)
def test_addresses(options: dict[str, Any], address: str | None) -> None:
    assert policy(options).address_of(GUEST) == address


def policy(options: dict[str, Any], facts: list[str] | None = None) -> AddressPolicy:
    facts = FACTS if facts is None else facts
    return AddressPolicy.of(checked({**REACH, "facts": facts, "host_address": options})["host_address"], facts)


@pytest.mark.parametrize(
    "told",
    [{}, {"agent": None}, {"agent": {"running": False, "interfaces": []}}, {"cloud_init": None}, {"cloud_init": {}}],
)
def test_what_tells_no_address_is_passed_over(told: dict[str, Any]) -> None:
    assert policy({}).address_of(vm(**told)) == "web"
    assert policy({"sources": ["agent", "cloud_init"]}).address_of(vm(**told)) is None
    assert policy({}).address_of(vm(**{**told, "name": None})) is None


def test_only_what_is_asked_for_is_looked_at() -> None:
    assert policy({}, []).address_of(GUEST) == "web"
    assert policy({}, ["config"]).address_of(GUEST) == "203.0.113.5"


@given(st.lists(st.ip_addresses().map(str), max_size=5), st.sampled_from(["any", "ipv4", "ipv6"]))
def test_an_address_is_one_of_the_guests_and_of_the_family(addresses: list[str], family: str) -> None:
    found = policy({"sources": ["agent"], "family": family}).address_of(
        vm(agent={"interfaces": [interface("eth0", *addresses)]})
    )
    if found is not None:
        assert found in addresses
        assert not found.startswith(("127.", "169.254.", "fe80:"))
        assert family == "any" or (":" in found) == (family == "ipv6")
    else:
        assert family != "any" or all(one.startswith(UNFIT) for one in addresses if "." in one)


UNFIT = ("127.", "169.254.", "0.0.0.0", *(f"{number}." for number in range(224, 240)))


# --- which


@pytest.mark.parametrize(
    ("told", "options", "wanted"),
    [
        ({}, {}, True),
        ({"template": True}, {}, False),
        ({"template": True}, {"templates": True}, True),
        ({"template": True}, {"select": {"template": True}}, True),
        ({"template": False}, {"select": {"template": True}}, False),
        ({"template": True}, {"templates": True, "select": {"template": False}}, False),
        ({"type": "container"}, {}, False),
        ({"type": "container"}, {"types": ["container"]}, True),
        ({"type": "vm"}, {"types": ["container"]}, False),
        ({"name": None}, {}, True),
        ({"name": None}, {"select": {"name": "*"}}, True),
        ({"name": None}, {"select": {"name": "web*"}}, False),
        ({"tags": ["a", "b"]}, {"select": {"tags": ["a"]}}, True),
        ({"tags": ["b"]}, {"select": {"tags": ["a", "b"]}}, False),
    ],
)
def test_which_rows_are_wanted(told: dict[str, Any], options: dict[str, Any], wanted: bool) -> None:
    assert is_wanted(vm(**told), checked({**REACH, **options})) is wanted


# --- expressions


names = st.sampled_from(["vm_a", "vm_b", "node", "x1", "_y"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3),
    lambda inner: st.dictionaries(names, inner, max_size=3),
)


@given(st.dictionaries(names, values, max_size=4), st.lists(names, min_size=1, max_size=4))
def test_a_path_leads_to_what_jinja_says(variables: dict[str, Any], path: list[str]) -> None:
    expression = ".".join(path)
    assert _expressions.is_path(expression)
    try:
        found = _expressions.look_up(expression, variables)
    except _expressions.Missing:
        return
    templar = Templar(DataLoader(), variables=variables)
    assert templar.evaluate_expression(trust_as_template(expression)) == found


@pytest.mark.parametrize(
    "expression", ["true", "None", "a.0", "a[0]", "a b", "a | b", "a()", "'a'", "", "1", ".a", "a.", "a\n", "-a"]
)
def test_what_is_no_path(expression: str) -> None:
    assert not _expressions.is_path(expression)


@pytest.mark.parametrize("path", ["b", "a.b", "a.items", "text.upper", "rows.0"])
def test_what_is_not_there_is_left_to_jinja(path: str) -> None:
    with pytest.raises(_expressions.Missing):
        _expressions.look_up(path, {"a": {}, "text": "x", "rows": [1]})


def test_an_expression_is_compiled_once() -> None:
    templar = Templar(DataLoader(), variables={"a": 1})
    _expressions.compile_once(templar)
    compiler = templar._engine.environment.compile_expression
    expression = trust_as_template("a + 1")
    assert [templar.evaluate_expression(expression) for _turn in range(5)] == [2] * 5
    templar.available_variables = {"a": 5}
    assert templar.evaluate_expression(expression) == 6
    assert (compiler.cache_info().misses, compiler.cache_info().hits) == (1, 5)


# --- options


def test_options_get_their_types_and_defaults() -> None:
    options = checked({**REACH, "facts": "agent,config", "max_parallel": "3", "host_address": None, "filters": None})
    assert options["url"] == ["https://pve1.example.com:8006"]
    assert options["facts"] == ["agent", "config"]
    assert (options["max_parallel"], options["max_parallel_per_node"]) == (3, 4)
    assert options["host_address"]["family"] == "any"
    assert (options["filters"], options["types"], options["stop_on_error"]) == ([], ["vm"], True)
    by_group = checked({**REACH, "host_address_by_group": {"a": {"sources": "name"}}})["host_address_by_group"]
    assert by_group == {"a": {"sources": ["name"], "family": "any", "interfaces": None, "networks": None}}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"facts": ["nonsense"]}, ["facts", "nonsense"]),
        ({"backend": "nonsense"}, ["backend", "nonsense"]),
        ({"max_parallel": 0}, ["max_parallel"]),
        ({"max_parallel_per_node": -1}, ["max_parallel_per_node"]),
        ({"stale_ok": "long"}, ["stale_ok", "long"]),
        ({"select": {"tag": "web"}}, ["select", "tag"]),
        ({"host_address": {"source": ["name"]}}, ["host_address", "source"]),
        ({"host_address": {"sources": ["agent"]}}, ["host_address", "facts: [agent]"]),
        ({"facts": ["agent"], "host_address": {"sources": ["agent", "cloud_init"]}}, ["facts: [config]"]),
        ({"host_address_by_group": {"dmz": {"family": "ipv5"}}}, ["host_address_by_group: ", "dmz", "ipv5"]),
        ({"host_address_by_group": {"dmz": {"sources": ["agent"]}}}, ["dmz", "facts: [agent]"]),
        ({"host_address_by_group": {"dmz": None}}, ["dmz"]),
        ({"host_address_by_group": {"dmz": "name"}}, ["dmz"]),
    ],
    ids=str,
)
def test_wrong_options_are_named(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked({**REACH, **options})
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_network_must_be_one() -> None:
    with pytest.raises(InvalidRequest, match=r"networks: .*192\.0\.2\.5/24"):
        policy({"networks": ["192.0.2.5/24"]})


@pytest.mark.parametrize(("name", "like"), [("fact", "facts"), ("keyed_group", "keyed_groups"), ("zzz", None)])
def test_a_typo_is_an_error(name: str, like: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_names(["facts", name], ["facts", "filters", "keyed_groups"])
    assert f"no option '{name}'" in str(caught.value)
    assert ("Did you mean" in str(caught.value)) == (like is not None)
    assert like is None or f"'{like}'?" in str(caught.value)
    check_names(["facts"], ["facts", "filters"])
