# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sizes, addresses, names and devices: normal form, refusals, secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.anyvirt.compute.plugins.module_utils._errors import InvalidRequest
from ansible_collections.anyvirt.compute.plugins.module_utils._fields import (
    GIB,
    KIB,
    MIB,
    TIB,
    VM_FIELDS,
    Field,
    at_least_one,
    comparable,
    disk_in_gib,
    forward_list,
    mac_address,
    memory_in_mib,
    natural,
    normalised,
    plain_line,
    shown,
    shown_at,
    size_in_bytes,
    slot_name,
    ssh_key_list,
    tag_set,
    vlan_tag,
)
from ansible_collections.anyvirt.compute.tests.unit import strategies


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("1", GIB),
        (1, GIB),
        (0.5, GIB // 2),
        ("0.5", GIB // 2),
        ("1.5GiB", 3 * GIB // 2),
        ("4G", 4 * GIB),
        ("4GiB", 4 * GIB),
        (" 4 GiB ", 4 * GIB),
        ("512MiB", 512 * MIB),
        ("512M", 512 * MIB),
        ("1K", KIB),
        ("2TiB", 2 * TIB),
    ],
)
def test_sizes_are_bytes(written: Any, size: int) -> None:
    assert size_in_bytes(written, GIB) == size


@pytest.mark.parametrize(
    "written",
    [
        *("", " ", "GiB", "4GB", "4MB", "4kB", "4gib", "4g", "4B", "4PiB", "4 Gi", "4GiBs", "4XiB"),
        *("-1", "-1GiB", -1, 0, "0", "0GiB", "0.0", "+1", "1e3", "1,5", "1.", ".5", "0x10", "four"),
        *("0.0000000001K", "0.3K", "4GiB\n4", "1 2", "nan", "inf", float("nan"), float("inf"), "9" * 400, "٤", True),
    ],
)
def test_what_is_no_size_is_refused(written: Any) -> None:
    with pytest.raises(InvalidRequest):
        size_in_bytes(written, GIB)


def test_a_refused_size_is_told_and_what_to_write() -> None:
    with pytest.raises(InvalidRequest, match=r"'4GB' is not a size.*KiB, MiB, GiB or TiB"):
        size_in_bytes("4GB", GIB)


@pytest.mark.parametrize(("written", "mib"), [("512", 512), (512, 512), ("4GiB", 4096), ("0.5GiB", 512), ("2048K", 2)])
def test_memory_is_in_mib(written: Any, mib: int) -> None:
    assert memory_in_mib(written) == mib


@pytest.mark.parametrize("written", ["1.5", "1K", "1025K", "0", "-512"])
def test_memory_is_a_whole_number_of_mib(written: str) -> None:
    with pytest.raises(InvalidRequest):
        memory_in_mib(written)


@pytest.mark.parametrize(
    ("written", "gib"), [("10", 10), ("10GiB", 10), ("10.0", 10), ("512MiB", 0.5), ("1536M", 1.5), ("1TiB", 1024)]
)
def test_disks_are_in_gib(written: str, gib: float) -> None:
    assert disk_in_gib(written) == gib
    assert isinstance(disk_in_gib(written), type(gib))


@pytest.mark.parametrize("written", ["1000.25K", "0.125K"])
def test_a_disk_is_a_whole_number_of_sectors(written: str) -> None:
    with pytest.raises(InvalidRequest):
        disk_in_gib(written)


@given(st.integers(1, 64 * TIB // 512))
@example(1)
@example(128)
def test_a_disk_size_is_the_same_number_however_often_it_is_read(sectors: int) -> None:
    gib = disk_in_gib(f"{sectors * 512 / KIB:.1f}K")
    assert size_in_bytes(gib, GIB) == sectors * 512
    assert disk_in_gib(gib) == gib
    assert disk_in_gib(str(gib)) == gib


@given(st.integers(1, 4096), st.sampled_from("KMGT"))
def test_a_unit_may_be_short_or_long(number: int, unit: str) -> None:
    assert size_in_bytes(f"{number}{unit}", 1) == size_in_bytes(f"{number}{unit}iB", 1)


@pytest.mark.parametrize("written", ["52:54:00:ab:cd:ef", "52-54-00-AB-CD-EF", "52:54:00:AB:CD:EF"])
def test_a_mac_has_one_form(written: str) -> None:
    assert mac_address(written) == "52:54:00:AB:CD:EF"


@pytest.mark.parametrize(
    "written",
    ["", "52:54:00:ab:cd", "52:54:00:ab:cd:ef:00", "5254.00ab.cdef", "zz:54:00:ab:cd:ef", "52:54:00:ab:cd:e\n"],
)
def test_what_is_no_mac_is_refused(written: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a MAC address"):
        mac_address(written)


@pytest.mark.parametrize("written", ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "53:54:00:12:34:56"])
def test_a_multicast_mac_is_refused(written: str) -> None:
    with pytest.raises(InvalidRequest, match="multicast"):
        mac_address(written)


@given(strategies.macs)
def test_a_mac_in_normal_form_stays(mac: str) -> None:
    assert mac_address(mac_address(mac)) == mac_address(mac)


@pytest.mark.parametrize("slot", ["virtio0", "scsi15", "sata5", "ide3", "net0", "net99"])
def test_slots(slot: str) -> None:
    assert slot_name(slot) == slot


@pytest.mark.parametrize("slot", ["", "virtio", "net01", "net100", "Net0", "vda", "net-1", "net0\n", "net0,x", "net1٣"])
def test_what_is_no_slot_is_refused(slot: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a slot"):
        slot_name(slot)


def test_tags_have_no_order_and_each_is_there_once() -> None:
    assert tag_set(["web", "a", "web", "_x.y+z-1"]) == ["_x.y+z-1", "a", "web"]


@pytest.mark.parametrize("tag", ["", "-a", ".a", "a b", "a,b", "a;b", "a/b", "a\n", "ä", "a" * 129])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a tag"):
        tag_set(["good", tag])


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\x00", "a\x1b[0m", "tail\n", "\x7f"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="control character"):
        plain_line(text)


def test_a_plain_line_stays() -> None:
    assert plain_line("a, b; $c 'ä'") == "a, b; $c 'ä'"


@pytest.mark.parametrize("number", [0, -1])
def test_counts_are_at_least_one(number: int) -> None:
    with pytest.raises(InvalidRequest, match="at least 1"):
        at_least_one(number)


@pytest.mark.parametrize(("vlan", "good"), [(0, False), (1, True), (4094, True), (4095, False), (-1, False)])
def test_vlans(vlan: int, good: bool) -> None:
    if good:
        assert vlan_tag(vlan) == vlan
    else:
        with pytest.raises(InvalidRequest, match="from 1 to 4094"):
            vlan_tag(vlan)


def forward(protocol: str, host: int, guest: int = 22) -> dict[str, Any]:
    return {"protocol": protocol, "host_port": host, "guest_port": guest}


def test_forwards_have_no_order() -> None:
    given_away = [forward("udp", 53), forward("tcp", 2222), forward("tcp", 80)]
    assert forward_list(given_away) == [forward("tcp", 80), forward("tcp", 2222), forward("udp", 53)]


def test_a_host_port_is_given_away_once_per_protocol() -> None:
    assert len(forward_list([forward("tcp", 53), forward("udp", 53)])) == 2
    with pytest.raises(InvalidRequest, match="twice for the same protocol"):
        forward_list([forward("tcp", 53, 1), forward("tcp", 53, 2)])


@pytest.mark.parametrize("bad", [forward("tcp", 0), forward("tcp", 65536), forward("tcp", 80, 0), forward("tcp", -1)])
def test_what_is_no_port_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="is not a port"):
        forward_list([bad])


def test_ssh_keys_are_lines() -> None:
    assert ssh_key_list([" ssh-ed25519 A me \n", "", "  "]) == ["ssh-ed25519 A me"]
    with pytest.raises(InvalidRequest):
        ssh_key_list(["ssh-ed25519 A\nssh-rsa B"])


def test_numbers_sort_as_numbers() -> None:
    assert sorted(["net10", "net2", "ide0", "net1"], key=natural) == ["ide0", "net1", "net2", "net10"]


# --- a whole task's settings


def test_none_means_not_named() -> None:
    assert normalised({"memory": None, "cores": 2, "tags": []}) == {"cores": 2, "tags": []}


def test_devices_become_dicts_by_slot_and_get_slots_by_position() -> None:
    wanted = normalised({"nics": [{"network": "user"}, {"network": "br0", "slot": None}], "disks": [{"size": "1"}]})
    assert wanted == {
        "nics": {"net0": {"slot": "net0", "network": "user"}, "net1": {"slot": "net1", "network": "br0"}},
        "disks": {"virtio0": {"slot": "virtio0", "size": 1}},
    }


@pytest.mark.parametrize(
    "devices", [[{"slot": "net1"}, {"slot": "net1"}], [{"slot": "net1"}, {}], [{}, {"slot": "net0"}]]
)
def test_a_slot_is_used_once(devices: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidRequest, match=r"nics: slot net\d is used twice"):
        normalised({"nics": devices})


def test_an_address_needs_its_nic() -> None:
    with pytest.raises(InvalidRequest, match="cloud_init: ip_config: entry 0 has no nic"):
        normalised({"cloud_init": {"ip_config": [{"ip": "dhcp"}]}})


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"memory": "4GB"}, "memory: "),
        ({"memory": "-1"}, "memory: "),
        ({"disks": [{"size": "4GB"}]}, "disks: size: "),
        ({"disks": [{"slot": "hda"}]}, "disks: slot: "),
        ({"nics": [{"mac": "x"}]}, "nics: mac: "),
        ({"nics": [{"vlan": 5000}]}, "nics: vlan: "),
        ({"cdrom": {"image": "/a\n"}}, "cdrom: image: "),
        ({"boot_order": ["hd"]}, "boot_order: "),
        ({"cores": 0}, "cores: "),
        ({"cloud_init": {"user": "a\nb"}}, "cloud_init: user: "),
    ],
)
def test_a_refusal_begins_with_the_option(params: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        normalised(params)
    assert str(caught.value).startswith(place)


def as_given(settings: dict[str, Any]) -> dict[str, Any]:
    """Normal form written as options again."""
    params = dict(settings)
    for kind in ("disks", "nics"):
        if kind in params:
            params[kind] = list(params[kind].values())
    if "ip_config" in params.get("cloud_init", {}):
        params["cloud_init"] = {**params["cloud_init"], "ip_config": [*params["cloud_init"]["ip_config"].values()]}
    return params


@given(strategies.options)
def test_normal_form_is_its_own_normal_form(options: dict[str, Any]) -> None:
    settings = normalised(options)
    assert normalised(as_given(settings)) == {
        **settings,
        **({"memory": settings["memory"]} if "memory" in settings else {}),
    }


# --- secrets, and how things were made


def secrets_of(options: dict[str, Any]) -> list[str]:
    given_away = options.get("cloud_init") or {}
    return [given_away[name] for name in ("password", "user_data") if given_away.get(name)]


@given(strategies.options)
def test_a_secret_is_never_shown(options: dict[str, Any]) -> None:
    text = json.dumps(shown(normalised(options)))
    assert not [secret for secret in secrets_of(options) if secret in text]


def test_of_a_secret_a_digest_is_shown_and_of_a_password_nothing() -> None:
    result = shown({"cloud_init": {"user": "me", "password": "HUSH", "user_data": "#cloud-config"}})
    assert set(result["cloud_init"]) == {"user", "user_data"}
    assert result["cloud_init"]["user_data"].startswith("sha256:")
    assert result != shown({"cloud_init": {"user": "me", "user_data": "#cloud-config\n"}})


def test_devices_are_shown_as_lists_in_slot_order_without_their_origin() -> None:
    disks = {
        "virtio10": {"slot": "virtio10", "size": 1},
        "virtio2": {"slot": "virtio2", "size": 2, "source": "/a", "checksum": "sha256:0"},
    }
    assert shown({"disks": disks, "node": "here"}) == {
        "disks": [{"slot": "virtio2", "size": 2}, {"slot": "virtio10", "size": 1}],
        "node": "here",
    }


@pytest.mark.parametrize(
    ("path", "value", "result"),
    [
        (("memory",), 512, 512),
        (("nics", "net0", "model"), "virtio", "virtio"),
        (("nics", "net0"), {"slot": "net0", "mac": "M"}, {"slot": "net0", "mac": "M"}),
        (("disks", "virtio0"), {"slot": "virtio0", "source": "/a"}, {"slot": "virtio0"}),
        (("cloud_init", "password"), "HUSH", None),
        (("cloud_init",), {"user": "me", "password": "HUSH"}, {"user": "me"}),
        (("cloud_init", "user_data"), None, None),
        (("cloud_init",), None, None),
        (("nics", "net0"), None, None),
    ],
)
def test_one_value_is_shown_as_among_all(path: tuple[str, ...], value: Any, result: Any) -> None:
    assert shown_at(path, value) == result


def test_one_secret_value_is_shown_as_a_digest() -> None:
    assert (
        shown_at(("cloud_init", "user_data"), "HUSH")
        == shown({"cloud_init": {"user_data": "HUSH"}})["cloud_init"]["user_data"]
    )


def test_what_exists_is_not_compared_with_how_it_was_made() -> None:
    wanted = normalised(
        {
            "node": "there",
            "disks": [{"slot": "virtio0", "source": "/a", "size": "2"}, {"slot": "virtio1", "source": "/b"}],
            "cloud_init": {"user": "me", "password": "HUSH"},
        }
    )
    current = {"node": "here", "disks": {"virtio0": {"slot": "virtio0", "size": 1}}, "cloud_init": {"user": "you"}}
    assert comparable(wanted, current) == {
        "disks": {
            "virtio0": {"slot": "virtio0", "size": 2},
            "virtio1": {"slot": "virtio1", "source": "/b"},
        },
        "cloud_init": {"user": "me"},
    }
    assert comparable(wanted, {})["cloud_init"] == {"user": "me", "password": "HUSH"}


# --- the table


@pytest.mark.parametrize(
    "contradiction",
    [{"keyed_by": "slot"}, {"write_only": True}, {"write_only": True, "secret": True, "create_only": True}],
)
def test_a_field_that_contradicts_itself_cannot_be_made(contradiction: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Field(**contradiction)


def test_every_key_of_devices_is_one_of_their_settings() -> None:
    for one in [*VM_FIELDS.values(), *(part for field in VM_FIELDS.values() for part in field.fields.values())]:
        assert not one.keyed_by or one.keyed_by in one.fields
