# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bad input gets a clear error before anything changes, and nothing is lost."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu import tools
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import Error
from ansible_collections.anyvirt.compute.tests.integration.qemu.lab import (
    Failed,
    content,
    eventually,
    fill,
    image_info,
    qemu_img,
    qemu_pids,
)


def everything(lab):
    """All files of a state directory with what identifies them; locks do not count."""
    found = {}
    for folder, _folders, files in os.walk(lab.state_dir):
        for name in files:
            path = os.path.join(folder, name)
            about = os.stat(path)
            if "/.locks" not in path and not stat.S_ISSOCK(about.st_mode) and not name.endswith((".lock", ".log")):
                found[path] = (about.st_ino, about.st_mtime_ns, about.st_size)
    return found


def refused(lab, kind, match, module, **options):
    """The module fails, the same in check mode, and leaves everything as it is."""
    before = everything(lab)
    for run in (lab.check, lab.run):
        with pytest.raises(Failed, match=match) as failure:
            run(module, **options)
        assert failure.value.kind == kind and failure.value.result["changed"] is False
        assert everything(lab) == before
    return failure.value.result


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"memory": "1XB"}, "memory: '1XB' is not a size"),
        ({"memory": "1GB"}, "memory: '1GB' is not a size"),
        ({"memory": "-1"}, "memory: '-1' is not a size"),
        ({"memory": "0"}, "positive"),
        ({"memory": "1KiB"}, "whole number of MiB"),
        ({"memory": "4 gigs"}, "is not a size"),
        ({"disks": [{"size": "-4GiB"}]}, "disks: size: '-4GiB' is not a size"),
        ({"disks": [{"size": "1PiB"}]}, "is not a size"),
        ({"disks": [{"size": "100000TiB"}]}, "65536 GiB"),
        ({"disks": [{}]}, "needs a size or a source"),
        ({"cores": 0}, "cores: 0 is too small"),
        ({"disks": [{"slot": "virtio0", "size": "1"}, {"slot": "virtio0", "size": "2"}]}, "virtio0 is used twice"),
        ({"disks": [{"slot": "sata1", "size": "1"}], "cdrom": {"slot": "sata1"}}, "sata1 is used twice"),
        ({"disks": [{"slot": "sata6", "size": "1"}]}, "sata0 to sata5"),
        ({"disks": [{"slot": "floppy0", "size": "1"}]}, "'floppy0' is not a slot"),
        ({"disks": [{"slot": "net0", "size": "1"}]}, "no slot net0"),
        ({"nics": [{"mac": "52:54:00"}]}, "not a MAC"),
        ({"nics": [{"model": "ne2000"}]}, "no model ne2000"),
        ({"nics": [{"forwards": [{"host_port": 99999, "guest_port": 1}]}]}, "not a port"),
        (
            {"nics": [{"forwards": [{"host_port": 2222, "guest_port": 1}, {"host_port": 2222, "guest_port": 2}]}]},
            "twice",
        ),
        ({"boot_order": ["virtio7"]}, "nothing in slot virtio7"),
        ({"native": {"bogus": 1}}, "bogus"),
        ({"native": {"initrd": "/bin/sh"}}, "kernel"),
        ({"description": "two\x00lines"}, ""),
        ({"tags": ["a,b"]}, "is not a tag"),
    ],
)
def test_wrong_values(fresh, options, match):
    if "description" in options:
        # any text is a description: it is kept as it is and reaches no command line
        fresh.run("vm", name="new", description="two\nlines, and ${more}")
        assert fresh.info("new", "config")["description"] == "two\nlines, and ${more}"
        return
    refused(fresh, "invalid_request", match, "vm", name="new", **options)
    assert not fresh.state_dir.exists()


@pytest.mark.parametrize(
    "name", ["a/b", "..", ".", "", "a,b", "a\nb", "a" * 300, "/etc", "-x", "a b", "ä", "$(id)", ".hidden", "a\n"]
)
def test_wrong_names(fresh, name):
    refused(fresh, "invalid_request", "cannot be the name", "vm", name=name, disks=[{"size": "1"}])
    refused(fresh, "invalid_request", "cannot be the name", "vm", name=name, state="absent")
    assert not fresh.state_dir.exists()


@pytest.mark.parametrize("name", ["..", "a/b", "current", "x" * 41, "a,b", "-d", "a\nb", ".suspend"])
def test_wrong_snapshot_names(fresh, name):
    fresh.run("vm", name="vm", disks=[{"size": "4MiB"}])
    refused(fresh, "invalid_request", "cannot be the name of a snapshot", "vm_snapshot", name="vm", snapshot=name)


def test_things_that_are_not_there(fresh):
    fresh.run("vm", name="vm", disks=[{"size": "4MiB"}])
    refused(fresh, "not_found", "no file /no/such", "vm", name="new", disks=[{"source": "/no/such"}])
    refused(fresh, "not_found", "no file /no/such", "vm", name="new", cdrom={"slot": "sata0", "image": "/no/such"})
    refused(fresh, "not_found", "no file /no/such", "vm", name="new", native={"kernel": "/no/such"})
    refused(fresh, "not_found", "no bridge or tap device 'nobr0'", "vm", name="new", nics=[{"network": "nobr0"}])
    refused(fresh, "not_found", "no bridge or tap device '../lo'", "vm", name="new", nics=[{"network": "../lo"}])
    refused(fresh, "not_found", "no VM 'other'", "vm_config", name="other", memory="1GiB")
    refused(fresh, "not_found", "no VM 'other'", "vm_clone", name="new", source="other")
    refused(fresh, "not_found", "no snapshot s", "vm_snapshot", name="vm", snapshot="s", state="reverted")
    refused(fresh, "not_found", "no snapshot s", "vm_clone", name="new", source="vm", snapshot="s")


def test_sources_that_are_no_good(fresh, tmp_path):
    def wrong(kind, match, **disk):
        refused(fresh, kind, match, "vm", name="new", disks=[disk])
        assert fresh.state("new") == "absent" and not fresh.debris()

    fresh.run("vm", name="base", disks=[{"size": "4MiB"}])
    whole, leaf, raw = tmp_path / "whole.qcow2", tmp_path / "leaf.qcow2", tmp_path / "raw"
    qemu_img("create", "-f", "qcow2", whole, "8M")
    qemu_img("create", "-f", "qcow2", "-b", whole, "-F", "qcow2", leaf)
    raw.write_bytes(b"x" * 1024 * 1024)
    digest = hashlib.sha256(raw.read_bytes()).hexdigest()
    wrong("invalid_request", "whole path", source="relative.qcow2")
    wrong("invalid_request", "http or https", source="ftp://host/image")
    wrong("invalid_request", "is not a checksum", source=str(raw), checksum="md5:abc")
    wrong("invalid_request", "a checksum belongs to a source", size="1", checksum=f"sha256:{digest}")
    assert fresh.run("vm", name="good", disks=[{"source": str(raw), "checksum": f"sha256:{digest.upper()}"}])["changed"]
    assert content(fresh.disk("good")) == raw.read_bytes()
    # what is in the file is known only when it is read: these leave nothing, but pass check mode
    for match, disk in (
        ("has the checksum", {"source": str(raw), "checksum": f"sha256:{'0' * 64}"}),
        ("depends on another file", {"source": str(leaf)}),
        ("cannot shrink", {"source": str(whole), "size": "4MiB"}),
        ("is no disk image", {"source": str(_broken(whole, tmp_path))}),
    ):
        before = everything(fresh)
        with pytest.raises(Failed, match=match) as failure:
            fresh.run("vm", name="new", disks=[{"size": "4MiB"}, disk])
        assert failure.value.kind == "invalid_request"
        assert everything(fresh) == before and fresh.state("new") == "absent" and not fresh.debris()
        with pytest.raises(Failed, match=match):
            fresh.run("vm_config", name="base", disks=[{"slot": "virtio5", **disk}])
        assert everything(fresh) == before and not fresh.debris()


def _broken(image, folder):
    """A qcow2 image of a version that no QEMU knows."""
    path = folder / "broken.qcow2"
    path.write_bytes(image.read_bytes()[:4] + b"\0\0\0\x63" + image.read_bytes()[8:])
    return path


def test_missing_or_old_qemu(fresh, tmp_path, monkeypatch):
    fresh.run("vm", name="vm")
    real = tools._PATH
    monkeypatch.setattr(tools, "_PATH", str(tmp_path))
    told = refused(fresh, "missing_library", "qemu-system-x86_64 is not installed", "vm", name="new")
    assert "apt install" in told["msg"]
    refused(fresh, "missing_library", "is not installed", "vm_power", name="vm", state="started")
    old = tmp_path / "qemu-system-x86_64"
    old.write_text("#!/bin/sh\necho 'QEMU emulator version 5.2.0 (Debian)'\n")
    old.chmod(0o755)
    monkeypatch.setattr(tools, "_PATH", f"{tmp_path}{os.pathsep}{real}")
    refused(fresh, "missing_library", "too old: QEMU 6.2 or newer.*5.2.0", "vm", name="new")


def test_directory_made_by_someone_else(fresh):
    fresh.run("vm", name="ours")
    foreign = fresh.folder("foreign")
    foreign.mkdir()
    (foreign / "precious").write_text("data")
    refused(fresh, "conflict", "not made by anyvirt.compute", "vm", name="foreign")
    refused(fresh, "conflict", "not made by anyvirt.compute", "vm", name="foreign", state="absent", force=True)
    refused(fresh, "conflict", "not made by anyvirt.compute", "vm_clone", source="ours", name="foreign")
    assert [vm["name"] for vm in fresh.run("vm_info")["vms"]] == ["ours"]
    assert (foreign / "precious").read_text() == "data"
    shutil.rmtree(foreign)


def test_state_file_cut_in_half(fresh):
    for name in ("broken", "well"):
        fresh.run("vm", name=name, disks=[{"size": "4MiB"}])
        fresh.run("vm_config", name=name, description="second version")
    fill(fresh.disk("broken"), 9)
    disk, path = fresh.disk("broken"), fresh.folder("broken") / "vm.json"
    whole = path.read_bytes()
    for half in (whole[: len(whole) // 2], b"", b"[]", b'{"schema": 99}', b"\xff\xfe"):
        path.write_bytes(half)
        for options in (
            {"module": "vm", "memory": "64"},
            {"module": "vm", "state": "absent", "force": True},
            {"module": "vm_power", "state": "started"},
            {"module": "vm_snapshot", "snapshot": "s1"},
        ):
            told = refused(fresh, "backend_error", r"vm\.json", name="broken", **options)
        if half != b'{"schema": 99}':
            assert "vm.json.old" in told["msg"]
        rows = {vm["name"]: vm for vm in fresh.run("vm_info")["vms"]}
        assert rows["broken"]["state"] == "unknown" and "vm.json" in rows["broken"]["error"]
        assert rows["well"]["state"] == "stopped"
    fresh.twice("vm_power", name="well", state="started")
    fresh.run("vm_power", name="well", state="stopped", force=True, shutdown_timeout=0)
    fresh.twice("vm_clone", source="well", name="other")
    fresh.twice("vm", name="other", state="absent")
    shutil.copy(f"{path}.old", path)
    assert fresh.info("broken", "config")["disks"][0]["size"] == 4 / 1024
    assert content(disk)[:1] == b"\x09"


def test_base_of_a_clone_whose_state_file_is_damaged(fresh):
    fresh.run("vm", name="base", disks=[{"size": "4MiB"}])
    fresh.run("vm_clone", source="base", name="leaf", linked=True)
    path = fresh.folder("leaf") / "vm.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    refused(fresh, "conflict", "base of the linked clones leaf", "vm", name="base", state="absent", force=True)
    refused(fresh, "conflict", "base of the linked clones leaf", "vm_power", name="base", state="started")
    path.write_bytes(whole)


def test_running_vm(fresh):
    fresh.run("vm", name="on", memory="32", disks=[{"size": "8MiB"}])
    fresh.run("vm_snapshot", name="on", snapshot="cold")
    fresh.run("vm_power", name="on", state="started")
    refused(fresh, "conflict", "running and is not deleted", "vm", name="on", state="absent")
    refused(fresh, "conflict", "is running: a revert", "vm_snapshot", name="on", snapshot="cold", state="reverted")
    refused(fresh, "conflict", "cannot become a template", "vm_config", name="on", template=True)
    refused(fresh, "conflict", "is running", "vm_clone", source="on", name="new", snapshot="cold")
    pid = fresh.pid("on")
    forced = fresh.run("vm_snapshot", name="on", snapshot="cold", state="reverted", force=True)
    assert forced["changed"] and forced["vm"]["state"] == "stopped" and pid not in qemu_pids(fresh.state_dir)


def test_shrinking(fresh):
    fresh.run("vm", name="vm", disks=[{"size": "8MiB"}])
    refused(
        fresh, "invalid_request", "cannot shrink", "vm_config", name="vm", disks=[{"slot": "virtio0", "size": "4MiB"}]
    )
    refused(fresh, "invalid_request", "cannot shrink", "vm", name="vm", disks=[{"slot": "virtio0", "size": "4MiB"}])
    refused(fresh, "invalid_request", "cannot shrink", "vm_clone", source="vm", name="new", disks=[{"size": "4MiB"}])
    assert image_info(fresh.disk("vm"))["virtual-size"] == 8 * 1024 * 1024


def test_template(fresh):
    """Users delete templates like any VM; what protects one is that clones stand on it."""
    fresh.run("vm", name="gold", disks=[{"size": "8MiB"}])
    fresh.twice("vm_config", name="gold", template=True)
    refused(fresh, "conflict", "is a template", "vm_power", name="gold", state="started")
    fresh.twice("vm_clone", source="gold", name="leaf")
    assert fresh.record("leaf").base == fresh.record("gold").uuid and not fresh.info("leaf")["template"]
    refused(fresh, "conflict", "base of the linked clones leaf", "vm", name="gold", state="absent", force=True)
    fresh.twice("vm", name="leaf", state="absent")
    fresh.twice("vm", name="gold", state="absent")


def test_never_changeable(fresh):
    fresh.run("vm", name="vm", disks=[{"size": "4MiB", "format": "raw"}])
    refused(fresh, "unsupported", "cannot change 'firmware'", "vm_config", name="vm", firmware="uefi")
    refused(
        fresh,
        "unsupported",
        "cannot change 'disks.virtio0.format'",
        "vm_config",
        name="vm",
        disks=[{"slot": "virtio0", "format": "qcow2"}],
    )
    refused(fresh, "conflict", "format raw", "vm_snapshot", name="vm", snapshot="no")
    refused(fresh, "unsupported", "Setting 'pool' is not supported", "vm", name="vm", pool="p")


def test_two_playbooks_create_at_once(fresh):
    runs = [fresh.begin("vm", name="twin", disks=[{"size": "4MiB"}], memory="64") for _turn in range(4)]
    assert sorted(run.result()["changed"] for run in runs) == [False, False, False, True]
    assert len(fresh.run("vm_info")["vms"]) == 1 and not fresh.debris()


def test_two_playbooks_that_contradict_each_other(fresh):
    fresh.run("vm", name="vm", memory="32", disks=[{"size": "4MiB"}])
    for _turn in range(3):
        runs = [
            fresh.begin("vm_config", name="vm", memory="48"),
            fresh.begin("vm_config", name="vm", memory="64"),
            fresh.begin("vm_snapshot", name="vm", snapshot="s1"),
            fresh.begin("vm_power", name="vm", state="started"),
            fresh.begin("vm", name="vm", state="absent", force=True),
            fresh.begin("vm", name="vm", memory="32", disks=[{"size": "4MiB"}]),
        ]
        for run in runs:
            result = run.wait()
            assert not result.get("failed") or result["kind"] in ("conflict", "not_found"), result
        vm = fresh.info("vm", "config", "snapshots", "pending")
        assert vm is None or vm["memory"] in (32, 48, 64)
        assert len(qemu_pids(fresh.state_dir)) == (vm is not None and vm["state"] == "running")
        fresh.run("vm", name="vm", memory="32", disks=[{"size": "4MiB"}])
        assert not fresh.debris()


def test_a_list_of_vms_tells_each_failure(fresh):
    fresh.run("vm", name="one")
    with pytest.raises(Failed, match="1 of 2 VMs failed") as failure:
        fresh.run("vm_power", vms=["one", "two"], state="started")
    one, two = failure.value.result["results"]
    assert one["changed"] and two["failed"] and "no VM" in two["msg"] and failure.value.result["changed"]


def test_a_guest_that_talks_nonsense(fresh, guest):
    """Whatever a guest sends as its agent ends as "no agent", not as a crash of the module."""
    fresh.boot("liar", guest)
    lie = r"""printf '[1]\nno json\n"text"\n'"""
    device = "$(readlink -f /dev/virtio-ports/org.qemu.guest_agent.0)"
    # while nobody is connected the port reads as ended
    liar = f"exec 3<>{device}; while :; do read -r line <&3 && {lie} >&3 || usleep 50000; done"
    fresh.shell("liar", f"(sleep 0.2; while killall qemu-ga; do sleep 0.1; done; {liar}) >/dev/null 2>&1 </dev/null &")
    eventually(lambda: "is no answer" in _agent_error(fresh, "liar"))
    vm = fresh.info("liar", "agent")
    assert vm["state"] == "running" and not vm["agent"]["running"]


def _agent_error(lab, name):
    try:
        with lab.machine(name).agent():
            return ""
    except Error as error:
        return str(error)
