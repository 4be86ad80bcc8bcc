# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The server as its API document tells it. What the document leaves open can be switched."""

from __future__ import annotations

import secrets
from typing import Any

from .world import ApiError, World, now

Row = dict[str, Any]

_TYPES = {
    "memory": int,
    "cpuCores": int,
    "diskSize": int,
    "networkType": str,
    "vncPort": int,
    "bootOrder": str,
    "isoPath": str,
}
_LISTED = ("name", "status", "pid", "memory", "cpuCores", "diskSize", "vncPort", "startTime")
_NETWORKS = ("user", "bridge", "nat")
FIRST_DISPLAY, FIRST_WEB_PORT = 5900, 6080


def bad(text: str) -> ApiError:
    return ApiError(400, "INVALID_REQUEST_PARAMS", text)


class Machines:
    """What runs the VMs: nothing but rows in a table of processes."""

    def __init__(self, world: World) -> None:
        self.world = world

    def make(self, vm: Row) -> None:
        """A VM with these settings is there from now on, stopped."""

    def start(self, vm: Row) -> int:
        """With the settings of now. Returns the pid."""
        command = f"qemu-system-x86_64 -name {vm['name']} -m {vm['memory']} -smp {vm['cpuCores']}"
        return self.world.spawn(command, [vm["vncPort"]]).pid

    def stop(self, vm: Row) -> None:
        self.world.kill(vm["pid"])

    def remove(self, vm: Row) -> None:
        """A VM that is stopped."""

    def runs(self, vm: Row) -> bool:
        return self.world.runs(vm["pid"])


class Documented:
    """VMs by name. novnc_stopped: the code with which a stopped VM has no console."""

    def __init__(self, world: World, machines: Machines, novnc_stopped: str = "VM_NOT_RUNNING") -> None:
        self.world = world
        self.machines = machines
        self.vms: dict[str, Row] = {}
        self.novnc_stopped = novnc_stopped
        self.proxies: dict[int, Row] = {}

    # -- reading ------------------------------------------------------------------------------------------------------

    def vm(self, name: str) -> Row:
        if name not in self.vms:
            raise ApiError(404, "VM_NOT_FOUND", f"VM '{name}' not found")
        return self.vms[name]

    def list(self) -> Row:
        return {"success": True, "vms": [{key: vm[key] for key in _LISTED} for vm in self.vms.values()]}

    def running(self, name: str) -> bool:
        """A VM whose process somebody else has killed is stopped."""
        vm = self.vm(name)
        if vm["status"] == "running" and not self.machines.runs(vm):
            vm.update(status="stopped", pid=None, startTime=None)
        return vm["status"] == "running"

    # -- making and changing ------------------------------------------------------------------------------------------

    def create(self, body: Row) -> Row:
        name = body.get("name")
        if not isinstance(name, str) or not name:
            raise bad("name is required")
        if name in self.vms:
            raise bad(f"VM '{name}' already exists")
        settings = self._settings(body)
        ports = {vm["vncPort"] for vm in self.vms.values()}
        free = next(port for port in range(FIRST_DISPLAY, 65536) if port not in ports)
        vm = {
            "name": name, "status": "stopped", "pid": None, "startTime": None, "memory": 2048, "cpuCores": 2,
            "diskSize": 20, "networkType": "user", "vncPort": free, "bootOrder": "hd", "isoPath": None,
            "isMountIso": False, **settings,
        }  # fmt: skip
        self.machines.make(vm)
        self.vms[name] = vm
        shown = {key: vm[key] for key in ("name", "status", "memory", "cpuCores")}
        return {"success": True, "message": f"VM '{name}' created", "vm": shown}

    @staticmethod
    def _settings(body: Row) -> Row:
        settings = {key: body[key] for key in _TYPES if body.get(key) is not None}
        for key, value in settings.items():
            is_typed = isinstance(value, _TYPES[key]) and not isinstance(value, bool)
            if not is_typed or (_TYPES[key] is int and value < 1):
                raise bad(f"{key} is invalid")
        if settings.get("networkType", "user") not in _NETWORKS:
            raise bad("networkType is invalid")
        return settings

    def configure(self, name: str, body: Row) -> Row:
        vm = self.vm(name)
        vm.update(self._settings(body))
        config = {key: vm[key] for key in _TYPES}
        told = {"success": True, "message": "Configuration updated", "requiresRestart": self.running(name)}
        return {**told, "config": config}

    def mount_iso(self, name: str, body: Row) -> Row:
        vm = self.vm(name)
        if not isinstance(body.get("mountStatus"), bool):
            raise bad("mountStatus is required")
        vm["isMountIso"] = body["mountStatus"]
        return {"success": True, "message": "ISO updated", "vm": {"name": name, "isMountIso": vm["isMountIso"]}}

    def delete(self, name: str, _body: Row) -> Row:
        vm = self.vm(name)
        if self.running(name):
            self.machines.stop(vm)
        self.machines.remove(vm)
        del self.vms[name]
        return {"success": True, "message": f"VM '{name}' deleted"}

    # -- power --------------------------------------------------------------------------------------------------------

    def start(self, name: str, _body: Row) -> Row:
        if self.running(name):
            raise ApiError(400, "VM_ALREADY_RUNNING", f"VM '{name}' is already running")
        vm = self._started(name)
        shown = {key: vm[key] for key in ("name", "status", "pid")}
        return {"success": True, "message": f"VM '{name}' started", "vm": shown}

    def _started(self, name: str) -> Row:
        vm = self.vm(name)
        if vm["isMountIso"] and vm["isoPath"] not in self.world.isos:
            raise bad(f"ISO {vm['isoPath']} not found")
        vm.update(pid=self.machines.start(vm), status="running", startTime=now())
        return vm

    def stop(self, name: str, _body: Row) -> Row:
        if not self.running(name):
            raise ApiError(400, "VM_ALREADY_STOPPED", f"VM '{name}' is already stopped")
        vm = self.vm(name)
        self.machines.stop(vm)
        vm.update(status="stopped", pid=None, startTime=None)
        return {"success": True, "message": f"VM '{name}' stopped"}

    def restart(self, name: str, _body: Row) -> Row:
        if self.running(name):
            self.machines.stop(self.vm(name))
            self.vm(name)["status"] = "stopped"
        vm = self._started(name)
        shown = {key: vm[key] for key in ("name", "status", "pid", "startTime")}
        return {"success": True, "message": f"VM '{name}' restarted", "vm": shown}

    # -- consoles -----------------------------------------------------------------------------------------------------

    def console(self, body: Row, name: str | None = None) -> Row:
        """For the VNC port that is told, whoever has it; with a name only for that VM."""
        port, web = body.get("vncPort"), body.get("webPort")
        if not isinstance(port, int) or not isinstance(web, (int, type(None))):
            raise bad("vncPort is required")
        if name is not None and self.vm(name)["vncPort"] != port:
            raise bad(f"vncPort {port} is not that of VM '{name}'")
        if not self.world.holds(port):
            raise ApiError(400, self.novnc_stopped, f"nothing listens on VNC port {port}")
        if port not in self.proxies or not self.world.runs(self.proxies[port]["pid"]):
            web = web or FIRST_WEB_PORT + port - FIRST_DISPLAY
            token = secrets.token_hex(8)
            pid = self.world.spawn(f"novnc_proxy --vnc localhost:{port} --listen {web}", [web]).pid
            url = f"http://127.0.0.1:{web}/vnc.html?token={token}"
            self.proxies[port] = {"url": url, "vncPort": port, "webPort": web, "token": token, "pid": pid}
        return {"success": True, **self.proxies[port]}
