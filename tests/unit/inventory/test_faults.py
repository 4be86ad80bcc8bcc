# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong costs no more than it must, and is never hidden."""

from __future__ import annotations

import os
import pathlib
import re

import pytest

from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.inventory.command import Listing, Site, asked, reach

FACTS = ["config", "agent", "snapshots"]


def fill(server: ProxmoxServer, count: int = 8) -> None:
    nodes = list(server.state.nodes)
    for number in range(count):
        node = nodes[number % len(nodes)]
        server.add_vm(100 + number, f"vm{number}", node, running=True, agent="1", net0="virtio,bridge=vmbr0")


# --- single VMs and nodes


def test_answers_that_fail_now_and_then_are_asked_for_again(site: Site, server: ProxmoxServer) -> None:
    fill(server, 40)
    server.fail_some(0.05, 596)
    told = site.hosts({**reach(server), "facts": FACTS})
    assert len(told.hosts) == 40
    assert all(agent["running"] for agent in told.all("vm_agent").values())
    assert len(told.all("vm_nics")) == len(told.all("vm_snapshots")) == 40
    assert "vm_facts_error" not in told.out
    failed = [logged for logged in server.requests if logged.status == 596]
    assert failed
    assert len(server.requests) == 1 + 3 * 40 + len(failed)


def test_a_node_that_is_down_takes_no_vm_away(site: Site, server: ProxmoxServer) -> None:
    fill(server)
    server.node_down("pve3", "timeout")
    told = site.hosts({**reach(server), "facts": FACTS, "filters": ["vm_nics | length > 0", "vm_name != 'vm9'"]})
    assert set(told.hosts) == {f"vm{number}" for number in range(8)}
    assert told.of("vm_unknown") == told.of("vm_state_unknown") == told.of("vm_node_pve3") == {"vm2", "vm6"}
    assert "vm_nics" not in told.hosts["vm2"]
    assert set(told.all("vm_nics")) == set(told.hosts) - {"vm2", "vm6"}
    assert not [path for path in asked(server) if path.startswith("/nodes/pve3/")]
    assert len(server.requests) == 1 + 3 * 6


def test_a_node_that_hangs_is_not_asked_for_each_of_its_vms(site: Site, server: ProxmoxServer) -> None:
    """It is still online, as the cluster says, but answers nothing; what it costs is half a minute each time."""
    fill(server, 48)
    server.fail_some(1.0, 596, path="/nodes/pve2/")
    told = site.list(site.source({**reach(server), "facts": FACTS}), impatient=True)
    assert told.status == 0
    hung = told.of("vm_node_pve2")
    assert len(hung) == 12
    assert set(told.all("vm_facts_error")) == hung
    assert set(told.all("vm_snapshots")) == set(told.hosts) - hung
    assert len({path.split("/")[4] for path in asked(server) if path.startswith("/nodes/pve2/")}) <= 4
    assert "12 of 48 VMs lack facts" in told.warned


def test_rows_without_names_and_namesakes_are_all_there(site: Site) -> None:
    with ProxmoxServer(nodes=2, read_only=True, speed=0) as server:
        for vmid, name in ((100, "web"), (101, "web"), (102, "db"), (103, "new")):
            server.add_vm(vmid, name, running=True)
        del server.state.seen[103]  # the status daemon has not looked at it yet
        told = site.hosts(reach(server))
        assert set(told.hosts) == {"web_100", "web_101", "db", "vm-103"}
        assert told.of("vm_unknown") == {"vm-103"}
        assert told.hosts["vm-103"]["vm_name"] is None
        assert "ansible_host" not in told.hosts["vm-103"]
        assert told.hosts["web_101"]["ansible_host"] == "web"

        named = site.hosts({**reach(server), "hostname": "name_id"})
        assert set(named.hosts) == {"web_100", "web_101", "db_102", "vm-103_103"}

        empty = site.hosts({**reach(server), "hostname": "vm_name"})
        assert set(empty.hosts) == set(told.hosts)

        own = site.hosts({**reach(server), "hostname": "(vm_name | default('nameless', true)) ~ '.' ~ vm_node"})
        assert set(own.hosts) == {"web.pve1_100", "web.pve1_101", "db.pve1", "nameless.pve1"}


def test_a_vm_named_all_hides_no_other(site: Site, server: ProxmoxServer) -> None:
    for vmid, name in ((100, "web"), (101, "all"), (102, "localhost")):
        server.add_vm(vmid, name)
    told = site.hosts(reach(server))
    assert set(told.hosts) == {"web", "all_101", "localhost_102"}
    assert "ansible_host" not in told.hosts["localhost_102"]


def test_one_bad_vm_costs_no_other(site: Site, server: ProxmoxServer) -> None:
    fill(server)
    server.vm(101).agent = "hung"
    server.vm(102).agent = "absent"
    server.fail_next(500, path=r"/qemu/103/pending", times=-1, message="unable to parse value")
    server.fail_next(403, path=r"/qemu/104/snapshot", times=-1, message="Permission check failed (/vms/104, VM.Audit)")
    source = site.source({**reach(server), "facts": FACTS, "cache": True, **cache_in(site)})
    told = site.list(source)
    assert told.status == 0
    assert len(told.hosts) == 8
    running = {name: agent["running"] for name, agent in told.all("vm_agent").items()}
    assert running == {"vm0": True, "vm1": False, "vm2": False, "vm5": True, "vm6": True, "vm7": True}
    assert "got timeout" in told.hosts["vm1"]["vm_agent"]["error"]
    errors = told.all("vm_facts_error")
    assert set(errors) == {"vm3", "vm4"}
    assert "unable to parse value" in errors["vm3"]
    assert "VM.Audit" in errors["vm4"]
    assert "2 of 8 VMs lack facts" in told.warned
    server.forget()
    again = site.list(source)
    assert asked(server) == []
    assert again.out == told.out


# --- the API is down


def cache_in(site: Site) -> dict[str, str]:
    return {"cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(site.path / "cache")}


def cached(site: Site) -> pathlib.Path:
    (path,) = (site.path / "cache").iterdir()
    return path


def make_older(site: Site, seconds: float, *, file_too: bool = True) -> None:
    """The cached inventory is that much older than it was; not every cache looks at that itself."""
    path = cached(site)
    (time,) = re.findall(r'"time\\*": ([0-9.]+)', path.read_text())
    path.write_text(path.read_text().replace(time, str(float(time) - seconds)))
    if file_too:
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def assert_failed(told: Listing, *words: str) -> None:
    """It ended with an error that says why, and told nothing that could be taken for an inventory."""
    assert told.status == 1, told.err
    assert told.out == ""
    assert [word for word in words if word not in told.warned] == [], told.err
    assert "Traceback" not in told.err


def test_without_a_cache_an_api_that_is_down_is_an_error(site: Site, server: ProxmoxServer) -> None:
    fill(server)
    server.http.close()
    source = site.source(reach(server))
    assert_failed(site.list(source, impatient=True), server.url, "does not answer", "vms.yml")
    site.source({**reach(server), "stop_on_error": False})
    told = site.list(source, impatient=True)
    assert told.status == 0
    assert told.hosts == {}
    assert "does not answer" in told.warned


def test_the_cache(site: Site, server: ProxmoxServer) -> None:
    fill(server)
    options = {**reach(server), "cache": True, **cache_in(site), "cache_timeout": 60, "stale_ok": 3600}
    source = site.source({**options, "facts": FACTS})
    first = site.list(source)
    assert (first.status, first.err, len(first.hosts)) == (0, "", 8)
    server.forget()

    # fresh: nothing is asked
    warm = site.list(source)
    assert asked(server) == []
    assert (warm.err, warm.out) == ("", first.out)

    assert server.token_secret not in cached(site).read_text()
    site.run(["-m", "ansible", "inventory", "--list", "--flush-cache"], source)
    assert len(server.requests) == 1 + 3 * 8
    server.forget()

    # too old, and the API is up
    server.add_vm(200, "another")
    make_older(site, 100)
    assert "another" in site.list(source).hosts
    assert server.requests
    assert cached(site).stat().st_size

    # too old, and the API is down
    make_older(site, 100)
    server.http.close()
    stale = site.list(source, impatient=True)
    assert stale.status == 0
    assert "another" in stale.hosts
    assert "told as they were" in stale.warned
    assert "does not answer" in stale.warned

    # older than may be
    make_older(site, 4000, file_too=False)
    assert_failed(site.list(source, impatient=True), "does not answer")


@pytest.mark.parametrize("change", [{"select": {"name": "vm1"}}, {"facts": ["config"]}])
def test_what_was_cached_for_other_options_is_not_used(site: Site, server: ProxmoxServer, change: dict) -> None:
    fill(server)
    options = {**reach(server), "cache": True, **cache_in(site)}
    assert len(site.hosts(options).hosts) == 8
    server.forget()
    told = site.hosts({**options, **change})
    assert asked(server)[0] == "/cluster/resources"
    assert set(told.hosts) == ({"vm1"} if "select" in change else {f"vm{number}" for number in range(8)})
    assert ("vm_nics" in told.out) == ("facts" in change)


def test_another_endpoint_is_another_listing(site: Site, server: ProxmoxServer) -> None:
    """A cluster that is down is not told by what was cached of another; one of its nodes that is up will do."""
    fill(server)
    options = {**reach(server), "cache": True, **cache_in(site), "stale_ok": 3600}
    site.hosts(options)
    server.forget()
    assert_failed(
        site.list(site.source({**options, "url": ["https://127.0.0.1:1"]}), impatient=True), "does not answer"
    )
    told = site.hosts({**options, "url": ["https://127.0.0.1:1", server.urls[1]]})
    assert len(told.hosts) == 8
    assert [(logged.path, logged.node) for logged in server.requests] == [("/cluster/resources", "pve2")]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"token_secret": "wrong"}, ["401", "token_secret"]),
        ({"ca_path": None}, ["certificate", "ca_path"]),
    ],
)
def test_a_stale_cache_hides_no_wrong_credentials(
    site: Site, server: ProxmoxServer, change: dict, words: list[str]
) -> None:
    fill(server)
    options = {**reach(server), "cache": True, **cache_in(site), "cache_timeout": 60, "stale_ok": 3600}
    site.hosts(options)
    make_older(site, 100)
    source = site.source({name: value for name, value in {**options, **change}.items() if value is not None})
    assert_failed(site.list(source), *words)
