# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would make a step fail and can be known by reading. The server says most of it only after it has begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..._errors import Ambiguous, Conflict, InvalidRequest, NotFound, Unsupported
from ..._fields import natural
from ..._plan import VM, Change, Op, Plan, Step, differences
from . import settings
from .creation import body_of_create, data_storages

if TYPE_CHECKING:
    from .driver import ZStackBackend


_SAID_BY_DISKS = frozenset(
    {
        *("primaryStorageUuidForRootVolume", "primaryStorageUuidForDataVolume"),
        *("rootVolumeSystemTags", "dataVolumeSystemTags"),
    }
)


def needs_stop(change: Change, vm: VM, backend: ZStackBackend) -> bool:
    """Whether a VM that runs or is paused does not take a change."""
    if change.path[0] in ("memory", "cores"):
        grows = (change.after or 0) > (change.before or 0)
        return vm.get("state") != "running" or not grows or not backend.hot_plug
    if change.setting == "nics.network":
        return vm.get("state") == "paused"
    is_drive = change.path == ("cdrom",) and (change.before is None or change.after is None)
    return is_drive or change.setting in ("firmware", "nics.mac")


def check(step: Step, backend: ZStackBackend) -> None:
    """
    :raises Error: what stands in the way of the step.
    """
    checks = {
        Op.CREATE: _create,
        Op.UPDATE: _update,
        Op.CLONE: _clone,
        Op.MIGRATE: _migrate,
        Op.SNAPSHOT: _snapshot,
        Op.REVERT: _revert,
        Op.REVERT_DISKS: _revert,
        Op.CONSOLE: _console,
    }
    if step.op in checks:
        checks[step.op](step, backend)


# --- making


def _create(step: Step, backend: ZStackBackend) -> None:
    wanted = step.arguments["settings"]
    if step.arguments.get("recover"):
        return
    _check_id(step.arguments.get("id"))
    disks = wanted.get("disks") or {}
    _check_slots("virtio", disks, ())
    _check_slots("net", wanted.get("nics") or {}, ())
    _check_devices(tuple(differences({}, wanted)))
    if "virtio0" not in disks:
        raise InvalidRequest(
            "A VM of ZStack needs a root disk.", advice="Give disks with slot virtio0, and a source or a size."
        )
    for slot, disk in disks.items():
        if disk.get("source") and slot != "virtio0":
            raise InvalidRequest(f"disk {slot}: only the root disk virtio0 is made from a source.")
        if not disk.get("size") and not disk.get("source"):
            raise InvalidRequest(f"disk {slot} needs a size.")
    if len(data_storages(disks)) > 1:
        raise InvalidRequest(
            "The disks of a new VM beside the root disk lie on one storage.",
            advice="Add the others afterwards with anyvirt.compute.vm_config.",
        )
    _check_addresses(wanted, wanted.get("nics") or {})
    networks = [nic["network"] for nic in (wanted.get("nics") or {}).values()]
    _check_networks(networks)
    # finds every name that has to be known
    body_of_create(wanted, "", step.vm["name"], backend.names)


def _check_id(uuid: str | None) -> None:
    if uuid is not None and not settings.UUID.fullmatch(uuid):
        raise InvalidRequest(f"id: '{uuid}' is no uuid that ZStack takes.", advice="It is a UUID without dashes.")


def _check_slots(stem: str, wanted: Mapping[str, Any], known: Sequence[str]) -> None:
    """ZStack numbers devices itself: a new one gets the first number that is free."""
    taken = set(known)
    for slot in sorted((slot for slot in wanted if slot not in known), key=natural):
        free = next(f"{stem}{number}" for number in range(100) if f"{stem}{number}" not in taken)
        if slot != free:
            raise InvalidRequest(
                f"'{slot}' cannot be had: ZStack numbers devices itself, and the next one is {free}.",
                advice="Disks are virtio0, virtio1 and so on, network cards net0, net1 and so on.",
            )
        taken.add(slot)


def _check_networks(networks: Sequence[str]) -> None:
    for network in networks:
        if networks.count(network) > 1:
            raise InvalidRequest(f"A VM of ZStack has one network card at most in a network, and two are in {network}.")


def _check_devices(changes: Sequence[Change]) -> None:
    """What concerns devices that are new, or change."""
    for change in changes:
        if change.path == ("boot_order",):
            settings.boot_words(change.after or ())
        for name, device in _new_devices(change, "nics"):
            if not device.get("network"):
                raise InvalidRequest(f"nic {name} needs a network.", advice="It is the name or uuid of an L3 network.")
        wanted = change.after if change.path == ("cdrom",) else None
        slot = change.after if change.path == ("cdrom", "slot") else (wanted or {}).get("slot")
        if slot not in (None, "ide0"):
            raise InvalidRequest(f"cdrom: '{slot}' cannot be had: the first drive of a VM of ZStack is ide0.")


def _check_addresses(after: Mapping[str, Any], nics: Mapping[str, Any]) -> None:
    for slot in (after.get("cloud_init") or {}).get("ip_config") or ():
        if slot not in nics:
            raise InvalidRequest(f"cloud_init: ip_config: there is no {slot}.", advice=f"There are: {', '.join(nics)}.")


def _new_devices(change: Change, kind: str) -> Sequence[tuple[str, Mapping[str, Any]]]:
    if change.path[0] != kind or change.after is None:
        return ()
    if len(change.path) == 1:
        return tuple(change.after.items())
    return ((change.path[1], change.after),) if len(change.path) == 2 else ()


def _clone(step: Step, backend: ZStackBackend) -> None:
    wanted = step.arguments
    if wanted.get("id"):
        raise Unsupported("ZStack gives clones their uuids itself.", advice="Leave out id.")
    native = wanted.get("native") or {}
    fields = native.get("clone", {})
    if "diskAOs" in fields and (wanted.get("storage") or _SAID_BY_DISKS & set(fields)):
        raise InvalidRequest(f"native: clone: diskAOs excludes storage, {', '.join(sorted(_SAID_BY_DISKS))}.")
    for kind, word in (("node", wanted.get("node")), ("storage", wanted.get("storage"))):
        if word:
            backend.names.uuid(kind, word)
    if native.get("cluster"):
        backend.names.uuid("cluster", native["cluster"])
    _require_state(step.source or {}, ("Running", "Stopped", "Paused"), "be cloned")


# --- changing


def _update(step: Step, backend: ZStackBackend) -> None:
    vm, changes = step.vm, step.arguments["changes"]
    is_awake = vm.get("state") in ("running", "paused")
    if step.arguments.get("apply") == "next_boot" and is_awake:
        raise Unsupported("ZStack applies a change at once or not at all: apply: next_boot is not possible.")
    blocked = sorted({".".join(change.path) for change in changes if is_awake and needs_stop(change, vm, backend)})
    if blocked:
        memory = {"memory", "cores"} & set(blocked)
        why = " Hot plug is off (the global setting vm.numa)." if memory and not backend.hot_plug else ""
        why = why or (" A VM that runs can get more memory and cores, not less." if memory else "")
        raise Conflict(
            f"VM {vm['name']} is {vm.get('native_state', vm['state'])}, and has to be Stopped to change"
            f" {', '.join(blocked)}.{why}",
            advice="Use anyvirt.compute.vm_config with apply: reboot, or stop it first.",
            state=vm["state"],
        )
    for change in changes:
        if change.path == ("native",) and change.after is None:
            raise Unsupported("Backend zstack cannot take away all native settings at once.")
        if change.path == ("disks", "virtio0") and change.after is None:
            raise Unsupported("The root disk virtio0 of a VM of ZStack cannot be taken away.")
        for slot, disk in _new_devices(change, "disks"):
            if disk.get("source") or not disk.get("size"):
                raise InvalidRequest(f"disk {slot}: a disk that is added needs a size, and has no source.")
    _check_devices(changes)
    _check_numbers(vm, changes)


def _check_numbers(vm: VM, changes: Sequence[Change]) -> None:
    """The slots of new devices, and the networks that there will be."""
    for kind, stem in (("disks", "virtio"), ("nics", "net")):
        gone = [c.path[1] for c in changes if c.path[0] == kind and len(c.path) == 2 and c.after is None]
        known = [slot for slot in vm.get(kind) or {} if slot not in gone]
        new = {name: device for change in changes for name, device in _new_devices(change, kind) if name not in known}
        _check_slots(stem, new, known)
        if kind == "nics":
            networks = {slot: vm["nics"][slot].get("network", slot) for slot in known}
            networks.update({slot: nic["network"] for slot, nic in new.items()})
            networks.update({c.path[1]: c.after for c in changes if c.setting == "nics.network"})
            _check_networks(list(networks.values()))
            addresses = [c.after for c in changes if c.path == ("cloud_init", "ip_config")]
            whole = [(c.after or {}).get("ip_config") for c in changes if c.path == ("cloud_init",)]
            for told in [*addresses, *whole]:
                _check_addresses({"cloud_init": {"ip_config": told}}, networks)


# --- moving


def _migrate(step: Step, backend: ZStackBackend) -> None:
    """The server tells where a VM can go."""
    vm, wanted = step.vm, step.arguments
    if wanted.get("bandwidth_limit"):
        raise Unsupported("Backend zstack cannot limit the bandwidth of a migration.", advice="Leave it out.")
    if vm["state"] not in ("running", "paused"):
        raise Conflict(
            f"VM {vm['name']} is {vm['native_state']} and on no host: ZStack moves VMs that are Running or Paused.",
            advice="Start it; the server then chooses a host that has room.",
            state=vm["state"],
        )
    if not wanted["online"]:
        raise Unsupported("ZStack moves VMs while they run.", advice="Leave out online: false.")
    target = backend.names.uuid("node", wanted["node"])
    path = f"/vm-instances/{vm['id']}"
    if wanted.get("target_storage"):
        storage = backend.names.uuid("storage", wanted["target_storage"])
        storages = backend.api.get(f"{path}/storage-migration-candidates")["inventories"]
        _require_candidate("storage", wanted["target_storage"], storage, storages, vm)
        hosts = f"/primary-storage/hosts/{vm['id']}/migration-candidates"
        candidates = backend.api.get(hosts, dstPrimaryStorageUuid=storage)["inventories"]
    else:
        candidates = backend.api.get(f"{path}/migration-target-hosts")["inventories"]
    _require_candidate("host", wanted["node"], target, candidates, vm)


def _require_candidate(what: str, word: str, uuid: str, rows: Sequence[Mapping[str, Any]], vm: VM) -> None:
    if uuid not in [row["uuid"] for row in rows]:
        names = sorted(row["name"] for row in rows)
        raise Conflict(
            f"VM {vm['name']} cannot move to {what} {word}: the server does not offer it.",
            advice=f"It offers: {', '.join(names) or 'none'}.",
            candidates=names,
        )


def _require_state(vm: Mapping[str, Any], states: Sequence[str], what: str) -> None:
    state = vm.get("native_state")
    if state in settings.SETTLED and state not in states:
        raise Conflict(f"VM {vm['name']} is {state} and has to be {' or '.join(states)} to {what}.", state=vm["state"])


def _console(step: Step, backend: ZStackBackend) -> None:
    """In these states the server gives one (ConsoleApiInterceptor)."""
    _require_state(step.vm, ("Running", "Paused", "Crashed", "NoState"), "have a console")


# --- snapshots


def _snapshot(step: Step, backend: ZStackBackend) -> None:
    vm, name = step.vm, step.arguments["snapshot"]
    if not 1 <= len(name) <= 255 or name != name.strip() or not name.isprintable():
        raise InvalidRequest(f"{name!r} cannot be the name of a snapshot.", advice="It has 1 to 255 characters.")
    if any(other.startswith(f"{name}@") for other in vm.get("snapshots") or ()):
        raise Ambiguous(f"VM {vm['name']} has several snapshots named {name}.", advice="Use another name.")
    if step.arguments.get("memory"):
        _require_state(vm, ("Running",), "have its memory saved")
    _require_state(vm, ("Running", "Stopped", "Paused"), "have a snapshot taken")


def _revert(step: Step, backend: ZStackBackend) -> None:
    """
    :raises Conflict: the server says that it is not possible any more, or it is a snapshot of a single disk.
    :raises NotFound: it has no such disk.
    """
    vm, name, disks = step.vm, step.arguments["snapshot"], step.arguments.get("disks")
    taken = backend.snapshots[vm["id"]][name]
    has = ", ".join(sorted(taken.members)) or "none that is left"
    for slot in disks or ():
        if slot not in taken.members:
            raise NotFound(f"Snapshot {name} of VM {vm['name']} has no disk {slot}.", advice=f"It has: {has}.")
    if disks:
        return
    if taken.is_group:
        path = "/volume-snapshots/groups/availabilities"
        (told,) = backend.api.get(path, uuids=[taken.uuid])["results"]
        reason = "" if told["available"] else str(told.get("reason") or "the server gives no reason")
    else:
        reason = "" if set(taken.members) == set(vm["disks"]) else "it is one of a single disk"
    if reason:
        raise Conflict(
            f"VM {vm['name']} cannot be reverted to snapshot {name}: {reason.rstrip('.')}.",
            advice=f"Revert single disks with disks, of these: {has}.",
        )


def check_snapshots(plan: Plan, backend: ZStackBackend) -> None:
    """ZStack deletes a snapshot with all that were taken after it.

    :raises Conflict: one of them is not meant to go.
    """
    going = {step.arguments["snapshot"] for step in plan.steps if step.op is Op.SNAPSHOT_DELETE}
    if not going:
        return
    known = plan.before["snapshots"]
    current = [name for name, taken in backend.snapshots[plan.before["id"]].items() if taken.is_current]
    for name in plan.after["snapshots"]:
        line = [known[name].get("parent")] if name in known else current
        for ancestor in line:
            if ancestor in known:
                line.append(known[ancestor].get("parent"))
        lost = sorted(going.intersection(line))
        if lost:
            raise Conflict(
                f"ZStack deletes a snapshot with all that follow it: with {', '.join(lost)} goes {name} too.",
                advice="Use children: true if that is meant, or keep it.",
            )
