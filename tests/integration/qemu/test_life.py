# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A VM's whole life. The tests share one guest; each brings it into the state that it needs."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends import qemu
from ansible_collections.anyvirt.compute.plugins.module_utils._task import Deadline
from ansible_collections.anyvirt.compute.tests.integration.qemu.lab import (
    Failed,
    check_image,
    content,
    eventually,
    fill,
    image_info,
    qemu_pids,
    snapshot_tags,
)

DISKS = [{"slot": "virtio0", "size": "64MiB"}, {"slot": "virtio1", "size": "32MiB"}]
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def made(lab, guest):
    """The shared VM, stopped when it is new."""
    result = lab.twice("vm", name="web", description="the first", tags=["b", "a"], disks=DISKS, nics=[{}], **guest)
    assert result["vm"]["state"] == "stopped"
    return lab


@pytest.fixture
def web(made, request):
    """The shared VM, running and answering."""
    if made.state("web") != "running":
        made.run("vm_power", name="web", state="started")
    made.wait_agent("web")
    return made


def test_create_keeps_what_was_asked(made):
    vm = made.info("web", "config")
    assert vm["memory"] == 128 and vm["tags"] == ["a", "b"] and vm["description"] == "the first"
    assert [disk["size"] for disk in vm["disks"]] == [64 / 1024, 32 / 1024]
    assert re.fullmatch("52:54:00(:[0-9A-F]{2}){3}", vm["nics"][0]["mac"])
    assert made.record("web").machine.startswith("pc-q35-")
    assert os.stat(made.state_dir).st_mode & 0o777 == 0o700
    assert not made.debris()


def test_check_mode_makes_nothing(fresh):
    said = fresh.check("vm", name="no", disks=[{"size": "1"}], state="started")
    assert said["changed"] and said["vm"]["state"] == "running"
    assert not fresh.state_dir.exists()


def test_start_is_sandboxed_and_outlives_its_starter(made):
    started = made.begin("vm_power", name="web", state="started").result()
    assert started["changed"] and started["vm"]["state"] == "running"
    assert not made.run("vm_power", name="web", state="started")["changed"]
    pid = made.pid("web")
    assert qemu_pids(made.state_dir) == [pid]
    status = Path(f"/proc/{pid}/status").read_text()
    assert re.search(r"Seccomp:\s+2", status) and re.search(rf"PPid:\s+(?!{os.getpid()}$)\d+", status, re.M)
    assert os.getsid(pid) == pid
    arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    assert "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny" in arguments


def test_guest_tells_its_address(web):
    ready = web.run("vm_power", name="web", state="started", wait_for={"ip": True, "timeout": 60})
    assert ready["vm"]["addresses"][0] == "10.0.2.15"
    vm = web.info("web", "agent")
    assert vm["agent"]["running"] and "10.0.2.15" in vm["addresses"]
    web.run("vm_power", name="web", state="started", wait_for={"agent": True})
    with pytest.raises(Failed, match="nothing answered on port 9") as failure:
        web.run("vm_power", name="web", state="started", wait_for={"port": 9, "host": "127.0.0.1", "timeout": 1})
    assert failure.value.kind == "task_timeout"


def test_commands_that_the_driver_uses_exist(web):
    """The monitor's contract: every command in the driver's source is one that this QEMU knows."""
    known = {one["name"] for one in web.qmp("web", "query-commands")}
    source = "".join(path.read_text() for folder in qemu.__path__ for path in Path(folder).glob("*.py"))
    used = set(re.findall(r'monitor\.command\(\s*"([a-z][a-z0-9_-]+)"', source))
    used |= set(re.findall(r'run_job\(monitor, "([a-z-]+)"', source)) | set(
        re.findall(r'"type": "(block[a-z-]+)"', source)
    )
    used |= {"job-dismiss", "job-cancel", "blockdev-del", "netdev_del"}
    assert len(used) > 20 and used <= known, used - known
    told = web.qmp("web", "human-monitor-command", **{"command-line": "help hostfwd_add"})
    assert "hostfwd_add" in told and "hostfwd_remove" in web.qmp(
        "web", "human-monitor-command", **{"command-line": "help hostfwd_remove"}
    )


def test_memory_snapshot_and_live_revert(web):
    web.shell(
        "web", "echo before > /dev/shm/mark; printf before | dd of=/dev/vda; printf before | dd of=/dev/vdb; sync"
    )
    taken = web.run("vm_snapshot", name="web", snapshot="ram", memory=True, description="both disks")
    then = web.counter("web")
    assert taken["changed"] and taken["snapshot"]["memory"] and taken["snapshot"]["complete"]
    assert not web.run("vm_snapshot", name="web", snapshot="ram", memory=True)["changed"]
    assert snapshot_tags(web.disk("web"))["ram"] > MIB and snapshot_tags(web.disk("web", "virtio1"))["ram"] == 0
    pid = web.pid("web")
    web.shell("web", "echo after > /dev/shm/mark; printf after! | dd of=/dev/vda; printf after! | dd of=/dev/vdb; sync")
    eventually(lambda: web.counter("web") > then + 10)

    reverted = web.run("vm_snapshot", name="web", snapshot="ram", state="reverted", force=True)
    assert reverted["changed"] and reverted["vm"]["state"] == "running"
    assert web.counter("web") < then + 10
    assert web.pid("web") == pid, "hardware is the same: reverted in the living process"
    assert web.shell("web", "cat /dev/shm/mark") == "before\n"
    web.shell("web", "echo 3 > /proc/sys/vm/drop_caches")
    assert web.shell("web", "head -c 6 /dev/vda; head -c 6 /dev/vdb") == "beforebefore"


def test_memory_snapshot_contradictions(web):
    with pytest.raises(Failed, match="exists with memory") as failure:
        web.run("vm_snapshot", name="web", snapshot="ram", memory=False)
    assert failure.value.kind == "conflict"
    assert web.run("vm_snapshot", name="web", snapshot="ram", description="new words")["changed"]
    assert web.snapshots("web")["ram"]["description"] == "new words"
    assert not web.run("vm_snapshot", name="web", snapshot="ram", description="new words")["changed"]


def test_disk_snapshot_of_a_running_vm(web):
    taken = web.twice("vm_snapshot", name="web", snapshot="online")
    assert taken["vm"]["state"] == "running" and not taken["snapshot"]["memory"]
    assert web.snapshots("web")["online"]["parent"] == "ram"
    assert all("online" in snapshot_tags(web.disk("web", slot)) for slot in ("virtio0", "virtio1"))
    web.counter("web")
    assert web.run("vm_snapshot", name="web", snapshot="online", state="absent")["changed"]
    assert not web.run("vm_snapshot", name="web", snapshot="online", state="absent")["changed"]
    assert set(snapshot_tags(web.disk("web"))) == {"ram"}


# The guest writes the same growing number to both disks, first to one and then to the other, again and again.
WRITER = """
i=0; while [ -e /run/writing ]; do
  i=$((i + 1)); printf '%0512d' $i >/run/block
  dd if=/run/block of=/dev/vda bs=512 seek=2048 oflag=direct conv=notrunc 2>/dev/null
  dd if=/run/block of=/dev/vdb bs=512 seek=2048 oflag=direct conv=notrunc 2>/dev/null
done
"""


def test_online_clone_while_the_guest_writes(web):
    web.shell("web", "dd if=/dev/urandom of=/dev/vda bs=1M seek=8 count=8 2>/dev/null; sync")
    fixed = web.shell("web", "dd if=/dev/vda bs=1M skip=8 count=8 2>/dev/null | sha256sum")
    web.shell("web", f"touch /run/writing; ( {WRITER} ) >/dev/null 2>&1 </dev/null & sleep 1")
    first = int(web.shell("web", "dd if=/dev/vdb bs=512 skip=2048 count=1 iflag=direct 2>/dev/null"))
    cloned = web.twice("vm_clone", source="web", name="copy")
    last = int(web.shell("web", "dd if=/dev/vda bs=512 skip=2048 count=1 iflag=direct 2>/dev/null"))
    web.shell("web", "rm /run/writing")

    source, copy = web.record("web"), web.record("copy")
    assert cloned["vm"]["state"] == "stopped" and copy.uuid != source.uuid and copy.base is None
    assert copy.config["nics"]["net0"]["mac"] != source.config["nics"]["net0"]["mac"]
    assert copy.snapshots == {} and not snapshot_tags(web.disk("copy"))
    one, other = content(web.disk("copy")), content(web.disk("copy", "virtio1"))
    numbers = [int(disk[2048 * 512 : 2049 * 512]) for disk in (one, other)]
    assert first <= numbers[1] <= numbers[0] <= last, "content of the moment, of both disks the same moment"
    assert numbers[0] - numbers[1] <= 1
    assert hashlib.sha256(one[8 * MIB : 16 * MIB]).hexdigest() == fixed.split()[0]
    jobs, nodes = web.qmp("web", "query-jobs"), web.qmp("web", "query-named-block-nodes", flat=True)
    assert not jobs and not [one for one in nodes if one["node-name"].startswith("clone-")]
    for slot in ("virtio0", "virtio1"):
        check_image(web.disk("copy", slot))
    web.remove("copy")


def test_linked_clone_of_a_running_vm_is_refused(web):
    with pytest.raises(Failed, match="running") as failure:
        web.run("vm_clone", source="web", name="copy", linked=True)
    assert failure.value.kind == "conflict" and web.state("copy") == "absent" and not web.debris()


def test_busy_vm_says_so(web):
    lock = web.backend.store.operation("web", False, Deadline(1))
    with lock, pytest.raises(Failed, match="busy") as failure:
        web.run("vm_power", name="web", state="paused", timeout=1)
    assert failure.value.kind == "conflict" and web.state("web") == "running"


def test_pause_and_resume(web):
    paused = web.twice("vm_power", name="web", state="paused")
    assert paused["vm"]["state"] == "paused" and web.qmp("web", "query-status")["status"] == "paused"
    resumed = web.twice("vm_power", name="web", state="resumed")
    assert resumed["vm"]["state"] == "running"
    before = web.counter("web")
    eventually(lambda: web.counter("web") > before)


def test_suspend_to_disk_and_resume(web):
    web.shell("web", "echo kept > /dev/shm/mark")
    before = web.counter("web")
    suspended = web.twice("vm_power", name="web", state="suspended")
    assert suspended["vm"]["state"] == "suspended" and not qemu_pids(web.state_dir)
    assert ".suspend" in snapshot_tags(web.disk("web")) and ".suspend" not in web.snapshots("web")
    with pytest.raises(Failed, match="suspended"):
        web.run("vm_clone", source="web", name="copy")
    resumed = web.twice("vm_power", name="web", state="started")
    assert resumed["vm"]["state"] == "running"
    assert web.shell("web", "cat /dev/shm/mark") == "kept\n"
    assert before <= web.counter("web")
    assert web.info("web", "config")["state"] == "running"
    assert set(snapshot_tags(web.disk("web"))) == {"ram"}


def test_disk_grown_online_and_back_by_the_live_revert(web):
    grown = web.twice("vm_config", name="web", disks=[{"slot": "virtio1", "size": "48MiB"}])
    assert not grown["restart_required"]
    assert web.shell("web", "cat /sys/block/vdb/size").strip() == str(48 * 2048)
    web.run("vm_snapshot", name="web", snapshot="ram", state="reverted", force=True)
    assert web.shell("web", "cat /sys/block/vdb/size").strip() == str(32 * 2048)
    vm = web.info("web", "config", "pending")
    assert vm["disks"][1]["size"] == 32 / 1024 and not vm["pending"]


def test_killed_qemu_is_stopped_and_starts_again(web):
    web.shell("web", "dd if=/dev/urandom of=/dev/vda bs=64k count=100 2>/dev/null &")
    os.kill(web.pid("web"), signal.SIGKILL)
    eventually(lambda: web.state("web") == "stopped", 1.0)
    started = web.twice("vm_power", name="web", state="started")
    assert started["vm"]["state"] == "running"
    web.wait_agent("web")
    web.run("vm_power", name="web", state="stopped", force=True, shutdown_timeout=60)
    for slot in ("virtio0", "virtio1"):
        check_image(web.disk("web", slot))


def test_memory_revert_of_a_stopped_vm(made):
    if made.state("web") != "stopped":
        made.run("vm_power", name="web", state="stopped")
    reverted = made.run("vm_snapshot", name="web", snapshot="ram", state="reverted")
    assert reverted["vm"]["state"] == "running"
    assert made.shell("web", "cat /dev/shm/mark") == "before\n"
    assert made.shell("web", "head -c 6 /dev/vda; head -c 6 /dev/vdb") == "beforebefore"


def test_graceful_shutdown(web):
    stopped = web.twice("vm_power", name="web", state="stopped", shutdown_timeout=60)
    assert stopped["vm"]["state"] == "stopped" and not stopped["warnings"]
    assert not qemu_pids(web.state_dir)


def test_offline_snapshots_are_a_tree(fresh):
    fresh.run("vm", name="tree", disks=[{"size": "8MiB"}, {"size": "4MiB"}])
    for number, name in enumerate(("one", "two", "three"), 1):
        fill(fresh.disk("tree"), number)
        fresh.twice("vm_snapshot", name="tree", snapshot=name)
    reverted = fresh.run("vm_snapshot", name="tree", snapshot="one", state="reverted")
    assert reverted["changed"] and reverted["vm"]["state"] == "stopped"
    assert content(fresh.disk("tree"))[:MIB] == b"\1" * MIB
    fresh.twice("vm_snapshot", name="tree", snapshot="branch")
    parents = {name: one["parent"] for name, one in fresh.snapshots("tree").items()}
    assert parents == {"one": None, "two": "one", "three": "two", "branch": "one"}

    fresh.twice("vm_snapshot", name="tree", snapshot="two", state="absent")
    assert fresh.snapshots("tree")["three"]["parent"] == "one"
    fresh.twice("vm_snapshot", name="tree", snapshot="branch", state="absent")
    fresh.twice("vm_snapshot", name="tree", snapshot="four")
    assert fresh.snapshots("tree")["four"]["parent"] == "one", "what was current went, its parent is it now"
    fresh.twice("vm_snapshot", name="tree", snapshot="one", state="absent", children=True)
    assert fresh.snapshots("tree") == {} and not snapshot_tags(fresh.disk("tree"))


def test_single_disk_reverted(fresh):
    fresh.run("vm", name="two", disks=[{"size": "8MiB"}, {"size": "4MiB"}])
    fresh.run("vm_snapshot", name="two", snapshot="zero")
    for slot in ("virtio0", "virtio1"):
        fill(fresh.disk("two", slot), 7)
    fresh.run("vm_snapshot", name="two", snapshot="zero", state="reverted", disks=["virtio1"])
    assert content(fresh.disk("two"))[:1] == b"\7" and content(fresh.disk("two", "virtio1"))[:1] == b"\0"
    with pytest.raises(Failed, match="no disk virtio9"):
        fresh.run("vm_snapshot", name="two", snapshot="zero", state="reverted", disks=["virtio9"])


def test_retention(fresh):
    fresh.run("vm", name="kept", disks=[{"size": "4MiB"}])
    fresh.run("vm_snapshot", name="kept", snapshot="other")
    for number in range(4):
        fresh.run("vm_snapshot", name="kept", snapshot=f"day{number}", retention={"prefix": "day", "keep": 2})
        time.sleep(1.0)
    assert set(fresh.snapshots("kept")) == {"other", "day2", "day3"}
    assert set(snapshot_tags(fresh.disk("kept"))) == {"other", "day2", "day3"}


def test_clones_of_a_stopped_vm(fresh):
    fresh.run("vm", name="base", disks=[{"size": "8MiB"}], nics=[{}], tags=["t"])
    fill(fresh.disk("base"), 1)
    fresh.run("vm_snapshot", name="base", snapshot="early")
    fill(fresh.disk("base"), 2)

    fresh.twice("vm_clone", source="base", name="then", snapshot="early")
    assert content(fresh.disk("then"))[:1] == b"\1" and fresh.snapshots("then") == {}
    fresh.twice("vm_clone", source="base", name="full", memory="64", disks=[{"slot": "virtio0", "size": "16MiB"}])
    assert content(fresh.disk("full"))[:1] == b"\2" and not image_info(fresh.disk("full")).get("backing-filename")
    assert fresh.info("full")["memory"] == 64 and fresh.info("full")["tags"] == ["t"]
    assert image_info(fresh.disk("full"))["virtual-size"] == 16 * MIB

    fresh.twice("vm_clone", source="base", name="leaf", linked=True)
    assert image_info(fresh.disk("leaf"))["backing-filename"] == str(fresh.disk("base"))
    assert content(fresh.disk("leaf"))[:1] == b"\2"
    fill(fresh.disk("leaf"), 3)
    assert content(fresh.disk("base"))[:1] == b"\2"
    for options in (
        {"module": "vm", "state": "absent"},
        {"module": "vm", "state": "absent", "force": True},
        {"module": "vm_power", "state": "started"},
        {"module": "vm_snapshot", "state": "reverted", "snapshot": "early"},
        {"module": "vm_config", "disks": [{"slot": "virtio0", "size": "32MiB"}]},
    ):
        with pytest.raises(Failed, match="base of the linked clones leaf") as failure:
            fresh.run(**options, name="base")
        assert failure.value.kind == "conflict" and failure.value.result["dependents"] == ["leaf"]
    fresh.remove("leaf")
    fresh.twice("vm_power", name="base", state="started")
    fresh.remove("base", "full", "then")


def test_many_clones_in_one_task(fresh):
    fresh.run("vm", name="base", disks=[{"size": "8MiB"}])
    clones = [{"name": f"c{number}", "memory": str(64 + number)} for number in range(4)]
    result = fresh.run("vm_clone", source="base", clones=clones)
    assert [one["vm"]["memory"] for one in result["results"]] == [64, 65, 66, 67]
    assert not fresh.run("vm_clone", source="base", clones=clones)["changed"]
    assert len({fresh.record(one["name"]).uuid for one in clones}) == 4
    started = fresh.run("vm_power", select={"name": "c*"}, state="started")
    assert started["changed"] and len(qemu_pids(fresh.state_dir)) == 4
    fresh.run("vm_power", vms=["c0", "c1", "c2", "c3"], state="stopped", force=True, shutdown_timeout=0)
    assert not qemu_pids(fresh.state_dir)


def test_guest_that_ignores_the_power_button(lab, guest):
    deaf = {**guest["native"], "kernel_args": guest["native"]["kernel_args"] + " noacpi"}
    lab.boot("deaf", {**guest, "native": deaf}, disks=[{"size": "4MiB"}])
    lab.run("vm_config", name="deaf", guest_agent=False)
    with pytest.raises(Failed, match="did not shut down in time") as failure:
        lab.run("vm_power", name="deaf", state="stopped", shutdown_timeout=2)
    assert failure.value.kind == "task_failed" and lab.state("deaf") == "running"
    forced = lab.run("vm_power", name="deaf", state="stopped", shutdown_timeout=1, force=True)
    assert forced["changed"] and forced["vm"]["state"] == "stopped" and "power was cut" in forced["warnings"][0]
    lab.remove("deaf")


def test_shutdown_by_acpi_alone_and_picked_up_by_another_task(lab, guest):
    lab.boot("button", guest)
    lab.run("vm_config", name="button", guest_agent=False)
    begun = lab.run("vm_power", name="button", state="stopped", shutdown_timeout=60, wait=False)
    assert begun["changed"]
    told = lab.run("task_wait", tasks=[begun["task"]["id"]], timeout=60)
    assert told["tasks"][0]["state"] == "succeeded" and lab.state("button") == "stopped"
    lab.remove("button")


def test_half_snapshot(fresh):
    fresh.run("vm", name="half", disks=[{"size": "8MiB"}, {"size": "4MiB"}])
    fresh.run("vm_snapshot", name="half", snapshot="whole")
    os.system(f"qemu-img snapshot -d whole {fresh.disk('half', 'virtio1')}")
    assert fresh.snapshots("half")["whole"]["complete"] is False
    with pytest.raises(Failed, match="incomplete"):
        fresh.run("vm_snapshot", name="half", snapshot="whole", state="reverted")
    fresh.twice("vm_snapshot", name="half", snapshot="whole", state="absent")
    assert not snapshot_tags(fresh.disk("half"))


def test_snapshot_made_by_other_hands(fresh):
    fresh.run("vm", name="adopted", disks=[{"size": "8MiB"}])
    os.system(f"qemu-img snapshot -c foreign {fresh.disk('adopted')}")
    told = fresh.snapshots("adopted")["foreign"]
    assert told["complete"] and told["parent"] is None
    fill(fresh.disk("adopted"), 5)
    fresh.run("vm_snapshot", name="adopted", snapshot="foreign", state="reverted")
    assert content(fresh.disk("adopted"))[:1] == b"\0"
    fresh.twice("vm_snapshot", name="adopted", snapshot="foreign", state="absent")


def test_words_of_qemu_reach_the_user(fresh):
    fresh.run("vm", name="odd", cpu_type="nonsense")
    with pytest.raises(Failed, match="unable to find CPU model 'nonsense'") as failure:
        fresh.run("vm_power", name="odd", state="started")
    assert failure.value.kind == "backend_error" and fresh.state("odd") == "stopped"
    fresh.run("vm_config", name="odd", cpu_type="qemu64")
    assert fresh.run("vm_power", name="odd", state="started")["changed"]


def test_racing_starts_make_one_process(fresh):
    fresh.run("vm", name="race", memory="32")
    runs = [fresh.begin("vm_power", name="race", state="started") for _turn in range(4)]
    results = [run.result() for run in runs]
    assert sorted(result["changed"] for result in results) == [False, False, False, True]
    assert len(qemu_pids(fresh.state_dir)) == 1


def test_run_directory_gone_as_after_a_reboot(fresh):
    fresh.run("vm", name="gone", memory="32", disks=[{"size": "4MiB"}], state="started")
    os.kill(fresh.pid("gone"), signal.SIGKILL)
    shutil.rmtree(fresh.folder("gone") / "run")
    eventually(lambda: fresh.state("gone") == "stopped", 2.0)
    fresh.twice("vm_power", name="gone", state="started")


def test_run_directory_lost_while_it_runs(fresh):
    """Nobody can talk to such a process any more, but it can be seen and ended."""
    fresh.run("vm", name="lost", memory="32", disks=[{"size": "4MiB"}], state="started")
    shutil.rmtree(fresh.folder("lost") / "run")
    assert fresh.state("lost") == "unknown"
    assert fresh.info("lost", "config", "pending", "agent", "snapshots")["state"] == "unknown"
    with pytest.raises(Failed):
        fresh.run("vm_power", name="lost", state="stopped")
    fresh.run("vm_power", name="lost", state="stopped", force=True)
    assert fresh.state("lost") == "stopped" and not qemu_pids(fresh.state_dir)
    fresh.twice("vm_power", name="lost", state="started")


def test_reset_and_restart(web):
    web.shell("web", "touch /dev/shm/old")
    pid = web.pid("web")
    assert web.run("vm_power", name="web", state="reset")["changed"]
    eventually(lambda: _is_young(web), 60)
    assert web.pid("web") == pid
    assert web.run("vm_power", name="web", state="restarted", shutdown_timeout=60)["changed"]
    assert web.pid("web") != pid and web.state("web") == "running"


def _is_young(lab):
    return lab.info("web", "agent")["agent"]["running"] and not lab.shell("web", "ls /dev/shm/old", check=False)


def test_delete_leaves_nothing(web):
    with pytest.raises(Failed, match="running and is not deleted") as failure:
        web.run("vm", name="web", state="absent")
    assert failure.value.kind == "conflict" and web.state("web") == "running"
    web.twice("vm", name="web", state="absent", force=True)
    assert web.state("web") == "absent" and not web.folder("web").exists()
    assert not qemu_pids(web.state_dir) and not list((web.state_dir / ".trash").iterdir())
