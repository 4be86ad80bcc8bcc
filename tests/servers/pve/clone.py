# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clones, linked and full, and templates."""

from __future__ import annotations

from typing import Any

from .cluster import check_node
from .errors import ApiError, missing_file, permission_error
from .guests import drop_volumes
from .options import NET
from .routes import VM, Call, route
from .snapshots import disks
from .state import Cluster, Guest, Volume
from .tasks import Task
from .volumes import CLOUDINIT_SIZE, allocate, find, formatting, is_cdrom, is_cloudinit, size_text, split, storage

_NOT_COPIED = ("parent", "lock", "template", "vmstate", "snaptime", "protection", "digest")


@route("POST", VM + "/clone")
def clone(call: Call) -> str:
    return _Clone(call).start()


class _Clone:
    """One request to copy a guest."""

    def __init__(self, call: Call) -> None:
        self.call, self.cluster = call, call.cluster
        self.newid = call.params["newid"]
        self.node = call.params.get("target") or call.node

    def start(self) -> str:
        call, cluster = self.call, self.cluster
        cluster.check_quorum()
        pool = call.params.get("pool")
        if pool is not None and pool not in cluster.pools:
            raise permission_error(f"pool '{pool}' does not exist")
        check_node(cluster, self.node)
        source = self._source()
        config = self._config(source)
        self._check(source, config)
        stub = {"lock": "clone", "description": " qmclone temporary file"}
        cluster.guests[self.newid] = Guest(self.newid, self.node, stub)
        if pool:
            cluster.pools[pool].vms.append(self.newid)

        def work(task: Any) -> Any:
            return self._copy(task, source, config)

        return call.spawn("qmclone", work, lock=self.newid, undo=self._undo)

    def _undo(self) -> None:
        target = self.cluster.guests.pop(self.newid, None)
        if target:
            drop_volumes(self.cluster, target)
        for pool in self.cluster.pools.values():
            if self.newid in pool.vms:
                pool.vms.remove(self.newid)

    def _source(self) -> Guest:
        source = self.cluster.guests.get(self.call.vmid)
        if source is None or source.node != self.call.node:
            raise missing_file(self.call.node, self.call.vmid)
        return source

    def _config(self, source: Guest) -> dict[str, Any]:
        source.check_lock()
        name = self.call.params.get("snapname")
        if name and name not in source.snapshots:
            raise ApiError(f"snapshot '{name}' does not exist\n")
        return source.snapshots[name] if name else source.config

    @property
    def full(self) -> bool:
        """Templates are linked, guests copied, unless the caller says otherwise."""
        source = self.cluster.guests[self.call.vmid]
        return bool(self.call.params.get("full", not source.template))

    def _check(self, source: Guest, config: dict[str, Any]) -> None:
        call, cluster = self.call, self.cluster
        if call.params.get("storage"):
            storage(cluster, call.params["storage"])
            call.require(f"/storage/{call.params['storage']}", "Datastore.AllocateSpace")
        for key, volume in disks(cluster, config, source):
            if not self.full and not (source.template and "snapname" not in call.params):
                raise ApiError(f"Linked clone feature is not supported for '{volume}' ({key})\n")
            if self.node != call.node and not cluster.storages[split(volume)[0]].shared:
                raise ApiError(f"can't clone VM to node '{self.node}' (VM uses local storage)\n")
            where = call.params.get("storage") or split(volume)[0]
            call.require(f"/storage/{where}", "Datastore.AllocateSpace")
        for name in ("storage", "format"):
            if not self.full and call.params.get(name):
                raise ApiError(f"parameter '{name}' not allowed for linked clones\n")
        for key, value in config.items():
            bridge = cluster.contract.options(key, value).get("bridge") if NET.fullmatch(key) else None
            if bridge:
                call.require(f"/sdn/zones/localnetwork/{bridge}", "SDN.Use")
        if self.newid in cluster.guests:
            raise ApiError(f"unable to create VM {self.newid}: config file already exists\n")

    def _copy(self, task: Task, source: Guest, config: dict[str, Any]) -> None:
        call, cluster = self.call, self.cluster
        target = cluster.guests[self.newid]
        task.log.append(f"creating a clone of VM {call.vmid} with ID {self.newid}")
        new = {k: v for k, v in config.items() if k not in _NOT_COPIED and not k.startswith(("unused", "running"))}
        for key in target.drives(new):
            new[key] = self._drive(key, new[key], source, task)
        for key in [key for key in new if NET.fullmatch(key)]:
            options = {**cluster.contract.options(key, new[key]), "macaddr": cluster.new_mac()}
            new[key] = cluster.contract.text(key, options)
        new.update(cluster.identity())
        new["name"] = call.params.get("name") or f"Copy-of-VM-{config.get('name') or call.vmid}"
        if "description" in call.params:
            new["description"] = call.params["description"]
        elif source.config.get("description") and config is source.config:
            new["description"] = source.config["description"]
        target.config = new
        target.shutdown_seconds, target.agent = source.shutdown_seconds, source.agent

    def _drive(self, key: str, text: str, source: Guest, task: Task) -> str:
        cluster, params = self.cluster, self.call.params
        options = cluster.contract.options(key, text)
        volid = options["file"]
        if volid in ("none", "cdrom") or (is_cdrom(options) and not is_cloudinit(volid)):
            return text
        volume = find(cluster, source.node, volid) or Volume(CLOUDINIT_SIZE, "raw", source.vmid, 0)
        where = storage(cluster, params.get("storage") or split(volid)[0])
        if self.full or is_cloudinit(volid):
            kind = "cloudinit" if is_cloudinit(volid) else "disk"
            fmt = params.get("format") or (volume.format if where.name == split(volid)[0] else None)
            new = allocate(cluster, where, self.node, self.newid, volume.size, kind=kind, fmt=fmt)
            made = find(cluster, self.node, new)
            assert made is not None
            task.log.append(f"create full clone of drive {key} ({volid})")
            task.log.append(formatting(cluster, new, made))
            task.log.append(f"allocated target volume '{new}'")
        else:
            task.log.append(f"create linked clone of drive {key} ({volid})")
            new = allocate(cluster, where, self.node, self.newid, volume.size, fmt=volume.format, parent=volid)
        return cluster.contract.text(key, {**options, "file": new, "size": size_text(volume.size)})


# -- templates --------------------------------------------------------------------------------------------------------


@route("POST", VM + "/template")
def template(call: Call) -> str:
    cluster, guest = call.cluster, call.guest()
    guest.check_lock()
    if guest.snapshots:
        raise ApiError("unable to create template, because VM contains snapshots\n")
    if guest.template and not call.params.get("disk"):
        raise ApiError("you can't convert a template to a template\n")
    if guest.running:
        raise ApiError("you can't convert a VM to template if VM is running\n")

    def work(_task: Task) -> None:
        cluster.check_writable(call.node, call.vmid)
        here = call.guest()
        here.config["template"] = 1
        for key, volume in disks(cluster, here.config, here):
            if call.params.get("disk") in (None, key):
                here.config[key] = to_base(cluster, here, key, volume)

    return call.spawn("qmtemplate", work, lock=call.vmid)


def to_base(cluster: Cluster, guest: Guest, key: str, volid: str) -> str:
    """Rename the volume of a drive to base-..."""
    name, volume = split(volid)
    head, _slash, tail = volume.rpartition("/")
    where = cluster.storages[name]
    new = f"{head}/{tail.replace('vm-', 'base-', 1)}" if head else tail.replace("vm-", "base-", 1)
    where.volumes[where.key(guest.node, new)] = where.volumes.pop(where.key(guest.node, volume))
    options = {**cluster.contract.options(key, guest.config[key]), "file": f"{name}:{new}"}
    return cluster.contract.text(key, options)
