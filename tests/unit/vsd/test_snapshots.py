# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots: their tree, memory, single disks, pages, and what is not as the answer says."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.tests.servers.vs.state import Snapshot, Vm
from ansible_collections.anyvirt.compute.tests.servers.vsd import VsdServer
from ansible_collections.anyvirt.compute.tests.unit.vsd.conftest import Ask

CREATE, DELETE, ROLLBACK = (f"/v1/compute/vsd/snapshot/{word}" for word in ("create", "delete", "rollback"))


def snapshots(ask: Ask, name: str = "web") -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in ask("vm_snapshot_info", name=name).result["snapshots"]}


@pytest.fixture
def web(server: VsdServer) -> Vm:
    return server.add_vm("web", disks=("vda", "sdb"))


# --- the tree


def test_parents_and_where_the_vm_is(ask: Ask, web: Vm) -> None:
    assert snapshots(ask) == {}
    for name in ("a", "b"):
        assert ask("vm_snapshot", name="web", snapshot=name, description=f"the {name}").changed
    found = snapshots(ask)
    assert {name: (row["parent"], row["current"]) for name, row in found.items()} == {
        "a": (None, False),
        "b": ("a", True),
    }
    assert [row["description"] for row in found.values()] == ["the a", "the b"]
    assert ask("vm_snapshot", name="web", snapshot="a", state="reverted").changed
    assert ask("vm_snapshot", name="web", snapshot="c").result["snapshot"]["parent"] == "a"
    assert {name: row["parent"] for name, row in snapshots(ask).items()} == {"a": None, "b": "a", "c": "a"}


def test_one_with_several_children_is_not_deleted(ask: Ask, server: VsdServer, web: Vm) -> None:
    for name in ("a", "b"):
        ask("vm_snapshot", name="web", snapshot=name)
    ask("vm_snapshot", name="web", snapshot="a", state="reverted")
    server.forget()
    for check in (True, False):
        refused = ask("vm_snapshot", check=check, name="web", snapshot="a", state="absent")
        assert (refused.failed, refused.result["kind"]) == (True, "conflict")
        assert "b" in refused.result["msg"]
    assert server.writes == []
    foretold = ask("vm_snapshot", check=True, name="web", snapshot="a", state="absent", children=True)
    real = ask("vm_snapshot", name="web", snapshot="a", state="absent", children=True)
    assert foretold.vm["snapshots"] == real.vm["snapshots"] == []
    assert [one.params["name"] for one in server.writes] == ["b", "a"]


def test_the_oldest_goes_and_its_child_moves_up(ask: Ask, web: Vm) -> None:
    for name in ("p-1", "p-2", "p-3"):
        kept = ask("vm_snapshot", name="web", snapshot=name, retention={"prefix": "p-", "keep": 2})
        assert not kept.failed, kept.result
    assert {name: row["parent"] for name, row in snapshots(ask).items()} == {"p-2": None, "p-3": "p-2"}


def test_the_settings_of_then_are_foretold_where_the_platform_tells_them(ask: Ask, server: VsdServer, web: Vm) -> None:
    server.entry.tells_details = True
    assert ask("vm_snapshot", name="web", snapshot="a").changed
    assert ask("vm_config", name="web", memory="2GiB").changed
    foretold = ask("vm_snapshot", check=True, name="web", snapshot="a", state="reverted")
    real = ask("vm_snapshot", name="web", snapshot="a", state="reverted")
    assert foretold.vm["memory"] == real.vm["memory"] == 1024


# --- memory


@pytest.mark.parametrize("polls", [0, 3])
def test_one_with_memory_is_done_when_it_can_be_used(ask: Ask, server: VsdServer, polls: int) -> None:
    server.state.polls = polls
    vm = server.add_vm("web", state="running")
    done = ask("vm_snapshot", name="web", snapshot="a", memory=True)
    assert done.changed
    assert (done.result["snapshot"]["memory"], done.warnings) == (True, ())
    assert (vm.snapshots["a"].usable, vm.action) == (True, "noaction")
    assert not ask("vm_snapshot", name="web", snapshot="a", memory=True).changed
    assert ask("vm_snapshot", name="web", snapshot="a", state="reverted", force=True).vm["state"] == "running"


def test_one_with_memory_can_be_waited_for_later(ask: Ask, server: VsdServer) -> None:
    server.state.polls = 4
    vm = server.add_vm("web", state="running")
    begun = ask("vm_snapshot", name="web", snapshot="a b:c", memory=True, wait=False)
    assert begun.result["task"]["state"] == "running"
    assert not vm.snapshots["a b:c"].usable
    done = ask("task_wait", tasks=[begun.result["task"]["id"]])
    assert not done.failed, done.result
    assert vm.snapshots["a b:c"].usable


def test_a_sign_of_memory_that_does_not_come_is_warned_of(ask: Ask, server: VsdServer) -> None:
    server.entry.tells_memory = False
    server.add_vm("web", state="running")
    done = ask("vm_snapshot", name="web", snapshot="a", memory=True)
    assert done.changed
    assert len(done.warnings) == 1
    assert "memory" in done.warnings[0]


def test_a_tenant_without_space_for_memory(ask: Ask, server: VsdServer) -> None:
    server.state.memory_space = False
    server.add_vm("web", state="running")
    refused = ask("vm_snapshot", name="web", snapshot="a", memory=True)
    assert (refused.failed, refused.changed, refused.result["kind"]) == (True, False, "backend_error")
    assert "tenant has no memory snapshot space" in refused.result["msg"]
    assert "租户未开启内存快照空间" in refused.result["msg"]
    assert "INTERNALS" not in refused.text


def test_memory_that_another_snapshot_has_not(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web", state="running")
    assert ask("vm_snapshot", name="web", snapshot="a").changed
    refused = ask("vm_snapshot", name="web", snapshot="a", memory=True)
    assert (refused.failed, refused.result["kind"]) == (True, "conflict")


def test_a_running_vm_is_stopped_before_it_is_reverted(ask: Ask, server: VsdServer) -> None:
    vm = server.add_vm("web", state="running")
    assert ask("vm_snapshot", name="web", snapshot="a").changed
    assert ask("vm_snapshot", name="web", snapshot="a", state="reverted").result["kind"] == "conflict"
    server.forget()
    done = ask("vm_snapshot", name="web", snapshot="a", state="reverted", force=True, start=True)
    assert done.vm["state"] == vm.state == "running"
    assert [one.path.rpartition("/")[2] for one in server.writes] == ["shutoff", "rollback", "start"]


# --- single disks


def test_single_disks_are_reverted(ask: Ask, web: Vm) -> None:
    assert ask("vm_snapshot", name="web", snapshot="a").changed
    for disk in web.disks:
        disk.content = "later"
    assert ask("vm_snapshot", name="web", snapshot="a", state="reverted", disks=["scsi1"]).changed
    assert [disk.content for disk in web.disks] == ["later", "empty"]
    assert ask("vm_snapshot", name="web", snapshot="a", state="reverted", disks=["vda", "sdb"]).changed
    assert [disk.content for disk in web.disks] == ["empty", "empty"]


def test_a_disk_that_fails_inside_of_a_success_is_named(ask: Ask, server: VsdServer, web: Vm) -> None:
    assert ask("vm_snapshot", name="web", snapshot="a").changed
    web.disks[0].content = web.disks[1].content = "later"
    server.state.failing_volumes.add(web.disks[1].volume)
    failed = ask("vm_snapshot", name="web", snapshot="a", state="reverted", disks=["virtio0", "scsi1"])
    assert failed.failed
    # the other disk was reverted
    assert (failed.result["kind"], failed.result["disks"], failed.changed) == ("task_failed", ["scsi1"], True)
    assert "1 of 2 disks" in failed.result["msg"]
    assert "卷快照回滚失败" in failed.result["msg"]
    assert [disk.content for disk in web.disks] == ["empty", "later"]
    (sent,) = [one for one in server.writes if one.path.startswith("/v1/compute/volume")]
    assert sent.scode == 0
    nothing = ask("vm_snapshot", name="web", snapshot="a", state="reverted", disks=["scsi1"])
    assert (nothing.failed, nothing.changed) == (True, False)


def test_single_disks_of_a_running_vm(ask: Ask, server: VsdServer) -> None:
    server.add_vm("web", state="running")
    assert ask("vm_snapshot", name="web", snapshot="a").changed
    server.forget()
    for force in (False, True):
        refused = ask("vm_snapshot", name="web", snapshot="a", state="reverted", disks=["virtio0"], force=force)
        assert (refused.failed, refused.result["kind"]) == (True, "conflict")
    assert server.writes == []


@pytest.mark.parametrize("check", [True, False])
def test_a_disk_that_is_not_there(ask: Ask, server: VsdServer, web: Vm, check: bool) -> None:
    assert ask("vm_snapshot", name="web", snapshot="a").changed
    server.forget()
    refused = ask("vm_snapshot", check=check, name="web", snapshot="a", state="reverted", disks=["virtio7"])
    assert (refused.failed, refused.result["kind"]) == (True, "not_found")
    assert "scsi1, virtio0" in refused.result["msg"]
    assert server.writes == []


# --- pages


@pytest.fixture
def many(web: Vm) -> Vm:
    parent = ""
    for number in range(250):
        name = f"s{number:03}"
        web.snapshots[name] = Snapshot(f"uuid-{name}", name, "", 1600000000 + number, dict(web.config), {})
        web.parents[name] = parent
        parent = web.parents["head"] = name
    return web


@pytest.mark.parametrize("parameter", ["page_number", "page_num"])
@pytest.mark.parametrize(("limit", "requests"), [(0, 1), (100, 4), (30, 10)])
def test_all_of_250_snapshots(ask: Ask, server: VsdServer, many: Vm, parameter: str, limit: int, requests: int) -> None:
    """Whichever name the server reads, and also where it gives no more than some rows at once."""
    server.entry.page_parameter, server.entry.page_limit = parameter, limit
    found = snapshots(ask)
    assert list(found) == [f"s{number:03}" for number in range(250)]
    assert found["s249"]["parent"] == "s248"
    assert sum(one.path.endswith("/snapshot/list") for one in server.requests) <= requests


# --- not as the answer says


def test_what_shows_only_after_some_lists(ask: Ask, server: VsdServer, web: Vm) -> None:
    server.state.hidden = 3
    done = ask("vm_snapshot", name="web", snapshot="a")
    assert done.changed
    assert done.result["snapshot"]["name"] == "a"
    assert len(server.writes) == 1


@pytest.mark.parametrize("path", [CREATE, DELETE, ROLLBACK])
def test_a_write_whose_answer_is_lost_is_not_repeated(ask: Ask, server: VsdServer, web: Vm, path: str) -> None:
    options = {"name": "web", "snapshot": "a", "state": {CREATE: "present", DELETE: "absent"}.get(path, "reverted")}
    if path != CREATE:
        for name in ("a", "b"):
            assert ask("vm_snapshot", name="web", snapshot=name).changed
    server.forget()
    server.fail_next("lost", path)
    done = ask("vm_snapshot", **options)
    assert done.changed, done.result
    assert [one.path for one in server.writes] == [path]


def test_a_write_that_never_came_is_told(ask: Ask, server: VsdServer, web: Vm) -> None:
    server.fail_next("dropped", CREATE)
    failed = ask("vm_snapshot", name="web", snapshot="a")
    assert (failed.failed, failed.changed, failed.result["kind"]) == (True, False, "transport_error")
    assert "Run the task again" in failed.result["msg"]
    assert len(server.writes) == 1
    assert ask("vm_snapshot", name="web", snapshot="a").changed


@pytest.mark.parametrize("kind", ["lost", "dropped"])
def test_a_revert_that_would_look_the_same_is_not_taken_for_done(
    ask: Ask, server: VsdServer, web: Vm, kind: str
) -> None:
    """The VM was at that snapshot before, with other data."""
    assert ask("vm_snapshot", name="web", snapshot="a").changed
    server.fail_next(kind, ROLLBACK)
    failed = ask("vm_snapshot", name="web", snapshot="a", state="reverted")
    assert (failed.failed, failed.result["kind"]) == (True, "transport_error")
    assert "not known" in failed.result["msg"]


def test_a_success_of_which_nothing_is_seen(ask: Ask, server: VsdServer, web: Vm) -> None:
    server.fail_next("none", CREATE, then=lambda: (web.snapshots.clear(), web.parents.update(head="")))
    failed = ask("vm_snapshot", name="web", snapshot="a")
    assert (failed.failed, failed.result["kind"]) == (True, "task_failed")
    assert "says success, but there is no snapshot a" in failed.result["msg"]


def test_200_with_a_code_is_a_failure(ask: Ask, server: VsdServer, web: Vm) -> None:
    server.fail_next("scode", CREATE, message="disk is full", message_cn="磁盘已满")
    failed = ask("vm_snapshot", name="web", snapshot="a")
    assert (failed.failed, failed.changed, failed.result["kind"]) == (True, False, "backend_error")
    assert "disk is full / 磁盘已满" in failed.result["msg"]
    assert failed.result["code"] != 0


@pytest.mark.parametrize("manners", [{"code_name": "status_code"}, {"tells_rollback": True}, {"tls": True}])
def test_other_manners_of_the_server(ask: Ask, server: VsdServer, web: Vm, manners: dict[str, Any]) -> None:
    reach = {"ca_path": server.ca_path} if "tls" in manners else {}
    for state in ("present", "reverted", "absent"):
        done = ask("vm_snapshot", name="web", snapshot="a", state=state, **reach)
        assert done.changed, done.result
    refused = ask("vm_snapshot", name="web", snapshot="a", state="reverted", **reach)
    assert refused.result["kind"] == "not_found"


def test_a_busy_vm_is_waited_for_and_then_its_action_named(ask: Ask, server: VsdServer, web: Vm) -> None:
    web.action = "cloning"
    web.after(3, lambda: setattr(web, "action", "noaction"))
    assert ask("vm_snapshot", name="web", snapshot="a").changed
    web.action = "importing"
    failed = ask("vm_snapshot", name="web", snapshot="b", timeout=1)
    assert (failed.failed, failed.result["kind"]) == (True, "conflict")
    assert "importing" in failed.result["msg"]
    assert "b" not in web.snapshots
