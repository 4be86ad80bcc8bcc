# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs: lost answers, lost jobs, jobs that fail, last too long, or were forgotten."""

from __future__ import annotations

import pytest

from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.zstack.cloud import Ask


def test_a_job_is_polled_where_it_was_begun(server: ZStackServer, ask: Ask) -> None:
    """The server names itself as nobody can reach it from here."""
    server.add_vm("web", "Stopped")
    assert ask("vm_power", name="web", state="started").vm["state"] == "running"
    assert "QueryApiJob" in server.reached


def test_a_write_that_is_done_at_once_is_not_polled(server: ZStackServer, ask: Ask) -> None:
    """As the documentation has it, though no known version does so."""
    server.add_vm("web", "Stopped")
    server.fail_next(200, api="UpdateVmInstance", message='{"inventory": {}}')
    done = ask("vm_config", name="web", description="new")
    assert not done.failed, done.result
    assert "QueryApiJob" not in server.reached


@pytest.mark.parametrize("kind", ["lost", "dropped", 502, 503, 504])
@pytest.mark.parametrize(
    ("api", "module", "options"),
    [
        ("CreateVmInstance", "vm", {"name": "new", "disks": [{"size": "1"}]}),
        ("CloneVmInstance", "vm_clone", {"source": "web", "name": "copy"}),
        ("CreateVolumeSnapshotGroup", "vm_snapshot", {"name": "web", "snapshot": "first"}),
        ("CreateDataVolume", "vm_config", {"name": "web", "disks": [{"slot": "virtio1", "size": "1"}]}),
        ("DestroyVmInstance", "vm", {"name": "web", "state": "absent"}),
    ],
)
def test_a_write_whose_answer_is_lost_is_done_once(
    api: str, module: str, options: dict[str, object], kind: str | int, server: ZStackServer, ask: Ask
) -> None:
    server.add_vm("web", "Stopped")
    server.fail_next(kind, api=api)
    done = ask(module, **options)
    assert not done.failed, done.result
    jobs = [one.job for one in server.requests if one.api == api]
    assert len(jobs) == 2
    assert [job.api for job in server.state.jobs.by_uuid.values()].count(api) == 1


def test_a_write_whose_answer_is_lost_twice_was_done_if_its_job_is_known(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    server.fail_next("lost", api="StartVmInstance", times=2)
    assert ask("vm_power", name="web", state="started").vm["state"] == "running"


def test_a_write_that_never_came_is_told(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    server.fail_next("dropped", api="StartVmInstance", times=2)
    answer = ask("vm_power", name="web", state="started")
    assert (answer.result["kind"], answer.changed) == ("transport_error", False)
    assert "Nothing was done" in answer.result["msg"]
    assert server.vm("web")["state"] == "Stopped"


@pytest.mark.parametrize("kind", ["dropped", 503, "SYS.1010"])
def test_a_question_without_an_answer_is_asked_again(kind: str | int, server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    server.fail_next(kind, api="ZQLQuery", times=2)
    server.fail_next(kind, api="QueryApiJob")
    assert ask("vm_power", name="web", state="started").vm["state"] == "running"


@pytest.mark.parametrize("status", [500, 400])
def test_what_the_server_cannot_do_is_not_repeated(status: int, server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    server.fail_next(status, api="StartVmInstance")
    answer = ask("vm_power", name="web", state="started")
    assert answer.result["kind"] == "backend_error"
    assert str(status) in answer.result["msg"]
    assert [one.api for one in server.requests].count("StartVmInstance") == 1


# --- the end of a job


def test_a_failure_says_what_was_asked_of_what_and_why(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    server.plan_job("StartVmInstance", code="HOST_ALLOCATION.1000", details="no host has room")
    answer = ask("vm_power", name="web", state="started")
    assert (answer.result["kind"], answer.changed) == ("task_failed", False)
    for word in ("start VM web", "which was Stopped", "no host has room", "HOST_ALLOCATION.1000"):
        assert word in answer.result["msg"]


def test_a_failure_does_not_repeat_a_secret(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    server.plan_job("CreateSystemTag", code="SYS.1007", details="no system tag matches[userdata::SFVTSA==]")
    answer = ask("vm_config", name="web", cloud_init={"user": "me", "password": "HUSH"})
    assert answer.failed
    assert "SFVTSA" not in answer.text


def test_the_state_that_forbids_an_operation_is_told_with_the_one_that_was_seen(server: ZStackServer, ask: Ask) -> None:
    """Somebody else pauses the VM between the look and the deed."""
    server.add_vm("web")

    def pause() -> None:
        server.state.set_state(server.state.vm_row("web"), "Paused")

    server.fail_next("none", api="ZQLQuery", path="zql", then=pause)
    answer = ask("vm_power", name="web", state="paused")
    assert answer.failed
    for word in ("Running", "Paused", "VM.1010"):
        assert word in answer.result["msg"]


def test_a_server_that_stopped_waiting_is_told(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    server.plan_job("StartVmInstance", timeout=True)
    answer = ask("vm_power", name="web", state="started")
    assert answer.result["kind"] == "task_failed"
    assert "may go on" in answer.result["msg"]


def test_a_cancelled_job_is_told(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    server.plan_job("StartVmInstance", code="SYS.1017", details="cancelled")
    assert ask("vm_power", name="web", state="started").result["task"]["state"] == "cancelled"


def test_a_job_that_ends_after_the_deadline_is_picked_up(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    server.plan_job("StartVmInstance", seconds=1.3)
    late = ask("vm_power", name="web", state="started", timeout=1)
    assert late.result["kind"] == "task_timeout"
    task = late.result["task"]["id"]
    done = ask("task_wait", tasks=[task])
    assert [one["state"] for one in done.result["tasks"]] == ["succeeded"]
    assert server.vm("web")["state"] == "Running"


def test_a_job_that_the_server_lost_times_out_with_its_id(server: ZStackServer, ask: Ask) -> None:
    """After a restart of the management node its record stays as it was."""
    server.add_vm("web", "Stopped")
    server.plan_job("StartVmInstance", stuck=True)
    answer = ask("vm_power", name="web", state="started", timeout=1)
    assert answer.result["kind"] == "task_timeout"
    assert len(answer.result["task"]["id"]) == 32


def test_a_forgotten_job_is_told_apart_from_a_failed_one(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    started = ask("vm_power", name="web", state="started", wait=False).result["task"]["id"]
    assert not ask("task_wait", tasks=[started]).failed
    server.plan_job("PauseVmInstance", code="VM.1012")
    failed = ask("vm_power", name="web", state="paused", wait=False).result["task"]["id"]
    told = ask("task_wait", tasks=[failed])
    assert told.result["kind"] == "task_failed"
    server.purge_jobs()
    for task in (started, failed):
        told = ask("task_wait", tasks=[task])
        assert (told.failed, told.result["kind"]) == (True, "not_found")
        assert "three hours" in told.result["msg"]


@pytest.mark.parametrize("task", ["nonsense", "../accounts", "A" * 32, "UPID:pve:0", "shutdown:x:y:1:1"])
def test_what_is_no_task_is_told_without_a_request(task: str, server: ZStackServer, ask: Ask) -> None:
    assert ask("task_wait", tasks=[task]).result["kind"] == "not_found"
    assert server.requests == []


def test_what_was_done_at_once_can_be_waited_for(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    done = ask("vm_config", name="web", description="new")
    assert not ask("task_wait", tasks=[done.result["task"]["id"]]).failed


def test_many_polls_are_no_failure(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    server.state.jobs.polls = 5
    assert ask("vm_power", name="web", state="started").vm["state"] == "running"


# --- a guest that does not hear


def test_a_guest_that_hears_shuts_down(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    assert ask("vm_power", name="web", state="stopped").vm["state"] == "stopped"
    assert [one.params["type"] for one in server.requests if one.api == "StopVmInstance"] == ["grace"]


def test_a_deaf_guest_fails_without_force(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    server.hang_guest("web")
    answer = ask("vm_power", name="web", state="stopped", shutdown_timeout=5)
    assert answer.result["kind"] == "task_failed"
    assert "force: true" in answer.result["msg"]
    assert server.vm("web")["state"] == "Running"


def test_the_power_is_cut_of_a_deaf_guest_with_force(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    server.hang_guest("web")
    assert ask("vm_power", name="web", state="stopped", shutdown_timeout=5, force=True).vm["state"] == "stopped"
    assert [one.params["type"] for one in server.requests if one.api == "StopVmInstance"] == ["grace", "cold"]


def test_power_is_cut_for_no_other_reason(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    server.plan_job("StopVmInstance", code="ID.1002", details="not yours")
    answer = ask("vm_power", name="web", state="stopped", shutdown_timeout=5, force=True)
    assert answer.failed
    assert server.vm("web")["state"] == "Running"


def test_two_plays_that_wait_for_a_deaf_guest_cut_its_power_once(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web")
    server.hang_guest("web")
    begun = ask("vm_power", name="web", state="stopped", shutdown_timeout=5, force=True, wait=False)
    for _play in range(2):
        assert not ask("task_wait", tasks=[begun.result["task"]["id"]]).failed
    assert [one.params["type"] for one in server.requests if one.api == "StopVmInstance"] == ["grace", "cold"]


def test_ha_does_not_wake_a_vm_that_was_stopped(server: ZStackServer, ask: Ask) -> None:
    server.state.ha_seconds = 0.01
    server.add_vm("web", tags=("ha::NeverStop",))
    assert ask("vm_power", name="web", state="stopped").vm["state"] == "stopped"
    server.advance(60)
    assert server.vm("web")["state"] == "Stopped"
