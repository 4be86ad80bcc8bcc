# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role on a cluster: what it makes and removes, what it tells, and what it costs."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.plugin_utils._fleet_work import marks
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
from ansible_collections.anyvirt.compute.tests.unit.fleet.playbook import Site, cluster
from ansible_collections.anyvirt.compute.tests.unit.proxmox.cluster import connection_to

GOLDEN = {"name": "golden"}


@pytest.fixture
def server() -> Iterator[ProxmoxServer]:
    with ProxmoxServer(nodes=4, task_seconds=0.02) as server:
        server.add_vm(900, "golden", template=True, memory="64", tags="base", scsi0="shared:1,format=qcow2")
        server.add_vm(901, "stranger", running=True, memory="64")
        yield server


@pytest.fixture
def site(server: ProxmoxServer, tmp_path: pathlib.Path) -> Site:
    return cluster(tmp_path, server)


def state(server: ProxmoxServer) -> dict[str, tuple[bool, str]]:
    """Whether each VM runs, and its tags, by name."""
    with server.state.lock:
        server.state.clock.settle()
        found = list(server.state.guests.values())
    return {one.config["name"]: (one.running, one.config.get("tags", "")) for one in found}


def names(count: int) -> list[str]:
    return [f"vm{number:03d}" for number in range(count)]


# --- a hundred VMs, and what goes wrong with six of them


def test_chaos_among_a_hundred(server: ProxmoxServer, site: Site) -> None:
    for number, name in enumerate(names(100)):
        server.add_vm(100 + number, name, f"pve{number % 4 + 1}", memory="64")
    fleet = [{"name": name} for name in names(100)]
    given: dict[str, Any] = {"defaults": {"memory": 64, "state": "started", "clone_from": GOLDEN}, "timeout": 10}
    for vmid in (110, 111, 112):
        server.lock_vm(vmid)
    for vmid in (120, 121):
        server.plan_task("qmstart", vmid, exitstatus="start failed: QEMU exited with code 1")
    # the last one of its node goes when the first one is started
    server.fail_next("none", method="POST", path="/nodes/pve4/.*/start$", then=lambda: server.state.guests.pop(199))

    done = site.run(fleet, **given)
    ill = ["vm010", "vm011", "vm012", "vm020", "vm021", "vm099"]
    assert done.failed
    assert done.result["failed"] == ill
    assert done.result["changed"] == [name for name in names(100) if name not in ill]
    assert "6 of 100 VMs failed." in done.told
    for name, why in done.result["errors"].items():
        assert f"{name}: {why}"[:60] in done.told
    runs = {name for name, (running, _tags) in state(server).items() if running}
    assert runs == {"stranger", *names(100)} - set(ill)
    # what was there is not marked
    assert {tags for name, (_running, tags) in state(server).items() if name in runs} == {""}
    assert sum(done.tasks.values()) == 3, done.tasks

    for vmid in (110, 111, 112):
        server.unlock_vm(vmid)
    server.forget()
    rest = site.run(fleet, **given)
    assert (rest.failed, rest.result["changed"], rest.result["failed"]) == (False, ill, [])
    assert all(running for name, (running, _tags) in state(server).items() if name != "golden")
    assert len([one for one in server.writes if one.path.endswith("/start")]) == 6
    assert len([one for one in server.writes if one.path.endswith("/clone")]) == 1

    server.forget()
    idle = site.run(fleet, **given)
    assert (idle.failed, idle.result["changed"]) == (False, [])
    assert not server.writes
    assert sum(idle.tasks.values()) == 3, idle.tasks
    # three tasks that read all nodes; vm_clone looks at the settings of each VM
    assert len(server.requests) <= 100 + 3 * 8


# --- a life


def test_a_fleet_is_made_changed_and_pruned(server: ProxmoxServer, site: Site) -> None:
    given: dict[str, Any] = {
        "defaults": {"state": "started", "clone_from": GOLDEN, "cores": 2},
        "tag": "web-fleet",
        "prune": True,
        "force": True,
    }
    fleet: list[dict[str, Any]] = [{"name": name, "node": f"pve{at % 4 + 1}"} for at, name in enumerate(names(6))]
    fleet += [{"name": "plain", "clone_from": None, "state": "present", "tags": ["db"], "memory": "32MiB"}]

    def both(changed: list[str], removed: list[str]) -> None:
        """In check mode, and for real."""
        for check in (True, False):
            server.forget()
            done = site.run(fleet, *(["--check", "--diff"] if check else []), **given)
            assert not done.failed, done.told
            assert done.result["changed"] == changed, done.told
            assert done.result["removed"] == removed
            assert bool(server.writes) != (check or not changed)

    everyone = [*names(6), "plain"]
    both(everyone, [])
    made = state(server)
    assert made["plain"] == (False, ";".join(sorted({"db", *marks("plain", "web-fleet")})))
    assert made["vm003"] == (True, ";".join(sorted({"base", *marks("vm003", "web-fleet")})))
    assert {server.vm(int(vmid)).node for vmid in server.state.guests} == {"pve1", "pve2", "pve3", "pve4"}

    fleet[-1]["memory"] = "48MiB"
    fleet[-1]["tags"] = ["db", "slow"]
    fleet[3]["state"] = "stopped"
    # a copy of one of them that somebody else made
    copied = run("vm_clone", {**connection_to(server), "source": "vm000", "name": "copy"})
    assert not copied.failed and "web-fleet" in copied.vm["tags"]
    del fleet[0:3]
    gone = ["vm000", "vm001", "vm002"]
    both(["vm003", "plain", *gone], gone)
    both([], [])
    assert set(state(server)) == {"golden", "stranger", "copy", "vm003", "vm004", "vm005", "plain"}
    assert state(server)["vm003"][0] is False
    assert set(state(server)["plain"][1].split(";")) == {"db", "slow", *marks("plain", "web-fleet")}


def test_running_vms_are_pruned_with_force_only_and_told_before(server: ProxmoxServer, site: Site) -> None:
    fleet = [{"name": "a", "state": "started", "clone_from": GOLDEN}, {"name": "b", "clone_from": GOLDEN}]
    assert not site.run(fleet).failed
    server.forget()
    unasked = site.run([])
    assert (unasked.failed, unasked.result["changed"], server.writes) == (False, [], [])
    for check in (True, False):
        done = site.run([], *(["--check"] if check else []), prune=True)
        assert done.failed
        assert "VM a is running and is not deleted." in done.result["errors"]["a"]
        assert done.result["removed"] == ["b"]
        assert ("b" in state(server)) == check
    done = site.run([], prune=True, force=True)
    assert (done.failed, done.result["removed"]) == (False, ["a"])
    assert set(state(server)) == {"golden", "stranger"}


# --- what it costs


def test_settings_of_their_own_are_one_task(server: ProxmoxServer, site: Site) -> None:
    for number, name in enumerate(names(12)):
        server.add_vm(100 + number, name, f"pve{number % 4 + 1}", memory="64")
    fleet: list[dict[str, Any]] = [{"name": name, "description": f"I am {name}"} for name in names(12)]
    done = site.run(fleet)
    assert done.result["changed"] == names(12)
    assert sum(done.tasks.values()) == 2, done.tasks
    assert server.vm(111).config["description"].strip() == "I am vm011"


def test_fifty_new_vms_cost_three_tasks_and_three_logins(server: ProxmoxServer, site: Site) -> None:
    for name in ("TOKEN_ID", "TOKEN_SECRET"):
        del site.environment[f"ANYVIRT_{name}"]
    site.environment.update(ANYVIRT_USERNAME=server.username, ANYVIRT_PASSWORD=server.password)
    fleet = [{"name": name, "description": f"I am {name}"} for name in names(50)]
    given: dict[str, Any] = {"defaults": {"memory": 64, "state": "started"}}
    for changed in (names(50), []):
        server.forget()
        done = site.run(fleet, **given)
        assert (done.failed, done.result["changed"]) == (False, changed), done.told
        assert sum(done.tasks.values()) == 3, done.tasks
        assert len([one for one in server.requests if one.path.endswith("/access/ticket")]) == 3
        assert len(server.writes) == 2 * len(changed)
    # three tasks that read all nodes, and the settings of each VM
    assert len(server.requests) <= 50 + 3 * 8
    server.forget()
    gone = site.run([], prune=True, force=True)
    assert (gone.failed, gone.result["removed"]) == (False, names(50))
    assert gone.tasks["Remove VMs"] == 1


def test_nodes_are_looked_at_when_asked(server: ProxmoxServer, site: Site) -> None:
    fleet = [{"name": "a", "node": "pve2"}, {"name": "b", "node": "pve2"}]
    for number, name in enumerate("ab"):
        server.add_vm(100 + number, name, f"pve{number + 1}", memory="64")
    assert site.run(fleet).result["changed"] == []
    for check in (True, False):
        done = site.run(fleet, *(["--check"] if check else []), place=True)
        assert (done.failed, done.result["changed"]) == (False, ["a"])
    assert server.vm(100).node == "pve2"


# --- before anything is sent


def test_wrong_data_sends_nothing(server: ProxmoxServer, site: Site) -> None:
    fleet = [{"name": "a", "memory": "1GB", "disks": [{"size": "x"}]}, {"name": "a", "corse": 2}]
    done = site.run(fleet, defaults={"cores": 0})
    assert done.failed
    for path in ("defaults.cores", "vms[0].memory", "vms[0].disks[0].size", "vms[1].corse", "vms[1].name"):
        assert f"vm_fleet_{path}: " in done.told
    assert not server.requests


def test_wrong_options_are_refused_by_ansible(server: ProxmoxServer, site: Site) -> None:
    done = site.run([], shutdown_timeout="soon")
    assert done.failed and "vm_fleet_shutdown_timeout" in done.told
    assert not server.requests


# --- how it is reached, and what is told


def test_options_of_the_play_lead_there_and_those_of_the_role_go_before(server: ProxmoxServer, site: Site) -> None:
    for name in [*site.environment]:
        if name.startswith("ANYVIRT_"):
            del site.environment[name]
    reach = connection_to(server)
    fleet = [{"name": "a", "memory": 64, "state": "started"}]
    with_defaults = site.run(fleet, "--check", play={"module_defaults": {"group/anyvirt.compute.all": reach}})
    assert (with_defaults.failed, with_defaults.result["changed"]) == (False, ["a"])
    wrong = {**reach, "url": ["https://127.0.0.1:1"]}
    both = site.run(fleet, "--check", play={"module_defaults": {"group/anyvirt.compute.all": wrong}}, connection=reach)
    assert (both.failed, both.result["changed"]) == (False, ["a"])


def test_no_secret_is_told(server: ProxmoxServer, site: Site) -> None:
    hush = {"password": "Xq7HushHush", "user": "admin"}
    disk = {"slot": "scsi0", "storage": "shared", "format": "qcow2", "size": "1GiB"}
    fleet = [
        {"name": "a", "cloud_init": hush, "disks": [disk]},
        {"name": "b", "cloud_init": hush, "clone_from": GOLDEN},
        {"name": "c", "cloud_init": hush, "clone_from": {"name": "nobody"}},
    ]
    for _again in range(2):
        done = site.run(fleet, "-vvv", "--diff", connection=connection_to(server))
        assert done.result["failed"] == ["c"], done.told
        assert hush["password"] not in done.told
        assert server.token_secret not in done.told
