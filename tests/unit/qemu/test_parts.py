# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small pure parts of the local backend: seed, checksums, addresses, accelerator, versions."""

from __future__ import annotations

import json
import pathlib
import stat
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.addresses import usable
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu import images, networks, seed, tools
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.process import accelerator
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import (
    BackendError,
    InvalidRequest,
    MissingLibrary,
    NotFound,
    TaskTimeout,
    TransportError,
)
from ansible_collections.anyvirt.compute.plugins.module_utils._task import Deadline

UUID = "4d0f1cbe-0000-4000-8000-000000000000"
MACS = {"net0": "52:54:00:00:00:0A", "net1": "52:54:00:00:00:0B"}


# --- seed


def documents(settings: dict[str, Any], macs: dict[str, str] | None = None) -> dict[str, Any]:
    files = seed.documents("web", UUID, settings, MACS if macs is None else macs)
    return {name: json.loads(text.removeprefix("#cloud-config\n")) for name, text in files.items()}


def test_an_empty_seed_names_the_guest() -> None:
    found = documents({})
    assert set(found) == {"meta-data", "user-data"}
    assert found["meta-data"]["local-hostname"] == "web"
    assert found["meta-data"]["instance-id"].startswith(UUID)
    assert found["user-data"] == {"hostname": "web"}


def test_user_data_begins_as_cloud_init_wants_it() -> None:
    assert seed.documents("web", UUID, {}, {})["user-data"].startswith("#cloud-config\n")


def test_the_users_own_user_data_goes_as_it_is() -> None:
    text = "#!/bin/sh\necho 'ä' > /a\n"
    assert seed.documents("web", UUID, {"user_data": text, "user": "me"}, MACS)["user-data"] == text


def test_a_user_with_keys_has_no_password() -> None:
    assert documents({"user": "me", "ssh_keys": ["ssh-ed25519 A"]})["user-data"] == {
        "hostname": "web",
        "users": [
            {
                "name": "me",
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "shell": "/bin/bash",
                "lock_passwd": True,
                "ssh_authorized_keys": ["ssh-ed25519 A"],
            }
        ],
    }


@pytest.mark.parametrize(("password", "key"), [("$6$salt$hash", "hashed_passwd"), ("secret", "plain_text_passwd")])
def test_a_users_password(password: str, key: str) -> None:
    found = documents({"user": "me", "password": password})["user-data"]
    assert found["users"][0][key] == password
    assert found["users"][0]["lock_passwd"] is False
    assert found["ssh_pwauth"] is True


def test_without_a_user_password_and_keys_are_of_the_default_user() -> None:
    found = documents({"password": "secret", "ssh_keys": ["ssh-ed25519 A"]})["user-data"]
    assert found["password"] == "secret"
    assert found["chpasswd"] == {"expire": False}
    assert found["ssh_authorized_keys"] == ["ssh-ed25519 A"]


def test_addresses_find_their_cards_by_mac() -> None:
    settings = {
        "nameservers": ["10.0.0.1"],
        "search_domains": ["example.org"],
        "ip_config": {
            "net0": {"nic": "net0", "ip": "dhcp"},
            "net1": {
                "nic": "net1",
                "ip": "10.0.0.2/24",
                "gateway": "10.0.0.1",
                "ip6": "fd00::2/64",
                "gateway6": "fd00::1",
            },
        },
    }
    found = documents(settings)["network-config"]
    resolver = {"addresses": ["10.0.0.1"], "search": ["example.org"]}
    assert found == {
        "version": 2,
        "ethernets": {
            "net0": {
                "match": {"macaddress": "52:54:00:00:00:0a"},
                "dhcp4": True,
                "dhcp6": False,
                "addresses": [],
                "routes": [],
                "nameservers": resolver,
            },
            "net1": {
                "match": {"macaddress": "52:54:00:00:00:0b"},
                "dhcp4": False,
                "dhcp6": False,
                "addresses": ["10.0.0.2/24", "fd00::2/64"],
                "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.1"}, {"to": "::/0", "via": "fd00::1"}],
                "nameservers": resolver,
            },
        },
    }


def test_nameservers_alone_are_for_all_cards_by_dhcp() -> None:
    found = documents({"nameservers": ["10.0.0.1"]})["network-config"]["ethernets"]
    assert set(found) == {"net0", "net1"}
    assert all(card["dhcp4"] for card in found.values())


def test_a_changed_seed_is_a_new_instance_and_the_same_is_not() -> None:
    def instance(settings: dict[str, Any], macs: dict[str, str] | None = None) -> str:
        macs = MACS if macs is None else macs
        return documents(settings, macs)["meta-data"]["instance-id"]

    assert instance({"user": "me"}) == instance({"user": "me"})
    assert len({instance({"user": "me"}), instance({"user": "you"}), instance({"user": "me"}, {})}) == 3


def test_a_seed_is_written_whole_and_leaves_no_secret_beside_it(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "seed.iso"
    seed.write(str(path), seed.documents("web", UUID, {"password": "HUSH"}, {}))
    assert [one.name for one in tmp_path.iterdir()] == ["seed.iso"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    assert content[0x8000:0x8006] == b"\x01CD001"
    assert b"cidata" in content.lower()
    assert b"HUSH" in content


# --- images

DIGEST = "a" * 64


@pytest.mark.parametrize(
    ("written", "parts"),
    [(f"sha256:{DIGEST}", ("sha256", DIGEST)), (f"sha512:{DIGEST * 2}", ("sha512", DIGEST * 2))],
)
def test_checksums(written: str, parts: tuple[str, str]) -> None:
    assert images.split_checksum(written) == parts


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            "sha256",
            "sha256:",
            DIGEST,
            f"md5:{'a' * 32}",
            f"sha256:{DIGEST}0",
            f"sha512:{DIGEST}",
            f"sha1:{'a' * 40}",
        ),
        *(f"SHA256:{DIGEST}", f"sha256:{'g' * 64}", f"sha256:{DIGEST[:-1]}\n", f"shake_128:{DIGEST}"),
    ],
)
def test_what_is_no_checksum_is_refused(written: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a checksum"):
        images.split_checksum(written)


def cache(tmp_path: pathlib.Path) -> images.ImageCache:
    return images.ImageCache(str(tmp_path / "images"), {})


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("relative.qcow2", InvalidRequest),
        ("ftp://example.org/a", InvalidRequest),
        ("file:///etc/passwd", InvalidRequest),
        ("/nowhere/a.qcow2", NotFound),
        ("/etc", NotFound),
    ],
)
def test_a_source_is_a_file_or_a_url(source: str, error: type[Exception], tmp_path: pathlib.Path) -> None:
    with pytest.raises(error):
        cache(tmp_path).check(source, None)
    with pytest.raises(error):
        cache(tmp_path).local_path(source, None, Deadline(1))


def test_a_file_is_used_where_it_is_if_its_checksum_fits(tmp_path: pathlib.Path) -> None:
    import hashlib

    source = tmp_path / "image"
    source.write_bytes(b"content")
    good = hashlib.sha256(b"content").hexdigest()
    assert cache(tmp_path).local_path(str(source), f"sha256:{good}", Deadline(5)) == str(source)
    with pytest.raises(InvalidRequest, match=f"has the checksum sha256:{good}, not sha256:{DIGEST}"):
        cache(tmp_path).local_path(str(source), f"sha256:{DIGEST}", Deadline(5))


def test_a_server_that_is_not_there_is_told_without_the_password(tmp_path: pathlib.Path) -> None:
    with pytest.raises(TransportError) as caught:
        cache(tmp_path).check("http://user:HUSH@127.0.0.1:9/image.qcow2?token=HUSH", None)
    assert "HUSH" not in str(caught.value)
    assert "http://127.0.0.1:9/image.qcow2" in str(caught.value)


@pytest.mark.parametrize("source", ["ftp://user:HUSH@example.org/a", "s3://user:HUSH@example.org/a?token=HUSH"])
def test_a_source_that_is_refused_is_told_without_the_password(source: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        cache(tmp_path).check(source, None)
    assert "HUSH" not in str(caught.value)


# --- networks


def interface(name: str, *addresses: str) -> dict[str, Any]:
    return {
        "name": name,
        "ip-addresses": [
            {"ip-address-type": "ipv6" if ":" in one else "ipv4", "ip-address": one, "prefix": 24} for one in addresses
        ],
    }


@pytest.mark.parametrize(
    ("interfaces", "found"),
    [
        ([], []),
        ([interface("lo", "127.0.0.1", "::1")], []),
        ([interface("eth0", "fe80::1", "fd00::2", "10.0.2.15")], ["10.0.2.15", "fd00::2"]),
        ([interface("eth1", "10.0.0.9"), interface("eth0", "10.0.0.10", "169.254.1.1")], ["10.0.0.10", "10.0.0.9"]),
        ([{"name": "eth0"}], []),
        ([interface("eth0", "10.0.0.2"), interface("br0", "10.0.0.2")], ["10.0.0.2"]),
        ([interface("eth0", "FE80::1")], []),
    ],
)
def test_addresses_of_a_guest(interfaces: list[dict[str, Any]], found: list[str]) -> None:
    assert usable(interfaces) == found


@pytest.fixture
def host_networks(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "br0" / "bridge").mkdir(parents=True)
    (tmp_path / "tap7").mkdir()
    (tmp_path / "tap7" / "tun_flags").write_text("0x1002")
    (tmp_path / "eth0").mkdir()
    monkeypatch.setattr(networks, "_CLASS_NET", str(tmp_path))


@pytest.mark.parametrize(("network", "kind"), [("user", "user"), ("br0", "bridge"), ("tap7", "tap")])
def test_kinds_of_networks(network: str, kind: str, host_networks: None) -> None:
    assert networks.kind_of(network) == kind


@pytest.mark.parametrize("network", ["br1", "eth0", "", ".", "..", "../br0", "br0/bridge", "/"])
def test_a_network_that_is_not_there_is_told_with_those_that_are(network: str, host_networks: None) -> None:
    with pytest.raises(NotFound, match="is one of: user, br0"):
        networks.kind_of(network)


def test_forwards_listen_on_the_loopback_address_only() -> None:
    forward = {"protocol": "udp", "host_port": 5353, "guest_port": 53}
    assert networks.forward_rule(forward) == "udp:127.0.0.1:5353-:53"
    assert networks.forward_rule(forward).startswith(networks.forward_listener(forward))


# --- accelerator

VMX = "processor : 0\nflags\t\t: fpu vme vmx sse\n"
SVM = "flags : fpu svm\n"
NEITHER = "flags\t\t: fpu vme sse vmxnet nosvm\n"


@pytest.mark.parametrize(
    ("device", "cpuinfo", "found"),
    [
        (True, VMX, "kvm"),
        (True, SVM, "kvm"),
        (True, NEITHER, "tcg"),
        (True, "processor: 0\n", "tcg"),
        (True, "", "tcg"),
        (True, None, "tcg"),
        (False, VMX, "tcg"),
    ],
)
def test_kvm_is_believed_only_where_guests_will_run(
    device: bool, cpuinfo: str | None, found: str, tmp_path: pathlib.Path
) -> None:
    kvm, flags = tmp_path / "kvm", tmp_path / "cpuinfo"
    if device:
        kvm.touch()
    if cpuinfo is not None:
        flags.write_text(cpuinfo)
    assert accelerator("auto", str(kvm), str(flags)) == found
    for chosen in ("kvm", "tcg"):
        assert accelerator(chosen, str(kvm), str(flags)) == chosen


# --- programs


def test_a_missing_program_is_told_with_its_package() -> None:
    with pytest.raises(MissingLibrary, match=r"no-such-program or nor-this is not installed.*apt install"):
        tools.program("no-such-program", "nor-this")


def test_what_a_failed_program_said_is_told() -> None:
    with pytest.raises(BackendError, match="sh failed: went wrong"):
        tools.run(["/bin/sh", "-c", "echo went wrong >&2; exit 3"])
    with pytest.raises(BackendError, match="sh failed: exit status 3"):
        tools.run(["/bin/sh", "-c", "exit 3"])


def test_a_program_that_does_not_end_is_ended() -> None:
    with pytest.raises(TaskTimeout, match=r"sleep did not end within 0\.05 s"):
        tools.run(["sleep", "60"], timeout=0.05)


@pytest.mark.parametrize(
    ("version", "good"), [("2.11.1", False), ("6.1.0", False), ("6.2.0", True), ("7.2.22", True), ("10.0.0", True)]
)
def test_a_qemu_that_is_too_old_is_refused(version: str, good: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "program", lambda name: f"/bin/{name}")
    monkeypatch.setattr(tools, "run", lambda argv: f"QEMU emulator version {version} (Debian)\nCopyright\n")
    if good:
        assert tools.require_qemu() == f"/bin/{tools.SYSTEM}"
    else:
        with pytest.raises(MissingLibrary, match=f"QEMU 6.2 or newer is needed, this is: .*{version}"):
            tools.require_qemu()


def test_an_alias_of_a_machine_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "Supported machines are:\n"
        "q35                  Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-7.2)\n"
        "pc-q35-7.2           Standard PC (Q35 + ICH9, 2009)\n"
    )
    monkeypatch.setattr(tools, "program", lambda name: f"/bin/{name}")
    monkeypatch.setattr(tools, "run", lambda argv: said)
    assert tools.versioned_machine("q35") == "pc-q35-7.2"
    assert tools.versioned_machine("pc-q35-7.2") == "pc-q35-7.2"
    with pytest.raises(BackendError, match="no machine 'pc'"):
        tools.versioned_machine("pc")
