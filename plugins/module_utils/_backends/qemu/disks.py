# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disk images, by qemu-img."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..._errors import BackendError, Error, InvalidRequest
from . import tools


def qemu_img(*arguments: str, timeout: float = 60.0) -> str:
    return tools.run([tools.program("qemu-img"), *arguments], timeout)


def info(path: str) -> dict[str, Any]:
    """What qemu-img tells; may be asked of a running VM's disk, whose newest snapshots it may not know."""
    return json.loads(qemu_img("info", "-U", "--output=json", path))


def create(path: str, size: int, image_format: str = "qcow2") -> None:
    qemu_img("create", "-q", "-f", image_format, path, str(size))


def create_linked(path: str, base: str, base_format: str) -> None:
    """A qcow2 image that holds only what differs from ``base``, which must never change again."""
    qemu_img("create", "-q", "-f", "qcow2", "-b", base, "-F", base_format, path)


def convert(
    source: str, target: str, *, source_format: str, target_format: str = "qcow2", snapshot: str = "", timeout: float
) -> None:
    """Copy an image that nobody writes to.

    :param snapshot: an internal snapshot of the source, instead of its present content.
    """
    of_snapshot = ["-l", f"snapshot.name={snapshot}"] if snapshot else []
    arguments = ["-W", *of_snapshot, "-f", source_format, "-O", target_format, source, target]
    qemu_img("convert", *arguments, timeout=timeout)


def grow(path: str, size: int, image_format: str) -> None:
    if info(path)["virtual-size"] < size:
        qemu_img("resize", "-q", "-f", image_format, path, str(size))


def any_lies_on(directory: str, base_directory: str) -> bool:
    """Whether an image in one directory is a linked clone of an image in another."""
    for name in os.listdir(directory):
        if name.endswith(".qcow2"):
            with suppress(BackendError):
                base = info(os.path.join(directory, name)).get("backing-filename", "")
                if os.path.dirname(base) == base_directory:
                    return True
    return False


def virtual_size(path: str) -> int:
    """The size of the disk that an image holds, from its header alone; 0 where that is not to be read."""
    try:
        with open(path, "rb") as file:
            header = file.read(32)
    except FileNotFoundError:
        return 0
    return int.from_bytes(header[24:32], "big") if header.startswith(b"QFI\xfb") else os.path.getsize(path)


def repair_leaks(path: str) -> None:
    """Give back clusters that a killed QEMU left behind; nothing else is ever repaired unasked."""
    with suppress(BackendError):
        qemu_img("check", "-q", "-r", "leaks", path, timeout=600)


def snapshot_names(path: str) -> dict[str, int]:
    """The internal snapshots of an image, with the bytes of saved memory in each."""
    return {one["name"]: one["vm-state-size"] for one in info(path).get("snapshots", ())}


def snapshot_all(paths: Sequence[str], name: str) -> None:
    """A snapshot on every image, or on none. qemu-img would take a second one of the same name: ask before."""
    done: list[str] = []
    try:
        for path in paths:
            qemu_img("snapshot", "-c", name, path)
            done.append(path)
    except Error:
        for path in done:
            qemu_img("snapshot", "-d", name, path)
        raise


def apply_all(paths: Sequence[str], name: str) -> None:
    """Bring every image back to a snapshot. Not atomic: may be done again after a crash."""
    for path in paths:
        qemu_img("snapshot", "-a", name, path)


def delete_all(paths: Sequence[str], name: str) -> None:
    """Delete a snapshot from the images that have it."""
    for path in paths:
        if name in snapshot_names(path):
            qemu_img("snapshot", "-d", name, path)


def describe_source(path: str) -> dict[str, Any]:
    """What kind of image a user's file is.

    :raises InvalidRequest: it is none, or it refers to other files of this host, as an image from elsewhere must not.
    """
    try:
        about = json.loads(qemu_img("info", "-U", "--output=json", path))
    except BackendError as error:
        raise InvalidRequest(f"{path} is no disk image: {error.message}") from error
    data_file = about.get("format-specific", {}).get("data", {}).get("data-file")
    if about.get("backing-filename") or data_file:
        raise InvalidRequest(
            f"{path} depends on another file ({about.get('backing-filename') or data_file}).",
            advice="Make it whole first: qemu-img convert -O qcow2 OLD NEW.",
        )
    return about


def require_space(directory: str, needed: int, what: str) -> None:
    """
    :raises InvalidRequest: the file system has not that many bytes left.
    """
    about = os.statvfs(directory)
    free = about.f_bavail * about.f_frsize
    if needed > free:
        mib = 1024 * 1024
        raise InvalidRequest(
            f"{what} needs {needed // mib} MiB in {directory}, where {free // mib} MiB are free.",
            advice="Make room, or use another state_dir.",
        )


def space_to_convert(path: str, source_format: str, snapshot: str = "") -> int:
    """The bytes that a qcow2 copy will take."""
    of_snapshot = ["-l", f"snapshot.name={snapshot}"] if snapshot else []
    said = qemu_img("measure", "-U", "--output=json", "-O", "qcow2", *of_snapshot, "-f", source_format, path)
    return json.loads(said)["required"]
