# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Devices that come and go, networks, CD-ROM, cloud-init, firmware: as the guest sees them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess

import pytest

from ansible_collections.anyvirt.compute.tests.integration.qemu.lab import Failed, eventually, image_info, qemu_pids

MIB = 1024 * 1024
NAME = "dev"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def said_on(port):
    """What a service behind a port of this host says, nothing where none answers."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=3) as one:
        return one.recv(100).decode()
    return ""


def make_iso(path, label, text):
    (path.parent / "README").write_text(text)
    maker = ["genisoimage", "-quiet", "-volid", label, "-rock", "-output", str(path), str(path.parent / "README")]
    subprocess.run(maker, check=True)
    return str(path)


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    return [make_iso(tmp_path_factory.mktemp("iso") / f"{name}.iso", name, name) for name in ("first", "second")]


@pytest.fixture(scope="module")
def made(lab, guest, discs):
    nic = {"slot": "net0", "forwards": [{"host_port": free_port(), "guest_port": 7}]}
    lab.boot(
        NAME,
        guest,
        disks=[{"size": "16MiB"}],
        nics=[nic],
        cdrom={"slot": "scsi1", "image": discs[0]},
        cloud_init={"user": "me", "hostname": "seeded", "password": "secret"},
    )
    lab.run("vm_power", name=NAME, state="started", wait_for={"ip": True, "timeout": 60})
    lab.run("vm_snapshot", name=NAME, snapshot="boot", memory=True)
    return lab


@pytest.fixture
def dev(made):
    """The shared VM as it was after its boot; cheaper than another boot."""
    made.run("vm_snapshot", name=NAME, snapshot="boot", state="reverted", force=True)
    yield made
    for name in made.snapshots(NAME).keys() - {"boot"}:
        made.run("vm_snapshot", name=NAME, snapshot=name, state="absent")


def disks_of(lab):
    return lab.shell(NAME, "ls /sys/block | grep vd || true").split()


def nics_of(lab):
    return lab.shell(NAME, "cat /sys/class/net/e*/address").upper().split()


def test_cloud_init_seed_in_the_guest(dev):
    found = dev.shell(NAME, "findfs LABEL=cidata").strip()
    script = f"mount -t iso9660 -o ro {found} /mnt && cat /mnt/meta-data && echo && cat /mnt/user-data; umount /mnt"
    meta, user = dev.shell(NAME, script).split("\n", 1)
    assert json.loads(meta)["local-hostname"] == "seeded"
    assert json.loads(user.replace("#cloud-config", "", 1))["users"][0]["name"] == "me"
    assert dev.shell(NAME, "hostname").strip() == "seeded"
    assert "secret" not in json.dumps(dev.info(NAME, "config"))
    mode = os.stat(dev.folder(NAME) / "seed.iso").st_mode & 0o777
    assert mode == 0o600 and os.stat(dev.folder(NAME)).st_mode & 0o077 == 0


def test_nic_plugged_and_unplugged(dev):
    mac = "52:54:00:AA:BB:CC"
    added = dev.twice("vm_config", name=NAME, nics=[{"slot": "net1", "mac": mac}])
    assert not added["restart_required"]
    eventually(lambda: mac in nics_of(dev))
    eventually(lambda: "10.0.2.15" in dev.info(NAME, "agent")["addresses"])
    removed = dev.twice("vm_config", name=NAME, absent=["net1"])
    assert not removed["restart_required"] and mac not in nics_of(dev)
    assert "net1" not in dev.record(NAME).ports and not dev.info(NAME, "pending")["pending"]


def test_nic_plugged_without_a_cable(dev):
    dev.run("vm_config", name=NAME, nics=[{"slot": "net1", "mac": "52:54:00:AA:BB:CD", "connected": False}])
    eventually(lambda: len(nics_of(dev)) == 2)
    carrier = "for n in /sys/class/net/e*; do ip link set ${n##*/} up; cat $n/address $n/carrier; done"
    seen = dev.shell(NAME, carrier).split()
    assert seen[seen.index("52:54:00:aa:bb:cd") + 1] == "0"


def test_link_down_and_up_in_the_guest(dev):
    def carrier():
        return dev.shell(NAME, "cat /sys/class/net/e*/carrier").strip()

    assert carrier() == "1"
    for connected, seen in ((False, "0"), (True, "1")):
        dev.twice("vm_config", name=NAME, nics=[{"slot": "net0", "connected": connected}])
        eventually(lambda seen=seen: carrier() == seen)


def serve(lab, port, text):
    lab.shell(NAME, f"nc -ll -p {port} -e echo {text} >/dev/null 2>&1 </dev/null &")


def test_port_forward_reaches_the_guest_and_changes_live(dev):
    first = dev.record(NAME).config["nics"]["net0"]["forwards"][0]["host_port"]
    serve(dev, 7, "seven")
    eventually(lambda: said_on(first) == "seven\n")
    second = free_port()
    serve(dev, 8, "eight")
    changed = dev.twice(
        "vm_config", name=NAME, nics=[{"slot": "net0", "forwards": [{"host_port": second, "guest_port": 8}]}]
    )
    assert not changed["restart_required"]
    eventually(lambda: said_on(second) == "eight\n")
    assert said_on(first) == ""


def test_taken_host_port_changes_nothing(dev):
    before = dev.record(NAME).config["nics"]["net0"]["forwards"]
    other = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        forwards = [{"host_port": port, "guest_port": 8} for port in (other, taken.getsockname()[1])]
        with pytest.raises(Failed, match="cannot be forwarded") as failure:
            dev.run("vm_config", name=NAME, nics=[{"slot": "net0", "forwards": forwards}])
        assert failure.value.kind == "conflict"
    assert dev.record(NAME).config["nics"]["net0"]["forwards"] == before
    serve(dev, 7, "seven")
    eventually(lambda: said_on(before[0]["host_port"]) == "seven\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", other))


def test_disk_plugged_grown_and_detached(dev):
    before = set(disks_of(dev))
    added = dev.twice("vm_config", name=NAME, disks=[{"slot": "virtio1", "size": "8MiB"}])
    assert not added["restart_required"]
    eventually(lambda: len(disks_of(dev)) == 2)
    (new,) = set(disks_of(dev)) - before
    assert dev.shell(NAME, f"cat /sys/block/{new}/size").strip() == str(8 * 2048)
    dev.shell(NAME, f"printf precious | dd of=/dev/{new} conv=notrunc; sync")
    dev.twice("vm_config", name=NAME, disks=[{"slot": "virtio1", "size": "12MiB"}])
    eventually(lambda: dev.shell(NAME, f"cat /sys/block/{new}/size").strip() == str(12 * 2048))
    file = dev.disk(NAME, "virtio1")
    removed = dev.run("vm_config", name=NAME, absent=["virtio1"])
    assert removed["changed"] and str(file) in removed["warnings"][0], "the user is told where it is kept"
    assert disks_of(dev) == sorted(before) and file.read_bytes().find(b"precious") > 0
    assert not dev.run("vm_config", name=NAME, absent=["virtio1"])["changed"]
    dev.run("vm_config", name=NAME, disks=[{"slot": "virtio1", "size": "4MiB"}])
    assert dev.disk(NAME, "virtio1") != file and file.exists()


def test_scsi_disk_plugged(dev):
    dev.twice("vm_config", name=NAME, disks=[{"slot": "scsi4", "size": "4MiB"}])
    assert "scsi4" in {one["qdev"] for one in dev.qmp(NAME, "query-block")} or "scsi4" in str(
        dev.qmp(NAME, "query-block")
    )
    dev.twice("vm_config", name=NAME, absent=["scsi4"])


def test_cd_changed_locked_and_forced(dev, discs):
    def label():
        found = "for label in first second; do findfs LABEL=$label >/dev/null 2>&1 && echo $label; done; true"
        return dev.shell(NAME, found).strip()

    assert label() == "first"
    changed = dev.twice("vm_config", name=NAME, cdrom={"slot": "scsi1", "image": discs[1]})
    assert not changed["restart_required"]
    eventually(lambda: label() == "second")
    device = dev.shell(NAME, "findfs LABEL=second").strip()
    dev.shell(NAME, f"mount -t iso9660 -o ro {device} /mnt")
    assert dev.shell(NAME, "cat /mnt/README") == "second"
    with pytest.raises(Failed, match="locked the tray") as failure:
        dev.run("vm_config", name=NAME, cdrom={"image": ""})
    assert failure.value.kind == "conflict"
    assert dev.info(NAME, "config")["cdrom"]["image"] == discs[1]
    forced = dev.run("vm_config", name=NAME, cdrom={"image": ""}, force=True)
    assert forced["changed"] and dev.info(NAME, "config")["cdrom"]["image"] == ""
    assert not dev.run("vm_config", name=NAME, cdrom={"image": ""})["changed"]
    dev.shell(NAME, "umount -l /mnt")
    dev.twice("vm_config", name=NAME, cdrom={"image": discs[0]})
    eventually(lambda: label() == "first")


def test_what_comes_with_the_next_start_is_pending(dev):
    changed = dev.twice("vm_config", name=NAME, memory="160", cores=2, description="at once")
    assert changed["restart_required"] and changed["pending"] == ["cores", "memory"]
    assert int(dev.shell(NAME, "nproc")) == 1
    told = {one["setting"]: one["running"] for one in dev.info(NAME, "pending")["pending"]}
    assert told == {"memory": 128, "cores": 1}
    with pytest.raises(Failed, match="would need a restart for"):
        dev.run("vm_config", name=NAME, sockets=2, apply="fail")
    # of a device that itself is pending, whatever is changed is pending too
    changed = dev.twice("vm_config", name=NAME, disks=[{"slot": "sata0", "size": "4MiB"}])
    assert "disks.sata0" in changed["pending"]
    dev.twice("vm_config", name=NAME, disks=[{"slot": "sata0", "size": "8MiB"}])
    dev.twice("vm_config", name=NAME, nics=[{"slot": "net3"}], apply="next_boot")
    dev.twice("vm_config", name=NAME, nics=[{"slot": "net3", "connected": False}])
    dev.twice("vm_config", name=NAME, disks=[{"slot": "virtio0", "size": "20MiB"}], apply="next_boot")
    assert len(nics_of(dev)) == 1 and dev.shell(NAME, "cat /sys/block/vda/size").strip() == str(16 * 2048)
    dev.run("vm_power", name=NAME, state="restarted", shutdown_timeout=60)
    dev.wait_agent(NAME)
    assert int(dev.shell(NAME, "nproc")) == 2 and not dev.info(NAME, "pending")["pending"]
    assert len(nics_of(dev)) == 2 and dev.shell(NAME, "cat /sys/block/vda/size").strip() == str(20 * 2048)
    assert image_info(dev.disk(NAME, "sata0"))["virtual-size"] == 8 * MIB
    dev.twice("vm_config", name=NAME, absent=["sata0"])
    assert "disks.sata0" in dev.run("vm_config", name=NAME, memory="160")["pending"]


def test_hot_plugged_hardware_survives_a_cold_revert(dev):
    """Memory saved with plugged devices is loaded into a machine that is started with them."""
    dev.run("vm_config", name=NAME, disks=[{"slot": "virtio1", "size": "8MiB"}], nics=[{"slot": "net1"}])
    eventually(lambda: len(disks_of(dev)) == 2 and len(nics_of(dev)) == 2)
    dev.shell(NAME, "echo plugged >/dev/shm/mark")
    dev.run("vm_snapshot", name=NAME, snapshot="plugged", memory=True)
    before = dev.counter(NAME)
    dev.run("vm_config", name=NAME, absent=["virtio1"])
    dev.run("vm_power", name=NAME, state="stopped", force=True, shutdown_timeout=0)
    reverted = dev.run("vm_snapshot", name=NAME, snapshot="plugged", state="reverted")
    assert reverted["vm"]["state"] == "running" and {disk["slot"] for disk in reverted["vm"]["disks"]} == {
        "virtio0",
        "virtio1",
    }
    assert dev.shell(NAME, "cat /dev/shm/mark") == "plugged\n" and dev.counter(NAME) >= before
    assert len(disks_of(dev)) == 2 and len(nics_of(dev)) == 2
    dev.shell(NAME, "for d in /dev/vd*; do dd if=$d of=/dev/null bs=1M count=4 iflag=direct; done")
    # and back to hardware without them, from the running VM: not live, but with its memory
    dev.run("vm_snapshot", name=NAME, snapshot="boot", state="reverted", force=True)
    assert len(disks_of(dev)) == 1 and not dev.info(NAME, "pending")["pending"]


def test_suspended_with_plugged_hardware(dev):
    dev.run("vm_config", name=NAME, disks=[{"slot": "virtio1", "size": "8MiB"}])
    eventually(lambda: len(disks_of(dev)) == 2)
    before = dev.counter(NAME)
    dev.run("vm_power", name=NAME, state="suspended")
    dev.run("vm_power", name=NAME, state="resumed")
    assert dev.counter(NAME) >= before and len(disks_of(dev)) == 2


def test_vnc_answers_on_its_socket(dev):
    directory = os.open(dev.folder(NAME) / "run", os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as vnc:
        vnc.settimeout(5)
        vnc.connect(f"/proc/self/fd/{directory}/vnc.sock")
        assert vnc.recv(12).startswith(b"RFB 003.")
    os.close(directory)
    assert os.stat(dev.folder(NAME) / "run").st_mode & 0o077 == 0


def test_addresses_and_forwards_of_a_clone(dev):
    dev.run("vm_clone", source=NAME, name="twin")
    nic = dev.record("twin").config["nics"]["net0"]
    assert "forwards" not in nic and nic["mac"] != dev.record(NAME).config["nics"]["net0"]["mac"]
    dev.run("vm_power", name="twin", state="started")
    dev.remove("twin")


@pytest.fixture
def bridge():
    """A bridge of the host with an address, for the time of a test."""
    if os.geteuid() != 0:
        pytest.fail("The test of bridges makes one: run it as root, as CI does.")
    name = f"avt{os.getpid() % 100000}"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", "198.51.100.1/24", "dev", name], check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "link", "del", name], check=True)


def test_bridge(dev, bridge):
    mac = "52:54:00:12:34:99"
    dev.twice("vm_config", name=NAME, nics=[{"slot": "net1", "network": bridge, "mac": mac}])
    eventually(lambda: mac in nics_of(dev))
    set_up = (
        f"for n in /sys/class/net/e*; do grep -qi {mac} $n/address && nic=${{n##*/}}; done; killall udhcpc;"
        " ip link set $nic up; ip address add 198.51.100.2/24 dev $nic; ping -c 5 -W 5 198.51.100.1"
    )
    dev.shell(NAME, set_up)
    ports = os.listdir(f"/sys/class/net/{bridge}/brif")
    assert len(ports) == 1
    dev.twice("vm_config", name=NAME, absent=["net1"])
    eventually(lambda: not os.listdir(f"/sys/class/net/{bridge}/brif"))
    # the same at a start, and the tap goes with the process
    dev.run("vm", name="cold", memory="32", nics=[{"network": bridge}], state="started")
    assert len(os.listdir(f"/sys/class/net/{bridge}/brif")) == 1
    dev.remove("cold")
    eventually(lambda: not os.listdir(f"/sys/class/net/{bridge}/brif"))


def test_uefi(fresh, guest):
    """UEFI's own variables are part of snapshots; a VM with them saves and gets back its memory."""
    native = {**guest["native"], "kernel": guest["native"]["kernel"].replace("/kernel", "/bzImage")}
    options = {**guest, "native": native, "memory": "256", "firmware": "uefi"}
    fresh.boot("efi", options, disks=[{"size": "8MiB"}])
    assert fresh.shell("efi", "ls -d /sys/firmware/efi").strip() == "/sys/firmware/efi"
    fresh.run("vm_snapshot", name="efi", snapshot="ram", memory=True)
    before = fresh.counter("efi")
    fresh.run("vm_power", name="efi", state="stopped", force=True, shutdown_timeout=0)
    fresh.run("vm_snapshot", name="efi", snapshot="ram", state="reverted")
    assert fresh.counter("efi") >= before
    fresh.run("vm_clone", source="efi", name="copy")
    assert (fresh.folder("copy") / fresh.record("copy").files["efivars"]).exists()
    assert len(qemu_pids(fresh.state_dir)) == 1


def test_state_directory_with_an_odd_and_long_name(playground, guest):
    from ansible_collections.anyvirt.compute.tests.integration.qemu.lab import Lab

    lab = Lab(playground / ("a, b=c 'd' " + "x" * 100) / "state")
    (lab.state_dir.parent).mkdir()
    lab.run("vm", name="n" * 63, memory="32", disks=[{"size": "4MiB"}], nics=[{}], cloud_init={"user": "me"})
    lab.twice("vm_power", name="n" * 63, state="started")
    lab.run("vm_snapshot", name="n" * 63, snapshot="ram", memory=True)
    lab.run("vm_clone", source="n" * 63, name="live")
    lab.run("vm_power", name="n" * 63, state="stopped", force=True, shutdown_timeout=0)
    lab.run("vm_clone", source="n" * 63, name="leaf", linked=True)
    lab.twice("vm_power", name="leaf", state="started")
    lab.clear()
