# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state directory.

::

    <state>/                mode 0700
      .locks/<vm>           operation lock; outside the directory that a delete renames, and never removed
      .trash/               where VMs are built and taken apart, each directory locked by the run that works in it
      images/               downloaded images
      consoles/             a directory for each websockify: its life lock and its log
      vms/<vm>/vm.json      the VM; never says "running": that is known by the lock alone
               run.lock     life lock, held by QEMU itself
               run/         sockets, logs and pid of the last or present process
               console.json the token of its console, while it has one
               disk0.qcow2 ...
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

from ..._errors import BackendError, Conflict, PermissionDenied
from ..._task import Deadline
from .locks import EXCLUSIVE, SHARED, hold, lock_descriptor, try_lock

SCHEMA = 1

EFIVARS = "efivars"
"""Under this name, beside the slots, a record keeps the file of the UEFI variables."""

STAGING = ".seed-"
"""Prefix of the directory in which a CD is made."""

NEW = ".new-"
"""Files with this prefix are unfinished."""


@dataclass(frozen=True)
class Record:
    """A VM as it is kept in vm.json.

    :param config: its settings in the words of the options, devices by slot.
    :param machine: the versioned machine type; an alias would change with an upgrade and break snapshots.
    :param files: the file of each disk by slot, and of the UEFI variables as "efivars"; names in the VM's directory.
    :param ports: the root port of each device that sits behind one.
    :param port_count: how many root ports the machine has.
    :param snapshots: by name: parent, time, memory, description, config, files, ports, port_count, topology.
    :param current: the snapshot that the disks descend from.
    :param reverting: a snapshot that a revert began to restore; set, the disks cannot be trusted.
    :param detached: files of disks that were taken away; their content is kept.
    :param base: uuid of the VM whose disks lie below those of this linked clone.
    """

    name: str
    uuid: str
    machine: str
    config: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    port_count: int = 8
    snapshots: dict[str, dict[str, Any]] = field(default_factory=dict)
    current: Optional[str] = None  # noqa: UP045 - evaluated by dataclasses on Python 3.9
    suspended: bool = False
    reverting: Optional[str] = None  # noqa: UP045
    base: Optional[str] = None  # noqa: UP045
    detached: tuple[str, ...] = ()
    generation: int = 0


class Store:
    """Reads and writes the state directory; knows nothing of QEMU."""

    def __init__(self, root: str) -> None:
        self.root = root

    def path(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)

    def vm_dir(self, name: str) -> str:
        return self.path("vms", name)

    def prepare(self) -> None:
        """Make the directories.

        :raises PermissionDenied: the user may not, or the directory is another user's.
        """
        try:
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            about = os.stat(self.root)
            if about.st_uid != os.geteuid():
                raise PermissionDenied(
                    f"{self.root} belongs to user {about.st_uid}, not to {os.geteuid()}.",
                    advice="Run as its owner, or choose another state_dir.",
                )
            if stat.S_IMODE(about.st_mode) & 0o077:
                os.chmod(self.root, 0o700)
            for name in (".locks", ".trash", "consoles", "images", "vms"):
                os.makedirs(self.path(name), mode=0o700, exist_ok=True)
        except OSError as error:
            raise PermissionDenied(
                f"The state directory {self.root} cannot be used: {error.strerror}.",
                advice="Run with become: true, or choose another state_dir.",
            ) from error

    def names(self) -> list[str]:
        """The names of all directories that hold a VM of ours; others are left alone."""
        try:
            entries = sorted(os.listdir(self.path("vms")))
        except FileNotFoundError:
            return []
        except PermissionError as error:
            raise PermissionDenied(
                f"{self.root} may not be read: {error.strerror}.", advice="Run as its owner, with become: true."
            ) from error
        return [name for name in entries if os.path.exists(self.path("vms", name, "vm.json"))]

    def load(self, name: str) -> Record | None:
        """The VM of that name, None where there is none.

        :raises Conflict: something is there that we did not make.
        :raises BackendError: vm.json is damaged.
        """
        path = self.path("vms", name, "vm.json")
        try:
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
            schema = content.pop("schema")
            if schema != SCHEMA:
                raise BackendError(
                    f"{path} has schema {schema}; this version of the collection reads {SCHEMA}.",
                    advice="Use the version that wrote it.",
                )
            return Record(**content)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.lexists(self.vm_dir(name)):
                raise Conflict(
                    f"{self.vm_dir(name)} exists, but was not made by anyvirt.compute: it has no vm.json.",
                    advice="Move it away, or use another name.",
                ) from None
            return None
        except PermissionError as error:
            raise PermissionDenied(f"{path} may not be read: {error.strerror}.", advice="Run as its owner.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BackendError(
                f"{path} is damaged: {error}.",
                advice=f"Nothing was changed. The version before it is {path}.old: look at it and put it in place.",
            ) from error

    def save(self, record: Record, directory: str | None = None) -> None:
        """Write vm.json so that a reader, or a crash, meets one version whole; the old is kept as vm.json.old."""
        directory = directory or self.vm_dir(record.name)
        path = os.path.join(directory, "vm.json")
        content = {"schema": SCHEMA, **asdict(record)}
        write_atomically(path, json.dumps(content, indent=1).encode(), keep_old=True)

    @contextmanager
    def building(self) -> Iterator[str]:
        """A directory to build a VM in; whatever is left in it at the end goes away."""
        with self._in_trash() as directory:
            os.mkdir(os.path.join(directory, "vm"), 0o700)
            yield os.path.join(directory, "vm")

    def publish(self, directory: str, name: str) -> None:
        """Make what was built a VM, all at once.

        :raises Conflict: the name is taken.
        """
        try:
            os.rename(directory, self.vm_dir(name))
        except OSError as error:
            raise Conflict(f"{self.vm_dir(name)} exists already.", advice="Use another name.") from error
        sync_directory(self.path("vms"))

    def remove(self, name: str) -> None:
        """Take a VM out of sight at once, then remove its files."""
        with self._in_trash() as directory:
            os.rename(self.vm_dir(name), os.path.join(directory, "vm"))
            sync_directory(self.path("vms"))

    def operation(self, name: str, shared: bool, deadline: Deadline) -> Any:
        """The operation lock of a VM, for ``with``.

        :raises Conflict: another operation holds it until the deadline.
        """
        return hold(self.path(".locks", name), SHARED if shared else EXCLUSIVE, deadline, f"VM {name}")

    @contextmanager
    def _in_trash(self) -> Iterator[str]:
        self.prepare()
        with hold(self.path(".locks", ".sweep"), SHARED, Deadline(30), "The staging directory"):
            directory = tempfile.mkdtemp(dir=self.path(".trash"))
            descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
            lock_descriptor(descriptor, EXCLUSIVE)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)
            os.close(descriptor)

    def sweep(self) -> None:
        """Remove what killed runs left behind. A directory that its run still works in is locked, and stays."""
        sweeping = try_lock(self.path(".locks", ".sweep"), EXCLUSIVE)
        if sweeping is None:
            return
        try:
            for name in os.listdir(self.path(".trash")):
                path = self.path(".trash", name)
                with suppress(FileNotFoundError):
                    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    if lock_descriptor(descriptor, EXCLUSIVE):
                        shutil.rmtree(path, ignore_errors=True)
                        os.close(descriptor)
        finally:
            os.close(sweeping)


def write_atomically(path: str, content: bytes, keep_old: bool = False) -> None:
    """Replace a file's content, all or nothing, and have it on the disk when this returns. Mode 0600."""
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=NEW)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if keep_old and os.path.exists(path):
            with suppress(FileNotFoundError):
                os.unlink(f"{path}.old")
            os.link(path, f"{path}.old")
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
