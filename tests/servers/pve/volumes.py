# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Volumes and drive strings: naming, sizes, allocation, what a drive of a configuration becomes."""

from __future__ import annotations

import math
import re
from typing import Any

from .errors import ApiError
from .routes import Call
from .state import GIB, MIB, Cluster, Storage, Volume

NEW_DISK = re.compile(r"(?:([^/:\s]+):)?(\d+(?:\.\d+)?)")
CLOUDINIT = re.compile(r"([^/:\s]+):cloudinit")
_FILE_STORAGES = ("dir", "nfs", "cifs", "cephfs", "btrfs", "glusterfs")
_UNITS = {"": 1, "K": 1024, "M": MIB, "G": GIB, "T": 1024 * GIB}
CLOUDINIT_SIZE = 4 * MIB


def size_text(size: int) -> str:
    """A size as the server writes it: the largest unit that leaves no rest."""
    for unit in ("T", "G", "M", "K"):
        if size % _UNITS[unit] == 0 and size:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def parse_size(text: str) -> int:
    unit = text[-1] if text[-1] in "KMGT" else ""
    return int(float(text[: len(text) - len(unit)]) * _UNITS[unit])


def storage(cluster: Cluster, name: str) -> Storage:
    try:
        return cluster.storages[name]
    except KeyError:
        raise ApiError(f"storage '{name}' does not exist\n") from None


def split(volid: str) -> tuple[str, str]:
    name, colon, volume = volid.partition(":")
    if not colon:
        raise ApiError(f"unable to parse volume ID '{volid}'\n")
    return name, volume


def is_cdrom(options: dict[str, str]) -> bool:
    return options.get("media") == "cdrom" or options.get("file") in ("none", "cdrom")


def is_cloudinit(volid: str) -> bool:
    return bool(re.search(r"vm-\d+-cloudinit", volid))


def check_name(where: Storage, volume: str) -> None:
    kinds = r"\d+/\S+|(iso|vztmpl|snippets|import|backup)/.+"
    if where.type in _FILE_STORAGES and not re.fullmatch(kinds, volume):
        raise ApiError(f"unable to parse directory volume name '{volume}'\n")


def path_of(cluster: Cluster, volid: str) -> str:
    """Where the volume would be on the node."""
    name, volume = split(volid)
    where = cluster.storages[name]
    if where.type not in _FILE_STORAGES:
        return f"/dev/{name}/{volume}"
    folders = {"iso": "template/iso", "vztmpl": "template/cache"}
    kind, _slash, rest = volume.partition("/")
    if kind.isdigit():
        parts = volume.split("/")
        return f"{where.path}/images/{parts[-2]}/{parts[-1]}"
    return f"{where.path}/{folders.get(kind, kind)}/{rest}"


def find(cluster: Cluster, node: str, volid: str) -> Volume | None:
    name, volume = split(volid)
    where = cluster.storages.get(name)
    return where.volumes.get(where.key(node, volume)) if where else None


def allocate(
    cluster: Cluster,
    where: Storage,
    node: str,
    vmid: int,
    size: int,
    *,
    fmt: str | None = None,
    kind: str = "disk",
    parent: str | None = None,
) -> str:
    """Make a volume under the next free name; returns its id. kind: disk, base, cloudinit, state-..."""
    files = where.type in _FILE_STORAGES
    fmt = fmt or ("raw" if kind != "cloudinit" or not files else "qcow2")
    here = where.key(node, "")[0]
    taken = [name for (key, name), volume in where.volumes.items() if volume.vmid == vmid and key == here]
    for i in range(1000):
        stem = f"vm-{vmid}-{kind}-{i}" if kind == "disk" else f"vm-{vmid}-{kind}"
        used = any(re.search(rf"\b(vm|base)-{vmid}-{kind}-{i}\b", name) for name in taken) if kind == "disk" else False
        if not used:
            break
    name = f"{vmid}/{stem}.{fmt}" if files else stem
    if parent:
        name = f"{split(parent)[1]}/{name}"
    where.volumes[where.key(node, name)] = Volume(size, fmt, vmid, cluster.clock.seconds(), parent)
    return f"{where.name}:{name}"


def check_base(cluster: Cluster, volid: str) -> None:
    """Refuse to touch a volume that linked clones stand on."""
    where = cluster.storages.get(split(volid)[0])
    if where and "base-" in volid and any(other.parent == volid for other in where.volumes.values()):
        raise ApiError(f"base volume '{volid}' is still in use by linked cloned\n")


def free(cluster: Cluster, node: str, volid: str) -> None:
    """Destroy a volume; one that is already gone is no error."""
    check_base(cluster, volid)
    name, volume = split(volid)
    where = cluster.storages.get(name)
    if where:
        where.volumes.pop(where.key(node, volume), None)


def formatting(cluster: Cluster, volid: str, volume: Volume) -> str:
    """The first line that a worker prints about a new volume."""
    path = path_of(cluster, volid)
    if volume.format == "raw":
        return f"Formatting '{path}', fmt=raw size={volume.size} preallocation=off"
    return (
        f"Formatting '{path}', fmt={volume.format} cluster_size=65536 extended_l2=off preallocation=metadata"
        f" compression_type=zlib size={volume.size} lazy_refcounts=off refcount_bits=16"
    )


# -- drives of a configuration ----------------------------------------------------------------------------------------


def check_drive(call: Call, key: str, text: str) -> None:
    """What is refused before any task begins: storages that do not exist, rights on them, names that cannot be."""
    cluster = call.cluster
    options = cluster.contract.options(key, text)
    file = options["file"]
    source = options.get("import-from", "")
    if source.startswith("/") and not call.caller.is_root:
        line = 651 if cluster.new else 581
        raise ApiError(
            f"Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line {line}.\n"
        )
    if file in ("none", "cdrom"):
        return
    new = NEW_DISK.fullmatch(file) or CLOUDINIT.fullmatch(file)
    name = (new.group(1) if new else split(file)[0]) or call.params.get("storage") or "local"
    where = storage(cluster, name)
    if not where.on(call.node):
        raise ApiError(f"storage '{name}' is not available on node '{call.node}'\n")
    if new:
        if "images" not in where.content:
            raise ApiError(f"storage '{name}' does not support content-type 'images'\n")
        call.require(f"/storage/{name}", "Datastore.AllocateSpace")
        return
    check_name(where, split(file)[1])
    found = find(cluster, call.node, file)
    if not (found and found.vmid == call.params.get("vmid")):
        call.require(f"/storage/{name}", "Datastore.AllocateSpace", "Datastore.Audit")


def make_drive(cluster: Cluster, node: str, vmid: int, key: str, text: str, log: list[str]) -> str:
    """The drive as it is stored: a volume allocated where one is asked for, its true size, options in order."""
    options = cluster.contract.options(key, text)
    file = options["file"]
    fmt = options.pop("format", None)
    source = options.pop("import-from", None)
    options.pop("size", None)
    if file in ("none", "cdrom"):
        return cluster.contract.text(key, {**options, "media": "cdrom"})
    cloudinit, new = CLOUDINIT.fullmatch(file), NEW_DISK.fullmatch(file)
    if cloudinit:
        where = storage(cluster, cloudinit.group(1))
        options["file"] = allocate(cluster, where, node, vmid, CLOUDINIT_SIZE, fmt=fmt, kind="cloudinit")
        options["media"] = "cdrom"
    elif new:
        where = storage(cluster, new.group(1) or "local")
        size = _import_size(cluster, node, source) if source else _new_size(key, options, new.group(2))
        options["file"] = allocate(cluster, where, node, vmid, size, fmt=fmt)
        options["size"] = size_text(size)
    else:
        volume = find(cluster, node, file)
        if volume is None:
            raise ApiError(f"volume '{file}' does not exist\n")
        if not is_cloudinit(file):
            options["size"] = size_text(volume.size)
        return cluster.contract.text(key, options)
    result = cluster.contract.text(key, options)
    made = find(cluster, node, options["file"])
    assert made is not None
    log.append(formatting(cluster, options["file"], made))
    log.append(f"{key}: successfully created disk '{result}'")
    return result


def _new_size(key: str, options: dict[str, str], number: str) -> int:
    if key == "efidisk0":
        return (528 if options.get("efitype") == "4m" else 128) * 1024
    if key == "tpmstate0":
        return 4 * MIB
    return math.ceil(float(number) * MIB) * 1024


def _import_size(cluster: Cluster, node: str, source: str) -> int:
    volume = find(cluster, node, source) if not source.startswith("/") else None
    if volume is None:
        path = source if source.startswith("/") else path_of(cluster, source)
        raise ApiError(f"failed to stat '{path}'\n")
    return volume.size


def drive_volume(cluster: Cluster, key: str, text: str) -> str | None:
    """The volume id in a stored drive, or None for an empty one."""
    file = cluster.contract.options(key, text)["file"] if key[:6] != "unused" else text
    return None if file in ("none", "cdrom") else file


def add_unused(config: dict[str, Any], volid: str) -> None:
    """Keep a detached volume as the next free unusedN."""
    if any(key.startswith("unused") and value == volid for key, value in config.items()):
        return
    number = next(i for i in range(256) if f"unused{i}" not in config)
    config[f"unused{number}"] = volid
