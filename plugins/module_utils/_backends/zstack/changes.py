# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changed settings of a VM that exists, as the requests that they need. Each is a job that is waited for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..._fields import MIB
from ..._plan import VM, Change
from . import settings, userdata
from .tasks import action

if TYPE_CHECKING:
    from .driver import ZStackBackend

_PLAIN = {"name": "name", "description": "description", "cores": "cpuNum", "memory": "memorySize"}


class Changes:
    """The changes of one VM.

    :param finish: sends a request, given what it is for, method, path, body, parameters and what is to be given the
        result, and waits for its job.
    """

    def __init__(self, backend: ZStackBackend, finish: Callable[..., Any]) -> None:
        self._backend = backend
        self._finish = finish
        self._vm: VM = {}
        self._row: Mapping[str, Any] = {}
        self._tags = settings.Tags()

    def apply(self, vm: VM, changes: Sequence[Change]) -> None:
        """Carry all of them out: first what is one request, then tags, then devices; what goes before what comes."""
        self._vm = {**vm, "id": self._backend.uuid_of(vm)}
        self._row, self._tags = self._backend.known(vm)
        self._apply_plain(changes)
        for change in sorted(changes, key=lambda change: change.after is not None):
            by_name = {"tags": self._tag, "firmware": self._firmware, "disks": self._disk, "nics": self._nic}
            by_name.update(cdrom=self._cdrom, boot_order=self._boot_order)
            if change.path[0] in by_name:
                by_name[change.path[0]](change)
        self._apply_cloud_init([change for change in changes if change.path[0] == "cloud_init"])

    def _send(self, what: str, method: str, path: str, body: Any = None, params: Any = None) -> Mapping[str, Any]:
        """The result of the job."""
        result: dict[str, Any] = {}
        self._finish(f"{what} of VM {self._vm['name']}", method, path, body, params, result.update)
        return result

    def _act(self, what: str, name: str, **parameters: Any) -> None:
        self._send(what, *action(self._vm["id"], name, **parameters))

    # --- the VM itself

    def _apply_plain(self, changes: Sequence[Change]) -> None:
        """Only what differs is sent: an equal value can still be refused while the VM runs."""
        values: dict[str, Any] = {}
        for change in changes:
            if change.path[0] in _PLAIN:
                value = change.after or "" if change.path[0] == "description" else change.after
                values[_PLAIN[change.path[0]]] = value * MIB if change.path[0] == "memory" else value
            if change.path == ("native",):
                values.update(self._native(change))
        if values:
            self._act(f"change {', '.join(values)}", "updateVmInstance", **values)

    def _native(self, change: Change) -> dict[str, Any]:
        before, after = change.before or {}, change.after or {}
        differing = {name: after[name] for name in after if after[name] != before.get(name)}
        level = differing.pop("ha", None)
        path = f"/vm-instances/{self._vm['id']}/ha-levels"
        if level == settings.HA_LEVELS[0]:
            self._send("take away the HA level", "DELETE", path)
        elif level:
            self._send("set the HA level", "POST", path, {"params": {"level": level}})
        return differing

    def _firmware(self, change: Change) -> None:
        self._act("change the firmware", "setVmBootMode", bootMode=settings.boot_mode(change.after))

    def _boot_order(self, change: Change) -> None:
        self._act("change the boot order", "setVmBootOrder", bootOrder=settings.boot_words(change.after or ()))

    def _tag(self, change: Change) -> None:
        after = set(change.after or ())
        for tag in sorted(after - set(self._tags.user)):
            about = {"resourceType": "VmInstanceVO", "resourceUuid": self._vm["id"], "tag": tag}
            self._send(f"add tag {tag}", "POST", "/user-tags", {"params": about})
        for tag in sorted(set(self._tags.user) - after):
            self._send(f"remove tag {tag}", "DELETE", f"/tags/{self._tags.user[tag]}")

    def _apply_cloud_init(self, changes: Sequence[Change]) -> None:
        if not changes:
            return
        known = self._tags.whole("userdata")
        wanted = self._cloud_init_after(changes)
        fixed = (wanted or {}).pop("ip_config", None) or {}
        self._fix_addresses((self._vm.get("cloud_init") or {}).get("ip_config") or {}, fixed)
        if all(change.path == ("cloud_init", "ip_config") for change in changes):
            return
        if not wanted:
            if known:
                self._send("take away the user data", "DELETE", f"/tags/{self._tags.system[known]}")
            return
        tag = userdata.tag_of(wanted, known)
        if known:
            path = f"/system-tags/{self._tags.system[known]}/actions"
            self._send("change the user data", "PUT", path, {"updateSystemTag": {"tag": tag}})
        else:
            about = {"resourceType": "VmInstanceVO", "resourceUuid": self._vm["id"], "tag": tag}
            self._send("add user data", "POST", "/system-tags", {"params": about})

    def _fix_addresses(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        if before == after:
            return
        # a card may just have been added, or be in another network
        self._backend.refresh(self._vm["id"])
        nics = settings.nics_of(self._backend.known(self._vm)[0])
        for slot in sorted(set(before) | set(after)):
            if before.get(slot) == after.get(slot) or slot not in nics:
                continue
            network = nics[slot]["l3NetworkUuid"]
            if slot in after:
                address = after[slot]["ip"].partition("/")[0]
                self._act(f"fix the address of {slot}", "setVmStaticIp", l3NetworkUuid=network, ip=address)
            else:
                path = f"/vm-instances/{self._vm['id']}/static-ips"
                self._send(f"free the address of {slot}", "DELETE", path, None, {"l3NetworkUuid": network})

    def _cloud_init_after(self, changes: Sequence[Change]) -> dict[str, Any] | None:
        wanted = dict(self._vm.get("cloud_init") or {})
        given = set()
        for change in changes:
            if len(change.path) == 1:
                wanted = dict(change.after or {})
                if change.after is None:
                    return None
            else:
                wanted[change.path[1]] = change.after
                given.add(change.path[1])
        if given - {"ip_config"} and "user_data" not in given:
            # parts that are said now take the place of a whole text
            wanted.pop("user_data", None)
        return wanted

    # --- disks

    def _disk(self, change: Change) -> None:
        slot = change.path[1]
        volume = settings.volumes_of(self._row).get(slot)
        if len(change.path) == 2 and change.after is not None:
            self._add_disk(slot, change.after)
        elif volume and len(change.path) == 2:
            params = {"vmUuid": self._vm["id"]}
            self._send(f"detach disk {slot}", "DELETE", f"/volumes/{volume['uuid']}/vm-instances", None, params)
        elif volume and change.path[2] == "size":
            is_root = volume["type"] == "Root"
            path = f"/volumes/{'resize' if is_root else 'data/resize'}/{volume['uuid']}/actions"
            body = {"size": settings.in_bytes({"size": change.after})}
            self._send(f"grow disk {slot}", "PUT", path, {"resizeRootVolume" if is_root else "resizeDataVolume": body})

    def _add_disk(self, slot: str, disk: Mapping[str, Any]) -> None:
        params = {"name": f"{self._vm['name']}-{slot}", "diskSize": settings.in_bytes(disk)}
        if disk.get("storage"):
            params["primaryStorageUuid"] = self._backend.names.uuid("storage", disk["storage"])
        made = self._send(f"make disk {slot}", "POST", "/volumes/data", {"params": params})
        volume = made["inventory"]["uuid"]
        path = f"/volumes/{volume}/vm-instances/{self._vm['id']}"
        self._send(f"attach disk {slot}, volume {volume},", "POST", path, {"params": {}})

    # --- network cards

    def _nic(self, change: Change) -> None:
        slot = change.path[1]
        nic = settings.nics_of(self._row).get(slot)
        if len(change.path) == 2 and change.after is not None:
            self._add_nic(slot, change.after)
        elif nic and len(change.path) == 2:
            self._send(f"detach {slot}", "DELETE", f"/vm-instances/nics/{nic['uuid']}")
        elif nic and change.path[2] == "network":
            network = self._backend.names.uuid("network", change.after)
            path = f"/vm-instances/nics/{nic['uuid']}/l3-networks/{network}"
            self._send(f"connect {slot} to {change.after}", "POST", path, {"params": {}})
        elif nic:
            body = {
                "connected": {"changeVmNicState": {"state": "enable" if change.after else "disable"}},
                "mac": {"updateVmNicMac": {"mac": str(change.after).lower()}},
            }[change.path[2]]
            self._send(f"change {slot}", "PUT", f"/vm-instances/nics/{nic['uuid']}/actions", body)

    def _add_nic(self, slot: str, nic: Mapping[str, Any]) -> None:
        network = self._backend.names.uuid("network", nic["network"])
        params = {"driverType": nic.get("model"), "customMac": (nic.get("mac") or "").lower()}
        body = {"params": {name: value for name, value in params.items() if value}}
        self._send(f"attach {slot}", "POST", f"/vm-instances/{self._vm['id']}/l3-networks/{network}", body)
        if nic.get("connected") is False:
            self._backend.refresh(self._vm["id"])
            row, _tags = self._backend.known(self._vm)
            path = f"/vm-instances/nics/{settings.nics_of(row)[slot]['uuid']}/actions"
            self._send(f"disconnect {slot}", "PUT", path, {"changeVmNicState": {"state": "disable"}})

    # --- the CD-ROM drive

    def _cdrom(self, change: Change) -> None:
        drives = sorted(self._row.get("vmCdRoms") or (), key=lambda drive: drive.get("deviceId") or 0)
        if change.path == ("cdrom",) and change.after is None:
            self._send("remove the drive", "DELETE", f"/vm-instances/cdroms/{drives[0]['uuid']}")
            return
        image = change.after.get("image") if change.path == ("cdrom",) else change.after
        iso = self._backend.names.image(image, ("ISO",)) if image else None
        if change.path == ("cdrom",):
            params = {"name": f"{self._vm['name']}-cdrom", "vmInstanceUuid": self._vm["id"], "isoUuid": iso}
            body = {"params": {name: value for name, value in params.items() if value}}
            self._send("add a drive", "POST", "/vm-instances/cdroms", body)
            return
        path = f"/vm-instances/{self._vm['id']}/iso"
        if drives[0].get("isoUuid"):
            self._send("eject the CD", "DELETE", path, None, {"isoUuid": drives[0]["isoUuid"]})
        if iso:
            into = {"systemTags": [f"cdromUuid::{drives[0]['uuid']}"]}
            self._send(f"insert {image}", "POST", f"{path}/{iso}", into)
