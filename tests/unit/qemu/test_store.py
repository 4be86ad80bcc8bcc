# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state directory: whole or not at all, ours or left alone."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import random
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu import store as store_module
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.store import (
    Record,
    Store,
    write_atomically,
)
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import (
    BackendError,
    Conflict,
    PermissionDenied,
)
from ansible_collections.anyvirt.compute.plugins.module_utils._task import Deadline

UUID = "4d0f1cbe-0000-4000-8000-000000000000"


def record(name: str = "web", **values: Any) -> Record:
    return Record(name=name, uuid=UUID, machine="pc-q35-7.2", config={"memory": 64, "tags": ["ä"]}, **values)


@pytest.fixture
def store(state_dir: pathlib.Path) -> Store:
    made = Store(str(state_dir))
    made.prepare()
    return made


def make(store: Store, of: Record) -> Record:
    with store.building() as directory:
        store.save(of, directory)
        store.publish(directory, of.name)
    return of


def tree(root: pathlib.Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


# --- reading and writing


def test_a_record_comes_back_as_it_was(store: Store) -> None:
    of = make(
        store,
        record(
            files={"virtio0": "disk0.qcow2"},
            ports={"net0": 0},
            port_count=12,
            snapshots={"s": {"parent": None, "time": 1}},
            current="s",
            suspended=True,
            reverting="s",
            base="b",
            detached=["disk9.qcow2"],
            generation=7,
        ),
    )
    assert store.load("web") == of
    assert store.names() == ["web"]


def test_no_vm_is_none_and_reading_makes_nothing(state_dir: pathlib.Path) -> None:
    store = Store(str(state_dir / "new"))
    assert store.load("web") is None
    assert store.names() == []
    assert tree(state_dir) == set()


def test_the_old_version_is_kept_beside_the_new(store: Store) -> None:
    of = make(store, record())
    store.save(replace(of, generation=1))
    store.save(replace(of, generation=2))
    directory = pathlib.Path(store.vm_dir("web"))
    assert json.loads((directory / "vm.json").read_text())["generation"] == 2
    assert json.loads((directory / "vm.json.old").read_text())["generation"] == 1
    assert {path.name for path in directory.iterdir()} == {"vm.json", "vm.json.old"}


def test_everything_is_for_the_owner_alone(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "a" / "state"
    make(Store(str(root)), record())
    for path in [root, *root.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_directory_that_others_may_read_is_closed(state_dir: pathlib.Path) -> None:
    state_dir.chmod(0o755)
    Store(str(state_dir)).prepare()
    assert stat.S_IMODE(state_dir.stat().st_mode) == 0o700


# --- what is not ours, or damaged


@pytest.mark.parametrize("kind", ["directory", "file", "link"])
def test_what_we_did_not_make_is_left_alone(kind: str, store: Store) -> None:
    path = pathlib.Path(store.vm_dir("web"))
    if kind == "directory":
        path.mkdir()
        (path / "disk.img").write_text("theirs")
    elif kind == "file":
        path.write_text("theirs")
    else:
        path.symlink_to("/nowhere")
    before = tree(pathlib.Path(store.root))
    with pytest.raises(Conflict, match=r"was not made by anyvirt\.compute"):
        store.load("web")
    assert store.names() == []
    with pytest.raises(Conflict, match="exists already"):
        make(store, record())
    assert tree(pathlib.Path(store.root)) - {".locks/.sweep"} == before


def content(**values: Any) -> bytes:
    from dataclasses import asdict

    return json.dumps({"schema": store_module.SCHEMA, **asdict(record()), **values}).encode()


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        content()[: len(content()) // 2],
        content()[:-1],
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"\x00" * 100,
        b"{}",
        b'{"schema": 1}',
        content(unknown=1),
    ],
)
def test_a_damaged_record_is_told_and_kept(damaged: bytes, store: Store) -> None:
    make(store, record())
    path = pathlib.Path(store.vm_dir("web")) / "vm.json"
    path.write_bytes(damaged)
    with pytest.raises(BackendError, match=r"vm\.json is damaged.*vm\.json\.old"):
        store.load("web")
    assert path.read_bytes() == damaged
    assert store.names() == ["web"]


@pytest.mark.parametrize("schema", [0, 2, 99, "1", None])
def test_another_schema_is_not_guessed_at(schema: Any, store: Store) -> None:
    make(store, record())
    (pathlib.Path(store.vm_dir("web")) / "vm.json").write_bytes(content(schema=schema))
    with pytest.raises(BackendError, match=f"has schema {schema}; this version of the collection reads 1"):
        store.load("web")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_state_directory_is_refused(state_dir: pathlib.Path) -> None:
    os.chown(state_dir, 12345, -1)
    with pytest.raises(PermissionDenied, match="belongs to user 12345, not to 0"):
        Store(str(state_dir)).prepare()
    assert tree(state_dir) == set()


@pytest.mark.parametrize("place", ["file/state", "file"])
def test_a_state_directory_that_cannot_be_made_is_told(place: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionDenied, match="cannot be used"):
        Store(str(tmp_path / place)).prepare()


# --- building and removing


def test_what_is_built_appears_at_once(store: Store) -> None:
    with store.building() as directory:
        store.save(record(), directory)
        assert store.names() == []
        assert store.load("web") is None
        store.publish(directory, "web")
        assert store.names() == ["web"]
    assert os.listdir(store.path(".trash")) == []


def test_what_was_not_finished_goes_away(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.building() as directory:
        store.save(record(), directory)
        raise ZeroDivisionError
    assert os.listdir(store.path(".trash")) == []
    assert store.names() == []


def test_a_name_that_is_taken_stays_as_it_is(store: Store) -> None:
    make(store, record())
    with pytest.raises(Conflict, match="exists already"):
        make(store, record(generation=99))
    found = store.load("web")
    assert found is not None
    assert found.generation == 0
    assert os.listdir(store.path(".trash")) == []


def test_a_removed_vm_leaves_nothing(store: Store) -> None:
    make(store, record())
    (pathlib.Path(store.vm_dir("web")) / "disk0.qcow2").write_text("data")
    store.remove("web")
    assert os.listdir(store.path("vms")) == []
    assert os.listdir(store.path(".trash")) == []
    assert store.load("web") is None


def test_only_what_nobody_works_in_is_swept(store: Store) -> None:
    for name in ("dead", "alive"):
        os.mkdir(store.path(".trash", name))
        pathlib.Path(store.path(".trash", name, "disk0.qcow2")).write_text("data")
    alive = os.open(store.path(".trash", "alive"), os.O_RDONLY)
    fcntl.flock(alive, fcntl.LOCK_EX)
    try:
        with store.building():
            store.sweep()
            assert len(os.listdir(store.path(".trash"))) == 2
        store.sweep()
        assert os.listdir(store.path(".trash")) == ["alive"]
        assert os.listdir(store.path(".trash", "alive")) == ["disk0.qcow2"]
    finally:
        os.close(alive)
    store.sweep()
    assert os.listdir(store.path(".trash")) == []


def test_a_single_stray_file_is_no_obstacle(store: Store) -> None:
    pathlib.Path(store.path(".trash", "stray")).write_text("")
    store.sweep()
    make(store, record())
    assert store.names() == ["web"]


def test_sweeping_leaves_no_descriptor_open(store: Store) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        os.mkdir(store.path(".trash", f"dead{number}"))
    store.sweep()
    make(store, record())
    store.remove("web")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("first", "second", "both"), [(True, True, True), (True, False, False), (False, True, False)])
def test_operations_on_one_vm(first: bool, second: bool, both: bool, store: Store) -> None:
    with store.operation("web", first, Deadline(0)):
        with store.operation("other", False, Deadline(0)):
            pass
        if both:
            with store.operation("web", second, Deadline(0)):
                pass
        else:
            with pytest.raises(Conflict, match="VM web is busy"), store.operation("web", second, Deadline(0)):
                pytest.fail("both hold it")


# --- crashes


def test_a_reader_never_meets_half_a_record(store: Store) -> None:
    of = make(store, record(snapshots={f"s{n}": {"description": "x" * 200} for n in range(200)}))
    stop = threading.Event()
    broken: list[Exception] = []
    seen: list[int] = []

    def read() -> None:
        while not stop.is_set():
            try:
                found = store.load("web")
                assert found is not None
                assert len(found.snapshots) == 200
                seen.append(found.generation)
            except (AssertionError, BackendError, Conflict, OSError) as error:
                broken.append(error)
                return

    readers = [threading.Thread(target=read) for _turn in range(2)]
    for reader in readers:
        reader.start()
    for generation in range(1, 40):
        store.save(replace(of, generation=generation))
    stop.set()
    for reader in readers:
        reader.join()
    assert broken == []
    assert len(seen) > 10


def test_a_write_that_fails_leaves_what_was(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(str(path), b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


WRITER = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("checkout", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.store import Record, Store
store = Store(sys.argv[2])
snapshots = {f"s{n}": {"description": "x" * 200} for n in range(100)}
print("ready", flush=True)
while not sys.stdin.read(1):
    os._exit(1)
number = 0
while True:
    number += 1
    made = Record(name=f"vm{number % 3}", uuid="u", machine="m", config={}, snapshots=snapshots, generation=number)
    if store.load(made.name) is None:
        with store.building() as directory:
            store.save(made, directory)
            store.publish(directory, made.name)
    elif number % 7:
        store.save(made)
    else:
        store.remove(made.name)
"""


def start_writer(store: Store) -> subprocess.Popen[bytes]:
    here = next(path for path in pathlib.Path(__file__).resolve().parents if (path / "galaxy.yml").exists())
    command = [sys.executable, "-c", WRITER, str(here / "conftest.py"), store.root]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def kill_in_the_middle(writer: subprocess.Popen[bytes], seconds: float) -> None:
    assert writer.stdin is not None
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    writer.stdin.write(b"g")
    writer.stdin.close()
    time.sleep(seconds)
    assert writer.poll() is None
    writer.kill()
    writer.wait()
    writer.stdout.close()


def test_a_writer_that_is_killed_at_any_moment_leaves_whole_vms(store: Store) -> None:
    """It makes, changes and removes VMs until it is killed; whoever comes next finds only whole ones."""
    moments, seen = random.Random(7), 0
    writers = [start_writer(store) for _turn in range(8)]
    for writer in writers:
        kill_in_the_middle(writer, 0.02 + moments.random() * 0.1)
        assert sorted(os.listdir(store.path("vms"))) == store.names()
        for name in store.names():
            found = store.load(name)
            assert found is not None
            assert (found.name, len(found.snapshots)) == (name, 100)
            seen += 1
    assert seen
    store.sweep()
    assert os.listdir(store.path(".trash")) == []
