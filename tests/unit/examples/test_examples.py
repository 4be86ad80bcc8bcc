# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples of the documentation, run by ansible-playbook: on a cluster for real, on plain QEMU in check mode."""

from __future__ import annotations

import importlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest
import yaml

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox.driver import ProxmoxBackend
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu import process
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.driver import QemuBackend
from ansible_collections.anyvirt.compute.tests.console import free_port
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.servers.pve.state import GIB, Volume
from ansible_collections.anyvirt.compute.tests.servers.qemu_api import QemuApiServer
from ansible_collections.anyvirt.compute.tests.servers.zstack import ZStackServer
from ansible_collections.anyvirt.compute.tests.setup import novnc
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import run
from ansible_collections.anyvirt.compute.tests.unit.meta.source import MODULES, ROOT

Task = dict[str, Any]
Play = Callable[..., str]


class Known(NamedTuple):
    """A VM that the examples speak of as if it were there."""

    name: str
    tags: tuple[str, ...] = ()
    runs: bool = False
    storage: str = "shared"
    snapshot: str = ""
    template: bool = False


VMS = (
    Known("web1", ("production", "web"), runs=True),
    Known("web2", ("web",), runs=True),
    Known("db1", storage="local", snapshot="before-upgrade"),
    Known("debian-12", template=True),
)
BEGIN_STOPPED = {"task_info", "vm_power"}
"""Modules whose examples start VMs first."""

ONLY_QEMU = {"vm", "vm_config"}
"""Modules whose examples are for plain QEMU where they name no backend: it alone has such networks and slots."""

IMAGE, CD = "debian-12-generic-amd64.qcow2", "debian-12-netinst.iso"
REACH = ("url", "token_id", "token_secret", "ca_path")


def all_examples(module: str) -> list[Task]:
    name = f"ansible_collections.anyvirt.compute.plugins.modules.{module}"
    return yaml.safe_load(importlib.import_module(name).EXAMPLES)


def examples(module: str, backend: str) -> list[Task]:
    """Those that a backend can run. What only looks at a result goes with the task before it."""
    found, here = [], False
    for task in all_examples(module):
        ours = [options or {} for key, options in task.items() if key.startswith("anyvirt.compute.")]
        if ours:
            unnamed = ["qemu"] if module in ONLY_QEMU else ["qemu", "proxmox"]
            here = backend in ([ours[0]["backend"]] if "backend" in ours[0] else unnamed)
        if here:
            found.append(task)
    return found


def at_home(tasks: list[Task], images: pathlib.Path) -> list[Task]:
    """Tasks with images, a network, and what consoles need, that there are on this host."""
    text = yaml.safe_dump(tasks)
    for place in ("https://cloud.debian.org/images/cloud/bookworm/latest", "/srv/images"):
        text = text.replace(place, str(images))
    tasks = yaml.safe_load(text.replace("network: br0", "network: user"))
    for task in tasks:
        if "anyvirt.compute.vm_console" in task:
            task["anyvirt.compute.vm_console"].update(novnc_path=str(novnc.pages()), web_port=free_port())
    return tasks


def settings_of(known: Known, backend: str) -> dict[str, Any]:
    disk, tags = {"slot": "virtio0", "size": "16MiB"}, list(known.tags)
    if backend == "qemu":
        return {"memory": "64", "tags": tags, "disks": [disk], "nics": [{"network": "user"}]}
    disk |= {"storage": known.storage, "format": "qcow2"}
    return {"node": "pve1", "guest_agent": True, "tags": tags, "disks": [disk], "nics": [{"network": "vmbr0"}]}


def do(connection: Mapping[str, Any], module: str, **options: Any) -> None:
    done = run(module, {**connection, **options})
    assert not done.failed, done.result


def prepare(connection: Mapping[str, Any], begin_stopped: bool = False) -> None:
    """Make the VMs that the examples speak of."""
    for known in VMS:
        state = "started" if known.runs and not begin_stopped else "stopped"
        do(connection, "vm", name=known.name, state=state, **settings_of(known, connection["backend"]))
        if known.snapshot:
            do(connection, "vm_snapshot", name=known.name, snapshot=known.snapshot)
        if known.template:
            do(connection, "vm_config", name=known.name, template=True)


@pytest.fixture
def play(tmp_path: pathlib.Path) -> Play:
    """Have ansible-playbook run tasks; returns what it said."""
    namespace = tmp_path / "ansible_collections" / "anyvirt"
    namespace.mkdir(parents=True)
    (namespace / "compute").symlink_to(ROOT)
    outside = ("ANSIBLE_", "ANYVIRT_", "PROXMOX_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    environment |= {
        "ANSIBLE_CONFIG": str(ROOT / "tests" / "setup" / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_REMOTE_TMP": str(tmp_path / "home" / "remote"),
        "ANSIBLE_ASYNC_DIR": str(tmp_path / "home" / "async"),
    }

    def play(tasks: list[Task], reach: Mapping[str, str], *options: str) -> str:
        file = tmp_path / "examples.yml"
        given = {f"proxmox_{name}": f"{{{{ lookup('env', 'ANYVIRT_{name.upper()}') }}}}" for name in REACH}
        given |= {"ansible_python_interpreter": sys.executable, "ansible_become": False}
        head = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": given}
        file.write_text(yaml.safe_dump([{**head, "tasks": tasks}]))
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", str(file), *options],
            env={**environment, **reach},
            text=True,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return play


@pytest.mark.parametrize("module", [path.stem for path in MODULES])
def test_none_is_left_out(module: str) -> None:
    ran = [task for backend in ("proxmox", "qemu", "qemu_api", "zstack") for task in examples(module, backend)]
    assert [task for task in all_examples(module) if task not in ran] == []


# --- on a cluster


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProxmoxServer]:
    monkeypatch.setattr(ProxmoxBackend, "poll_interval", (0.02, 0.1))
    with ProxmoxServer(nodes=3, task_seconds=0.02) as server:
        image = Volume(GIB, "qcow2", 0, server.state.clock.seconds(), content="import")
        server.state.storages["shared"].volumes["", f"import/{IMAGE}"] = image
        yield server


@pytest.mark.parametrize("module", [path.stem for path in MODULES if examples(path.stem, "proxmox")])
def test_on_proxmox(module: str, server: ProxmoxServer, play: Play) -> None:
    reach = {name: str(getattr(server, name)) for name in REACH}
    prepare({"backend": "proxmox", **reach, "url": [server.url]}, module in BEGIN_STOPPED)
    tasks = examples(module, "proxmox")
    for task in tasks:
        if "delay" in task:
            task["delay"] = 0.1  # a copy takes no time here
    told = play(tasks, {f"ANYVIRT_{name.upper()}": value for name, value in {"backend": "proxmox", **reach}.items()})
    assert told.count("TASK [") == len(tasks) and "skipped=0" in told, told
    assert server.token_secret not in told


# --- on an HTTP manager


@pytest.mark.parametrize("module", [path.stem for path in MODULES if examples(path.stem, "qemu_api")])
def test_on_qemu_api(module: str, play: Play) -> None:
    with QemuApiServer() as manager:
        for number, known in enumerate(VMS, 1):
            manager.add_vm(known.name, running=True, vncPort=5900 + number)
        text = yaml.safe_dump(examples(module, "qemu_api"))
        tasks = yaml.safe_load(text.replace("http://manager.example.com:3000", manager.url))
        told = play(tasks, {})
    assert told.count("TASK [") == len(tasks) and "skipped=0" in told, told


# --- on ZStack


@pytest.mark.parametrize("module", [path.stem for path in MODULES if examples(path.stem, "zstack")])
def test_on_zstack(module: str, play: Play) -> None:
    with ZStackServer(task_seconds=0.02) as cloud:
        for known in VMS:
            cloud.add_vm(known.name)
        text = yaml.safe_dump(examples(module, "zstack"))
        text = text.replace("http://zstack.example.com:8080", cloud.url)
        text = text.replace("username: console", f"username: {cloud.account}")
        tasks = yaml.safe_load(text.replace("{{ zstack_password }}", cloud.password))
        said = play(tasks, {})
    assert said.count("TASK [") == len(tasks) and "skipped=0" in said, said


# --- on plain QEMU


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    root = tmp_path_factory.mktemp("qemu") / "state"
    connection = {"backend": "qemu", "state_dir": str(root)}
    prepare(connection)
    # some examples build on the one before, of which nothing comes in check mode
    do(connection, "vm_snapshot", name="web1", snapshot="before-upgrade", memory=True)
    do(connection, "vm", name="desktop1", firmware="uefi", disks=[{"size": "16MiB"}], cdrom={"slot": "sata0"})
    yield root
    store = QemuBackend(connection).store
    for name in store.names():
        if process.is_alive(store.vm_dir(name)):
            process.kill(store.vm_dir(name))


@pytest.mark.parametrize("module", [path.stem for path in MODULES if examples(path.stem, "qemu")])
def test_on_qemu(module: str, state_dir: pathlib.Path, tmp_path: pathlib.Path, play: Play) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in (IMAGE, CD):
        (images / name).touch()
    # a task in the background has no check mode
    tasks = [task for task in examples(module, "qemu") if not {"async", "ansible.builtin.async_status"} & task.keys()]
    play(at_home(tasks, images), {"ANYVIRT_STATE_DIR": str(state_dir)}, "--check", "--diff")
