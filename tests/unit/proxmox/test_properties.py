# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Property strings: what is read can be written again, and what means the same compares the same."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox import config as translation
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox import properties
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import BackendError, InvalidRequest
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import Change, differences, plan_settings

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures" / "proxmox"
MAC = "BC:24:11:00:00:01"


def recorded() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every configuration that a real server told."""
    for path in sorted(FIXTURES.glob("*/*.json")):
        for number, exchange in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            body = exchange.get("body")
            data = body.get("data") if isinstance(body, dict) else None
            is_config = exchange["method"] == "GET" and str(exchange.get("path", "")).endswith("/config")
            if is_config and "/qemu/" in exchange["path"] and isinstance(data, dict):
                yield f"{path.parent.name}-{path.stem}-{number}", data


CONFIGS = dict(recorded())


def test_there_are_recorded_configurations() -> None:
    assert len(CONFIGS) > 50


@pytest.mark.parametrize("which", CONFIGS)
def test_a_recorded_configuration_is_read_and_nothing_is_written_back(which: str) -> None:
    config = CONFIGS[which]
    settings = translation.settings_of(config)
    write = translation.write_of(tuple(differences(settings, translation.settings_of(config))), config)
    assert write == translation.Write()
    for key, value in config.items():
        if properties.format_of(key) is not None and str(value).strip():
            parsed = properties.parse(key, str(value))
            assert properties.parse(key, properties.build(key, parsed)) == parsed


@pytest.mark.parametrize("which", CONFIGS)
def test_what_the_server_wrote_is_built_in_its_own_order(which: str) -> None:
    for key, value in CONFIGS[which].items():
        if translation.NIC.fullmatch(key) or translation.DRIVE.fullmatch(key):
            assert properties.build(key, properties.parse(key, value)).lower() == value.lower()


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("net0", f"virtio={MAC},bridge=vmbr0", f"model=virtio,macaddr={MAC.lower()},bridge=vmbr0"),
        ("net0", f"bridge=vmbr0,virtio={MAC}", f"virtio={MAC},bridge=vmbr0"),
        ("net0", "virtio,firewall=1", "virtio,firewall=on"),
        ("scsi0", "local:1/a.qcow2,iothread=1", "file=local:1/a.qcow2,iothread=yes"),
        ("agent", "1", "enabled=1"),
        ("agent", "enabled=1,fstrim_cloned_disks=1", "1,fstrim_cloned_disks=on"),
        ("memory", "512", "current=512"),
        ("cpu", "host", "cputype=host"),
        ("vga", "std", "type=std"),
        ("startup", "1,up=30", "order=1,up=30"),
    ],
)
def test_equal_meaning_is_equal(key: str, one: str, other: str) -> None:
    assert properties.parse(key, one) == properties.parse(key, other)


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("net0", f"virtio={MAC}", "virtio"),
        ("net0", "virtio,tag=1", "virtio,tag=2"),
        ("net0", "virtio,rate=5", "virtio,rate=50"),
        ("scsi0", "local:1/a,ssd=1", "local:1/a"),
    ],
)
def test_other_meaning_is_not(key: str, one: str, other: str) -> None:
    assert properties.parse(key, one) != properties.parse(key, other)


def test_numbers_stay_the_text_they_are() -> None:
    assert properties.parse("net0", "virtio,rate=5.0")["rate"] == "5.0"


@pytest.mark.parametrize("text", ["virtio,virtio", "virtio,model=e1000", "a=1,a=2"])
def test_a_part_is_not_given_twice(text: str) -> None:
    with pytest.raises(BackendError):
        properties.parse("net0", text)


def test_a_part_needs_a_name_where_there_is_no_default() -> None:
    with pytest.raises(BackendError):
        properties.parse("ipconfig0", "dhcp")


@pytest.mark.parametrize("bad", ["a,b", "a\nb", "\x00"])
def test_a_value_cannot_end_its_part(bad: str) -> None:
    with pytest.raises(InvalidRequest):
        properties.build("net0", {"model": "virtio", "bridge": bad})


names = st.sampled_from(["bridge", "tag", "rate", "queues", "mtu", "trunks"])
values = st.text("abc0123456789.:;/-_", min_size=1, max_size=8)


@given(st.dictionaries(names, values), st.sampled_from(properties.NIC_MODELS), st.booleans())
def test_a_nic_survives_a_round_trip(options: dict[str, str], model: str, has_mac: bool) -> None:
    whole = {**options, "model": model, **({"macaddr": MAC} if has_mac else {})}
    assert properties.parse("net3", properties.build("net3", whole)) == whole


@given(st.sampled_from(["scsi0", "virtio12", "cpu", "vga", "machine", "startup", "agent"]), values, st.data())
def test_any_other_does_too(key: str, value: str, data: st.DataObject) -> None:
    form = properties.format_of(key)
    assert form is not None
    whole = {**data.draw(st.dictionaries(names, values)), form.default: value}
    parsed = properties.parse(key, properties.build(key, whole))
    again = properties.parse(key, properties.build(key, parsed))
    assert parsed == again
    assert {**whole, form.default: parsed[form.default]} == parsed


@given(st.text(max_size=30))
def test_no_text_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(BackendError):
        properties.parse("net0", text)


# --- settings

CONFIG: dict[str, Any] = {
    "digest": "0" * 40,
    "name": "web",
    "memory": "512",
    "cores": 2,
    "agent": "1,fstrim_cloned_disks=1",
    "cpu": "host,flags=+aes",
    "bios": "seabios",
    "boot": "order=scsi0;net0",
    "net0": f"virtio={MAC},bridge=vmbr0,firewall=1,queues=4,rate=5.0",
    "scsi0": "local:100/vm-100-disk-0.qcow2,discard=on,iothread=1,size=2G",
    "scsihw": "virtio-scsi-single",
    "tags": "a;b",
    "vga": "std,memory=32",
    "onboot": 1,
    "ide2": "local:iso/x.iso,media=cdrom,size=1M",
    "ipconfig0": "ip=dhcp",
    "ciuser": "me",
    "sshkeys": "ssh-ed25519%20AAAA%20me",
    "ide0": "local:100/vm-100-cloudinit.qcow2,media=cdrom",
}


def written(config: dict[str, Any], wanted: dict[str, Any], absent: tuple[str, ...] = ()) -> tuple[Any, dict[str, Any]]:
    """What is sent for the wish, and the configuration that this leads to."""
    current = translation.settings_of(config)
    plan = plan_settings({**current, "name": config.get("name", "x")}, wanted, absent)
    write = translation.write_of(plan.changes, config)
    after = {key: value for key, value in {**config, **write.values}.items() if key not in write.delete}
    return write, after


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({"memory": 1024}, {"memory": "1024"}),
        ({"guest_agent": False}, {"agent": "0,fstrim_cloned_disks=1"}),
        ({"cpu_type": "kvm64"}, {"cpu": "kvm64,flags=+aes"}),
        ({"tags": ["c"]}, {"tags": "c"}),
        ({"boot_order": ["net0"]}, {"boot": "order=net0"}),
        (
            {"nics": {"net0": {"slot": "net0", "network": "vmbr1"}}},
            {"net0": f"virtio={MAC},bridge=vmbr1,firewall=1,queues=4,rate=5.0"},
        ),
        (
            {"nics": {"net0": {"slot": "net0", "connected": False}}},
            {"net0": f"virtio={MAC},bridge=vmbr0,firewall=1,link_down=1,queues=4,rate=5.0"},
        ),
        (
            {"native": {"scsi0": {"iothread": "0"}}},
            {"scsi0": "local:100/vm-100-disk-0.qcow2,discard=on,iothread=0,size=2G"},
        ),
        ({"native": {"vga": {"type": "virtio"}}}, {"vga": "virtio,memory=32"}),
        ({"native": {"onboot": "0"}}, {"onboot": "0"}),
        ({"cdrom": {"image": ""}}, {"ide2": "none,media=cdrom"}),
        ({"cloud_init": {"user": "you"}}, {"ciuser": "you"}),
        ({"cloud_init": {"ssh_keys": ["ssh-ed25519 B+/= you"]}}, {"sshkeys": "ssh-ed25519%20B%2B%2F%3D%20you"}),
    ],
)
def test_a_change_sends_what_it_names_and_keeps_the_rest(wanted: dict[str, Any], sent: dict[str, Any]) -> None:
    write, after = written(CONFIG, wanted)
    assert (write.values, write.delete, write.resize) == (sent, [], {})
    assert written(after, wanted)[0] == translation.Write()


@pytest.mark.parametrize(
    ("wanted", "absent", "gone"),
    [
        ({}, ("net0",), ["net0"]),
        ({}, ("scsi0",), ["scsi0"]),
        ({}, ("tags",), ["tags"]),
        ({}, ("cdrom",), ["ide2"]),
        ({}, ("boot_order",), ["boot"]),
        ({"tags": []}, (), ["tags"]),
    ],
)
def test_what_is_absent_is_deleted(wanted: dict[str, Any], absent: tuple[str, ...], gone: list[str]) -> None:
    write, after = written(CONFIG, wanted, absent)
    assert (write.values, write.delete) == ({}, gone)
    assert written(after, wanted, absent)[0] == translation.Write()


def test_a_disk_that_grows_is_resized_and_not_written() -> None:
    write, after = written(CONFIG, {"disks": {"scsi0": {"slot": "scsi0", "size": 4}}})
    assert (write.values, write.resize) == ({}, {"scsi0": 4})
    assert after == CONFIG


def test_a_value_of_unknown_form_is_read_as_text() -> None:
    assert translation.settings_of({"smbios1": "", "rng0": "a=1,a=2"})["native"] == {"rng0": "a=1,a=2"}


def test_a_new_disk_needs_a_storage() -> None:
    with pytest.raises(InvalidRequest, match="storage"):
        translation.write_of([Change(("disks", "scsi1"), None, {"slot": "scsi1", "size": 1})], CONFIG)


wishes = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["web", "db"]),
        "memory": st.integers(16, 4096),
        "cores": st.integers(1, 4),
        "sockets": st.integers(1, 2),
        "cpu_type": st.sampled_from(["host", "kvm64"]),
        "guest_agent": st.booleans(),
        "firmware": st.sampled_from(["bios", "uefi"]),
        "tags": st.lists(st.sampled_from("abc"), unique=True).map(sorted),
        "description": st.sampled_from(["one", "two, three=4"]),
        "boot_order": st.permutations(["scsi0", "net0"]),
        "nics": st.dictionaries(
            st.sampled_from(["net0", "net1"]),
            st.fixed_dictionaries(
                {},
                optional={
                    "network": st.sampled_from(["vmbr0", "vmbr1"]),
                    "model": st.sampled_from(["virtio", "e1000"]),
                    "vlan": st.integers(1, 4094),
                    "connected": st.booleans(),
                    "mac": st.just("BC:24:11:00:00:02"),
                },
            ),
        ).map(lambda nics: {slot: {"slot": slot, **nic} for slot, nic in nics.items()}),
        "native": st.fixed_dictionaries(
            {},
            optional={
                "onboot": st.sampled_from("01"),
                "vga": st.just({"type": "virtio"}),
                "net0": st.just({"rate": "7"}),
                "balloon": st.just("256"),
            },
        ),
    },
)


@given(wishes)
def test_what_is_written_reads_as_what_was_wanted(wanted: dict[str, Any]) -> None:
    write, after = written(CONFIG, wanted)
    assert write.delete in ([], ["tags"])
    found = translation.settings_of(after)
    for name, value in wanted.items():
        if name in ("nics", "native"):
            for key, parts in value.items():
                entry = found[name][key]
                assert entry == parts if isinstance(parts, str) else {**entry, **parts} == entry
        else:
            assert found[name] == value
    assert properties.parse("net0", after["net0"])["queues"] == "4"
    if "mac" not in wanted.get("nics", {}).get("net0", {}):
        assert found["nics"]["net0"]["mac"] == MAC
    assert written(after, wanted)[0] == translation.Write()
