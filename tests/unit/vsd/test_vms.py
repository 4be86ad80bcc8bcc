# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VMs beside their snapshots: power, many at once, settings, clones, moves, the recycle bin."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.vsd import MIB, VsdServer
from ansible_collections.anyvirt.compute.tests.unit.vsd.conftest import Ask

CUT = {"force": True, "shutdown_timeout": 0}


def words(server: VsdServer) -> list[str]:
    return [one.path.removeprefix("/v1/compute/") for one in server.writes]


def test_a_vm_in_words_of_the_collection(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web", state="running", cpus=2, most_cpus=4, disks=("vda", "sdb", "ida"), size=1024 * MIB)
    (vm,) = ask("vm_info", name="web", gather=["config", "agent"]).result["vms"]
    assert {name: vm[name] for name in ("node", "state", "native_state", "memory", "cores", "sockets", "lock")} == {
        "node": "host-1",
        "state": "running",
        "native_state": "running",
        "memory": 1024,
        "cores": 2,
        "sockets": 1,
        "lock": None,
    }
    assert [(disk["slot"], disk["size"], disk["storage"]) for disk in vm["disks"]] == [
        ("ide0", 1, "main"),
        ("scsi1", 1, "main"),
        ("virtio0", 1, "main"),
    ]
    assert (vm["nics"][0]["network"], vm["nics"][0]["vlan"], vm["agent"]["running"]) == ("group", 14, True)


# --- power


def test_a_shutdown_that_never_comes(ask: Ask, server: VsdServer) -> None:
    vm = server.add_vm("web", state="running", hangs=True)
    failed = ask("vm_power", name="web", state="stopped", shutdown_timeout=1)
    assert (failed.failed, failed.changed, failed.result["kind"]) == (True, False, "task_failed")
    assert vm.state == "running"
    assert ask("vm_power", name="web", state="stopped", shutdown_timeout=1, force=True).vm["state"] == "stopped"
    assert words(server) == ["shutdown", "shutdown", "shutoff"]


def test_a_guest_without_an_agent(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web", state="running", agent=False)
    for check in (True, False):
        refused = ask("vm_power", check=check, name="web", state="stopped")
        assert (refused.failed, refused.result["kind"]) == (True, "conflict")
    assert ask("vm_power", name="web", state="stopped", force=True).changed
    assert words(server) == ["shutoff"]


def test_a_shutdown_whose_answer_is_lost(ask: Ask, server: VsdServer) -> None:
    """Nothing tells at once whether the guest was asked."""
    server.add_vm("web", state="running")
    server.fail_next("lost", "/compute/shutdown")
    assert ask("vm_power", name="web", state="stopped").vm["state"] == "stopped"
    server.add_vm("db", state="running")
    server.fail_next("dropped", "/compute/shutdown")
    failed = ask("vm_power", name="db", state="stopped", shutdown_timeout=1)
    assert (failed.result["kind"], "in time" in failed.result["msg"]) == ("task_failed", True)

    def end() -> None:
        server.fail_next("dropped", times=1000)

    server.fail_next("dropped", "/compute/shutdown", then=end)
    assert ask("vm_power", name="db", state="stopped").result["kind"] == "transport_error"
    assert words(server) == ["shutdown"] * 3


def test_many_go_together(ask: Ask, server: VsdServer) -> None:
    """What is wanted while a request is under way goes out in one; nothing is sent twice."""
    names = [f"vm{number}" for number in range(12)]
    vms = [server.add_vm(name) for name in names]
    server.entry.latency = 0.05
    done = ask("vm_power", vms=names, state="started", max_parallel=12)
    assert not done.failed, done.result
    assert "POST /v1/compute/batch_start" in server.reached
    assert len(server.writes) < 12
    sent = [one["compute_uuid"] for write in server.writes for one in write.params.get("vms", [write.params])]
    assert sorted(sent) == sorted(vm.uuid for vm in vms)
    assert [vm.boots for vm in vms] == [1] * 12


def test_one_that_fails_inside_of_a_success(ask: Ask, server: VsdServer) -> None:
    names = [f"vm{number}" for number in range(6)]
    vms = [server.add_vm(name) for name in names]
    server.state.failing_vms.update(vm.uuid for vm in vms[1:])
    server.entry.latency = 0.05
    done = ask("vm_power", vms=names, state="started", max_parallel=6)
    assert done.result["kind"] == "some_failed"
    told = {one["name"]: one for one in done.result["results"]}
    for vm in vms:
        assert told[vm.name].get("failed", False) == (vm.state != "running")
        if vm.state != "running":
            assert "主机不满足CPU超分配限制" in told[vm.name]["msg"]


def test_a_start_whose_answer_is_lost(ask: Ask, server: VsdServer) -> None:
    vm = server.add_vm("web")
    server.fail_next("lost", "/compute/start")
    assert ask("vm_power", name="web", state="started").vm["state"] == "running"
    assert (words(server), vm.boots) == (["start"], 1)


# --- settings


def test_settings_of_a_vm_that_is_stopped(ask: Ask, server: VsdServer) -> None:
    vm = server.add_vm("web")
    done = ask("vm_config", name="web", memory="2GiB", cores=3, sockets=2)
    assert done.changed, done.result
    assert (done.vm["memory"], done.vm["cores"], done.vm["sockets"]) == (2048, 3, 2)
    assert (vm.config["cpu_current"], vm.config["cpu_max_count"]) == (6, 6)
    assert not ask("vm_config", name="web", memory="2GiB", cores=3, sockets=2).changed
    assert ask("vm", id=vm.uuid, name="web-2").vm["name"] == vm.name == "web-2"


def test_a_running_vm_grows_as_far_as_it_is_prepared(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web", state="running", most_cpus=4)
    done = ask("vm_config", name="web", memory="2GiB", cores=4)
    assert (done.changed, done.result["pending"]) == (True, [])
    assert (done.vm["memory"], done.vm["cores"]) == (2048, 4)
    server.forget()
    for change in ({"memory": "1GiB"}, {"cores": 2}, {"cores": 5}, {"sockets": 2}):
        for check in (True, False):
            refused = ask("vm_config", check=check, name="web", **change)
            assert (refused.failed, refused.result["kind"]) == (True, "conflict"), change
    assert ask("vm_config", name="web", memory="300GiB").result["kind"] == "invalid_request"
    assert server.writes == []


def test_what_a_running_vm_does_not_get_is_changed_along_with_a_restart(ask: Ask, server: VsdServer) -> None:
    vm = server.add_vm("web", state="running")
    for check in (True, False):
        done = ask("vm_config", check=check, name="web", cores=2, memory="512MiB", apply="reboot")
        assert (done.changed, done.result["pending"]) == (True, []), done.result
        assert (done.vm["cores"], done.vm["memory"], done.vm["state"]) == (2, 512, "running")
    assert words(server) == ["shutdown", "vmemory/set", "vcpu/set", "start"]
    assert vm.boots == 2
    assert not ask("vm_config", name="web", cores=2, memory="512MiB", apply="reboot").changed


# --- what is not there


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("vm", {"name": "new", "memory": "1GiB"}),
        ("vm_power", {"name": "web", "state": "suspended"}),
        ("vm_config", {"name": "web", "tags": ["a"]}),
        ("vm_config", {"name": "web", "disks": [{"slot": "virtio1", "size": "1GiB"}]}),
        ("vm_migrate", {"name": "web", "node": "host-2", "with_local_disks": True}),
        ("vm_migrate", {"name": "web", "node": "host-2", "bandwidth_limit": 1}),
        ("vm_clone", {"source": "web", "name": "copy", "storage": "other"}),
        ("cluster_info", {}),
    ],
)
def test_what_the_documents_do_not_carry_is_refused(
    ask: Ask, server: VsdServer, module: str, options: dict[str, Any]
) -> None:
    server.add_vm("web", state="running")
    for check in (True, False):
        refused = ask(module, check=check, **options)
        assert (refused.failed, refused.result["kind"]) == (True, "unsupported"), refused.result
    assert server.writes == []


# --- copies and moves


def test_a_clone_is_known_by_its_name(ask: Ask, server: VsdServer) -> None:
    """The answer has the id of the source."""
    server.state.polls = 3
    source = server.add_vm("web", state="running")
    assert ask("vm_snapshot", name="web", snapshot="a").changed
    source.disks[0].content = "later"
    done = ask("vm_clone", source="web", name="copy", snapshot="a", linked=True, memory="2GiB")
    assert done.changed, done.result
    assert done.vm["id"] != source.uuid
    copy = server.state.vms[done.vm["id"]]
    assert (copy.disks[0].content, copy.config["mem_size"], copy.state) == ("empty", 2048 * MIB, "shutoff")
    assert not ask("vm_clone", source="web", name="copy", snapshot="a", linked=True, memory="2GiB").changed


def test_a_clone_that_comes_to_nothing(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web")
    server.entry.lost_clones.add("copy")
    failed = ask("vm_clone", source="web", name="copy")
    assert (failed.failed, failed.changed, failed.result["kind"]) == (True, False, "task_failed")
    assert "there is no VM copy" in failed.result["msg"]


def test_a_clone_whose_answer_is_lost(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web")
    server.fail_next("lost", "/compute/clone$")
    assert ask("vm_clone", source="web", name="copy").changed
    server.fail_next("dropped", "/compute/clone$")
    failed = ask("vm_clone", source="web", name="other")
    assert (failed.failed, failed.result["kind"]) == (True, "transport_error")
    assert sorted(vm.name for vm in server.state.vms.values()) == ["copy", "web"]


def test_clones_of_one_vm_are_begun_one_after_the_other(ask: Ask, server: VsdServer) -> None:
    """While it is being cloned the platform refuses another one."""
    server.state.polls = 3
    server.add_vm("web")
    names = [f"copy{number}" for number in range(6)]
    done = ask("vm", each=[{"name": name} for name in names], clone_from={"name": "web"})
    assert not done.failed, done.result
    assert sorted(write.params["clone_name"] for write in server.writes) == names
    assert sorted(vm.name for vm in server.state.vms.values()) == [*names, "web"]


def test_a_running_vm_moves(ask: Ask, server: VsdServer) -> None:
    server.state.polls = 3
    server.add_vm("web", state="running")
    done = ask("vm_migrate", name="web", node="host-2")
    assert (done.changed, done.vm["node"], done.vm["state"]) == (True, "host-2", "running")
    assert not ask("vm_migrate", name="web", node="host-2").changed
    refused = ask("vm_migrate", name="web", node="host-3")
    assert (refused.result["kind"], "host-1, host-2" in refused.result["msg"]) == ("not_found", True)


def test_a_user_who_sees_no_hosts(ask: Ask, server: VsdServer) -> None:
    vm = server.add_vm("web", state="running")
    server.fail_next("scode", "/host/list", times=1000)
    refused = ask("vm_migrate", name="web", node="host-2")
    assert (refused.result["kind"], "give the uuid" in refused.result["msg"]) == ("not_found", True)
    (target,) = {*server.state.hosts} - {vm.host}
    assert ask("vm_migrate", name="web", node=target).changed
    assert vm.host == target


def test_a_move_that_comes_to_nothing(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web", state="running")
    server.entry.fails_migrations = True
    failed = ask("vm_migrate", name="web", node="host-2")
    assert (failed.failed, failed.result["kind"]) == (True, "task_failed")
    assert "host-1" in failed.result["msg"]


# --- the end


def test_into_the_recycle_bin(ask: Ask, server: VsdServer) -> None:
    vm = server.add_vm("web", state="running")
    assert ask("vm", name="web", state="absent").result["kind"] == "conflict"
    assert ask("vm", name="web", state="absent", force=True).changed
    assert vm.deleted
    assert server.writes[-1].params["is_delete_volumes"] is True
    assert words(server) == ["shutoff", "delete"]
    assert not ask("vm", name="web", state="absent").changed
    assert not ask("vm", id=vm.uuid, state="absent").changed


def test_for_good(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web")
    done = ask("vm", name="web", state="absent", purge=True)
    assert (done.changed, done.warnings, server.state.vms) == (True, (), {})


def test_who_may_not_delete_for_good_is_told(ask: Ask, server: VsdServer) -> None:
    vm = server.add_vm("web")
    server.state.add_user("system", "ops", "secret", admin=False)
    done = ask("vm", name="web", state="absent", purge=True, username="ops", password="secret")
    assert done.changed
    assert vm.deleted
    assert "recycle bin" in done.warnings[0]


def test_a_delete_whose_answer_is_lost(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web")
    server.fail_next("lost", "/compute/delete")
    assert ask("vm", name="web", state="absent", purge=True).changed
    assert words(server) == ["delete"]
