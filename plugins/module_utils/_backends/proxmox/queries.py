# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster tells of itself, its nodes and its tasks, in words of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..._errors import InvalidRequest, NotFound
from ..._plan import Op
from ..._task import Task, TaskState
from . import tasks as upids
from .api import Api


def cluster(api: Api, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """
    :param wanted: ``gather`` of resources and next_id; ``id``, an id to ask about.
    """
    rows = api.get("cluster", "status")
    head: Mapping[str, Any] = next((row for row in rows if row["type"] == "cluster"), {})
    version = api.get("version")
    result: dict[str, Any] = {
        "cluster": {
            "name": head.get("name"),
            "version": version["version"],
            # a node by itself has no cluster row, and always a quorum
            "quorate": bool(int(head.get("quorate", 1))),
            "nodes": [node_row(row) for row in sorted(api.get("nodes"), key=lambda row: row["node"])],
        }
    }
    if "resources" in wanted["gather"]:
        result["resources"] = sorted(api.get("cluster", "resources"), key=lambda row: row["id"])
    if "next_id" in wanted["gather"] or wanted["id"]:
        result["next_id"] = next_id(api, wanted["id"])
    return result


def next_id(api: Api, wish: str | None) -> str | None:
    """A free id, or the wish where that is free, else None. It reserves nothing."""
    try:
        return str(api.get("cluster", "nextid", vmid=wish))
    except InvalidRequest as error:
        if wish and "already exists" in error.message:
            return None
        raise


def node_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A node; of one that is offline there is no usage."""
    return {
        "name": row["node"],
        "state": row.get("status", "unknown"),
        "cpus": row.get("maxcpu"),
        "cpu_usage": row.get("cpu"),
        "memory": row["maxmem"] >> 20 if row.get("maxmem") else None,
        "memory_used": row["mem"] >> 20 if row.get("mem") is not None else None,
        "uptime": row.get("uptime"),
    }


def nodes(api: Api, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """
    :param wanted: ``node`` or None for all; ``gather`` of status and network; ``network_type``.
    :raises NotFound: there is no such node.
    """
    rows = [row for row in api.get("nodes") if wanted["node"] in (None, row["node"])]
    if not rows:
        raise NotFound(f"There is no node {wanted['node']} in the cluster.")
    found = []
    for row in sorted(rows, key=lambda row: row["node"]):
        node = node_row(row)
        if node["state"] == "online" and "status" in wanted["gather"]:
            node["status"] = api.get("nodes", row["node"], "status")
        if node["state"] == "online" and "network" in wanted["gather"]:
            told = api.get("nodes", row["node"], "network", type=wanted["network_type"])
            node["network"] = sorted(told, key=lambda one: one["iface"])
        found.append(node)
    return {"nodes": found}


def tasks(api: Api, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """
    :param wanted: ``tasks``, ids to ask about; or filters: ``node``, ``vm``, ``user``, ``type``, ``status``, ``since``,
        ``until``, ``start``, ``limit``, ``source``, ``errors``; ``log``, whether to add the lines of each.
    """
    if wanted["tasks"]:
        rows = [_status(api, upid) for upid in wanted["tasks"]]
    else:
        filters = {
            "vmid": wanted["vm"],
            "userfilter": wanted["user"],
            "typefilter": wanted["type"],
            "statusfilter": ",".join(wanted["status"]) if wanted["status"] else None,
            "errors": 1 if wanted["errors"] else None,
            **{name: wanted[name] for name in ("since", "until", "start", "limit", "source")},
        }
        names = [wanted["node"]] if wanted["node"] else [row["node"] for row in nodes_online(api)]
        rows = [row for name in names for row in api.get("nodes", name, "tasks", **filters)]
    told = [_task(row) for row in rows]
    if wanted["log"]:
        for one in told:
            one["log"] = upids.log_end(api, one["id"], 500)
    return {"tasks": sorted(told, key=lambda one: -one["started"])}


def nodes_online(api: Api) -> list[Mapping[str, Any]]:
    return [row for row in api.get("nodes") if row.get("status") == "online"]


def _status(api: Api, upid: str) -> dict[str, Any]:
    """
    :raises NotFound: there is no such task.
    """
    upids.poll(api, [Task(upid, "proxmox", TaskState.PENDING)])
    told = api.get("nodes", upids.node_of(upid), "tasks", upid, "status")
    return {**told, "status": told.get("exitstatus") if told["status"] == "stopped" else None}


def _task(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a list of tasks. Without a status it runs; with one it is over, and that is how it ended."""
    is_over = row.get("status") not in (None, "running", "RUNNING")
    task = upids.finished(row["upid"], row["status"]) if is_over else upids.begun(row["upid"])
    return {
        **task.to_result(),
        "node": row["node"],
        "type": row["type"],
        "vm": row.get("id") or None,
        "user": row["user"],
        "started": int(row["starttime"]),
        "ended": int(row["endtime"]) if row.get("endtime") else None,
    }


QUERIES: Mapping[Op, Callable[[Api, Mapping[str, Any]], dict[str, Any]]] = {
    Op.CLUSTER_INFO: cluster,
    Op.NODE_INFO: nodes,
    Op.TASK_INFO: tasks,
}
