# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""kill -9 of the module and of QEMU: nothing half-made is ever seen, and the next run finishes or cleans."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu import qmp, tools
from ansible_collections.anyvirt.compute.tests.integration.qemu.lab import (
    Failed,
    check_image,
    content,
    eventually,
    fill,
    qemu_pids,
    snapshot_tags,
)

PLACES = (
    *((os, name) for name in ("rename", "link", "unlink", "mkdir")),
    *((shutil, "rmtree"), (tools, "run"), (subprocess, "Popen")),
    *((qmp.Monitor, "command"), (qmp.Agent, "command")),
)
"""What a module does to the world. It is killed after each; of a program that it runs, also while that runs."""

STEP = int(os.environ.get("ANYVIRT_TEST_CRASH_STEP", "8"))
"""Every which moment is tried; 1 takes minutes."""

SMALL = {"memory": "32", "disks": [{"size": "4MiB"}, {"size": "2MiB"}]}


def die_at(count):
    """Have this process killed at the count-th such moment."""
    moments = itertools.count(1)

    def moment():
        if next(moments) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(original):
        def call(*arguments, **options):
            result = original(*arguments, **options)
            moment()
            return result

        return call

    for place, name in PLACES:
        setattr(place, name, watched(getattr(place, name)))


def look(lab):
    """Whatever was killed: every VM that is seen is whole, and can be asked about."""
    rows = lab.run("vm_info")["vms"]
    for row in rows:
        assert "error" not in row and row["state"] in ("running", "stopped", "paused", "suspended"), row
        lab.info(row["name"], "config", "snapshots", "pending")
        record = lab.record(row["name"])
        assert all((lab.folder(row["name"]) / file).exists() for file in record.files.values())
    return {row["name"]: row for row in rows}


def crash_everywhere(lab, prepare, verify, module, step=STEP, **options):
    """Kill the module at each moment, and see that the same call afterwards does what the first was to do."""
    lab.run("vm", name="witness")
    for count in itertools.count(2, step):
        prepare()
        result = lab.begin(module, prepare=lambda count=count: die_at(count), **options).wait()
        look(lab)
        if result is not None:
            assert not result.get("failed"), result
            assert count > 4, "it was killed nowhere"
            return
        try:
            verify(lab.run(module, **options))
            again = lab.run(module, **options)
            assert options.get("state") == "reverted" or not again["changed"], again["diff"]
            for name in lab.backend.store.names():
                lab.run("vm_config", name=name, description=f"whatever is changed is tidied up: {count}")
            assert not lab.debris()
        except (AssertionError, Failed) as error:
            raise AssertionError(f"killed at moment {count}: {error}") from error


def make(lab, name="vm", **options):
    if lab.state(name) != "absent":
        lab.remove(name)
    lab.run("vm", name=name, **{**SMALL, **options})
    if options.get("state") != "started":
        for slot, byte in (("virtio0", 1), ("virtio1", 2)):
            fill(lab.disk(name, slot), byte)


def sound(lab, name="vm"):
    for slot in lab.record(name).config["disks"]:
        check_image(lab.disk(name, slot))


def test_killed_while_creating(fresh):
    def prepare():
        if fresh.state("vm") != "absent":
            fresh.remove("vm")

    def verify(result):
        assert result["vm"]["state"] == "stopped" and len(result["vm"]["disks"]) == 2
        sound(fresh)

    crash_everywhere(fresh, prepare, verify, "vm", name="vm", cloud_init={"user": "me"}, nics=[{}], **SMALL)


@pytest.mark.parametrize(
    "options", [{"full": True}, {"linked": True}, {"snapshot": "s1"}], ids=lambda one: next(iter(one))
)
def test_killed_while_cloning(fresh, options):
    make(fresh)
    fresh.run("vm_snapshot", name="vm", snapshot="s1")

    def prepare():
        if fresh.state("copy") != "absent":
            fresh.remove("copy")

    def verify(result):
        assert content(fresh.disk("copy"))[:1] == b"\1" and content(fresh.disk("copy", "virtio1"))[:1] == b"\2"
        sound(fresh)

    crash_everywhere(fresh, prepare, verify, "vm_clone", source="vm", name="copy", memory="48", **options)


def test_killed_while_cloning_a_running_vm(fresh):
    make(fresh)
    fresh.run("vm_power", name="vm", state="started")

    def prepare():
        if fresh.state("copy") != "absent":
            fresh.remove("copy")

    def verify(result):
        assert fresh.state("vm") == "running" and not fresh.qmp("vm", "query-jobs")
        nodes = fresh.qmp("vm", "query-named-block-nodes", flat=True)
        assert not [one for one in nodes if one["node-name"].startswith("clone-")]
        assert content(fresh.disk("copy"))[:1] == b"\1" and content(fresh.disk("copy", "virtio1"))[:1] == b"\2"

    crash_everywhere(fresh, prepare, verify, "vm_clone", source="vm", name="copy")


CHANGES = {
    "disks": [{"slot": "virtio0", "size": "8MiB"}, {"slot": "virtio3", "size": "2MiB"}],
    "nics": [{"slot": "net0", "mac": "52:54:00:00:00:01"}],
    "memory": "48",
    "description": "changed",
}


def test_killed_while_changing_a_stopped_vm(fresh):
    def verify(result):
        assert content(fresh.disk("vm"))[:1] == b"\1" and len(content(fresh.disk("vm"))) == 8 << 20
        sound(fresh)
        assert result["vm"]["memory"] == 48 and not result["pending"]

    crash_everywhere(fresh, lambda: make(fresh), verify, "vm_config", name="vm", **CHANGES)


def test_killed_while_changing_a_running_vm(fresh):
    """What did not reach the process is pending, and is there after the next start."""

    def verify(result):
        pending = {one["setting"]: one["running"] for one in fresh.info("vm", "pending")["pending"]}
        assert fresh.state("vm") == "running" and pending["memory"] == 32
        fresh.run("vm_power", name="vm", state="stopped", force=True, shutdown_timeout=0)
        fresh.run("vm_power", name="vm", state="started")
        assert not fresh.info("vm", "pending")["pending"]
        blocks = {one["device"] or one["qdev"]: one for one in fresh.qmp("vm", "query-block")}
        sizes = [one["inserted"]["image"]["virtual-size"] for one in blocks.values() if "inserted" in one]
        assert sorted(sizes) == [2 << 20, 2 << 20, 8 << 20]

    def prepare():
        make(fresh)
        fresh.run("vm_power", name="vm", state="started")

    crash_everywhere(fresh, prepare, verify, "vm_config", name="vm", **CHANGES)


@pytest.mark.parametrize("power", ["stopped", "disks", "memory"])
def test_killed_while_taking_a_snapshot(fresh, power):
    make(fresh)
    fresh.run("vm_snapshot", name="vm", snapshot="first")
    if power != "stopped":
        fresh.run("vm_power", name="vm", state="started")

    def prepare():
        for name in ("s1", "after"):
            fresh.run("vm_snapshot", name="vm", snapshot=name, state="absent")

    def verify(result):
        assert result["snapshot"]["complete"] and result["snapshot"]["parent"] == "first"
        fresh.run("vm_snapshot", name="vm", snapshot="after")
        parents = {name: one["parent"] for name, one in fresh.snapshots("vm").items()}
        assert parents == {"first": None, "s1": "first", "after": "s1"}
        assert set(snapshot_tags(fresh.disk("vm", "virtio1"))) == set(parents)
        assert fresh.state("vm") == ("stopped" if power == "stopped" else "running")

    options = {"memory": True} if power == "memory" else {}
    crash_everywhere(fresh, prepare, verify, "vm_snapshot", name="vm", snapshot="s1", **options)


def test_parent_of_a_snapshot_after_one_that_was_never_taken(fresh):
    make(fresh)
    fresh.run("vm_snapshot", name="vm", snapshot="first")
    for count in range(1, 40, STEP):
        if fresh.begin("vm_snapshot", prepare=lambda count=count: die_at(count), name="vm", snapshot="ghost").wait():
            break
        fresh.run("vm_snapshot", name="vm", snapshot="next")
        known = fresh.snapshots("vm")
        assert known["next"]["parent"] == ("ghost" if "ghost" in known else "first")
        for name in ("ghost", "next"):
            fresh.run("vm_snapshot", name="vm", snapshot=name, state="absent")
        assert set(fresh.record("vm").snapshots) == {"first"}


@pytest.mark.parametrize("running", [False, True])
def test_killed_while_deleting_a_snapshot(fresh, running):
    make(fresh)
    fresh.run("vm_snapshot", name="vm", snapshot="root")
    if running:
        fresh.run("vm_power", name="vm", state="started")

    def prepare():
        for name in ("s2", "s1"):
            fresh.run("vm_snapshot", name="vm", snapshot=name, state="absent")
        for name in ("s1", "s2"):
            fresh.run("vm_snapshot", name="vm", snapshot=name)

    def verify(result):
        assert {name: one["parent"] for name, one in fresh.snapshots("vm").items()} == {"root": None, "s2": "root"}

    crash_everywhere(fresh, prepare, verify, "vm_snapshot", name="vm", snapshot="s1", state="absent")


def test_killed_while_reverting_a_stopped_vm(fresh):
    make(fresh)
    fresh.run("vm_snapshot", name="vm", snapshot="s1")

    def prepare():
        fresh.run("vm_config", name="vm", memory="40")
        for slot in ("virtio0", "virtio1"):
            fill(fresh.disk("vm", slot), 7)

    def verify(result):
        assert content(fresh.disk("vm"))[:1] == b"\1" and content(fresh.disk("vm", "virtio1"))[:1] == b"\2"
        assert fresh.info("vm")["memory"] == 32
        sound(fresh)
        fresh.run("vm_power", name="vm", state="started")
        fresh.run("vm_power", name="vm", state="stopped", force=True, shutdown_timeout=0)

    crash_everywhere(fresh, prepare, verify, "vm_snapshot", name="vm", snapshot="s1", state="reverted")


def test_a_half_reverted_vm_does_not_start(fresh):
    """Its disks may be of different times: the user decides, the collection does not guess."""
    make(fresh)
    fresh.run("vm_snapshot", name="vm", snapshot="s1")
    refusals = 0
    for count in range(1, 60):
        run = fresh.begin(
            "vm_snapshot", prepare=lambda count=count: die_at(count), name="vm", snapshot="s1", state="reverted"
        )
        if run.wait():
            break
        if fresh.info("vm")["native_state"] == "revert-interrupted":
            refusals += 1
            with pytest.raises(Failed, match="in the middle of a revert to snapshot s1"):
                fresh.run("vm_power", name="vm", state="started")
            fresh.run("vm_snapshot", name="vm", snapshot="s1", state="reverted")
    assert refusals > 1


@pytest.mark.parametrize("hardware", ["same", "other"])
def test_killed_while_reverting_memory(fresh, hardware):
    make(fresh)
    fresh.run("vm_power", name="vm", state="started")
    fresh.run("vm_snapshot", name="vm", snapshot="s1", memory=True)

    def prepare():
        if hardware == "other":
            fresh.run("vm_power", name="vm", state="stopped", force=True, shutdown_timeout=0)
            for slot in ("virtio0", "virtio1"):
                fill(fresh.disk("vm", slot), 7)
            fresh.run("vm_config", name="vm", memory="40")
        fresh.run("vm_power", name="vm", state="started")

    def verify(result):
        assert result["vm"]["state"] == "running" and fresh.info("vm")["memory"] == 32
        fresh.run("vm_power", name="vm", state="stopped", force=True, shutdown_timeout=0)
        assert content(fresh.disk("vm"))[:1] == b"\1" and content(fresh.disk("vm", "virtio1"))[:1] == b"\2"
        assert ".suspend" not in snapshot_tags(fresh.disk("vm"))

    options = {"name": "vm", "snapshot": "s1", "state": "reverted", "force": True}
    crash_everywhere(fresh, prepare, verify, "vm_snapshot", **options)


@pytest.mark.parametrize("running", [False, True])
def test_killed_while_deleting(fresh, running):
    def verify(result):
        assert fresh.state("vm") == "absent" and not qemu_pids(fresh.state_dir)
        assert not list((fresh.state_dir / ".trash").iterdir())

    def prepare():
        make(fresh, state="started" if running else "present")

    fresh.run("vm", name="other")
    run = {"name": "vm", "state": "absent", "force": True}
    for count in itertools.count(1, STEP):
        prepare()
        result = fresh.begin("vm", prepare=lambda count=count: die_at(count), **run).wait()
        assert "vm" not in look(fresh) or fresh.record("vm")
        fresh.run("vm", **run)
        # where it was gone already, the next run that changes anything takes the rest away
        fresh.run("vm_config", name="other", description=f"{count}")
        verify(None)
        if result is not None:
            break


def test_killed_while_starting(fresh):
    make(fresh, cloud_init={"user": "me"})

    def prepare():
        if fresh.state("vm") != "stopped":
            fresh.run("vm_power", name="vm", state="stopped", force=True, shutdown_timeout=0)

    def verify(result):
        assert result["vm"]["state"] == "running" and fresh.qmp("vm", "query-status")["status"] == "running"
        assert len(qemu_pids(fresh.state_dir)) == 1

    crash_everywhere(fresh, prepare, verify, "vm_power", name="vm", state="started")


def test_half_started_vm_can_be_deleted_changed_and_copied(fresh):
    for count in range(2, 30, 4):
        make(fresh)
        if fresh.begin("vm_power", prepare=lambda count=count: die_at(count), name="vm", state="started").wait():
            break
        fresh.run("vm_clone", source="vm", name="copy")
        assert content(fresh.disk("copy"))[:1] == b"\1"
        fresh.run("vm_config", name="vm", disks=[{"slot": "virtio0", "size": "8MiB"}])
        assert not qemu_pids(fresh.state_dir), "what was never started is no running VM"
        sound(fresh)
        fresh.remove("copy", "vm")


@pytest.mark.parametrize("state", ["suspended", "started"])
def test_killed_while_suspending_and_resuming(fresh, state):
    make(fresh)

    def prepare():
        fresh.run("vm_power", name="vm", state="started")
        if state == "started":
            fresh.run("vm_power", name="vm", state="suspended")

    def verify(result):
        fresh.run("vm_power", name="vm", state="started")
        assert fresh.qmp("vm", "query-status")["status"] == "running"
        assert not fresh.record("vm").suspended and ".suspend" not in snapshot_tags(fresh.disk("vm"))
        fresh.run("vm_power", name="vm", state=state)

    crash_everywhere(fresh, prepare, verify, "vm_power", name="vm", state=state)


def test_killed_while_resuming_keeps_the_memory(fresh):
    """It is in the image until a process has it; from then on the process must not be given up."""
    make(fresh)
    for count in range(10, 40):
        fresh.run("vm_power", name="vm", state="started")
        fresh.run("vm_power", name="vm", state="suspended")
        run = fresh.begin("vm_power", prepare=lambda count=count: die_at(count), name="vm", state="started").wait()
        if run:
            break
        saved, pid = fresh.record("vm").suspended, fresh.pid("vm")
        assert fresh.state("vm") in (("suspended",) if saved else ("paused", "running"))
        assert not saved or ".suspend" in snapshot_tags(fresh.disk("vm"))
        fresh.run("vm_power", name="vm", state="started")
        assert saved or fresh.pid("vm") == pid
    assert count > 15


def test_killed_at_random(fresh):
    """Any operation, killed at any time: afterwards the VM is whole, and the same operation succeeds."""
    chance = random.Random(7)
    make(fresh, disks=[{"size": "64MiB"}, {"size": "2MiB"}])
    fill(fresh.disk("vm"), 1, size="60M")
    operations = [
        ("vm_clone", {"source": "vm", "name": "copy"}),
        ("vm_snapshot", {"name": "vm", "snapshot": "s1"}),
        ("vm_snapshot", {"name": "vm", "snapshot": "s1", "state": "absent"}),
        ("vm_power", {"name": "vm", "state": "started"}),
        ("vm_snapshot", {"name": "vm", "snapshot": "ram", "memory": True}),
        ("vm_clone", {"source": "vm", "name": "live"}),
        ("vm_snapshot", {"name": "vm", "snapshot": "ram", "state": "reverted", "force": True}),
        ("vm_power", {"name": "vm", "state": "suspended"}),
        ("vm_power", {"name": "vm", "state": "resumed"}),
        ("vm_config", {"name": "vm", "disks": [{"slot": "virtio2", "size": "1MiB"}]}),
        ("vm_config", {"name": "vm", "absent": ["virtio2"], "apply": "next_boot"}),
        ("vm_power", {"name": "vm", "state": "stopped", "force": True, "shutdown_timeout": 0}),
        ("vm", {"name": "copy", "state": "absent"}),
        ("vm", {"name": "live", "state": "absent"}),
    ]
    for module, options in operations * 2:
        run = fresh.begin(module, **options)
        time.sleep(chance.uniform(0.0, 0.25))
        run.kill()
        look(fresh)
        fresh.run(module, **options)
    assert not fresh.debris() and set(look(fresh)) == {"vm"}
    assert content(fresh.disk("vm"))[: 60 << 20] == b"\1" * (60 << 20)
    sound(fresh)


def test_killed_while_the_guest_is_frozen(lab, guest):
    """A guest whose file systems were frozen for a snapshot must not stay so."""
    lab.boot("ice", guest, disks=[{"size": "32MiB"}])
    lab.shell(
        "ice",
        "mke2fs -F /dev/vda >/dev/null 2>&1; mkdir -p /data; mount -t ext4 /dev/vda /data",
    )
    frozen = 0
    for count in itertools.count(1):
        name = f"s{count}"
        if lab.begin("vm_snapshot", prepare=lambda count=count: die_at(count), name="ice", snapshot=name).wait():
            break
        frozen += os.path.exists(lab.folder("ice") / "run" / "frozen")
        lab.run("vm_config", name="ice", description=name)
        assert lab.shell("ice", "echo x >/data/x; sync; cat /data/x") == "x\n"
    assert frozen > 1
    lab.remove("ice")


def test_qemu_killed_while_it_saves_memory(lab, guest):
    """No snapshot on any disk, both sound, none in the list; the failed task says so."""
    lab.boot("save", guest, disks=[{"size": "64MiB"}, {"size": "4MiB"}])
    lab.shell("save", "dd if=/dev/urandom of=/dev/shm/ballast bs=1M count=30 2>/dev/null")
    for mebibytes in (1, 20):
        # the snapshot is begun before anything grows, and is not done until some 60 MiB of memory are written
        pid, before = lab.pid("save"), _allocated(lab.disk("save"))
        run = lab.begin("vm_snapshot", name="save", snapshot="ram", memory=True)
        while _allocated(lab.disk("save")) < before + mebibytes * 2**20:
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
        result = run.wait()
        assert result["failed"] and result["kind"] in ("transport_error", "backend_error"), result
        eventually(lambda: lab.state("save") == "stopped", 5)
        for slot in ("virtio0", "virtio1"):
            assert not snapshot_tags(lab.disk("save", slot))
            check_image(lab.disk("save", slot))
        assert lab.snapshots("save") == {}
        lab.wait_agent("save")
    lab.run("vm_snapshot", name="save", snapshot="ram", memory=True)
    assert lab.snapshots("save")["ram"]["parent"] is None
    lab.remove("save")


def _allocated(path):
    return os.stat(path).st_blocks * 512


def test_second_qemu_on_the_same_disk_is_refused(fresh):
    """A start whose VM lives cannot harm it, even where pid and sockets are gone."""
    make(fresh, state="started")
    pid = fresh.pid("vm")
    shutil.rmtree(fresh.folder("vm") / "run")
    with pytest.raises(Failed):
        fresh.run("vm_power", name="vm", state="started")
    assert qemu_pids(fresh.state_dir) == [pid]
