# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks on real files, held by real processes."""

from __future__ import annotations

import fcntl
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.locks import (
    EXCLUSIVE,
    SHARED,
    hold,
    is_held,
    lock_descriptor,
    try_lock,
    wait_for_lock,
)
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import Conflict, TransportError
from ansible_collections.anyvirt.compute.plugins.module_utils._task import Clock, Deadline

HOLDER = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, int(sys.argv[2])); print(flush=True); input()"


@contextmanager
def held_by_another(path: str, mode: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", HOLDER, path, str(mode)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "lock")


@pytest.mark.parametrize(
    ("theirs", "ours", "free"),
    [
        (EXCLUSIVE, EXCLUSIVE, False),
        (EXCLUSIVE, SHARED, False),
        (SHARED, EXCLUSIVE, False),
        (SHARED, SHARED, True),
    ],
)
def test_who_shuts_out_whom(theirs: int, ours: int, free: bool, path: str) -> None:
    with held_by_another(path, theirs):
        descriptor = try_lock(path, ours)
        assert (descriptor is not None) is free
    if descriptor is not None:
        os.close(descriptor)


@pytest.mark.parametrize(("theirs", "held"), [(EXCLUSIVE, True), (SHARED, False)])
def test_only_an_exclusive_holder_counts(theirs: int, held: bool, path: str) -> None:
    with held_by_another(path, theirs):
        assert is_held(path) is held
    assert is_held(path) is False


def test_a_lock_that_was_never_made_is_not_held_and_asking_makes_none(path: str) -> None:
    assert is_held(path) is False
    assert not os.path.exists(path)


def test_asking_leaves_the_lock_free_and_no_descriptor_open(path: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with held_by_another(path, EXCLUSIVE):
        assert is_held(path)
        assert try_lock(path, EXCLUSIVE) is None
    assert not is_held(path)
    descriptor = try_lock(path, EXCLUSIVE)
    assert descriptor is not None
    os.close(descriptor)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_lock_dies_with_its_holder(path: str) -> None:
    with held_by_another(path, EXCLUSIVE) as holder:
        assert is_held(path)
        holder.kill()
        holder.wait()
        assert not is_held(path)


def test_a_lock_lives_on_in_a_descriptor_that_was_inherited(path: str) -> None:
    """This is how QEMU holds its life lock."""
    descriptor = try_lock(path, EXCLUSIVE)
    assert descriptor is not None
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[descriptor])
    os.close(descriptor)
    try:
        assert is_held(path)
    finally:
        child.kill()
        child.wait()
        assert child.stdin is not None
        child.stdin.close()
    assert not is_held(path)


def test_a_lock_is_for_its_owner_alone_and_not_inherited_by_chance(path: str) -> None:
    descriptor = try_lock(path, EXCLUSIVE)
    assert descriptor is not None
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    os.close(descriptor)


def test_an_open_file_that_cannot_be_locked_is_closed(path: str) -> None:
    with held_by_another(path, EXCLUSIVE):
        descriptor = os.open(path, os.O_RDWR)
        assert lock_descriptor(descriptor, EXCLUSIVE) is False
        with pytest.raises(OSError):
            os.fstat(descriptor)


def test_waiting_ends_when_the_holder_does(path: str) -> None:
    pauses: list[float] = []
    with held_by_another(path, EXCLUSIVE) as holder:

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                holder.kill()
                holder.wait()

        descriptor = wait_for_lock(path, EXCLUSIVE, Deadline(60, Clock(now=lambda: sum(pauses), sleep=sleep)))
    assert descriptor is not None
    os.close(descriptor)
    assert len(pauses) == 3


def test_waiting_ends_with_the_deadline(path: str) -> None:
    pauses: list[float] = []
    with held_by_another(path, SHARED):
        deadline = Deadline(7, Clock(now=lambda: sum(pauses), sleep=pauses.append))
        with pytest.raises(Conflict, match="VM web is busy: another operation holds it for more than 7 s"):  # noqa: SIM117
            with hold(path, EXCLUSIVE, deadline, "VM web"):
                pytest.fail("the lock is held by another")
    assert sum(pauses) == pytest.approx(7)


def test_a_held_lock_is_given_back_whatever_happens(path: str) -> None:
    with pytest.raises(ZeroDivisionError), hold(path, EXCLUSIVE, Deadline(1), "VM web"):
        assert is_held(path)
        raise ZeroDivisionError
    assert not is_held(path)


def test_a_lock_whose_directory_is_gone_is_told(tmp_path: pathlib.Path) -> None:
    with (
        pytest.raises(TransportError, match="VM web is gone"),
        hold(str(tmp_path / "no" / "l"), SHARED, Deadline(1), "VM web"),
    ):
        pytest.fail("there is no such directory")
