# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans about consoles, for backends of all kinds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.anyvirt.compute.plugins.module_utils import _console
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.base import Backend
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox.driver import ProxmoxBackend
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.driver import QemuBackend
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu_api.driver import QemuApiBackend
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.vsd.driver import VsdBackend
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.zstack.driver import ZStackBackend
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import InvalidRequest, Unsupported
from ansible_collections.anyvirt.compute.plugins.module_utils._plan import Op

VM = {"id": "1", "name": "web", "state": "running"}
NOW = 1000.0
LOCAL = {"listen": "127.0.0.1", "web_port": 6080, "expires_after": 100, "websocket": True}
OPEN = {
    **dict.fromkeys(_console.PARTS),
    "url": "http://127.0.0.1:6080/vnc.html#SECRET",
    "websocket": "ws://127.0.0.1:6080/websockify?token=SECRET",
    "token": "SECRET",
    "password": "SECRET",
    "expires": 1090,
    "listen": "127.0.0.1",
    "web_port": 6080,
}
PAGE = {**dict.fromkeys(_console.PARTS), "url": "https://pve1:8006/?console=kvm", "web_port": 8006}


def task(**options: Any) -> dict[str, Any]:
    nothing = {name: one.get("default") for name, one in _console.OPTIONS.items()}
    return {"state": "present", **nothing, **options}


def ops(plan: Any) -> list[Op]:
    return [step.op for step in plan.steps]


@pytest.mark.parametrize(
    ("console", "wanted", "opens"),
    [
        (None, LOCAL, True),
        (OPEN, LOCAL, False),
        (OPEN, {**LOCAL, "web_port": 7000}, True),
        (OPEN, {**LOCAL, "listen": "::1"}, True),
        (OPEN, {**LOCAL, "expires_after": 180}, False),
        (OPEN, {**LOCAL, "expires_after": 181}, True),
        # it has a token, but nothing shows it
        ({**OPEN, "url": None, "websocket": None}, LOCAL, True),
        # a page that is always there, and a WebSocket that has to be asked for
        (PAGE, {"websocket": False}, False),
        (PAGE, {"websocket": True}, True),
        # one whose server says when it ends, but not how long it shall be
        ({**PAGE, "expires": 1001}, {}, False),
        ({**PAGE, "expires": 999}, {}, True),
    ],
)
def test_what_has_to_be_opened(console: dict[str, Any] | None, wanted: dict[str, Any], opens: bool) -> None:
    vm = VM if console is None else {**VM, "console": console}
    plan = _console.plan_present(vm, wanted, NOW)
    assert ops(plan) == ([Op.CONSOLE] if opens else [])
    assert (plan.after is plan.before) is not opens


@given(st.integers(1, 10**9), st.integers(-(10**9), 10**9))
def test_a_console_that_was_just_opened_is_enough(seconds: int, now: int) -> None:
    opened = {**VM, "console": {**OPEN, "expires": now + seconds}}
    assert ops(_console.plan_present(opened, {**LOCAL, "expires_after": seconds}, now)) == []


def test_what_has_to_be_closed() -> None:
    assert ops(_console.plan_absent(VM)) == []
    for console in (OPEN, {**OPEN, "url": None}):
        plan = _console.plan_absent({**VM, "console": console})
        assert (ops(plan), plan.after) == ([Op.CLOSE_CONSOLE], VM)


def result(vm: dict[str, Any], before: dict[str, Any], after: dict[str, Any], changed: bool = True) -> dict[str, Any]:
    return _console.with_console({"changed": changed, "vm": vm, "diff": {"before": before, "after": after}})


def test_secrets_stand_in_the_console_alone() -> None:
    opened = {**VM, "console": OPEN}
    told = result(opened, opened, {**VM, "console": LOCAL})
    console = told.pop("console")
    assert set(console) == set(_console.PARTS)
    assert console["token"] == "SECRET"
    assert "SECRET" not in str(told)
    assert told["vm"] == VM
    assert told["diff"]["before"]["console"] == {
        **{"listen": "127.0.0.1", "web_port": 6080, "expires": 1090},
        "websocket": True,
    }
    assert told["diff"]["after"]["console"] == LOCAL
    assert opened["console"] is OPEN


@pytest.mark.parametrize(
    ("before", "wanted", "shown"),
    [
        # a page that is always there stays where it is
        (PAGE, {"websocket": True}, ({"web_port": 8006}, {"web_port": 8006, "websocket": True})),
        # what nobody asked for may be there in any case, so nothing is said of it
        (None, {"websocket": False, "web_port": None}, (None, {})),
    ],
)
def test_the_diff_says_what_is_known(
    before: dict[str, Any] | None, wanted: dict[str, Any], shown: tuple[dict[str, Any] | None, dict[str, Any]]
) -> None:
    plan = _console.plan_present(VM if before is None else {**VM, "console": before}, wanted, NOW)
    diff = result(VM, plan.before, plan.after)["diff"]
    assert (diff["before"].get("console"), diff["after"]["console"]) == shown


def test_check_mode_tells_no_console_that_is_not_there() -> None:
    predicted = _console.plan_present(VM, LOCAL, NOW).after
    assert "console" not in result(predicted, VM, predicted)


def test_a_server_that_says_it_was_open_before() -> None:
    for was_open in (True, False):
        opened = {**VM, "console": {**PAGE, "already_running": was_open}}
        told = result(opened, VM, VM)
        assert told["changed"] is not was_open
        assert "already_running" not in told["console"]


@pytest.mark.parametrize(
    ("backend", "can"),
    [
        (QemuBackend, {"web_port", "listen", "expires_after", "novnc_path", "websocket"}),
        (ProxmoxBackend, {"websocket"}),
        (ZStackBackend, {"websocket"}),
        (QemuApiBackend, {"web_port", "vnc_port"}),
    ],
)
def test_options_that_a_backend_does_not_have(backend: type[Backend], can: set[str]) -> None:
    assert set(backend.console_options) == can <= set(_console.OPTIONS)
    here = backend.__new__(backend)
    assert _console.wanted_console(here, task()) == backend.console_options
    for name, one in _console.OPTIONS.items():
        value = {"int": 7, "bool": True}.get(one["type"], "192.0.2.7")
        if name in can:
            assert _console.wanted_console(here, task(**{name: value}))[name] == value
        else:
            with pytest.raises(Unsupported, match=f"Option '{name}' of a console is not supported"):
                _console.wanted_console(here, task(**{name: value}))


def test_backends_that_open_or_close_none() -> None:
    with pytest.raises(Unsupported, match="Operation 'console' is not supported"):
        _console.wanted_console(VsdBackend.__new__(VsdBackend), task())
    for backend in (ProxmoxBackend, ZStackBackend, QemuApiBackend, VsdBackend):
        with pytest.raises(Unsupported, match="Operation 'close_console' is not supported"):
            _console.wanted_console(backend.__new__(backend), task(state="absent"))


@pytest.mark.parametrize("options", [{"web_port": 0}, {"web_port": 65536}, {"expires_after": 0}, {"web_port": -1}])
def test_numbers_out_of_their_range(options: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest, match="is out of its range"):
        _console.wanted_console(QemuBackend.__new__(QemuBackend), task(**options))


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1", "127.0.0.1"), ("0:0:0:0:0:0:0:1", "::1"), ("::0", "::"), ("2001:DB8::0A", "2001:db8::a")],
)
def test_an_address_is_compared_in_one_form(listen: str, address: str) -> None:
    wanted = _console.wanted_console(QemuBackend.__new__(QemuBackend), task(listen=listen))
    assert wanted["listen"] == address
    assert ops(_console.plan_present({**VM, "console": {**OPEN, "listen": address}}, wanted, NOW - 10**6)) == []


@pytest.mark.parametrize(
    ("listen", "told"),
    [
        ("localhost", "is no IP address"),
        ("127.0.0.1:80", "is no IP address"),
        *((one, "is an address of one link only") for one in ("fe80::1", "fe80::1%lo", "::1%lo")),
    ],
)
def test_addresses_at_which_there_can_be_no_page(listen: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match=f"listen: '{listen}' {told}"):
        _console.wanted_console(QemuBackend.__new__(QemuBackend), task(listen=listen))
