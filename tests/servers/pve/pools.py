# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pools: membership is theirs, no configuration names them."""

from __future__ import annotations

from typing import Any

from .cluster import storage_row
from .errors import ApiError
from .routes import Answer, Call, route
from .schema import split_list
from .state import Pool


def _find(call: Call, what: str = "") -> Pool:
    name = call.params["poolid"]
    if name not in call.cluster.pools:
        raise ApiError(f"{what}pool '{name}' does not exist\n")
    return call.cluster.pools[name]


def _check_quorum(call: Call, what: str) -> None:
    if not call.cluster.quorate:
        call.cluster.sleep(10)
        raise ApiError(f"{what}cfs-lock 'file-user_cfg' error: no quorum!\n")


def _row(pool: Pool) -> dict[str, Any]:
    row: dict[str, Any] = {"poolid": pool.name}
    if pool.comment is not None:
        row["comment"] = pool.comment
    return row


def _members(call: Call, pool: Pool) -> list[dict[str, Any]]:
    cluster, kind = call.cluster, call.params.get("type")
    rows = []
    if kind in (None, "qemu"):
        for row in cluster.resources.guest_rows():
            if row["vmid"] in pool.vms:
                rows.append({key: value for key, value in row.items() if key != "pool"})
    if kind in (None, "storage"):
        first = next(iter(cluster.nodes))
        rows += [storage_row(cluster, name, first) for name in pool.storages if name in cluster.storages]
    cluster.random.shuffle(rows)
    return rows


@route("GET", "/pools")
def pools(call: Call) -> Answer:
    if "poolid" in call.params:
        pool = _find(call)
        call.require(f"/pool/{pool.name}", "Pool.Audit")
        return Answer([{**_row(pool), "members": _members(call, pool)}])
    rows = [_row(pool) for name, pool in call.cluster.pools.items() if call.may(f"/pool/{name}", "Pool.Audit")]
    return Answer(rows, ordered=False)


@route("GET", "/pools/{poolid}")
def pool(call: Call) -> dict[str, Any]:
    found = _find(call)
    row = {**_row(found), "members": _members(call, found)}
    del row["poolid"]
    return {**row, "poolid": found.name}


@route("POST", "/pools")
def create_pool(call: Call) -> None:
    name, what = call.params["poolid"], "create pool failed: "
    _check_quorum(call, what)
    if name in call.cluster.pools:
        raise ApiError(f"{what}pool '{name}' already exists\n")
    parent = name.rpartition("/")[0]
    if parent and parent not in call.cluster.pools:
        raise ApiError(f"{what}parent '{parent}' of pool '{name}' does not exist\n")
    call.cluster.pools[name] = Pool(name, call.params.get("comment"))


@route("DELETE", "/pools", "/pools/{poolid}")
def delete_pool(call: Call) -> None:
    what = "delete pool failed: "
    _check_quorum(call, what)
    pool = _find(call, what)
    inner = [f"pool '{name}'" for name in call.cluster.pools if name.startswith(f"{pool.name}/")]
    held = [f"VM {vmid}" for vmid in pool.vms] + [f"storage '{name}'" for name in pool.storages] + inner
    if held:
        raise ApiError(f"{what}pool '{pool.name}' is not empty (contains {held[0]})\n")
    del call.cluster.pools[pool.name]


@route("PUT", "/pools", "/pools/{poolid}")
def update_pool(call: Call) -> None:
    what = "update pools failed: "
    _check_quorum(call, what)
    pool = _find(call, what)
    remove = bool(call.params.get("delete"))
    for vmid in [int(text) for text in split_list(call.params.get("vms", ""))]:
        _check_member_rights(call, vmid, what)
        if remove:
            if vmid not in pool.vms:
                raise ApiError(f"{what}VM {vmid} is not a pool member\n")
            pool.vms.remove(vmid)
        else:
            _add(call, pool, vmid, what)
    for name in split_list(call.params.get("storage", "")):
        if remove == (name not in pool.storages):
            state = "is not a" if remove else "is already a"
            raise ApiError(f"{what}Storage '{name}' {state} pool member\n")
        (pool.storages.remove if remove else pool.storages.append)(name)
    if "comment" in call.params:
        pool.comment = call.params["comment"]


def _check_member_rights(call: Call, vmid: int, what: str) -> None:
    if not call.may(f"/vms/{vmid}", "Permissions.Modify", "VM.Allocate"):
        raise ApiError(f"{what}403 Permission check failed (/vms/{vmid}, VM.Allocate)\n")


def _add(call: Call, pool: Pool, vmid: int, what: str) -> None:
    if vmid in pool.vms:
        raise ApiError(f"{what}VM {vmid} is already a pool member\n")
    other = call.cluster.pool_of(vmid)
    if other:
        if not call.params.get("allow-move"):
            raise ApiError(f"{what}VM {vmid} belongs already to pool '{other}' and 'allow-move' is not set\n")
        call.cluster.pools[other].vms.remove(vmid)
    pool.vms.append(vmid)
