# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module that is killed at any of its writes leaves nothing that the next run cannot finish."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox.api import Api
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox.driver import ProxmoxBackend
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import Step
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.servers.pve.state import Guest
from ansible_collections.anyvirt.compute.tests.unit.proxmox.conftest import Ask

MADE = {
    "name": "new",
    "state": "started",
    "memory": "1GiB",
    "guest_agent": True,
    "tags": ["made"],
    "cloud_init": {"user": "me", "ip_config": [{"nic": "net0", "ip": "192.0.2.10/24"}]},
    "wait_for": {"agent": True, "ip": True},
}
TASKS: dict[str, dict[str, Any]] = {
    "from nothing": {
        **MADE,
        "disks": [{"slot": "scsi0", "size": "2GiB", "storage": "shared", "format": "qcow2"}],
        "nics": [{"slot": "net0", "network": "vmbr0"}],
    },
    "from a template": {**MADE, "clone_from": {"name": "golden"}, "disks": [{"slot": "scsi0", "size": "3GiB"}]},
}


class Killed(BaseException):
    """As SIGKILL: nothing of the module runs any more."""


@pytest.fixture
def golden(server: ProxmoxServer) -> None:
    disk, nic = "shared:2,format=qcow2", "virtio=BC:24:11:00:00:01,bridge=vmbr0"
    server.add_vm(100, "golden", template=1, scsihw="virtio-scsi-single", scsi0=disk, net0=nic, ide2="shared:cloudinit")


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Kill the module at its so many-eth write, just before it is sent or just after it was answered; at none for 0."""
    send = Api._send

    def arrange(number: int, moment: str) -> list[str]:
        writes: list[str] = []

        def counted(api: Api, method: str, path: tuple[object, ...], params: Any) -> Any:
            if method == "get":
                return send(api, method, path, params)
            writes.append(f"{method} {path[-1]}")
            if len(writes) == number and moment == "before":
                raise Killed
            told = send(api, method, path, params)
            if len(writes) == number:
                raise Killed
            return told

        monkeypatch.setattr(Api, "_send", counted)
        return writes

    return arrange


@pytest.mark.parametrize("which", TASKS)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 6))
def test_the_next_run_finishes_what_a_killed_one_began(
    which: str, moment: str, number: int, ask: Ask, server: ProxmoxServer, golden: None, kill_at: Any
) -> None:
    writes = kill_at(number, moment)
    try:
        whole = ask("vm", **TASKS[which])
    except Killed:
        assert len(writes) == number
    else:
        # there are fewer writes than that: it was never killed
        assert (whole.failed, len(writes) < number) == (False, True), whole.result
    kill_at(0, moment)
    done = ask("vm", **TASKS[which])
    assert not done.failed, done.result
    assert (done.vm["state"], done.vm["memory"], done.vm["tags"]) == ("running", 1024, ["made"])
    assert done.vm["addresses"]
    assert [guest.config["name"] for guest in server.state.guests.values()].count("new") == 1
    again = ask("vm", **TASKS[which])
    assert (again.failed, again.changed) == (False, False), again.result


def test_a_guest_that_gets_its_name_while_the_next_run_looks_at_it_is_not_made_twice(
    ask: Ask, server: ProxmoxServer, golden: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.state.guests[101] = Guest(101, server.state.guests[100].node, {"lock": "clone"})
    check = ProxmoxBackend.preflight

    def finished_meanwhile(backend: ProxmoxBackend, step: Step) -> None:
        server.state.guests[101].config.update(name="new", memory="1024")
        server.state.guests[101].config.pop("lock", None)
        backend.list()
        check(backend, step)

    monkeypatch.setattr(ProxmoxBackend, "preflight", finished_meanwhile)
    done = ask("vm", name="new", clone_from={"name": "golden"}, memory="1GiB")
    assert (done.failed, done.changed, done.vm["id"]) == (False, False, "101"), done.result
    assert sorted(server.state.guests) == [100, 101]
