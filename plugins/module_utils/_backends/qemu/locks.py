# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks of the kernel: free at once when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..._errors import Conflict, TransportError
from ..._task import Deadline

EXCLUSIVE = fcntl.LOCK_EX
SHARED = fcntl.LOCK_SH


def try_lock(path: str, mode: int) -> int | None:
    """A descriptor that holds the lock until it is closed, or None where someone else holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return descriptor if lock_descriptor(descriptor, mode) else None


def lock_descriptor(descriptor: int, mode: int) -> bool:
    """Whether the open file could be locked; it is closed if not."""
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True


def is_held(path: str) -> bool:
    """Whether someone holds the lock exclusively. Asks with a shared lock, so that two askers do not see each other."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    if lock_descriptor(descriptor, SHARED):
        os.close(descriptor)
        return False
    return True


def wait_for_lock(path: str, mode: int, deadline: Deadline, interval: tuple[float, float] = (0.02, 0.5)) -> int | None:
    for _turn in deadline.intervals(*interval):
        descriptor = try_lock(path, mode)
        if descriptor is not None:
            return descriptor
    return None


@contextmanager
def hold(path: str, mode: int, deadline: Deadline, what: str) -> Iterator[None]:
    """Hold a lock, waiting for it.

    :param what: for the message, what the lock guards.
    :raises Conflict: someone else holds it until the deadline.
    :raises TransportError: its directory is gone.
    """
    try:
        descriptor = wait_for_lock(path, mode, deadline)
    except FileNotFoundError as error:
        raise TransportError(f"{what} is gone: {error}.") from error
    if descriptor is None:
        raise Conflict(
            f"{what} is busy: another operation holds it for more than {deadline.seconds:g} s.",
            advice="Try again when that has ended, or give a longer timeout.",
        )
    try:
        yield
    finally:
        os.close(descriptor)
