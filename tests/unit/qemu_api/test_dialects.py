# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows of either dialect as settings, also where a server is not quite as its document says."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu_api.dialects import (
    DIALECTS,
    Documented,
    VoidVm,
    waiting,
    whole,
)

CONFIG = {"name": "web", "memory": 512, "cpuCores": 2, "diskSize": "20G", "vncPort": 1}
COMMAND = "qemu-system-x86_64 -name web -m 512 -smp 2 -drive file=/x,format=qcow2 -vnc :1 -boot c"


def row(config: dict[str, Any] | None = None, **about: Any) -> dict[str, Any]:
    return {"name": "web", "status": "running", "config": {**CONFIG, **(config or {})}, "metadata": about}


@pytest.mark.parametrize(
    ("told", "speaks"),
    [([], "voidvm"), ({"success": True, "vms": []}, "documented"), ({"vms": {}}, None), ({}, None), (None, None)],
)
def test_the_shape_of_the_list_tells_the_dialect(told: Any, speaks: str | None) -> None:
    assert [one.name for one in DIALECTS.values() if one.is_list(told)] == ([speaks] if speaks else [])


@pytest.mark.parametrize(("told", "size"), [("20G", 20), ("512M", 0.5), ("1T", 1024), ("21474836480", 20), ("?", None)])
def test_sizes_as_qemu_img_reads_them(told: str, size: float | None) -> None:
    disk = VoidVm().settings(row({"diskSize": told}))["disks"]["virtio0"]
    assert disk == {"slot": "virtio0", **({} if size is None else {"size": size})}


@pytest.mark.parametrize("told", [20, "20", "20G"])
def test_sizes_of_the_document(told: Any) -> None:
    assert Documented().settings({"name": "web", "diskSize": told})["disks"]["virtio0"]["size"] == 20


@pytest.mark.parametrize(
    ("value", "number"), [(5, 5), ("5", 5), (0, 0), (True, None), ("x", None), (None, None), (1.5, None), ("-1", None)]
)
def test_numbers(value: Any, number: int | None) -> None:
    assert whole(value) == number


@pytest.mark.parametrize(
    ("iso", "flag", "image"),
    [("/a.iso", True, "/a.iso"), ("/a.iso", None, "/a.iso"), ("/a.iso", False, None), ("", True, None)],
)
def test_what_is_in_the_drive(iso: str, flag: bool | None, image: str | None) -> None:
    """A server that was never told otherwise mounts what it has."""
    about = {} if flag is None else {"isMountIso": flag}
    told = VoidVm().settings(row({"isoPath": iso}, **about)).get("cdrom")
    assert told == (None if image is None else {"image": image})


@pytest.mark.parametrize(
    ("command", "config", "pending"),
    [
        (COMMAND, {}, {}),
        (COMMAND, {"memory": 1024, "cpuCores": 4}, {"memory": 512, "cores": 2}),
        (COMMAND, {"vncPort": 3}, {"native": {"vncPort": 5901}}),
        (COMMAND, {"isoPath": "/a.iso"}, {"cdrom": None}),
        (f"{COMMAND} -cdrom /a.iso", {"isoPath": "/b.iso"}, {"cdrom.image": "/a.iso"}),
        (f"{COMMAND} -cdrom /a.iso", {}, {"cdrom": {"image": "/a.iso"}}),
        (None, {"memory": 1024}, {}),
        ("something else", {"memory": 1024}, {}),
    ],
)
def test_what_waits_for_a_restart(command: str | None, config: dict[str, Any], pending: dict[str, Any]) -> None:
    assert waiting(VoidVm(), row(config, lastCommand=command)) == pending


@pytest.mark.parametrize("dialect", DIALECTS.values())
def test_a_row_without_anything_in_it(dialect: Documented | VoidVm) -> None:
    empty = {"name": "web", "status": "unknown", "config": None, "metadata": None}
    assert not dialect.settings(empty).get("memory")
    assert dialect.running(empty) is None
    assert dialect.pid(empty) is None


def test_a_network_that_is_no_list_is_none() -> None:
    """A restart of the open-source server stores one."""
    assert VoidVm().settings(row({"network": {"type": "user"}}))["nics"] == {}


@pytest.mark.parametrize(
    ("name", "other", "danger"),
    [("web", "db", False), ("web", "web2", True), ("web2", "web", True), ("boot", "db", True), ("db", "boot", True)],
)
def test_names_that_a_server_mixes_up(name: str, other: str, danger: bool) -> None:
    there = {"name": other, "config": {"diskPath": f"/vms/{other}/{other}.qcow2"}, "metadata": None}
    assert bool(VoidVm().danger(name, [there])) is danger
    assert Documented().danger(name, [there]) is None
