# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state that each recorded scenario starts from, and what was done in it between two recorded exchanges."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ansible_collections.anyvirt.compute.tests.servers.pve.clone import to_base
from ansible_collections.anyvirt.compute.tests.servers.pve.power import switch_off, switch_on
from ansible_collections.anyvirt.compute.tests.servers.pve.state import MIB, Guest, Volume
from ansible_collections.anyvirt.compute.tests.unit.servers.replay import Exchange, Replay

Action = Callable[[Replay, Exchange], None]
SEEDS: dict[str, Callable[[Replay], None]] = {}
# Per scenario: what an exchange must have (a note, an end of its path, parameters), and what happens before it:
# once, or each time with every.
BEFORE: dict[str, list[tuple[dict[str, Any], Action]]] = {}


def seed(function: Callable[[Replay], None]) -> Callable[[Replay], None]:
    SEEDS[function.__name__] = function
    return function


def matches(exchange: Exchange, wanted: dict[str, Any]) -> bool:
    return (
        wanted.get("method", exchange["method"]) == exchange["method"]
        and (exchange["path"] or "").endswith(wanted.get("path", ""))
        and exchange.get("note", "").startswith(wanted.get("note", ""))
        and wanted.get("params", exchange.get("params")) == exchange.get("params")
        and all((exchange.get("params") or {}).get(k) == wanted[k] for k in ("vmid", "newid") if k in wanted)
        and wanted.get("auth", exchange["auth"]) == exchange["auth"]
    )


# -- helpers ----------------------------------------------------------------------------------------------------------


def vm(replay: Replay, vmid: int, **options: Any) -> Guest:
    """A guest as the recordings had them: small, without an operating system."""
    digits = f"{vmid:04d}"
    defaults: dict[str, Any] = {
        "name": f"vm{vmid}",
        "memory": 128,
        "kvm": 0,
        "scsihw": "virtio-scsi-single",
        "scsi0": "local:0.05,format=qcow2",
        "net0": f"virtio=02:00:00:00:{digits[:2]}:{digits[2:]},bridge=vmbr0",
        "shutdown_seconds": None,
        "agent_state": "absent",
    }
    values = {
        key: value for key, value in {**defaults, **options}.items() if value is not None or key[:8] == "shutdown"
    }
    return replay.server.add_vm(vmid, **values)


def snapshot(replay: Replay, vmid: int, name: str) -> None:
    guest = replay.server.state.guests[vmid]
    keep = {k: v for k, v in guest.config.items() if k not in ("parent", "description")}
    guest.snapshots[name] = {**keep, "snaptime": replay.server.state.clock.seconds()}
    guest.config["parent"] = name


def change(vmid: int, **config: Any) -> Action:
    """Options set, or taken out where the value is None."""

    def act(replay: Replay, _exchange: Exchange) -> None:
        guest = replay.server.state.guests[vmid]
        for key, value in config.items():
            if value is None:
                guest.config.pop(key, None)
            else:
                guest.config[key] = value

    return act


def on(vmid: int) -> Action:
    return lambda replay, _exchange: switch_on(replay.server.state, replay.server.state.guests[vmid])


def off(vmid: int) -> Action:
    return lambda replay, _exchange: switch_off(replay.server.state, replay.server.state.guests[vmid])


def wait(seconds: float) -> Action:
    return lambda replay, _exchange: replay.server.advance(seconds)


def before(scenario: str, action: Action, **wanted: Any) -> None:
    BEFORE.setdefault(scenario, []).append((wanted, action))


def leftover(replay: Replay, vmid: int, paused: bool = False) -> None:
    """A guest that an earlier scenario left running; it only shows in lists, and not in those of both versions."""
    texts = [json.dumps(e["body"]) for e in replay.exchanges if isinstance(e.get("body"), dict)]
    if any(f'"vmid": {vmid}' in text for text in texts):
        options: dict[str, Any] = {"name": None, "net0": None} if vmid == 120 else {}
        vm(replay, vmid, running=True, paused=paused, **options)


def image(replay: Replay) -> None:
    state = replay.server.state
    volume = Volume(64 * MIB, "qcow2", 0, state.clock.seconds(), content="import")
    state.storages["shared"].volumes["", "import/tiny.qcow2"] = volume


# -- who asks ---------------------------------------------------------------------------------------------------------


def header(text: str | None, key: str = "Authorization") -> Action:
    """The exchange is sent with this header, and the following ones without."""

    def act(replay: Replay, _exchange: Exchange) -> None:
        replay.headers = {} if text is None else {key: text}

    return act


@seed
def auth_errors(replay: Replay) -> None:
    access = replay.server.state.access
    access.add_user("sep@pve", "example-pass")
    access.grant("/", "sep@pve", "Administrator")
    replay.extra["sep"] = access.add_token("sep@pve", "tok", privsep=True)
    replay.extra["old"] = access.add_token("sep@pve", "old", privsep=False, expire=1.0)


def _separated(replay: Replay, _exchange: Exchange) -> None:
    replay.headers = {"Authorization": f"PVEAPIToken=sep@pve!tok={replay.extra['sep']}"}


def _expired(replay: Replay, _exchange: Exchange) -> None:
    replay.headers = {"Authorization": f"PVEAPIToken=sep@pve!old={replay.extra['old']}"}


def _enabled(enabled: bool) -> Action:
    def act(replay: Replay, _exchange: Exchange) -> None:
        replay.headers = {}
        replay.server.state.access.users["low@pve"].enabled = enabled

    return act


def _no_csrf(replay: Replay, _exchange: Exchange) -> None:
    replay.authorization("ticket")
    replay.headers = {"CSRFPreventionToken": ""}


for _note, _action in {
    "unknown token id": header("PVEAPIToken=root@pam!nope=00000000-0000-0000-0000-000000000000"),
    "unknown user": header("PVEAPIToken=nobody@pve!nope=00000000-0000-0000-0000-000000000000"),
    "malformed": header("PVEAPIToken=nonsense"),
    "another scheme": header("Bearer nonsense"),
    "space instead of =": header("PVEAPIToken root@pam!api=00000000-0000-0000-0000-000000000000"),
    "write with a ticket, no CSRF header": _no_csrf,
    "write with a ticket, wrong CSRF header": header("wrong", "CSRFPreventionToken"),
    "bad ticket": header("PVEAuthCookie=PVE%3Anonsense", "Cookie"),
    "token with privilege separation": _separated,
    "expired token": _expired,
    "disabled user": _enabled(False),
    "enabled again": _enabled(True),
}.items():
    before("auth_errors", _action, note=_note)
before("auth_errors", header(None), method="POST", path="/access/ticket")
before("auth_errors", header(None), auth="low", path="/access/permissions")


def _until_the_last(replay: Replay, _exchange: Exchange) -> None:
    for _answer in range(99):
        replay.send("GET", "/api2/json/version", replay.server.authorization, None)


before("connection", header("close", "Connection"), note="client asks to close")
before("connection", header(None), note="answer number 100")
before("connection", _until_the_last, note="answer number 100")


# -- guests -----------------------------------------------------------------------------------------------------------


@seed
def agent(replay: Replay) -> None:
    vm(replay, 270)
    image(replay)


before("agent", change(270, agent="1"), note="VM stopped", path="270/agent/ping")
before("agent", on(270), note="running, no agent in the guest")


def _tiny(replay: Replay, _exchange: Exchange) -> None:
    guest = replay.server.state.guests[300]
    guest.agent_seconds, guest.agent = 4, "running"
    if replay.version == "8.4":  # there the guest itself hung after it was paused
        guest.shutdown_seconds = None
        replay.server.plan_task("qmreboot", exitstatus="VM quit/powerdown failed")


before("agent", _tiny, path="300/status/start")
before("agent", wait(4), note="agent up after about 4 s")


@seed
def clone(replay: Replay) -> None:
    vm(replay, 170, description="tpl", memory=256, tags="t1", scsi0="shared:0.05,format=qcow2", ide2="shared:cloudinit")
    make_template(170)(replay, {})
    vm(replay, 171)
    snapshot(replay, 171, "s1")
    leftover(replay, 160)
    leftover(replay, 120)
    leftover(replay, 154, paused=True)


def make_template(vmid: int) -> Action:
    def act(replay: Replay, _exchange: Exchange) -> None:
        guest, state = replay.server.state.guests[vmid], replay.server.state
        guest.config["template"] = 1
        volume = state.contract.options("scsi0", guest.config["scsi0"])["file"]
        guest.config["scsi0"] = to_base(state, guest, "scsi0", volume)

    return act


def _unpool(replay: Replay, _exchange: Exchange) -> None:
    replay.server.state.pools["cp"].vms.clear()


def _round(version: str) -> Action:
    """A round of the status daemons fell here in the recording of that version."""
    return lambda replay, _e: replay.server.refresh_resources() if replay.version == version else None


before("clone", _round("9.2"), path="/cluster/resources")
before("clone", _round("8.4"), path="170/clone", newid=173)
before("clone", change(178, tags=None), path="/pools", params={"poolid": "cp"}, method="GET")
before("clone", _round("9.2"), path="/pools", params={"poolid": "cp"}, method="GET")
before("clone", lambda replay, _e: vm(replay, 181, scsi0="local:6"), path="181/clone")
before("clone", wait(0.4), path="182/status/start")
before("clone", _unpool, path="/pools/cp")


@seed
def config_running_pending(replay: Replay) -> None:
    vm(replay, 150, name="vm150", boot="order=scsi0", running=True)


@seed
def create(replay: Replay) -> None:
    image(replay)


def _vacate(replay: Replay, exchange: Exchange) -> None:
    """The recording destroyed what it had made under the number, where the next attempt came through."""
    if exchange["status"] == 200:
        replay.server.state.guests.pop(114, None)


before("create", _vacate, method="POST", path="/nodes/pve1/qemu", vmid=114, every=True)
before("config_write", change(140, lock=None), params={"vmgenid": "1"}, auth="ticket")


@seed
def delete(replay: Replay) -> None:
    vm(replay, 200, running=True, scsi1="local:0.05,format=qcow2")
    vm(replay, 201)
    vm(replay, 202)
    vm(replay, 203)
    snapshot(replay, 203, "s1")


before("delete", off(200), note="protected")


@seed
def locks(replay: Replay) -> None:
    vm(replay, 210)
    snapshot(replay, 210, "s1")
    vm(replay, 211)
    leftover(replay, 120)
    leftover(replay, 154, paused=True)


def _held(replay: Replay, _exchange: Exchange) -> None:
    vm(replay, 213)
    replay.server.hold_file_lock(213)


before("locks", _held, note="file lock of the configuration held")
before("locks", on(211), params={"lock": "snapshot"})
for _lock in ("clone", "migrate", "rollback", "snapshot-delete", "suspended", "suspending"):
    before("locks", change(211, lock=None), params={"lock": _lock})
before("locks", off(211), params={"lock": "suspending"})


@seed
def migrate(replay: Replay) -> None:
    vm(replay, 190, scsi0="shared:0.05,format=qcow2")
    vm(replay, 191)
    vm(replay, 192, ide2="local:cloudinit")
    leftover(replay, 154, paused=True)
    for vmid in (190, 191, 192):
        del replay.server.state.seen[vmid]


before("migrate", on(190), note="running without online")
before("migrate", lambda replay, _e: vm(replay, 193, running=True), path="193/migrate")


def _with_cloudinit(replay: Replay, _exchange: Exchange) -> None:
    vm(replay, 194, ide2="local:cloudinit")
    snapshot(replay, 194, "s1")


before("migrate", _with_cloudinit, path="194/migrate")


@seed
def move_disk_unlink(replay: Replay) -> None:
    vm(replay, 220)
    vm(replay, 221, scsi0=None)


@seed
def node_down(replay: Replay) -> None:
    vm(replay, 260)
    vm(replay, 261, node="pve2")
    replay.seed_history()


def _proxy(how: str, online: bool) -> Action:
    def act(replay: Replay, _exchange: Exchange) -> None:
        node = replay.server.state.nodes["pve2"]
        node.proxy, node.online = how, online
        replay.server.state.quorum = None if online else False

    return act


before("node_down", _proxy("refused", True), note="proxy of the other node stopped")


def _cut(replay: Replay, exchange: Exchange) -> None:
    _proxy("timeout" if replay.version == "9.2" else "noroute", False)(replay, exchange)


before("node_down", _cut, note="link of the other node just cut")
before("node_down", _proxy("noroute", False), path="260/config", method="GET")
before("node_down", _proxy("ok", True), note="back")


@seed
def permissions_low(replay: Replay) -> None:
    vm(replay, 230)


def _role(*rights: str) -> Action:
    def act(replay: Replay, _exchange: Exchange) -> None:
        replay.server.state.access.acl.clear()
        replay.server.state.access.grant("/vms/230", "low@pve", *rights)
        replay.server.state.seen.pop(230, None)

    return act


before("permissions_low", _role("VM.Audit"), note="auditor on this VM")
before("permissions_low", _role("PVEVMUser"), note="role VM user on this VM")


@seed
def pools(replay: Replay) -> None:
    leftover(replay, 120)
    leftover(replay, 154, paused=True)
    guest = vm(replay, 250, name=None, net0=None, scsi0=None, scsihw=None, memory=None, kvm=None)
    guest.config["boot"] = " "
    del replay.server.state.seen[250]


before(
    "pools", lambda replay, _e: replay.server.state.pools["p1"].vms.clear(), params={"poolid": "p1"}, method="DELETE"
)


@seed
def power(replay: Replay) -> None:
    vm(replay, 152)


@seed
def power_wrong_state(replay: Replay) -> None:
    vm(replay, 152)
    replay.server.state.nodes["pve1"].kvm = False


before("power_wrong_state", make_template(152), note="a template")


@seed
def resize(replay: Replay) -> None:
    vm(replay, 151)


before("resize", on(151), note="running")
before("resize", change(151, ide2="none,media=cdrom"), params={"disk": "ide2", "size": "+1G"})


@seed
def snapshot_(replay: Replay) -> None:
    vm(replay, 160)


SEEDS["snapshot"] = snapshot_


def _forget_last(replay: Replay, _exchange: Exchange) -> None:
    replay.server.state.guests[160].snapshots.pop("ok-name_1")


before("snapshot", _forget_last, path="160/snapshot/two", method="DELETE")
before("snapshot", wait(1), note="right after the rollback")


@seed
def snapshot_running(replay: Replay) -> None:
    vm(replay, 160, running=True, description="after")
    vm(replay, 161, scsi0="local:0.05")


def _race(replay: Replay, _exchange: Exchange) -> None:
    """The cleanup of the former process takes the file lock for a while; 9.2 only."""
    switch_on(replay.server.state, replay.server.state.guests[160])
    if replay.version == "9.2":
        replay.server.hold_file_lock(160, 25)


before("snapshot_running", _race, params={"snapname": "extra", "vmstate": 1})


@seed
def storage(replay: Replay) -> None:
    vm(replay, 255)
    leftover(replay, 120)
    leftover(replay, 154)


@seed
def task_list_filters(replay: Replay) -> None:
    replay.seed_history()


before("task_list_filters", wait(1), method="DELETE")
SEEDS["cluster_tasks_limit"] = task_list_filters


@seed
def tasks(replay: Replay) -> None:
    replay.seed_history()


@seed
def template(replay: Replay) -> None:
    vm(replay, 171, running=True)
    vm(replay, 170, description="tpl", tags="t1", scsi0="shared:0.05,format=qcow2", ide2="shared:cloudinit")


def _with_snapshot(replay: Replay, exchange: Exchange) -> None:
    off(171)(replay, exchange)
    snapshot(replay, 171, "s1")


before("template", _with_snapshot, note="has a snapshot")


@seed
def todisk(replay: Replay) -> None:
    vm(replay, 153, paused=True)
    if replay.version == "8.4":
        del replay.server.state.seen[153]


def _second(replay: Replay, _exchange: Exchange) -> None:
    vm(replay, 154, paused=True)


before("todisk", _second, path="154/status/suspend")
