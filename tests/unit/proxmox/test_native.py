# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Native settings: what has no word is compared like a setting, and what has one is not said twice."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox import config as translation
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox import words
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import InvalidRequest
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.proxmox.conftest import Ask


@pytest.fixture
def vm(server: ProxmoxServer) -> str:
    server.add_vm(
        200, "web", memory="512", cpu="host", agent="1", scsi0="shared:2,format=qcow2", net0="virtio,bridge=vmbr0"
    )
    return "200"


@pytest.mark.parametrize(
    ("native", "stored"),
    [
        ({"cpu": {"flags": "+aes"}}, {"cpu": "host,flags=+aes"}),
        ({"cpu": "flags=+aes"}, {"cpu": "host,flags=+aes"}),
        ({"agent": {"fstrim_cloned_disks": True}}, {"agent": "1,fstrim_cloned_disks=1"}),
        ({"net0": "rate=5"}, {}),
        ({"scsi0": {"discard": "on"}}, {}),
        ({"smbios1": {"serial": "abc"}}, {}),
        ({"onboot": True, "startup": "1,up=30"}, {"onboot": 1, "startup": "1,up=30"}),
    ],
)
def test_what_has_no_word_is_set_once(
    native: dict[str, Any], stored: dict[str, str], vm: str, do: Ask, server: ProxmoxServer
) -> None:
    uuid = server.vm(200).config["smbios1"]
    do("vm_config", vague=("native",), id=vm, native=native)
    config = server.vm(200).config
    assert {key: config[key] for key in stored} == stored
    assert uuid in config["smbios1"]


@pytest.mark.parametrize(
    ("native", "word"),
    [
        ({"cpu": "host,flags=+aes"}, "cpu_type"),
        ({"agent": "1,fstrim_cloned_disks=1"}, "guest_agent"),
        ({"memory": 1024}, "memory"),
        ({"memory": "current=1024"}, "memory"),
        ({"boot": "order=scsi0"}, "boot_order"),
        ({"boot": "cdn"}, "boot_order"),
        ({"bios": "ovmf"}, "firmware"),
        ({"tags": "a;b"}, "tags"),
        ({"net0": "e1000"}, "nics.model"),
        ({"net0": "bridge=vmbr1"}, "nics.network"),
        ({"net0": {"tag": 12}}, "nics.vlan"),
        ({"scsi0": "shared:8,ssd=1"}, "disks"),
        ({"ide2": {"media": "cdrom"}}, "cdrom"),
        ({"ciuser": "me"}, "cloud_init.user"),
        ({"ipconfig0": "ip=dhcp"}, "cloud_init.ip_config"),
        ({"template": 1}, "template"),
    ],
)
@pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
def test_what_has_a_word_is_refused(
    native: dict[str, Any], word: str, check: bool, vm: str, ask: Ask, server: ProxmoxServer
) -> None:
    answer = ask("vm_config", check=check, id=vm, native=native)
    assert (answer.failed, answer.result["kind"]) == (True, "invalid_request")
    assert f"Use {word}." in answer.result["msg"]
    assert server.writes == []


@pytest.mark.parametrize("key", ["digest", "lock", "meta", "unused0", "vmgenid", "vmstate"])
def test_what_the_server_gives_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest, match=key):
        words.native_settings({key: "x"})


def test_the_uuid_is_not_ours_to_give() -> None:
    with pytest.raises(InvalidRequest, match="smbios1"):
        words.native_settings({"smbios1": "uuid=1b4e28ba-2fa1-11d2-883f-0016d3cca427"})


def test_what_is_told_as_native_could_be_asked_for() -> None:
    config = {
        "cpu": "host,flags=+aes",
        "agent": "1,type=isa",
        "memory": "512",
        "boot": "order=scsi0",
        "scsi0": "shared:1/vm-1-disk-0.qcow2,discard=on,size=1G",
        "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1",
        "smbios1": "uuid=1b4e28ba-2fa1-11d2-883f-0016d3cca427,serial=abc",
        "vmgenid": "1b4e28ba-2fa1-11d2-883f-0016d3cca428",
        "onboot": 1,
    }
    native = translation.settings_of(config)["native"]
    assert native == {
        "cpu": {"flags": "+aes"},
        "agent": {"type": "isa"},
        "scsi0": {"discard": "on"},
        "net0": {"firewall": "1"},
        "smbios1": {"serial": "abc"},
        "onboot": "1",
    }
    assert words.native_settings(native) == native


@pytest.mark.parametrize(
    ("native", "waits"),
    [({"onboot": 1}, False), ({"net0": {"rate": "5"}}, False), ({"vga": "std"}, True), ({"onboot": 1, "kvm": 0}, True)],
)
def test_some_take_effect_at_once(native: dict[str, Any], waits: bool, vm: str, do: Ask, ask: Ask) -> None:
    assert not ask("vm_power", id=vm, state="started").failed
    done = do("vm_config", vague=("native",), id=vm, native=native)
    assert done.result["pending"] == (["native"] if waits else [])
