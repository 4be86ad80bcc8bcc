# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Growing and moving disks."""

from __future__ import annotations

from .config import set_now
from .errors import ApiError, parameter_error, permission_error
from .options import drop_boot
from .routes import VM, Call, route
from .state import Guest, Volume
from .tasks import Task
from .volumes import (
    add_unused,
    allocate,
    drive_volume,
    find,
    formatting,
    free,
    parse_size,
    path_of,
    size_text,
    split,
    storage,
)


@route("PUT", VM + "/resize")
def resize(call: Call) -> str:
    call.root_only("skiplock")
    cluster, key, size = call.cluster, call.params["disk"], call.params["size"]

    def work(task: Task) -> None:
        guest = call.guest()
        digest = call.params.get("digest")
        if digest and digest != guest.digest():
            raise ApiError("checksum mismatch (file change by other user?)\n")
        if not call.params.get("skiplock"):
            guest.check_lock()
        if key not in guest.config:
            raise ApiError(f"disk '{key}' does not exist\n")
        options = cluster.contract.options(key, guest.config[key])
        volid = options["file"]
        name = split(volid)[0]
        if not call.may(f"/storage/{name}", "Datastore.AllocateSpace"):
            raise permission_error(f"/storage/{name}, Datastore.AllocateSpace")
        volume = find(cluster, guest.node, volid)
        if volume is None:
            raise ApiError(f"volume '{volid}' does not exist\n")
        cluster.check_writable(call.node, call.vmid)
        wanted = parse_size(size.lstrip("+")) + (volume.size if size.startswith("+") else 0)
        if wanted < volume.size:
            raise ApiError("shrinking disks is not supported\n")
        if wanted > volume.size:
            _grow(call, task, guest, volid, volume, wanted)
        guest.config[key] = cluster.contract.text(key, {**options, "size": size_text(volume.size)})

    return call.spawn("resize", work, lock=call.vmid)


def _grow(call: Call, task: Task, guest: Guest, volid: str, volume: Volume, wanted: int) -> None:
    path = path_of(call.cluster, volid)
    if "/base-" in path:
        task.log.append(f"qemu-img: Could not open '{path}': Could not open '{path}': Operation not permitted")
        how = "'--preallocation=metadata' " if call.cluster.new else ""
        command = f"/usr/bin/qemu-img resize {how}-f {volume.format} {path} {wanted}"
        raise ApiError(f"command '{command}' failed: exit code 1\n")
    volume.size = wanted
    if not guest.running:
        task.log.append("Image resized.")


@route("POST", VM + "/move_disk")
def move_disk(call: Call) -> str:
    params, cluster, key = call.params, call.cluster, call.params["disk"]
    if ("storage" in params) == ("target-vmid" in params):
        which = "missing, either needs to be set" if "storage" not in params else "set, only one can be set"
        text = f"both 'storage' and 'target-vmid' {which}"
        raise parameter_error(storage=text, target_vmid=text)
    guest = call.guest()
    digest = params.get("digest")
    if digest and digest != guest.digest():
        raise ApiError("checksum mismatch (file change by other user?)\n")
    guest.check_lock()
    if key not in guest.config:
        raise ApiError(f"disk '{key}' does not exist\n")
    volid = drive_volume(cluster, key, guest.config[key])
    if volid is None:
        raise ApiError(f"disk '{key}' has no associated volume\n")
    if "target-vmid" in params:
        return _reassign(call, guest, key, volid)
    return _copy(call, key, volid)


def _copy(call: Call, key: str, volid: str) -> str:
    params, cluster = call.params, call.cluster
    where = storage(cluster, params["storage"])
    call.require(f"/storage/{where.name}", "Datastore.AllocateSpace")
    volume = find(cluster, call.node, volid)
    if volume is None:
        raise ApiError(f"volume '{volid}' does not exist\n")
    source = split(volid)[0]
    if source == where.name and params.get("format", volume.format) == volume.format:
        raise ApiError("you can't move to the same storage with same format\n")

    def work(task: Task) -> None:
        guest = call.guest()
        guest.check_lock()
        task.log.append(f"copying volume '{volid}' from current storage '{source}' to target storage '{where.name}'")
        task.log.append(f"create full clone of drive {key} ({volid})")
        fmt = params.get("format") or volume.format
        new = allocate(cluster, where, call.node, call.vmid, volume.size, fmt=fmt)
        made = find(cluster, call.node, new)
        assert made is not None
        task.log += [formatting(cluster, new, made), f"allocated target volume '{new}'"]
        options = {**cluster.contract.options(key, guest.config[key]), "file": new, "size": size_text(volume.size)}
        guest.config[key] = cluster.contract.text(key, options)
        if params.get("delete"):
            free(cluster, call.node, volid)
        else:
            add_unused(guest.config, volid)

    return call.spawn("qmmove", work, lock=call.vmid)


def _reassign(call: Call, guest: Guest, key: str, volid: str) -> str:
    """Give a volume to another guest of the node."""
    cluster, other, slot = call.cluster, call.params["target-vmid"], call.params.get("target-disk") or key
    call.require(f"/vms/{other}", "VM.Config.Disk")
    target = cluster.guest(call.node, other)
    target.check_lock()
    if slot in target.config:
        raise ApiError(f"Target disk key '{slot}' is already in use for VM '{other}'\n")

    def work(task: Task) -> None:
        task.log.append(f"reassign disk '{key}' from VM '{call.vmid}' as '{slot}' to VM '{other}'")
        task.log.append(f"removing disk '{key}' from VM '{call.vmid}' config")
        name, volume = split(volid)
        where = cluster.storages[name]
        held = where.volumes.pop(where.key(call.node, volume))
        new = allocate(cluster, where, call.node, other, held.size, fmt=held.format)
        text = (
            new
            if slot.startswith("unused")
            else cluster.contract.text(slot, {"file": new, "size": size_text(held.size)})
        )
        del guest.config[key]
        drop_boot(guest.config, key)
        set_now(cluster, target, slot, text)
        task.log.append(f"update VM {other}: -{slot} {new}")

    return call.spawn("qmmove", work, ident=f"{call.vmid}-{key}>{other}-{slot}", lock=call.vmid)
