# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The open-source server of the same product, with its faults: they are what a client has to live with."""

from __future__ import annotations

import re
import time
from pathlib import PurePosixPath
from typing import Any

from .world import ApiError, World, now

Row = dict[str, Any]

STORAGE = "/srv/voidvm/vm-storage"
_SIZE = re.compile(r"[0-9]+(\.[0-9]+)?[bkKMGTPE]?")
_PASSED_ON = ("memory", "cpuCores", "diskPath", "isoPath", "vncPort", "network")


def refusal(status: int, text: str) -> ApiError:
    return ApiError(status, "", text)


def part(body: Row, name: str, key: str) -> Row:
    """A part of the body that the server takes apart without a look at it."""
    inner = body.get(name)
    if inner is None:
        told = "null" if name in body else "undefined"
        raise refusal(404, f"Cannot destructure property '{key}' of 'req.body.{name}' as it is {told}.")
    return inner if isinstance(inner, dict) else {}


def monitor_port(name: str) -> int:
    """A hash of the name: two names may have the same."""
    total = 0
    for character in name:
        total = (total * 31 + ord(character)) & 0xFFFFFFFF
    signed = total - (1 << 32) if total >> 31 else total
    return 55555 + abs(signed) % 1000


class VoidVm:
    """VMs by directory: config, metadata, and whether it has a disk. None stands for a file that is not there.

    proxy_works: whether the noVNC program is where the server looks for it. restart_seconds: its pause between kill and
    start. window: seconds between the look for a directory and making it, in which others may do the same.
    """

    def __init__(self, world: World, restart_seconds: float = 0.0, window: float = 0.0) -> None:
        self.world = world
        self.restart_seconds = restart_seconds
        self.window = window
        self.proxy_works = True
        self.folders: dict[str, Row] = {}
        self.remembered: set[str] = set()
        """The VMs that this process of the server believes to run."""
        self.started_here: set[str] = set()
        """Those that it started by /start; only of them it knows the monitor."""
        self.snapshots: dict[str, list[Row]] = {}

    # -- reading ------------------------------------------------------------------------------------------------------

    def row(self, name: str) -> Row:
        folder = self.folders[name]
        status = (folder["metadata"] or {}).get("status") or "unknown"
        shown = {key: dict(folder[key]) if folder[key] else None for key in ("config", "metadata")}
        return {"name": name, **shown, "status": status, "vmDir": f"{STORAGE}/{name}"}

    def list(self) -> list[Row]:
        rows = [self.row(name) for name in sorted(self.folders)]
        self.remembered |= {row["name"] for row in rows if row["status"] == "running"}
        return rows

    def isos(self) -> Row:
        return {"success": True, "isos": sorted(self.world.isos)}

    # -- making and changing ------------------------------------------------------------------------------------------

    def create(self, body: Row) -> tuple[int, Row]:
        name = body.get("vmName")
        if not name:
            return 201, {"error": "VM name is required"}
        if name in self.folders:
            return 201, {"vmName": name, "vmDir": f"{STORAGE}/{name}", "error": "VM directory already exists"}
        self._pause(self.window)
        size, path = body.get("diskSize") or "20G", f"{STORAGE}/{name}/{name}.qcow2"
        self.folders[name] = {"config": None, "metadata": None, "disk": None}
        if not _SIZE.fullmatch(str(size)):
            raise refusal(400, f'Command failed: qemu-img create -f qcow2 "{path}" {size}\nInvalid image size')
        config = {
            "name": name, "memory": body.get("memory") or 2048, "cpuCores": body.get("cpuCores") or 2,
            "diskPath": path, "diskSize": size, "diskFormat": "qcow2", "vncPort": body.get("vncPort") or 0,
            "networkType": body.get("networkType") or "user", "isoPath": body.get("isoPath") or None,
            "portForwarding": body.get("portForwarding")
            or [{"hostPort": 2222, "guestPort": 22}, {"hostPort": 8080, "guestPort": 80}],
            "bootOrder": "d", "created": now(), "modified": now(),
        }  # fmt: skip
        if "network" in body:
            config["network"] = body["network"]
        metadata = {
            "status": "created", "lastRunTime": None, "totalRunTime": 0, "lastPid": None, "lastCommand": None,
            "lastError": None, "created": now(), "modified": now(), "isMountIso": True, "installed": False,
        }  # fmt: skip
        self.folders[name] = {"config": config, "metadata": metadata, "disk": path}
        row = self.row(name)
        made = {"vmName": name, "diskPath": path, "diskInfo": {"format": "qcow2"}, "vmDir": row["vmDir"]}
        return 201, {**made, "config": row["config"], "metadata": row["metadata"], "startResult": None}

    def configure(self, name: str, body: Row) -> Row:
        folder = self.folders.get(name)
        if folder is None:
            raise refusal(404, f"找不到虚拟机 {name}")
        folder["config"] = {**(folder["config"] or {}), **body}
        self._note(name, 500, configUpdated=now())
        message = f"虚拟机 {name} 配置已更新"
        running = folder["metadata"]["status"] == "running"
        return {"success": True, "message": message, "requiresRestart": running, "config": dict(folder["config"])}

    def _note(self, name: str, failure: int, **values: Any) -> None:
        """Write to metadata.json, which has to be there."""
        folder = self.folders.get(name) or {"metadata": None}
        if folder["metadata"] is None:
            text = f"ENOENT: no such file or directory, open '{STORAGE}/{name}/metadata.json'"
            raise refusal(failure, text)
        folder["metadata"] |= {**values, "modified": now()}

    def mount_iso(self, name: str, body: Row) -> Row:
        """Sets a flag, whatever the VM does, and whether or not a value came along."""
        if name not in self.folders:
            raise refusal(404, f"VM '{name}' not found")
        told = {"isMountIso": body.get("mountStatus"), "isoUnmountTime": now(), "installed": True}
        self._note(name, 500, **told)
        if "mountStatus" not in body:
            self.folders[name]["metadata"].pop("isMountIso")
        word = "mounted to" if body.get("mountStatus") else "unmounted from"
        return {"success": True, "message": f"ISO successfully {word} VM '{name}'", "vm": {"name": name, **told}}

    def delete(self, name: str, _body: Row) -> Row:
        """Always a success; what the name has behind a dot is cut off, and the process runs on."""
        self.folders.pop(PurePosixPath(name).stem, None)
        return {"name": name, "path": f"{STORAGE}/{name}", "deleted": True, "vmDirDeleted": True}

    # -- power --------------------------------------------------------------------------------------------------------

    def start(self, name: str, body: Row) -> Row:
        config = part(body, "config", "name")
        meant = config.get("name") or name
        try:
            answer = self._launch(meant, {key: config[key] for key in _PASSED_ON if key in config})
        except ApiError:
            self.started_here.discard(meant)
            raise
        self.started_here.add(meant)
        return answer

    def _launch(self, name: str, config: Row) -> Row:
        path = config.get("diskPath")
        if not path:
            raise refusal(404, "Disk path is required")
        if name in self.remembered:
            raise refusal(404, f"VM {name} is already running")
        folder = self.folders.get(name)
        if folder is None:
            raise refusal(404, "Cannot read properties of null (reading 'metadata')")
        if path not in {one["disk"] for one in self.folders.values()}:
            raise refusal(404, f"Cannot access disk image: ENOENT: no such file or directory, access '{path}'")
        mounts = (folder["metadata"] or {}).get("isMountIso") is not False
        command, display = self._command(name, config, mounts), int(config.get("vncPort") or 0)
        try:
            self.world.spawn(command, [5900 + display, monitor_port(name)])
        except ApiError as error:
            raise refusal(404, f"Command failed: {command}\n{error.text}") from error
        pid = self.world.first_match(name)
        self.remembered.add(name)
        told = {"vncPort": config.get("vncPort") or 0, "monitorPort": monitor_port(name)}
        self._note(name, 404, status="running", lastPid=pid, lastCommand=command, lastRunTime=now(), **told)
        return {"vmName": name, "pid": pid, **told, "status": "running", "isMountIso": mounts}

    def _command(self, name: str, config: Row, mounts: bool) -> str:
        words = [
            f"qemu-system-x86_64 -name {name} -m {config.get('memory') or 2048} -smp {config.get('cpuCores') or 2}",
            f"-drive file={config['diskPath']},format=qcow2 -vnc :{config.get('vncPort') or 0}",
            f"-monitor tcp:127.0.0.1:{monitor_port(name)},server,nowait,telnet  -daemonize",
        ]
        iso = config.get("isoPath")
        if mounts and iso:
            if iso not in self.world.isos:
                raise refusal(404, f"Cannot access ISO image: ENOENT: no such file or directory, access '{iso}'")
            words.append(f"-cdrom {iso} -boot d")
        else:
            words.append("-boot c")
        network = config.get("network", [])
        if network is None:
            raise refusal(404, "Cannot read properties of null (reading 'length')")
        for number, one in enumerate(network if isinstance(network, list) else []):
            words.append(f"-netdev {one.get('type')},id=net{number} -device e1000,netdev=net{number}")
        return " ".join(words)

    def stop(self, name: str, body: Row) -> Row | bool:
        return self._stop(name, part(body, "metadata", "lastPid").get("lastPid"))

    def _stop(self, name: str, pid: object) -> Row | bool:
        """Kills whatever process it is told, and marks the VM as stopped in any case."""
        killed = self.world.kill(pid)
        self._note(name, 404, status="stopped", lastRunTime=now())
        self.remembered.discard(name)
        self.started_here.discard(name)
        return {"vmName": name, "status": "stopped"} if killed else False

    def restart(self, name: str, body: Row) -> Row:
        pid = part(body, "metadata", "lastPid").get("lastPid")
        folder = self.folders.get(name)
        if folder is None:
            raise refusal(404, f"VM {name} not found")
        if self.world.runs(pid):
            self._stop(name, pid)
            self._pause(self.restart_seconds)
        config = folder["config"]
        try:
            if not config:
                raise refusal(404, f"Could not find configuration for VM {name}")
            if not config.get("diskPath"):
                raise refusal(404, f"VM {name} configuration is missing diskPath")
            # a VM that was believed to run, and did not, can be started so
            self.remembered.discard(name)
            passed = {key: config[key] for key in _PASSED_ON if key in config}
            told = self._launch(name, {**passed, "network": config.get("network") or {}})
        except ApiError as error:
            if folder["metadata"]:
                folder["metadata"] |= {"status": "error", "lastError": error.text, "lastErrorTime": now()}
            raise
        folder["metadata"] |= {"lastRestart": now()}
        return {**{key: told[key] for key in ("vmName", "pid", "vncPort", "monitorPort")}, "status": "restarted"}

    def _pause(self, seconds: float) -> None:
        """Meanwhile the server answers others."""
        if seconds:
            self.world.lock.release()
            try:
                time.sleep(seconds)
            finally:
                self.world.lock.acquire()

    # -- consoles -----------------------------------------------------------------------------------------------------

    def console(self, body: Row) -> Row:
        """vncPort is the number of a display. What goes wrong is told inside a 200."""
        display = int(body.get("vncPort") or 0)
        web = int(body.get("webPort") or 6080) + display
        url = f"http://192.0.2.80:{web}/vnc.html?autoconnect=true&resize=scale&reconnect=1"
        told: Row = {"webPort": web, "vncPort": 5900 + display, "url": url}
        if self.world.holds(web):
            return {**told, "alreadyRunning": True}
        if not self.proxy_works:
            return {**told, "error": "Failed to verify noVNC startup: Command failed: ps -p 4711"}
        pid = self.world.spawn(f"novnc_proxy --vnc localhost:{5900 + display} --listen {web}", [web]).pid
        return {**told, "pid": pid, "alreadyRunning": False}

    # -- the process of the server itself -----------------------------------------------------------------------------

    def forget_everything(self) -> None:
        """The server is started anew: what it held in memory is gone, and the VMs run on."""
        self.remembered.clear()
        self.started_here.clear()
