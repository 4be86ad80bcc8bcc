# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VMs and wishes for hypothesis: VMs as a backend reads them, options as a user writes them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

words = st.text("abcdexyz", min_size=1, max_size=3)
tags = st.lists(words, max_size=4)
macs = st.binary(min_size=5, max_size=5).map(lambda tail: "52:" + ":".join(f"{byte:02X}" for byte in tail))
ports = st.integers(1, 65535)
gib = st.integers(1, 512) | st.integers(1, 4096).map(lambda eighths: eighths / 8)
secrets = st.text("ABCDEFGHJKLMNPQRSTUVWXYZ", min_size=12, max_size=16)
"""Upper case letters: nothing else in these VMs is, so one that is found has leaked."""

forwards = st.lists(
    st.fixed_dictionaries({"protocol": st.sampled_from(["tcp", "udp"]), "host_port": ports, "guest_port": ports}),
    max_size=3,
    unique_by=lambda forward: (forward["protocol"], forward["host_port"]),
)


def some(**options: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Options of which a user names any number; the others are None, as AnsibleModule gives them."""
    return st.fixed_dictionaries({name: st.none() | values for name, values in options.items()})


def slots(prefix: str, last: int = 5) -> st.SearchStrategy[str]:
    return st.integers(0, last).map(lambda number: f"{prefix}{number}")


def devices(slot: st.SearchStrategy[str], entry: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict]]:
    """A list of devices as a user writes it, each in a slot of its own."""
    keyed = st.dictionaries(slot, entry, max_size=4)
    return keyed.map(lambda found: [{**one, "slot": name} for name, one in found.items()])


def cloud_init(secret: st.SearchStrategy[str] = secrets) -> st.SearchStrategy[dict[str, Any]]:
    addresses = some(ip=st.sampled_from(["dhcp", "10.0.0.2/24"]), gateway=st.just("10.0.0.1"))
    return some(
        user=words,
        password=secret,
        ssh_keys=st.lists(words.map(lambda word: f"ssh-ed25519 {word}"), max_size=2),
        hostname=words,
        nameservers=st.lists(st.just("10.0.0.1"), max_size=1),
        ip_config=devices(slots("net"), addresses).map(
            lambda found: [{**{k: v for k, v in one.items() if k != "slot"}, "nic": one["slot"]} for one in found]
        ),
        user_data=secret,
    )


options = some(
    description=words,
    memory=st.integers(16, 8192).map(str) | st.integers(1, 16).map(lambda number: f"{number}GiB"),
    cores=st.integers(1, 16),
    sockets=st.integers(1, 4),
    cpu_type=words,
    boot_order=st.lists(slots("virtio") | slots("net"), max_size=2, unique=True),
    tags=tags,
    guest_agent=st.booleans(),
    pool=words,
    disks=devices(
        slots("virtio") | slots("scsi"),
        some(size=gib.map(str), storage=words, source=words.map(lambda word: f"/images/{word}")),
    ),
    nics=devices(
        slots("net"),
        some(
            network=words,
            model=st.sampled_from(["virtio", "e1000e"]),
            mac=macs,
            vlan=st.integers(1, 4094),
            connected=st.booleans(),
            forwards=forwards,
        ),
    ),
    cdrom=some(slot=slots("sata"), image=words.map(lambda word: f"/images/{word}.iso")),
    cloud_init=cloud_init(),
    native=st.dictionaries(words, words, max_size=2),
)
"""What a task may say of a VM's settings."""


def by_slot(slot: st.SearchStrategy[str], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Devices as a backend reads them, with everything that is known of each."""
    entries = st.dictionaries(slot, st.fixed_dictionaries(parts), max_size=4)
    return entries.map(lambda found: {name: {"slot": name, **one} for name, one in found.items()})


vms = st.fixed_dictionaries(
    {
        "id": st.just("4d0f1cbe-0000-4000-8000-000000000000"),
        "name": words,
        "backend": st.just("qemu"),
        "node": st.just("host"),
        "state": st.sampled_from(["running", "stopped", "paused"]),
        "template": st.just(False),
        "tags": tags.map(lambda found: sorted(set(found))),
        "memory": st.integers(16, 8192),
        "cores": st.integers(1, 16),
        "sockets": st.integers(1, 4),
        "cpu_type": words,
        "firmware": st.just("bios"),
        "disks": by_slot(slots("virtio") | slots("scsi"), size=gib, format=st.just("qcow2")),
        "nics": by_slot(
            slots("net"),
            network=words,
            model=st.sampled_from(["virtio", "e1000e"]),
            mac=macs,
            connected=st.booleans(),
        ),
    },
    optional={
        "description": words,
        "boot_order": st.lists(slots("virtio"), max_size=2, unique=True),
        "guest_agent": st.booleans(),
        "pool": words,
        "cdrom": st.fixed_dictionaries({"slot": slots("sata"), "image": words}),
        "cloud_init": st.fixed_dictionaries({"user": words, "password": secrets, "user_data": secrets}),
        "native": st.dictionaries(words, words, min_size=1, max_size=2),
    },
)
"""VMs as ``Backend.find`` gives them with their settings."""
