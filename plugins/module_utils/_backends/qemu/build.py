# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making VMs: new ones and clones. Each is built aside and put in place at once: a killed run leaves nothing."""

from __future__ import annotations

import os
import secrets
import time
import uuid
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from ..._errors import BackendError, InvalidRequest
from ..._fields import DISK_FIELDS, GIB, size_in_bytes
from ..._task import Deadline
from . import command, disks, tools
from .images import ImageCache
from .machine import CLONE_NODE, Machine
from .store import EFIVARS, Record, Store

DEFAULTS = {"memory": 512, "cores": 1, "sockets": 1, "cpu_type": "max", "firmware": "bios"}
NIC_DEFAULTS = {"network": "user", "model": "virtio", "connected": True}
DEFAULT_MACHINE = "q35"


def random_mac() -> str:
    return "52:54:00:" + ":".join(f"{byte:02X}" for byte in secrets.token_bytes(3))


def complete_nic(nic: Mapping[str, Any]) -> dict[str, Any]:
    """A NIC with everything that was not said; a MAC that is known is kept."""
    return {**NIC_DEFAULTS, **nic, "mac": nic.get("mac") or random_mac()}


def complete_disk(disk: Mapping[str, Any]) -> dict[str, Any]:
    """A disk as it is kept: where its content came from is of no interest any more."""
    return {"format": "qcow2", **{name: value for name, value in disk.items() if not DISK_FIELDS[name].create_only}}


def size_in_gib(size: int) -> int | float:
    return size // GIB if size % GIB == 0 else size / GIB


def make_disk(path: str, disk: Mapping[str, Any], images: ImageCache, deadline: Deadline) -> dict[str, Any]:
    """A new image, empty or from a source; the disk as it is kept, with the size that it has."""
    kept = complete_disk(disk)
    size = size_in_bytes(disk["size"], GIB) if "size" in disk else 0
    if "source" not in disk:
        disks.create(path, size, kept["format"])
        return kept
    source = images.local_path(disk["source"], disk.get("checksum"), deadline)
    about = disks.describe_source(source)
    if size and size < about["virtual-size"]:
        raise InvalidRequest(
            f"disk {disk['slot']}: its source has {size_in_gib(about['virtual-size'])} GiB and cannot shrink"
            f" to {disk['size']} GiB."
        )
    disks.require_space(os.path.dirname(path), disks.space_to_convert(source, about["format"]), f"disk {disk['slot']}")
    disks.convert(
        source, path, source_format=about["format"], target_format=kept["format"], timeout=max(deadline.left, 1.0)
    )
    disks.grow(path, size, kept["format"])
    return {**kept, "size": size_in_gib(max(size, about["virtual-size"]))}


def create(store: Store, name: str, settings: Mapping[str, Any], images: ImageCache, deadline: Deadline) -> Record:
    """A new stopped VM."""
    config = {**DEFAULTS, **deepcopy({key: value for key, value in settings.items() if key != "name"})}
    config["nics"] = {slot: complete_nic(nic) for slot, nic in config.get("nics", {}).items()}
    files = {
        slot: f"disk{number}.{disk.get('format', 'qcow2')}"
        for number, (slot, disk) in enumerate(config.get("disks", {}).items())
    }
    machine = tools.versioned_machine(config.get("native", {}).get("machine", DEFAULT_MACHINE))
    with store.building() as directory:
        config["disks"] = {
            slot: make_disk(os.path.join(directory, files[slot]), disk, images, deadline)
            for slot, disk in config.get("disks", {}).items()
        }
        if config["firmware"] == "uefi":
            files[EFIVARS] = "efivars.qcow2"
            _code, template = command.firmware()
            path = os.path.join(directory, files[EFIVARS])
            disks.convert(template, path, source_format="raw", timeout=60.0)
        ports = command.assign_ports(config, {})
        record = Record(
            name=name,
            uuid=str(uuid.uuid4()),
            machine=machine,
            config=config,
            files=files,
            ports=ports,
            port_count=command.port_count(ports),
        )
        store.save(record, directory)
        store.publish(directory, name)
    return record


def clone(source: Machine, name: str, *, snapshot: str = "", linked: bool = False, deadline: Deadline) -> Record:
    """A stopped copy under another name, with a uuid and MAC addresses of its own and no snapshots.

    A running VM is copied as it is at one moment, by QEMU itself: its images must not be read from outside.
    """
    kept = source.record.snapshots[snapshot] if snapshot in source.record.snapshots else source.present()
    config = deepcopy(kept["config"])
    if not snapshot:
        # what waits for a restart of the source is wanted of the copy; the disks are those that there are
        config = {**deepcopy(source.record.config), "disks": config.get("disks", {})}
    config.pop("template", None)
    for nic in config.get("nics", {}).values():
        nic["mac"] = random_mac()
        nic.pop("forwards", None)
    store = source.store
    with store.building() as directory:
        files = {slot: os.path.basename(file) for slot, file in kept["files"].items()}
        copies = {slot: (os.path.join(source.dir, file), os.path.join(directory, file)) for slot, file in files.items()}
        if linked:
            for slot, (old, new) in copies.items():
                disks.create_linked(new, old, _format_of(config, slot))
        elif source.is_alive and not snapshot:
            _copy_live(source, config, copies, deadline)
        else:
            _copy_images(source, config, copies, snapshot, deadline)
        record = replace(
            Record(name=name, uuid=str(uuid.uuid4()), machine=source.record.machine, config=config, files=files),
            ports=kept["ports"],
            port_count=kept["port_count"],
            base=source.record.uuid if linked else None,
        )
        if linked:
            for disk in config.get("disks", {}).values():
                disk["format"] = "qcow2"
        store.save(record, directory)
        store.publish(directory, name)
    return record


def _format_of(config: Mapping[str, Any], slot: str) -> str:
    return config.get("disks", {}).get(slot, {}).get("format", "qcow2")


def _copy_images(
    source: Machine, config: Mapping[str, Any], copies: Mapping[str, tuple[str, str]], snapshot: str, deadline: Deadline
) -> None:
    for slot, (old, new) in copies.items():
        image_format = _format_of(config, slot)
        disks.convert(
            old,
            new,
            source_format=image_format,
            target_format=image_format,
            snapshot=snapshot,
            timeout=max(deadline.left, 1.0),
        )


def _copy_live(
    source: Machine, config: Mapping[str, Any], copies: Mapping[str, tuple[str, str]], deadline: Deadline
) -> None:
    """One backup job per disk, all begun at the same moment and all done, or none."""
    mark = f"{CLONE_NODE}{time.time_ns():x}"
    with source.monitor() as monitor:
        sizes = {
            node["node-name"]: node["image"]["virtual-size"] for node in monitor.command("query-named-block-nodes")
        }
        for slot, (_old, new) in copies.items():
            image_format = _format_of(config, slot)
            disks.create(new, sizes[slot], image_format)
            node = {"driver": image_format, "node-name": f"{mark}-{slot}", "file": {"driver": "file", "filename": new}}
            monitor.command("blockdev-add", node)
        with source.frozen():
            monitor.command("transaction", _backups(mark, copies), timeout=60.0)
        try:
            _wait_for_backups(monitor, mark, deadline)
        finally:
            for slot in copies:
                monitor.command("blockdev-del", {"node-name": f"{mark}-{slot}"})


def _backups(mark: str, slots: Mapping[str, Any]) -> dict[str, Any]:
    actions = [
        {
            "type": "blockdev-backup",
            "data": {
                "job-id": f"{mark}-{slot}",
                "device": slot,
                "target": f"{mark}-{slot}",
                "sync": "full",
                "auto-dismiss": False,
            },
        }
        for slot in slots
    ]
    return {"actions": actions, "properties": {"completion-mode": "grouped"}}


def _wait_for_backups(monitor: Any, mark: str, deadline: Deadline) -> None:
    """
    :raises BackendError: a copy failed, or all did not end in time; none is running any more.
    """
    for _turn in deadline.intervals(0.02, 0.5):
        jobs = [job for job in monitor.command("query-jobs") if job["id"].startswith(mark)]
        if all(job["status"] == "concluded" for job in jobs):
            break
    else:
        for job in jobs:
            monitor.command("job-cancel", {"id": job["id"]})
        _wait_for_backups(monitor, mark, Deadline(60.0))
        raise BackendError(f"The copy did not finish within {deadline.seconds:g} s and was cancelled.")
    failures = [job["error"] for job in jobs if "error" in job]
    for job in jobs:
        monitor.command("job-dismiss", {"id": job["id"]})
    if failures:
        raise BackendError(f"QEMU could not copy a disk: {failures[0]}")


def require_space_for_clone(source: Machine, snapshot: str, linked: bool) -> None:
    """
    :raises InvalidRequest: a full copy would not fit.
    """
    if linked:
        return
    kept = source.record.snapshots[snapshot] if snapshot in source.record.snapshots else source.present()
    needed = 0
    for slot, file in kept["files"].items():
        path = os.path.join(source.dir, file)
        if source.is_alive:
            needed += disks.info(path)["actual-size"]
        else:
            needed += disks.space_to_convert(path, _format_of(kept["config"], slot), snapshot)
    disks.require_space(source.store.root, needed, f"A copy of VM {source.record.name}")
