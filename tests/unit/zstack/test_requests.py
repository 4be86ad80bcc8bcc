# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many requests a task costs, beside login and logout."""

from __future__ import annotations

import pytest

from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.unit.zstack.cloud import Ask

SESSION = ("LogInByAccount", "LogOut")


def asked(server: ZStackServer) -> list[str]:
    """The APIs of the log without those of the session, and the log is empty again."""
    apis = [one.api for one in server.requests]
    assert (apis[0], apis[-1]) == SESSION
    assert not set(apis[1:-1]) & set(SESSION)
    server.forget()
    return apis[1:-1]


@pytest.mark.parametrize("state", ["Stopped", "Running"])
def test_an_unchanged_vm_costs_two_questions(state: str, server: ZStackServer, ask: Ask) -> None:
    vm = server.add_vm("web", state, memory=1024**3, user_tags=("a",))
    options = {"memory": "1GiB", "cores": 1, "tags": ["a"], "nics": [{"network": "net-1"}]}
    for address in ({"id": vm["uuid"]}, {"name": "web"}):
        for check in (True, False):
            assert not ask("vm_config", check=check, **address, **options).changed
            assert asked(server) == ["ZQLQuery"] * 2


def test_one_vm_costs_no_more_where_there_are_many(server: ZStackServer, ask: Ask) -> None:
    for number in range(30):
        server.add_vm(f"web{number}", "Stopped")
    assert not ask("vm_power", name="web7", state="stopped").changed
    assert asked(server) == ["ZQLQuery"] * 2


@pytest.mark.parametrize("count", [3, 70])
def test_many_vms_cost_a_few_questions(count: int, server: ZStackServer, ask: Ask) -> None:
    for number in range(count):
        server.add_vm(f"web{number}", "Stopped", user_tags=(f"t{number}",))
    told = ask("vm_info").result["vms"]
    assert {vm["name"]: vm["tags"] for vm in told} == {f"web{number}": [f"t{number}"] for number in range(count)}
    assert asked(server) == ["ZQLQuery"] * (2 if count == 3 else 4)
    told = ask("vm_info", gather=["config"]).result["vms"]
    assert len(told) == count
    assert len(asked(server)) <= (5 if count == 3 else 8)


def test_a_change_of_several_settings_is_one_write(server: ZStackServer, ask: Ask) -> None:
    server.add_vm("web", "Stopped")
    assert ask("vm_config", name="web", memory="2GiB", cores=2, description="new", native={"platform": "Other"}).changed
    (write,) = server.writes
    assert write.params.keys() == {"uuid", "memorySize", "cpuNum", "description", "platform"}


def test_more_vms_than_one_answer_holds_are_all_told(
    server: ZStackServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.anyvirt.compute.plugins.module_utils._backends.zstack import api

    monkeypatch.setattr(api, "LIMIT", 7)
    for number in range(20):
        server.add_vm(f"web{number}", "Stopped")
    assert len({vm["id"] for vm in ask("vm_info").result["vms"]}) == 20
