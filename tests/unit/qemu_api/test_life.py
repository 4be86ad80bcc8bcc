# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of a VM, in both dialects."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.qemu_api import DIALECTS, QemuApiServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
from ansible_collections.anyvirt.compute.tests.unit.qemu_api.conftest import Ask
from ansible_collections.anyvirt.compute.tests.unit.qemu_api.manager import CUT, connection_to


def test_a_whole_life(do: Ask, ask: Ask, server: QemuApiServer) -> None:
    made = do("vm", name="web", memory="1GiB", cores=2, disks=[{"size": "20GiB"}], nics=[{"network": "user"}])
    assert made.vm["state"] == "stopped"
    assert made.vm["disks"] == [{"slot": "virtio0", "size": 20}]
    assert made.vm["nics"] == [{"slot": "net0", "network": "user"}]
    assert made.vm["native"] == {"vncPort": 5900}
    assert do("vm", name="web", state="started").vm["state"] == "running"
    assert "-m 1024 -smp 2" in server.commands()[0]
    changed = do("vm_config", name="web", memory="2GiB", cores=4)
    assert changed.result["pending"] == ["cores", "memory"]
    assert changed.result["restart_required"] is True
    assert "-m 1024 -smp 2" in server.commands()[0]
    restarted = do("vm_power", again=False, name="web", state="restarted", **CUT)
    assert restarted.vm["state"] == "running"
    assert "-m 2048 -smp 4" in server.commands()[0]
    assert ask("vm_config", name="web", memory="2GiB").result["restart_required"] is False
    do("vm_power", name="web", state="stopped", **CUT)
    assert server.commands() == []
    do("vm", name="web", state="absent")
    assert server.names() == []


def test_a_running_vm_is_deleted_only_with_force_and_stopped_before(do: Ask, ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", running=True)
    refused = ask("vm", name="web", state="absent")
    assert (refused.failed, refused.result["kind"]) == (True, "conflict")
    server.forget()
    do("vm", name="web", state="absent", force=True)
    assert [one.endpoint for one in server.writes] == ["POST /api/vms/{name}/stop", "DELETE /api/vms/{name}"]
    assert (server.names(), server.commands()) == ([], [])


def test_what_is_absent_costs_no_write(ask: Ask, server: QemuApiServer) -> None:
    assert not ask("vm", name="nobody", state="absent").changed
    assert server.writes == []


def test_vms_that_are_made_at_once_have_screens_of_their_own(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web")
    made = ask("vm", each=[{"name": f"vm{number}"} for number in range(8)], disks=[{"size": "1GiB"}], state="started")
    assert not made.failed, made.result
    ports = [one["vm"]["native"]["vncPort"] for one in made.result["results"]]
    assert sorted(ports) == [*range(5901, 5909)]


@pytest.mark.parametrize("suffix", ["", "/", "/api", "/api/"])
def test_a_url_with_or_without_api(suffix: str, server: QemuApiServer) -> None:
    server.add_vm("web")
    told = run("vm_info", connection_to(server, suffix))
    assert [vm["name"] for vm in told.result["vms"]] == ["web"]
    assert told.result["vms"][0]["node"] == "127.0.0.1"


def test_tls(dialect: str) -> None:
    with QemuApiServer(dialect, tls=True) as server:
        server.add_vm("web")
        assert len(run("vm_info", connection_to(server)).result["vms"]) == 1
        stranger = run("vm_info", {**connection_to(server), "ca_path": None})
        assert (stranger.failed, stranger.result["kind"]) == (True, "backend_error")
        assert "ca_path" in stranger.result["msg"]


def test_settings_are_compared_as_values(ask: Ask, server: QemuApiServer) -> None:
    """20G is 20, and the port 5903 is the display 3."""
    server.add_vm("web", disk=20, vncPort=5903, memory=2048)
    same: dict[str, Any] = {"memory": "2GiB", "disks": [{"size": "20GiB"}], "cdrom": None}
    for port in (5903, 3, "5903"):
        assert not ask("vm_config", name="web", native={"vncPort": port}, **same).changed
    assert server.writes == []


def test_vnc_ports_are_given_out_and_changed(do: Ask, server: QemuApiServer) -> None:
    server.add_vm("first", vncPort=5900)
    server.add_vm("third", vncPort=5902)
    assert do("vm", name="web", state="started").vm["native"] == {"vncPort": 5901}
    changed = do("vm_config", name="web", native={"vncPort": 10})
    assert (changed.vm["native"], changed.result["pending"]) == ({"vncPort": 5910}, ["native"])
    do("vm_power", again=False, name="web", state="restarted", **CUT)
    assert server.world.holds(5910)


def test_a_disk_is_neither_changed_nor_added(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", disk=20)
    for disks in ([{"size": "30GiB"}], [{"size": "20GiB"}, {"size": "1GiB"}]):
        refused = ask("vm_config", name="web", disks=disks)
        assert (refused.failed, refused.result["kind"]) == (True, "unsupported")
    assert ask("vm_config", name="web", disks=[{"size": "10GiB"}]).result["kind"] == "invalid_request"
    assert server.writes == []


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"disks": [{"size": "20GiB"}, {"size": "1GiB"}]}, "invalid_request"),
        ({"disks": [{"slot": "virtio0"}]}, "invalid_request"),
        ({"disks": [{"size": "0.0001"}]}, "invalid_request"),
        ({"nics": [{}]}, "invalid_request"),
        ({"nics": [{"network": "user; reboot"}]}, "invalid_request"),
        ({"cdrom": {"image": "/iso/a b.iso"}}, "invalid_request"),
        ({"cdrom": {"image": "debian.iso"}}, "invalid_request"),
        ({"native": {"vncPort": "x"}}, "invalid_request"),
        ({"native": {"name": "other"}}, "invalid_request"),
        ({"tags": ["a"]}, "unsupported"),
        ({"cdrom": {"slot": "ide2", "image": "/iso/debian.iso"}}, "unsupported"),
    ],
)
def test_what_cannot_be_made_is_refused_unsent(
    options: dict[str, Any], kind: str, ask: Ask, server: QemuApiServer
) -> None:
    for check in (True, False):
        refused = ask("vm", check=check, name="web", **options)
        assert (refused.failed, refused.result["kind"]) == (True, kind), refused.result
    assert server.writes == []


def test_a_guest_cannot_be_asked_to_shut_down(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", running=True)
    server.forget()
    late = {"force": True, "shutdown_timeout": 5}
    for state, options in (("stopped", {}), ("stopped", late), ("restarted", {}), ("restarted", late)):
        refused = ask("vm_power", name="web", state=state, **options)
        assert (refused.failed, refused.result["kind"]) == (True, "unsupported")
        assert "shutdown_timeout: 0" in refused.result["msg"]
    assert server.writes == []


def test_many_vms_are_read_together(ask: Ask, server: QemuApiServer) -> None:
    names = ["alpha", "bravo", "delta"]
    for name in names:
        server.add_vm(name)
    server.forget()
    done = ask("vm_power", vms=names, state="started")
    assert not done.failed, done.result
    assert len(server.commands()) == 3
    # once before, once after, and of each VM once for its configuration and once to see that it runs
    assert len(server.requests) - len(server.writes) <= 2 + 2 * len(names)
    server.forget()
    assert not ask("vm_power", vms=names, state="started").changed
    assert len(server.requests) == 1


class TestIso:
    """What is in the drive at the next start."""

    def test_made_with_an_iso(self, ask: Ask, server: QemuApiServer, dialect: str) -> None:
        made = ask("vm", name="web", state="started", cdrom={"image": "/iso/debian.iso"})
        assert made.vm["cdrom"] == {"image": "/iso/debian.iso"}
        mounted = server.vm("web")
        assert (mounted if dialect == "documented" else mounted["metadata"])["isMountIso"] is True

    def test_mounted_changed_and_unmounted(self, do: Ask, server: QemuApiServer, dialect: str) -> None:
        server.add_vm("web")
        # the document's list does not tell what is in the drive
        again = dialect == "voidvm"
        for image in ("/iso/debian.iso", "/iso/tools.iso"):
            done = do("vm_config", again=again, name="web", cdrom={"image": image})
            assert done.vm["cdrom"] == {"image": image}
            assert done.result["pending"] == []
        assert "cdrom" not in do("vm_config", again=again, name="web", cdrom={"image": ""}).vm
        about = server.vm("web") if dialect == "documented" else server.vm("web")["metadata"]
        assert about["isMountIso"] is False

    def test_of_a_running_vm_it_waits_for_the_restart(self, do: Ask, server: QemuApiServer, dialect: str) -> None:
        server.add_vm("web", running=True)
        done = do("vm_config", again=dialect == "voidvm", name="web", cdrom={"image": "/iso/debian.iso"})
        assert done.result["pending"] == ["cdrom"]

    def test_taken_away(self, ask: Ask, server: QemuApiServer, dialect: str) -> None:
        if dialect == "documented":
            pytest.skip("the list does not tell that there is something to take away")
        server.add_vm("web", isoPath="/iso/debian.iso")
        assert ask("vm_config", name="web", absent=["cdrom"]).changed
        assert not ask("vm_config", name="web", absent=["cdrom"]).changed
        assert not ask("vm_config", name="web", cdrom={"image": ""}).changed


def test_networks_that_the_document_does_not_tell_are_not_compared(ask: Ask, server: QemuApiServer) -> None:
    server.add_vm("web", **({"network": [{"type": "user"}]} if server.dialect == "voidvm" else {}))
    again = ask("vm", name="web", nics=[{"network": "user"}])
    assert (again.failed, again.changed) == (False, False)
    other = ask("vm", name="web", nics=[{"network": "br0"}])
    assert other.failed is (server.dialect == "voidvm")
    assert server.writes == []


def test_networks_of_the_document(ask: Ask) -> None:
    with QemuApiServer("documented") as server:
        options = {**connection_to(server), "name": "web"}
        with_address = {"network": "user", "mac": "52:54:00:00:00:01"}
        for nics in ([{"network": "br0"}], [with_address], [{"network": "user"}] * 2):
            assert run("vm", {**options, "nics": nics}).result["kind"] == "unsupported"
        assert not run("vm", {**options, "nics": [{"network": "nat"}]}).failed
        assert server.vm("web")["networkType"] == "nat"


def test_network_cards_of_the_open_source_server() -> None:
    with QemuApiServer("voidvm") as server:
        forwards = [{"host_port": 2222, "guest_port": 22}]
        nics = [{"network": "user", "forwards": forwards}, {"network": "br0", "mac": "52-54-00-aa-bb-cc"}]
        options = {**connection_to(server), "name": "web", "nics": nics}
        made = run("vm", {**options, "state": "started"})
        assert not made.failed, made.result
        assert made.vm["nics"] == [
            {"slot": "net0", "network": "user", "forwards": [{"protocol": "tcp", "host_port": 2222, "guest_port": 22}]},
            {"slot": "net1", "network": "br0", "mac": "52:54:00:AA:BB:CC"},
        ]
        assert not run("vm", options).changed
        assert "-netdev user" in server.commands()[0]


@pytest.mark.parametrize("told", ["auto", *DIALECTS])
def test_a_dialect_is_found_out_or_told(told: str, server: QemuApiServer) -> None:
    answer = run("vm_info", {**connection_to(server), "dialect": told, "gather": ["capabilities"]})
    if told in ("auto", server.dialect):
        has = "snapshot" in answer.result["capabilities"]["operations"]
        assert has is (server.dialect == "voidvm")
    else:
        assert answer.failed
        assert server.dialect in answer.result["msg"]


def test_something_else_is_no_manager() -> None:
    with QemuApiServer("documented") as server:
        server.fail_next(200, times=9, message="Welcome to my site")
        answer = run("vm_info", connection_to(server))
        assert (answer.failed, answer.result["kind"]) == (True, "backend_error")
        assert "Welcome to my site" in answer.result["msg"]
