# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What makes no sense, is not there or not clear is refused before anything is written, in check mode too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.zstack.cloud import Ask

DISKS: list[dict[str, Any]] = [{"size": "1"}]
NOBODY = "0" * 32


@pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
@pytest.mark.parametrize(
    ("module", "options", "kind", "told"),
    [
        # not there
        ("vm_config", {"id": NOBODY, "memory": "1GiB"}, "not_found", "7"),
        ("vm_config", {"id": "no uuid", "memory": "1GiB"}, "not_found", "no uuid"),
        ("vm", {"name": "new", "disks": [{"source": "nothing"}]}, "not_found", "image 'nothing'"),
        ("vm", {"name": "new", "disks": [{"source": "disabled"}]}, "not_found", "image 'disabled'"),
        ("vm", {"name": "new", "disks": DISKS, "nics": [{"network": "nothing"}]}, "not_found", "net-1"),
        ("vm", {"name": "new", "disks": DISKS, "node": "nothing"}, "not_found", "host-1"),
        ("vm", {"name": "new", "disks": [{"size": "1", "storage": "nothing"}]}, "not_found", "ps-1"),
        ("vm", {"name": "new", "disks": DISKS, "native": {"cluster": "nothing"}}, "not_found", "cluster-1"),
        ("vm", {"name": "new", "disks": DISKS, "native": {"zone": "nothing"}}, "not_found", "zone-1"),
        ("vm", {"name": "new", "disks": DISKS, "native": {"instanceOffering": "x"}}, "not_found", "offering-1"),
        ("vm", {"name": "new", "disks": DISKS, "cdrom": {"image": "image-1"}}, "not_found", "image-1"),
        ("vm_clone", {"source": "web", "name": "new", "node": "nothing"}, "not_found", "host-1"),
        ("vm_clone", {"source": "web", "name": "new", "storage": "nothing"}, "not_found", "ps-1"),
        ("vm_migrate", {"name": "web", "node": "nothing"}, "not_found", "host-1"),
        # not clear
        ("vm_power", {"name": "twin", "state": "started"}, "ambiguous", "Address it by id"),
        ("vm", {"name": "new", "disks": [{"source": "image-2"}]}, "ambiguous", "Give the uuid"),
        ("vm", {"name": "new", "disks": DISKS, "nics": [{"network": "net-3"}]}, "ambiguous", "Give the uuid"),
        ("vm", {"name": "new", "disks": DISKS, "native": {"instanceOffering": "twin"}}, "ambiguous", "uuid"),
        # no sense
        ("vm", {"name": "new"}, "invalid_request", "root disk"),
        ("vm", {"name": "new", "disks": [{}]}, "invalid_request", "needs a size"),
        ("vm", {"name": "new", "disks": [*DISKS, {"source": "image-1"}]}, "invalid_request", "only the root disk"),
        ("vm", {"name": "new", "disks": [{"slot": "scsi0", "size": "1"}]}, "invalid_request", "virtio0"),
        ("vm", {"name": "new", "disks": [*DISKS, {"slot": "virtio2", "size": "1"}]}, "invalid_request", "virtio1"),
        (
            "vm",
            {"name": "new", "disks": [*DISKS, *({"size": "1", "storage": f"ps-{one}"} for one in (1, 2))]},
            "invalid_request",
            "on one storage",
        ),
        ("vm", {"name": "new", "disks": DISKS, "nics": [{}]}, "invalid_request", "needs a network"),
        (
            "vm",
            {"name": "new", "disks": DISKS, "nics": [{"network": "net-1"}] * 2},
            "invalid_request",
            "one network card",
        ),
        ("vm", {"name": "new", "disks": DISKS, "boot_order": ["virtio3"]}, "invalid_request", "virtio0, ide0, net0"),
        ("vm", {"name": "new", "disks": DISKS, "cdrom": {"slot": "ide1"}}, "invalid_request", "ide0"),
        ("vm", {"name": "new", "disks": DISKS, "id": "abc"}, "invalid_request", "UUID without dashes"),
        ("vm", {"name": "new", "disks": DISKS, "native": {"nonsense": "x"}}, "invalid_request", "platform"),
        ("vm", {"name": "new", "disks": DISKS, "native": {"platform": 1}}, "invalid_request", "text"),
        ("vm", {"name": "new", "disks": DISKS, "native": {"strategy": "InstantStart"}}, "invalid_request", "started"),
        ("vm", {"name": "new", "disks": DISKS, "native": {"create": ["x"]}}, "invalid_request", "dictionary"),
        ("vm", {"name": "new", "disks": DISKS, "native": {"create": {"name": "x"}}}, "invalid_request", "no 'name'"),
        ("vm_clone", {"source": "web", "name": "c", "native": {"clone": {"full": 1}}}, "invalid_request", "type"),
        (
            "vm_clone",
            {"source": "web", "name": "c", "storage": "ps-2", "native": {"clone": {"diskAOs": [{}]}}},
            "invalid_request",
            "diskAOs",
        ),
        ("vm_config", {"name": "web", "disks": [{"slot": "virtio0", "size": "1"}]}, "invalid_request", "cannot shrink"),
        ("vm_config", {"name": "web", "disks": [{"slot": "virtio5", "size": "1"}]}, "invalid_request", "virtio1"),
        ("vm_config", {"name": "web", "disks": [{"slot": "virtio1"}]}, "invalid_request", "needs a size"),
        (
            "vm_config",
            {"name": "web", "nics": [{"slot": "net1", "network": "net-1"}]},
            "invalid_request",
            "one network",
        ),
        ("vm_config", {"name": "web", "nics": [{"slot": "net3", "network": "net-2"}]}, "invalid_request", "net1"),
        (
            "vm_config",
            {"name": "web", "cloud_init": {"ip_config": [{"nic": "net4", "ip": "192.0.2.1/24"}]}},
            "invalid_request",
            "net0",
        ),
        (
            "vm_config",
            {"name": "web", "cloud_init": {"ip_config": [{"nic": "net0", "ip": "nonsense"}]}},
            "invalid_request",
            "nonsense",
        ),
        (
            "vm_config",
            {"name": "web", "cloud_init": {"ip_config": [{"nic": "net0", "gateway": "192.0.2.1"}]}},
            "invalid_request",
            "gateway",
        ),
        ("vm_snapshot", {"name": "web", "snapshot": "a\nb"}, "invalid_request", "name of a snapshot"),
        # not possible
        ("vm_config", {"name": "web", "memory": "512MiB"}, "conflict", "not less"),
        ("vm_config", {"name": "web", "firmware": "uefi"}, "conflict", "Running"),
        ("vm_config", {"name": "web", "nics": [{"slot": "net0", "mac": "52:54:00:00:00:0c"}]}, "conflict", "Stopped"),
        ("vm_config", {"name": "web", "absent": ["cdrom"]}, "conflict", "Stopped"),
        ("vm_config", {"name": "paused", "memory": "4GiB"}, "conflict", "Paused"),
        ("vm_config", {"name": "web", "memory": "4GiB", "apply": "next_boot"}, "unsupported", "next_boot"),
        ("vm_config", {"name": "web", "absent": ["virtio0"]}, "unsupported", "root disk"),
        ("vm_config", {"name": "web", "absent": ["native"]}, "unsupported", "native"),
        ("vm_config", {"name": "web", "nics": [{"slot": "net0", "model": "e1000"}]}, "unsupported", "nics.net0.model"),
        ("vm_clone", {"source": "web", "name": "new", "id": NOBODY}, "unsupported", "uuids itself"),
        ("vm_clone", {"source": "crashed", "name": "new"}, "conflict", "Crashed"),
        ("vm_power", {"name": "crashed", "state": "paused"}, "conflict", "unknown"),
        ("vm_migrate", {"name": "stopped", "node": "host-2"}, "conflict", "Stopped"),
        ("vm_migrate", {"name": "web", "node": "host-3"}, "conflict", "host-2"),
        ("vm_migrate", {"name": "web", "node": "host-2", "target_storage": "ps-1"}, "conflict", "ps-2"),
        ("vm_migrate", {"name": "web", "node": "host-2", "online": False}, "unsupported", "online"),
        ("vm_migrate", {"name": "web", "node": "host-2", "bandwidth_limit": 1}, "unsupported", "bandwidth"),
        ("vm_snapshot", {"name": "crashed", "snapshot": "first"}, "conflict", "Crashed"),
        ("vm_snapshot", {"name": "paused", "snapshot": "first", "memory": True}, "conflict", "Running"),
    ],
)
def test_it_is_refused_before_anything_is_written(
    module: str, options: Mapping[str, Any], kind: str, told: str, check: bool, server: ZStackServer, ask: Ask
) -> None:
    server.add_vm("web", host="host-1", storage="ps-1")
    for state in ("Stopped", "Paused", "Crashed"):
        server.add_vm(state.lower(), state, host="host-1")
    for name in ("twin", "twin"):
        server.add_vm(name, "Stopped")
        server.add_instance_offering(name)
        server.add_image("image-2")
        server.add_l3_network("net-3", "192.0.2")
    server.add_image("disabled", state="Disabled")
    server.add_host("host-3", status="Disconnected")
    answer = ask(module, check=check, **options)
    assert answer.failed, answer.result
    assert (answer.result["kind"], answer.changed) == (kind, False), answer.result["msg"]
    assert told in answer.result["msg"] or told == "7"
    assert server.writes == []


@pytest.mark.parametrize("name", ["", " ", " web", "web ", "a\nb", "a\x7f", "a" * 256])
def test_what_no_vm_can_be_called(name: str, server: ZStackServer, ask: Ask) -> None:
    assert ask("vm", name=name, disks=DISKS).result["kind"] == "invalid_request"
    assert server.requests == []


def test_what_the_data_base_takes_for_the_same_is_not(server: ZStackServer, ask: Ask) -> None:
    """It compares without case, and a pattern where a name has both kinds of quotes."""
    for name in ("WEB", "x'xx"):
        server.add_vm(name)
    assert ask("vm_info", name="web").result["vms"] == []
    assert ask("vm_info", name="x'x\"").result["vms"] == []


def test_a_uuid_tells_two_of_one_name_apart(server: ZStackServer, ask: Ask) -> None:
    one, other = (server.add_vm("twin", "Stopped") for _time in range(2))
    answer = ask("vm_config", id=other["uuid"], description="this one")
    assert answer.changed
    assert (server.vm(one["uuid"]).get("description"), server.vm(other["uuid"])["description"]) == (None, "this one")


def test_an_iso_may_be_named_by_its_uuid(server: ZStackServer, ask: Ask) -> None:
    iso = server.get("Image", "iso-1")["uuid"]
    made = ask("vm", name="web", disks=DISKS, cdrom={"image": iso})
    assert made.vm["cdrom"] == {"slot": "ide0", "image": "iso-1"}
    for image in (iso, "iso-1"):
        assert not ask("vm", name="web", disks=DISKS, cdrom={"image": image}).changed


def test_a_network_whose_name_is_not_its_alone_is_shown_by_its_uuid(server: ZStackServer, ask: Ask) -> None:
    first = server.add_l3_network("net-3", "192.0.2")
    server.add_l3_network("net-3", "192.0.3")
    nics = [{"network": first["uuid"]}]
    made = ask("vm", name="web", disks=DISKS, nics=nics)
    assert made.vm["nics"][0]["network"] == first["uuid"]
    assert not ask("vm", name="web", disks=DISKS, nics=nics).changed
