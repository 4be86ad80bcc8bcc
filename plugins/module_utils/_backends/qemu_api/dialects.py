# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API document and the open-source server call a VM and its settings."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from ..._errors import InvalidRequest, Unsupported
from ..._fields import GIB, MIB, size_in_bytes
from ..._plan import VM, Op, differences

Row = Mapping[str, Any]

FIRST_PORT = 5900
DISK = "virtio0"
"""The slot by which the one disk of a VM is called. What the guest sees is up to the server."""

STATES = {"running": "running", "stopped": "stopped", "created": "stopped"}
NETWORKS = ("user", "bridge", "nat")
"""Those of the document."""
SNAPSHOTS = frozenset({Op.SNAPSHOT, Op.SNAPSHOT_MEMORY, Op.SNAPSHOT_DELETE, Op.REVERT})

_COMMAND = (
    "qemu-system-x86_64 -name {name} -m -smp -drive file={path},format=qcow2 -vnc -monitor tcp:127.0.0.1:,server"
    ",nowait,telnet -daemonize -cdrom -boot -netdev id=net0 -device e1000,netdev=net0,mac= -enable-kvm"
)
"""What is on the command line of every VM of the open-source server."""


class Dialect(ABC):
    name: ClassVar[str]
    lacks: ClassVar[frozenset[Op]] = frozenset()
    """Operations that the backend declares and this dialect does not have."""
    unread: ClassVar[tuple[str, ...]] = ()
    """Settings that can be told when a VM is made, and are not told back."""
    tells_cdrom: ClassVar[bool] = True
    """Whether the list says what is in the CD-ROM drive; else it is set anew whenever it is wanted."""
    ends_by_pid: ClassVar[bool] = False
    """Whether the server ends the process that it is told, and not the one that it knows."""

    @abstractmethod
    def is_list(self, told: Any) -> bool:
        """Whether an answer is a list of VMs in this dialect."""

    @abstractmethod
    def rows(self, told: Any) -> Sequence[Row]:
        """The VMs in that list."""

    @abstractmethod
    def settings(self, row: Row) -> VM:
        """A VM's settings as far as its row has them; empty where the server has lost them."""

    @abstractmethod
    def running(self, row: Row) -> VM | None:
        """The settings that the process of a VM runs with, as far as ``settings`` has them too; None if not told."""

    @abstractmethod
    def new(self, name: str, settings: Mapping[str, Any], port: int) -> dict[str, Any]:
        """The body with which a VM is made.

        :param port: for VNC.
        :raises InvalidRequest: these settings cannot be.
        """

    @abstractmethod
    def display(self, port: int) -> int:
        """What the server calls a VNC port."""

    def web_port(self, wanted: int | None, port: int) -> dict[str, int]:
        """What goes along so that the console of a VNC port gets the web port that is wanted."""
        return {} if wanted is None else {"webPort": wanted}

    @abstractmethod
    def pid(self, row: Row) -> int | None:
        """The process of a VM, as the server has noted it."""

    def body(self, op: Op, row: Row) -> dict[str, Any] | None:
        """What goes along with a start, a stop, a restart or a delete; the pid is that of the list just read."""
        return self._pid_told(row) if op in (Op.RESTART, Op.DELETE) else None

    def _pid_told(self, row: Row) -> dict[str, Any] | None:
        pid = self.pid(row)
        return None if pid is None else {"metadata": {"lastPid": pid}}

    def danger(self, name: str, others: Iterable[Row]) -> str | None:
        """Why the server would take another VM's process for this one's, or the other way round."""
        return None


class Documented(Dialect):
    name: ClassVar[str] = "documented"
    lacks: ClassVar[frozenset[Op]] = SNAPSHOTS
    unread: ClassVar[tuple[str, ...]] = ("nics",)
    tells_cdrom: ClassVar[bool] = False

    def is_list(self, told: Any) -> bool:
        return isinstance(told, dict) and isinstance(told.get("vms"), list)

    def rows(self, told: Any) -> Sequence[Row]:
        return told["vms"]

    def settings(self, row: Row) -> VM:
        size = whole(row.get("diskSize")) or _size_of(row.get("diskSize"))
        return _without_none(
            memory=whole(row.get("memory")),
            cores=whole(row.get("cpuCores")),
            disks={DISK: {"slot": DISK, "size": size}} if size else {},
            nics={},
            native=_native(whole(row.get("vncPort"))),
        )

    def running(self, row: Row) -> VM | None:
        return None

    def new(self, name: str, settings: Mapping[str, Any], port: int) -> dict[str, Any]:
        size, nics = settings.get("disks", {}).get(DISK, {}).get("size"), settings.get("nics", {})
        if size is not None and size != int(size):
            raise InvalidRequest(f"disks: {size} is not a whole number of GiB.", advice="This server knows only those.")
        for nic in nics.values():
            if nic["slot"] != "net0" or {"mac", "forwards"} & set(nic) or nic["network"] not in NETWORKS:
                raise Unsupported(
                    "In dialect documented a VM has one network card, net0, with network user, bridge or nat.",
                    setting="nics",
                )
        return {
            "name": name,
            "vmName": name,
            **_without_none(
                memory=settings.get("memory"),
                cpuCores=settings.get("cores"),
                diskSize=None if size is None else int(size),
                networkType=next((nic["network"] for nic in nics.values()), None),
                isoPath=settings.get("cdrom", {}).get("image") or None,
            ),
            "vncPort": port,
        }

    def display(self, port: int) -> int:
        return port

    def pid(self, row: Row) -> int | None:
        return whole(row.get("pid"))


class VoidVm(Dialect):
    name: ClassVar[str] = "voidvm"
    ends_by_pid: ClassVar[bool] = True

    def is_list(self, told: Any) -> bool:
        return isinstance(told, list)

    def rows(self, told: Any) -> Sequence[Row]:
        return told

    def settings(self, row: Row) -> VM:
        config, about = row.get("config"), row.get("metadata") or {}
        if not config:
            return {}
        size = _size_of(config.get("diskSize"))
        iso = config.get("isoPath") if about.get("isMountIso") is not False else None
        display = whole(config.get("vncPort")) or 0
        return _without_none(
            memory=whole(config.get("memory")),
            cores=whole(config.get("cpuCores")),
            disks={DISK: _without_none(slot=DISK, size=size)},
            nics=dict(_nics(config.get("network"))),
            cdrom={"image": iso} if iso else None,
            native=_native(display if display >= FIRST_PORT else FIRST_PORT + display),
        )

    def running(self, row: Row) -> VM | None:
        """The server keeps the command line of the last start."""
        words = str((row.get("metadata") or {}).get("lastCommand") or "").split()
        told = dict(zip(words, words[1:]))
        display = re.fullmatch(r":(\d+)", told.get("-vnc", ""))
        if not words or not display:
            return None
        return {
            **{key: value for key, value in self.settings(row).items() if key in ("disks", "nics")},
            **_without_none(
                memory=whole(told.get("-m")),
                cores=whole(told.get("-smp")),
                cdrom={"image": told["-cdrom"]} if "-cdrom" in told else None,
                native=_native(FIRST_PORT + int(display[1])),
            ),
        }

    def new(self, name: str, settings: Mapping[str, Any], port: int) -> dict[str, Any]:
        size = settings.get("disks", {}).get(DISK, {}).get("size")
        nics = settings.get("nics", {})
        return {
            "name": name,
            "vmName": name,
            **_without_none(
                memory=settings.get("memory"),
                cpuCores=settings.get("cores"),
                diskSize=None if size is None else _size_text(size),
                isoPath=settings.get("cdrom", {}).get("image") or None,
            ),
            "vncPort": self.display(port),
            "network": [_network(nics[slot]) for slot in sorted(nics)],
        }

    def display(self, port: int) -> int:
        return port - FIRST_PORT

    def web_port(self, wanted: int | None, port: int) -> dict[str, int]:
        """The server adds the number of the display."""
        return {} if wanted is None else {"webPort": wanted - self.display(port)}

    def pid(self, row: Row) -> int | None:
        return whole((row.get("metadata") or {}).get("lastPid"))

    def body(self, op: Op, row: Row) -> dict[str, Any] | None:
        """A start acts on the name in the configuration, and not on that of the path."""
        if op is Op.START:
            return {"config": {**(row.get("config") or {}), "name": row["name"]}}
        return self._pid_told(row)

    def danger(self, name: str, others: Iterable[Row]) -> str | None:
        """It looks for a VM's process by the VM's name, anywhere in the command lines of all, and takes the first."""
        for row in others:
            if name in _command_of(row) or row["name"] in _COMMAND.format(name=name, path=f"{name}/{name}"):
                return (
                    f"One of the names {name} and {row['name']} is part of the other's command line, and this server"
                    " tells processes apart by that: a stop of one could end the other."
                )
        return None


DIALECTS: Mapping[str, Dialect] = {one.name: one for one in (Documented(), VoidVm())}


def waiting(dialect: Dialect, row: Row) -> dict[str, Any]:
    """The settings that differ until the next start, with what is in effect."""
    now = dialect.running(row)
    return {} if now is None else {".".join(one.path): one.before for one in differences(now, dialect.settings(row))}


def whole(value: Any) -> int | None:
    """A number as JSON has it, or as the digits of a text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    return int(value) if re.fullmatch(r"\d+", str(value)) else None


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _native(port: int | None) -> dict[str, int] | None:
    return None if port is None else {"vncPort": port}


def _size_of(text: Any) -> int | float | None:
    """A size as qemu-img reads it, in GiB; a number without a unit counts bytes."""
    try:
        size = size_in_bytes(str(text), 1)
    except InvalidRequest:
        return None
    return size // GIB if size % GIB == 0 else size / GIB


def _size_text(size: int | float) -> str:
    """
    :raises InvalidRequest: it is not a whole number of MiB.
    """
    mib = size * (GIB // MIB)
    if mib != int(mib):
        raise InvalidRequest(f"disks: {size} GiB is not a whole number of MiB.", advice="This server knows only those.")
    return f"{int(size)}G" if size == int(size) else f"{int(mib)}M"


def _network(nic: Mapping[str, Any]) -> dict[str, Any]:
    kind = {"type": "user"} if nic["network"] == "user" else {"type": "bridge", "bridge": nic["network"]}
    forwards = [
        {"protocol": one["protocol"], "hostPort": one["host_port"], "guestPort": one["guest_port"]}
        for one in nic.get("forwards", [])
    ]
    return {**kind, **_without_none(mac=nic.get("mac"), hostfwd=forwards or None)}


def _nics(network: Any) -> Iterable[tuple[str, dict[str, Any]]]:
    """Network cards as the option has them."""
    for number, one in enumerate(network if isinstance(network, list) else []):
        forwards = [
            {
                "protocol": each.get("protocol", "tcp"),
                "host_port": each.get("hostPort"),
                "guest_port": each.get("guestPort"),
            }
            for each in one.get("hostfwd") or []
        ]
        nic = _without_none(
            slot=f"net{number}",
            network="user" if one.get("type") == "user" else one.get("bridge") or one.get("ifname"),
            mac=str(one["mac"]).upper().replace("-", ":") if one.get("mac") else None,
            forwards=sorted(forwards, key=lambda one: (one["protocol"], one["host_port"])) or None,
        )
        yield nic["slot"], nic


def _command_of(row: Row) -> str:
    """The words that are on a VM's command line, or will be."""
    path = (row.get("config") or {}).get("diskPath") or ""
    return f"{_COMMAND.format(name=row['name'], path=path)} {(row.get('metadata') or {}).get('lastCommand') or ''}"
