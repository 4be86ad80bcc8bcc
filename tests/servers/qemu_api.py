# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An HTTP manager of QEMU VMs that exists only for tests: stateful, over real sockets, in both of its dialects.

    with QemuApiServer("voidvm") as server:
        server.add_vm("web", running=True)
        ...                                   # talk to server.url
        assert [r.endpoint for r in server.requests] == ["GET /api/vms", "POST /api/vms/{name}/start"]

"documented" answers as the API document says, "voidvm" as the open-source server does, with all its faults. Processes
and ports are simulated; /iso/debian.iso and /iso/tools.iso are there. With a state_dir the VMs of "documented" really
run.
By hand: python -m tests.servers.qemu_api --dialect voidvm --vms 5 --port 3000
"""

from __future__ import annotations

import argparse
import copy
from typing import Any

from .http import HttpsServer, wait_for_the_end
from .qa.app import App, DocumentedApp, VoidVmApp
from .qa.documented import FIRST_DISPLAY, Documented, Machines
from .qa.faults import Faults, Front, Logged
from .qa.voidvm import VoidVm
from .qa.world import World

DIALECTS = ("documented", "voidvm")


class QemuApiServer(Faults):
    """The server as a context manager.

    latency: seconds before each answer. read_only: writes are refused, and leaving the context fails. config_paths and
    error_shape: see DocumentedApp. novnc_stopped: see Documented. restart_seconds and window: see VoidVm.
    state_dir: where the local backend keeps VMs that really run, for "documented".
    """

    def __init__(
        self,
        dialect: str = "documented",
        *,
        port: int = 0,
        tls: bool = False,
        latency: float = 0.0,
        read_only: bool = False,
        config_paths: str = "literal",
        error_shape: str = "flat",
        novnc_stopped: str = "VM_NOT_RUNNING",
        restart_seconds: float = 0.0,
        window: float = 0.0,
        state_dir: str | None = None,
    ) -> None:
        self.dialect = dialect
        self.world = World()
        self.documented = Documented(self.world, self._machines(state_dir), novnc_stopped)
        self.voidvm = VoidVm(self.world, restart_seconds, window)
        app: App = VoidVmApp(self.voidvm)
        if dialect == "documented":
            app = DocumentedApp(self.documented, config_paths, error_shape)
        self.front = Front(app, latency, read_only)
        self.http = HttpsServer(self.front.handle, ["manager"], port, secured=tls)

    def _machines(self, state_dir: str | None) -> Machines:
        if state_dir is None:
            return Machines(self.world)
        # by hand the collection may not be importable
        from .qa.local import LocalMachines

        return LocalMachines(self.world, state_dir)

    # -- life ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> QemuApiServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self.close()
        if kind is None and self.front.refused:
            raise AssertionError(f"writes to a read-only server: {', '.join(self.front.refused)}")

    def close(self) -> None:
        self.http.close()

    @property
    def url(self) -> str:
        """Scheme, host and port, without /api."""
        return self.http.url("manager")

    @property
    def port(self) -> int:
        return self.http.listeners["manager"].port

    @property
    def ca_path(self) -> str:
        return self.http.ca_path

    # -- what was asked -----------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Logged]:
        """Every request since the start, or since forget()."""
        return self.front.log

    @property
    def reached(self) -> set[str]:
        """The endpoints that were asked for and answered with a 2xx."""
        return {logged.endpoint for logged in self.requests if 200 <= logged.status < 300}

    @property
    def writes(self) -> list[Logged]:
        """The requests that could change something."""
        return [logged for logged in self.requests if logged.write]

    def forget(self) -> None:
        self.requests.clear()

    # -- what there is ------------------------------------------------------------------------------------------------

    def add_vm(self, name: str, *, running: bool = False, disk: int | str = 20, **fields: Any) -> dict[str, Any]:
        """A VM that was there before; fields as the dialect calls them. vncPort is a port here, in both.

        disk: its size in GB, or in voidvm a text for qemu-img such as "16M".
        """
        with self.world.lock:
            number = len(self.voidvm.folders) + len(self.documented.vms)
            display = fields.pop("vncPort", FIRST_DISPLAY + number) - FIRST_DISPLAY
            if self.dialect == "voidvm":
                size = disk if isinstance(disk, str) else f"{disk}G"
                self.voidvm.create({"vmName": name, "diskSize": size, "vncPort": display, **fields})
                if running:
                    self.voidvm.start(name, {"config": self.voidvm.folders[name]["config"]})
                return self.voidvm.folders[name]
            mounted = fields.pop("isMountIso", False)
            self.documented.create({"name": name, "diskSize": disk, "vncPort": FIRST_DISPLAY + display, **fields})
            self.documented.vms[name]["isMountIso"] = mounted
            if running:
                self.documented.start(name, {})
            return self.documented.vms[name]

    def vm(self, name: str) -> dict[str, Any]:
        """What the server holds about a VM."""
        with self.world.lock:
            return copy.deepcopy(self.voidvm.row(name) if self.dialect == "voidvm" else self.documented.vm(name))

    def names(self) -> list[str]:
        with self.world.lock:
            return sorted(self.voidvm.folders if self.dialect == "voidvm" else self.documented.vms)

    def commands(self) -> list[str]:
        """The command lines of what runs."""
        with self.world.lock:
            return [process.command for process in self.world.processes.values()]

    def fingerprint(self) -> tuple[str, int]:
        """All that there is, and how many of the logged requests were writes."""
        with self.world.lock:
            state = (self.voidvm.folders, self.voidvm.snapshots, self.documented.vms, self.world.processes)
            return repr(state), len(self.writes)

    # -- what happens elsewhere ---------------------------------------------------------------------------------------

    def kill_process(self, name: str) -> None:
        """Somebody ends the VM's QEMU on the machine; the server is not told."""
        with self.world.lock:
            word = f"-name {name} "
            pids = [pid for pid, one in self.world.processes.items() if word in f"{one.command} "]
            self.world.kill(pids[0])

    def restart_server(self) -> None:
        """The open-source server is started anew; its VMs run on."""
        with self.world.lock:
            self.voidvm.forget_everything()

    def add_leftover(self, name: str) -> None:
        """A directory without files in it, as a failed create leaves it behind (voidvm)."""
        with self.world.lock:
            self.voidvm.folders[name] = {"config": None, "metadata": None, "disk": None}


# -- by hand ----------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description="A test server of the QEMU HTTP manager on the loopback interface.")
    parser.add_argument("--dialect", default="documented", choices=DIALECTS)
    parser.add_argument("--vms", type=int, default=0)
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--latency", type=float, default=0.0)
    options = parser.parse_args()
    with QemuApiServer(options.dialect, port=options.port, tls=options.tls, latency=options.latency) as server:
        for number in range(options.vms):
            server.add_vm(f"vm{number:03d}", running=number % 2 == 0)
        print(f"url:     {server.url}")
        print(f"ca_path: {server.ca_path if options.tls else ''}", flush=True)
        wait_for_the_end()


if __name__ == "__main__":
    main()
