# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starting, stopping, pausing: what each does in its task, and what HA does in its own time."""

from __future__ import annotations

import time
from typing import Any

from .auth import Caller
from .config import apply_pending
from .errors import ApiError, missing_file
from .options import NET
from .routes import VM, Call, route
from .state import MIB, ROOT, Cluster, Guest
from .tasks import Later, Task
from .text import words
from .volumes import allocate, find, formatting, free, split, storage

_START_INTERNAL = words(
    "skiplock stateuri migratedfrom migration_type migration_network targetstorage force-cpu nets-host-mtu"
    " with-conntrack-state"
)
_RUNNING_KEYS = ("lock", "vmstate", "runningmachine", "runningcpu", "running-nets-host-mtu")


def _present(cluster: Cluster, node: str, vmid: int) -> Guest:
    guest = cluster.guests.get(vmid)
    if guest is None or guest.node != node:
        raise missing_file(node, vmid)
    return guest


def _not_running(vmid: int) -> ApiError:
    return ApiError(f"VM {vmid} not running\n")


def switch_on(cluster: Cluster, guest: Guest) -> None:
    guest.running, guest.paused = True, False
    if cluster.clock.now() - guest.stopped < cluster.cleanup_seconds:  # the cleanup of the former process is not over
        cluster.clock.after(0.02, lambda: cluster.tasks.hold(guest.vmid))
        cluster.clock.after(30, lambda: cluster.tasks.release(guest.vmid))
    guest.started = cluster.clock.now()
    guest.pid = cluster.random.randint(10000, 40000)


def switch_off(cluster: Cluster, guest: Guest) -> None:
    guest.running = guest.paused = False
    guest.stopped = cluster.clock.now()
    guest.commands.clear()
    apply_pending(cluster, guest)


# -- start ------------------------------------------------------------------------------------------------------------


def _check_start(cluster: Cluster, guest: Guest, task: Task) -> None:
    """What a start runs into, in the server's order."""
    if guest.running:
        raise ApiError(f"VM {guest.vmid} already running\n")
    if guest.template:
        raise ApiError("you can't start a vm if it's a template\n")
    node = cluster.nodes[guest.node]
    apply_pending(cluster, guest)
    for key in sorted(guest.config):
        if NET.fullmatch(key):
            bridge = cluster.contract.options(key, guest.config[key]).get("bridge")
            if bridge and bridge not in node.bridges:
                raise ApiError(
                    f"bridge '{bridge}' does not exist\n" if cluster.new else "start failed: QEMU exited with code 1\n"
                )
    if guest.config.get("kvm", 1) and not node.kvm:
        raise ApiError("start failed: QEMU exited with code 1\n")
    if guest.config.get("bios") == "ovmf" and "efidisk0" not in guest.config:
        task.warn("no efidisk configured! Using temporary efivars disk.")


def start_task(cluster: Cluster, caller: Caller, node: str, vmid: int, skiplock: bool = False) -> str:
    """The worker of a start; also what autostart, rollback and HA use."""

    def work(task: Task) -> None:
        guest = cluster.guest(node, vmid)
        if not skiplock:
            guest.check_lock("suspended")
        suspended = guest.lock == "suspended"
        _check_start(cluster, guest, task)
        if suspended:
            wake(cluster, guest, task)
        else:
            switch_on(cluster, guest)

    return cluster.tasks.spawn(caller, node, "qmstart", vmid, work, lock=vmid)


@route("POST", VM + "/status/start")
def start(call: Call) -> str:
    call.root_only(*_START_INTERNAL)
    call.cluster.check_quorum()
    guest = call.cluster.guests.get(call.vmid)
    if guest and guest.ha and guest.node == call.node:
        return _ha(call, guest, "hastart", "started")
    return start_task(call.cluster, call.caller, call.node, call.vmid, bool(call.params.get("skiplock")))


def wake(cluster: Cluster, guest: Guest, task: Task) -> None:
    """Bring a guest that was suspended to disk back as it was."""
    task.log.append("Resuming suspended VM")
    state = guest.config.get("vmstate")
    paused = guest.paused
    switch_on(cluster, guest)
    guest.paused = paused
    if state:
        task.log.append(f"activating and using '{state}' as vmstate")
        free(cluster, guest.node, state)
    for key in _RUNNING_KEYS:
        guest.config.pop(key, None)
    task.log.append("Resumed VM, removing state")


# -- stop -------------------------------------------------------------------------------------------------------------


@route("POST", VM + "/status/stop")
def stop(call: Call) -> str:
    call.root_only("skiplock", "keepActive", "migratedfrom")
    cluster, guest = call.cluster, call.cluster.guests.get(call.vmid)
    if guest and guest.ha and guest.node == call.node:
        return _ha(call, guest, "hastop", "stopped")
    overruled: list[str] = []
    if call.params.get("overrule-shutdown"):
        for task in list(cluster.tasks.running.get(call.node, [])):
            if task.type == "qmshutdown" and task.id == str(call.vmid):
                overruled.append(task.upid)
                cluster.tasks.interrupt(task)

    def work(task: Task) -> None:
        if overruled:
            task.log.append(f"overruled qmshutdown tasks: {', '.join(overruled)}")
        here = _present(cluster, call.node, call.vmid)
        if here.running:
            if not call.params.get("skiplock"):
                here.check_lock()
            switch_off(cluster, here)

    return call.spawn("qmstop", work, lock=call.vmid)


def _powerdown(call: Call, again: bool) -> Any:
    """The steps of a shutdown; with again a start follows."""
    cluster = call.cluster
    timeout = call.params.get("timeout", 600 if again else 180)

    def ask(task: Task) -> Later | None:
        guest = _present(cluster, call.node, call.vmid)
        if not guest.running:
            return None
        if not call.params.get("skiplock"):
            guest.check_lock()
        answers = guest.shutdown_seconds
        if guest.paused:
            answers = None
        if answers is not None and answers <= timeout:
            return Later(answers, off)
        return Later(timeout, late)

    def off(task: Task) -> None:
        guest = _present(cluster, call.node, call.vmid)
        switch_off(cluster, guest)
        if again:
            _check_start(cluster, guest, task)
            switch_on(cluster, guest)

    def late(task: Task) -> None:
        if not call.params.get("forceStop"):
            raise ApiError("VM quit/powerdown failed - got timeout\n")
        task.log.append("VM still running - terminating now with SIGTERM")
        off(task)

    return ask


@route("POST", VM + "/status/shutdown")
def shutdown(call: Call) -> str:
    call.root_only("skiplock", "keepActive")
    guest = call.cluster.guests.get(call.vmid)
    if guest and guest.ha and guest.node == call.node:
        return _ha(call, guest, "hastop", "stopped")
    return call.spawn("qmshutdown", _powerdown(call, again=False), lock=call.vmid)


@route("POST", VM + "/status/reboot")
def reboot(call: Call) -> str:
    if not _present(call.cluster, call.node, call.vmid).running:
        raise _not_running(call.vmid)
    return call.spawn("qmreboot", _powerdown(call, again=True), lock=call.vmid)


@route("POST", VM + "/status/reset")
def reset(call: Call) -> str:
    call.root_only("skiplock")
    if not _present(call.cluster, call.node, call.vmid).running:
        raise _not_running(call.vmid)

    def work(_task: Task) -> None:
        guest = _present(call.cluster, call.node, call.vmid)
        if not call.params.get("skiplock"):
            guest.check_lock()
        guest.commands.clear()

    return call.spawn("qmreset", work, lock=call.vmid)


# -- pause ------------------------------------------------------------------------------------------------------------


@route("POST", VM + "/status/suspend")
def suspend(call: Call) -> str:
    call.root_only("skiplock")
    cluster = call.cluster
    if not _present(cluster, call.node, call.vmid).running:
        raise _not_running(call.vmid)
    skip, todisk = bool(call.params.get("skiplock")), bool(call.params.get("todisk"))
    if call.params.get("statestorage"):
        storage(cluster, call.params["statestorage"])

    def pause(_task: Task) -> None:
        guest = _present(cluster, call.node, call.vmid)
        if not skip:
            guest.check_lock()
        guest.paused = True

    def begin(_task: Task) -> None:
        guest = _present(cluster, call.node, call.vmid)
        if not skip:
            guest.check_lock()
        guest.config["lock"] = "suspending"

    def undo() -> None:
        guest = cluster.guests.get(call.vmid)
        if guest and guest.lock == "suspending":
            del guest.config["lock"]

    def to_disk(task: Task) -> None:
        guest = _present(cluster, call.node, call.vmid)
        day = time.strftime("%Y-%m-%d", time.gmtime(cluster.clock.now()))
        where = call.params.get("statestorage") or guest.config.get("vmstatestorage") or _state_storage(guest)
        state = save_state(cluster, guest, where, f"suspend-{day}", task)
        paused = guest.paused
        guest.config.update(running_keys(cluster, guest), lock="suspended", vmstate=state)
        guest.running = False
        guest.paused = paused
        task.log.append("State saved, quitting")

    if todisk:
        return call.spawn("qmsuspend", to_disk, lock=call.vmid, begin=begin, undo=undo)
    return call.spawn("qmpause", pause, lock=call.vmid)


def _state_storage(guest: Guest) -> str:
    drives = [key for key in guest.drives() if ":" in str(guest.config[key])]
    return split(guest.config[drives[0]])[0] if drives else "local"


def running_keys(cluster: Cluster, guest: Guest) -> dict[str, str]:
    """What is noted beside a saved state."""
    keys = {"runningcpu": "qemu64", "runningmachine": "pc-i440fx-7.2"}
    nics = sorted(key for key in guest.config if NET.fullmatch(key))
    if cluster.new and nics:
        keys["running-nets-host-mtu"] = ",".join(f"{key}=0" for key in nics)
    return keys


def save_state(cluster: Cluster, guest: Guest, where: str, name: str, task: Task) -> str:
    """A volume with the memory of the guest."""
    size = (500 + 2 * int(str(guest.config.get("memory", 512)).removeprefix("current="))) * MIB
    volume = allocate(cluster, storage(cluster, where), guest.node, guest.vmid, size, kind=f"state-{name}", fmt="raw")
    made = find(cluster, guest.node, volume)
    assert made is not None
    task.log.append(formatting(cluster, volume, made))
    return volume


@route("POST", VM + "/status/resume")
def resume(call: Call) -> str:
    call.root_only("skiplock", "nocheck")
    cluster = call.cluster
    guest = _present(cluster, call.node, call.vmid)
    if not guest.running and guest.lock != "suspended":
        raise _not_running(call.vmid)

    def work(task: Task) -> None:
        here = _present(cluster, call.node, call.vmid)
        if here.lock == "suspended" and not here.running:
            wake(cluster, here, task)
        else:
            here.paused = False

    return call.spawn("qmresume", work, lock=call.vmid)


# -- high availability ----------------------------------------------------------------------------------------------


def _ha(call: Call, guest: Guest, kind: str, wanted: str) -> str:
    """The request is over when the manager has noted it; the guest follows ha_seconds later in a task of its own."""
    cluster = call.cluster

    def note(_task: Task) -> None:
        assert guest.ha is not None
        if guest.ha["state"] == "error":  # it stays so until an administrator disables it
            return
        guest.ha["state"] = wanted
        cluster.clock.after(guest.ha_seconds, act)

    def act() -> None:
        if guest.vmid not in cluster.guests or guest.running == (wanted == "started"):
            return
        if wanted == "started":
            start_task(cluster, ROOT, guest.node, guest.vmid)
        else:

            def off(_task: Any) -> Any:
                return switch_off(cluster, guest) if guest.running else None

            cluster.tasks.spawn(ROOT, guest.node, "qmshutdown", guest.vmid, off, lock=guest.vmid)

    return call.spawn(kind, note)
