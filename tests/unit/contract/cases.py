# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked of every backend: a VM in some state, a task on it, and what the backend must be able to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.anyvirt.compute.plugins.module_utils._plan import Op
from ansible_collections.anyvirt.compute.tests.unit.contract.site import NODE, STORAGE

BASE = "base"
"""A stopped VM with one disk and one network card, which every case finds."""

INQUIRIES = {"cluster_info": Op.CLUSTER_INFO, "node_info": Op.NODE_INFO, "task_info": Op.TASK_INFO}
"""Modules that ask for more than VMs."""

PASSWORD, USER_DATA, NEW_PASSWORD = "HUSH-PASSWORD", "#cloud-config\n# HUSH-USER-DATA\n", "HUSH-NEW-PASSWORD"
SECRETS = ("HUSH-PASSWORD", "HUSH-USER-DATA", "HUSH-NEW-PASSWORD")

Task = tuple[str, Mapping[str, Any]]

CUT: Mapping[str, Any] = {"force": True, "shutdown_timeout": 0}
"""These VMs have no system that could shut down."""

TAKEN: Task = ("vm_snapshot", {"name": BASE, "snapshot": "first"})
TAKEN_MEMORY: Task = ("vm_snapshot", {"name": BASE, "snapshot": "first", "memory": True})
LATER: Task = ("vm_config", {"name": BASE, "memory": "128", "tags": ["later"], "description": "later"})
SEED: Task = ("vm_config", {"name": BASE, "cloud_init": {"user": "me", "password": PASSWORD}})
TEMPLATE: Task = ("vm_config", {"name": BASE, "template": True})


@dataclass(frozen=True)
class Case:
    """One task on the base VM, that changes something.

    :param needs: the operations that it is made of.
    :param state: the power state in which the base VM is.
    :param first: further tasks before it.
    :param settings: the settings that it changes, as capabilities name them.
    :param again: whether the same task once more finds nothing to do.
    """

    module: str
    options: Mapping[str, Any]
    needs: frozenset[Op]
    state: str = "stopped"
    first: tuple[Task, ...] = ()
    settings: frozenset[str] = field(default_factory=frozenset)
    again: bool = True


def power(state: str, wanted: str, *needs: Op, again: bool = True, **options: Any) -> Case:
    return Case("vm_power", {"name": BASE, "state": wanted, **options}, frozenset(needs), state, again=again)


def config(state: str = "stopped", first: tuple[Task, ...] = (), **options: Any) -> Case:
    named = {"tags", "description", "memory", "cores", "template", "disks", "nics", "boot_order", "cloud_init"}
    parts = {f"cloud_init.{part}" for part in options.get("cloud_init", {})}
    settings = frozenset(named & {*options} | parts)
    return Case("vm_config", {"name": BASE, **options}, frozenset({Op.UPDATE}), state, first, settings)


def snapshot(
    *needs: Op,
    wanted: str = "present",
    state: str = "stopped",
    first: tuple[Task, ...] = (),
    again: bool = True,
    **options: Any,
) -> Case:
    asked = {"name": BASE, "state": wanted, **options}
    return Case("vm_snapshot", asked, frozenset(needs), state, first, again=again)


def clone(*needs: Op, state: str = "stopped", first: tuple[Task, ...] = (), **options: Any) -> Case:
    settings = frozenset({"memory"} & {*options})
    return Case(
        "vm_clone", {"source": BASE, "name": "copy", **options}, frozenset({Op.CLONE, *needs}), state, first, settings
    )


NEW = {
    "name": "new",
    "memory": "64",
    "cores": 2,
    "tags": ["web", "a", "web"],
    "description": "made by a test",
    "disks": [{"size": "8MiB"}, {"slot": "scsi1", "size": "0.0625"}],
    "nics": [{"mac": "52-54-00-aa-bb-cc"}, {}],
    "boot_order": ["scsi1", "net0"],
}

CASES = {
    # make and remove
    "create": Case("vm", NEW, frozenset({Op.CREATE}), settings=frozenset({"tags", "disks", "nics", "boot_order"})),
    "create stopped": Case("vm", {"name": "new", "state": "stopped"}, frozenset({Op.CREATE})),
    "create started": Case("vm", {**NEW, "state": "started"}, frozenset({Op.CREATE, Op.START})),
    "create with seed": Case(
        "vm",
        {
            "name": "new",
            "disks": [{"size": "8MiB"}],
            "nics": [{}],
            "cloud_init": {"user": "me", "password": PASSWORD, "ip_config": [{"nic": "net0"}]},
        },
        frozenset({Op.CREATE}),
        settings=frozenset({"cloud_init", "cloud_init.user"}),
    ),
    "change and start": Case(
        "vm",
        {"name": BASE, "cores": 2, "state": "started"},
        frozenset({Op.UPDATE, Op.START}),
        settings=frozenset({"cores"}),
    ),
    "create from": Case(
        "vm", {"name": "new", "clone_from": {"name": BASE}, "memory": "128"}, frozenset({Op.CLONE, Op.UPDATE})
    ),
    "create from and start": Case(
        "vm", {"name": "new", "clone_from": {"name": BASE}, "state": "started"}, frozenset({Op.CLONE, Op.START})
    ),
    "delete": Case("vm", {"name": BASE, "state": "absent"}, frozenset({Op.DELETE})),
    "delete suspended": Case("vm", {"name": BASE, "state": "absent"}, frozenset({Op.DELETE}), "suspended"),
    "delete running": Case("vm", {"name": BASE, "state": "absent", "force": True}, frozenset({Op.DELETE}), "running"),
    # change
    "config": config(tags=["b", "a"], description="new", memory="128", cores=2),
    "config devices": config(
        disks=[{"slot": "virtio0", "size": "32MiB"}, {"slot": "virtio1", "size": "8MiB"}],
        nics=[{"slot": "net0", "model": "e1000e", "connected": False}, {"slot": "net1", "mac": "52:54:00:00:00:01"}],
    ),
    "config absent": config(
        first=(("vm_config", {"name": BASE, "nics": [{"slot": "net1"}], "tags": ["a"], "description": "old"}),),
        absent=["net1", "virtio0", "tags", "description", "cdrom"],
    ),
    "config template": config(template=True),
    "config seed": config(cloud_init={"user": "me", "password": PASSWORD}),
    "config seed data": config(cloud_init={"user": "me", "user_data": USER_DATA}),
    "config seed changed": config(first=(SEED,), cloud_init={"user": "you", "password": NEW_PASSWORD}),
    "config seed absent": config(first=(SEED,), absent=["cloud_init"]),
    "config seed running": config("running", cloud_init={"user": "me"}),
    "config seed taken back": config("running", first=(SEED,), absent=["cloud_init"]),
    "config running": config("running", tags=["a"], memory="128", cores=2),
    "config paused": config("paused", description="new", memory="128"),
    "config next boot": config("running", tags=["a"], memory="128", apply="next_boot"),
    "config taken back": config(
        "running", first=(("vm_config", {"name": BASE, "memory": "128", "cores": 2}),), memory="64"
    ),
    "config more pending": config("running", first=(("vm_config", {"name": BASE, "memory": "128"}),), cores=2),
    "config reboot": config("running", memory="128", apply="reboot", **CUT),
    "config reboot for what is pending": config(
        "running", first=(("vm_config", {"name": BASE, "memory": "128"}),), cores=2, apply="reboot", **CUT
    ),
    "config plug": config(
        "running",
        nics=[{"slot": "net1", "mac": "52:54:00:00:00:01"}],
        disks=[{"slot": "virtio1", "size": "8MiB"}],
        description="plugged",
    ),
    "config grow running": config("running", disks=[{"slot": "virtio0", "size": "32MiB"}]),
    "config link": config("running", nics=[{"slot": "net0", "connected": False}]),
    "config part pending": config("running", nics=[{"slot": "net0", "model": "e1000e"}]),
    # power
    "start": power("stopped", "started", Op.START),
    "start paused": power("paused", "started", Op.RESUME),
    "start suspended": power("suspended", "started", Op.RESUME),
    "stop": power("running", "stopped", Op.STOP, **CUT),
    "stop asked": power("running", "stopped", Op.SHUTDOWN, force=True, shutdown_timeout=1),
    "stop paused": power("paused", "stopped", Op.STOP, **CUT),
    "stop suspended": power("suspended", "stopped", Op.STOP, force=True),
    "restart": power("running", "restarted", Op.START, again=False, **CUT),
    "restart paused": power("paused", "restarted", Op.START, again=False, **CUT),
    "restart stopped": power("stopped", "restarted", Op.START, again=False),
    "restart suspended": power("suspended", "restarted", Op.RESUME, Op.START, again=False, **CUT),
    "reset": power("running", "reset", Op.RESET, again=False),
    "pause": power("running", "paused", Op.PAUSE),
    "resume": power("paused", "resumed", Op.RESUME),
    "suspend": power("running", "suspended", Op.SUSPEND),
    "pause pending": Case(
        "vm_power",
        {"name": BASE, "state": "paused"},
        frozenset({Op.PAUSE}),
        "running",
        (("vm_config", {"name": BASE, "memory": "128", "tags": ["a"]}),),
    ),
    "suspend paused": power("paused", "suspended", Op.SUSPEND),
    "resume suspended": power("suspended", "resumed", Op.RESUME),
    # snapshots
    "snapshot": snapshot(Op.SNAPSHOT, snapshot="first", description="why"),
    "snapshot running": snapshot(Op.SNAPSHOT, state="running", snapshot="first"),
    "snapshot memory": snapshot(
        Op.SNAPSHOT, Op.SNAPSHOT_MEMORY, state="running", snapshot="first", description="why", memory=True
    ),
    "snapshot memory paused": snapshot(Op.SNAPSHOT, Op.SNAPSHOT_MEMORY, state="paused", snapshot="first", memory=True),
    "snapshot pending": snapshot(
        Op.SNAPSHOT,
        state="running",
        first=(("vm_config", {"name": BASE, "memory": "128"}),),
        snapshot="first",
    ),
    "snapshot describe": snapshot(Op.SNAPSHOT_DESCRIBE, first=(TAKEN,), snapshot="first", description="why"),
    "snapshot delete": snapshot(Op.SNAPSHOT_DELETE, first=(TAKEN,), snapshot="first", wanted="absent"),
    "snapshot delete parent": snapshot(
        Op.SNAPSHOT_DELETE,
        first=(TAKEN, ("vm_snapshot", {"name": BASE, "snapshot": "second"})),
        snapshot="first",
        wanted="absent",
    ),
    "snapshot delete family": snapshot(
        Op.SNAPSHOT_DELETE,
        first=(TAKEN, ("vm_snapshot", {"name": BASE, "snapshot": "second"})),
        snapshot="first",
        wanted="absent",
        children=True,
    ),
    "snapshot delete running": snapshot(
        Op.SNAPSHOT_DELETE, state="running", first=(TAKEN_MEMORY,), snapshot="first", wanted="absent"
    ),
    "snapshot retention": snapshot(
        Op.SNAPSHOT,
        Op.SNAPSHOT_DELETE,
        first=(TAKEN, ("vm_snapshot", {"name": BASE, "snapshot": "other"})),
        snapshot="f-new",
        retention={"prefix": "f", "keep": 1},
    ),
    "revert": snapshot(
        Op.REVERT,
        first=(TAKEN, ("vm_config", {"name": BASE, "memory": "128", "nics": [{"slot": "net1"}]})),
        snapshot="first",
        wanted="reverted",
        again=False,
    ),
    "revert and start": snapshot(
        Op.REVERT, first=(TAKEN,), snapshot="first", wanted="reverted", start=True, again=False
    ),
    "revert running": snapshot(
        Op.REVERT, state="running", first=(TAKEN,), snapshot="first", wanted="reverted", force=True, again=False
    ),
    "revert live": snapshot(
        Op.REVERT,
        state="running",
        first=(TAKEN_MEMORY, ("vm_config", {"name": BASE, "memory": "128", "tags": ["a"]})),
        snapshot="first",
        wanted="reverted",
        force=True,
        again=False,
    ),
    "revert paused": snapshot(
        Op.REVERT, state="paused", first=(TAKEN_MEMORY,), snapshot="first", wanted="reverted", force=True, again=False
    ),
    "revert to memory": snapshot(
        Op.REVERT,
        state="running",
        first=(TAKEN_MEMORY, ("vm_power", {"name": BASE, "state": "stopped", **CUT})),
        snapshot="first",
        wanted="reverted",
        again=False,
    ),
    "revert disks": snapshot(
        Op.REVERT_DISKS, first=(TAKEN,), snapshot="first", wanted="reverted", disks=["virtio0"], again=False
    ),
    # clones
    "clone": clone(),
    "clone full": clone(full=True, first=(TEMPLATE,)),
    "clone changed": clone(Op.UPDATE, memory="128", tags=["copy"], nics=[{"slot": "net0", "mac": "52:54:00:00:00:09"}]),
    "clone linked": clone(Op.CLONE_LINKED, linked=True),
    "clone template": clone(Op.CLONE_LINKED, first=(TEMPLATE,)),
    "clone snapshot": clone(
        Op.CLONE_SNAPSHOT,
        first=(TAKEN, ("vm_config", {"name": BASE, "memory": "128", "tags": ["later"], "description": "later"})),
        snapshot="first",
    ),
    "clone to storage": clone(Op.CLONE_STORAGE, storage=STORAGE),
    "clone running": clone(state="running"),
    # elsewhere
    "migrate": Case("vm_migrate", {"name": BASE, "node": NODE}, frozenset({Op.MIGRATE})),
    "migrate running": Case(
        "vm_migrate", {"name": BASE, "node": NODE}, frozenset({Op.MIGRATE, Op.MIGRATE_ONLINE}), "running"
    ),
    "migrate with disks": Case(
        "vm_migrate",
        {"name": BASE, "node": NODE, "with_local_disks": True},
        frozenset({Op.MIGRATE, Op.MIGRATE_LOCAL_DISKS}),
    ),
    # a page for people
    "console": Case("vm_console", {"name": BASE}, frozenset({Op.CONSOLE}), "running", again=False),
    "console close": Case(
        "vm_console",
        {"name": BASE, "state": "absent"},
        frozenset({Op.CLOSE_CONSOLE}),
        "running",
        (("vm_console", {"name": BASE}),),
    ),
}
