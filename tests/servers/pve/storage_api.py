# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Storages and their volumes."""

from __future__ import annotations

import re
from typing import Any

from .errors import ApiError, parameter_error
from .routes import Answer, Call, route
from .schema import split_list
from .state import GIB, Storage, Volume
from .tasks import Task
from .volumes import find, free, parse_size, path_of, split, storage

_STORAGE = "/nodes/{node}/storage/{storage}"
_DIGEST = "873c551234ad614e4cd4895b4a08750a69c8196d"


def _content(call: Call, where: Storage) -> str:
    names = list(where.content)
    call.cluster.random.shuffle(names)
    return ",".join(names)


def _visible(call: Call, where: Storage) -> bool:
    return call.may(f"/storage/{where.name}", "Datastore.Audit", "Datastore.AllocateSpace")


@route("GET", "/storage")
def definitions(call: Call) -> Answer:
    rows = [_definition(call, where) for where in call.cluster.storages.values() if _visible(call, where)]
    wanted = call.params.get("type")
    return Answer([row for row in rows if wanted in (None, row["type"])], ordered=False)


@route("GET", "/storage/{storage}")
def definition(call: Call) -> dict[str, Any]:
    return _definition(call, storage(call.cluster, call.params["storage"]))


def _definition(call: Call, where: Storage) -> dict[str, Any]:
    row: dict[str, Any] = {"storage": where.name, "type": where.type, "digest": _DIGEST}
    row.update(path=where.path, content=_content(call, where))
    if where.shared:
        row["shared"] = 1
    else:
        row["prune-backups"] = "keep-all=1"
    if where.nodes is not None:
        row["nodes"] = ",".join(where.nodes)
    return row


def _status(call: Call, where: Storage) -> dict[str, Any]:
    return {
        "type": where.type,
        "content": _content(call, where),
        "active": 1,
        "enabled": 1,
        "shared": int(where.shared),
        "total": 100 * GIB,
        "used": 10 * GIB,
        "avail": 90 * GIB,
    }


@route("GET", "/nodes/{node}/storage")
def node_storages(call: Call) -> Answer:
    params, rows = call.params, []
    for where in call.cluster.storages.values():
        fits = not params.get("content") or set(split_list(params["content"])) & set(where.content)
        named = params.get("storage") in (None, where.name)
        shared = not params.get("target") or where.on(params["target"])
        if fits and named and shared and where.on(call.node) and _visible(call, where):
            rows.append({**_status(call, where), "storage": where.name, "used_fraction": 0.1})
    return Answer(rows, ordered=False)


@route("GET", _STORAGE)
def storage_index(_call: Call) -> Answer:
    return Answer([{"subdir": name} for name in ("content", "rrd", "rrddata", "status", "upload")])


@route("GET", _STORAGE + "/status")
def storage_status(call: Call) -> dict[str, Any]:
    where = call.cluster.storages.get(call.params["storage"])
    if where is None or not where.on(call.node):
        raise parameter_error(storage="No such storage.")
    return _status(call, where)


@route("GET", _STORAGE + "/content")
def content(call: Call) -> Answer:
    where, rows = storage(call.cluster, call.params["storage"]), []
    for (node, name), volume in where.volumes.items():
        wanted = call.params.get("content") in (None, volume.content)
        ours = call.params.get("vmid") in (None, volume.vmid)
        if node in ("", call.node) and wanted and ours:
            rows.append(_volume_row(where, name, volume))
    return Answer(rows, ordered=False)


def _volume_row(where: Storage, name: str, volume: Volume) -> dict[str, Any]:
    row = {
        "volid": f"{where.name}:{name}",
        "content": volume.content,
        "format": volume.format,
        "size": volume.size,
        "ctime": volume.ctime,
    }
    if volume.content == "images":
        parent = split(volume.parent)[1] if volume.parent else None
        row.update(vmid=volume.vmid, used=min(volume.size, 266240), parent=parent)
    return row


@route("POST", _STORAGE + "/content")
def allocate_volume(call: Call) -> str:
    params, cluster = call.params, call.cluster
    where = storage(cluster, params["storage"])
    name, vmid = params["filename"], params["vmid"]
    fmt = params.get("format") or (name.rpartition(".")[2] if re.search(r"\.(raw|qcow2|vmdk)$", name) else "raw")
    volume = f"{vmid}/{name}" if where.type in ("dir", "nfs") else name
    if where.key(call.node, volume) in where.volumes:
        path = path_of(cluster, f"{where.name}:{volume}")
        raise ApiError(f"disk image '{path}' already exists\n")
    size = params["size"]
    count = parse_size(size) if size[-1] in "MG" else int(size) * 1024
    where.volumes[where.key(call.node, volume)] = Volume(count, fmt, vmid, cluster.clock.seconds())
    return f"{where.name}:{volume}"


def _volid(call: Call) -> str:
    volume = call.params["volume"]
    return volume if ":" in volume else f"{call.params['storage']}:{volume}"


@route("GET", _STORAGE + "/content/{volume}")
def volume_info(call: Call) -> dict[str, Any]:
    volid = _volid(call)
    call.require(f"/storage/{split(volid)[0]}", "Datastore.Audit", "Datastore.AllocateSpace")
    volume = find(call.cluster, call.node, volid)
    if volume is None:
        raise ApiError(f"volume_size_info on '{volid}' failed - no format\n")
    path = path_of(call.cluster, volid)
    return {"path": path, "format": volume.format, "size": volume.size, "used": min(volume.size, 266240)}


@route("DELETE", _STORAGE + "/content/{volume}")
def delete_volume(call: Call) -> str:
    volid = _volid(call)
    name = split(volid)[0]
    call.require(f"/storage/{name}", "Datastore.Allocate")
    volume = find(call.cluster, call.node, volid)

    def work(task: Task) -> None:
        free(call.cluster, call.node, volid)
        task.log.append(f"Removed volume '{volid}'")

    return call.spawn("imgdel", work, ident=f"{volume.vmid}@{name}" if volume else f"{name}")
