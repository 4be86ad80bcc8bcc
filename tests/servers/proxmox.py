# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Proxmox VE cluster that exists only for tests: stateful, over HTTPS, with the real server's answers.

    with ProxmoxServer(nodes=2) as server:
        server.add_vm(100, "web", running=True, memory=512)
        ...                                   # talk to server.url with server.token_id, server.token_secret
        assert [r.method for r in server.requests] == ["GET"]

By hand: python -m tests.servers.proxmox --nodes 3 --vms 20 --port 8006
"""

from __future__ import annotations

import argparse
import contextlib
import secrets

from .http import HttpsServer, wait_for_the_end
from .pve.cluster import Resources, observe
from .pve.errors import ApiError
from .pve.faults import Faults, Front, Logged, is_write
from .pve.seeding import Seeding, example
from .pve.state import Cluster


class ProxmoxServer(Seeding, Faults):
    """The server as a context manager; every node has a port of its own, url is that of the first.

    version: "8.4" or "9.2". latency: seconds before each answer. read_only: writes are refused, and leaving the
    context fails. speed: simulated seconds per real one (0: time stands still until advance()). task_seconds: how long
    a task takes. stale: the resource list is as old as on a real cluster; workers: 3 makes its answers go back in time.
    slow_errors: the deliberate delays (3 s for a 401, 30 s for a node that is away).
    """

    def __init__(
        self,
        version: str = "9.2",
        nodes: int = 2,
        *,
        port: int = 0,
        latency: float = 0.0,
        read_only: bool = False,
        speed: float = 1.0,
        task_seconds: float = 0.05,
        stale: bool = True,
        workers: int = 1,
        slow_errors: bool = False,
        seed: int = 1,
        start: float | None = None,
    ) -> None:
        self.state = Cluster(version, nodes, speed=speed, task_seconds=task_seconds, seed=seed, start=start)
        self.state.slow_errors = slow_errors
        self.state.resources = Resources(self.state, stale, workers)
        self.username, self.password = "root@pam", secrets.token_hex(8)
        self.token_id = "root@pam!api"
        self.state.access.add_user(self.username, self.password)
        self.token_secret = self.state.access.add_token(self.username, "api", privsep=False)
        self.front = Front(self.state, latency, read_only)
        self.http = HttpsServer(self.front.handle, list(self.state.nodes), port)

    # -- life ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> ProxmoxServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self.close()
        if kind is None and self.front.refused:
            raise AssertionError(f"writes to a read-only server: {', '.join(self.front.refused)}")

    def close(self) -> None:
        self.http.close()

    @property
    def url(self) -> str:
        return self.http.url(next(iter(self.state.nodes)))

    @property
    def urls(self) -> list[str]:
        """One per node."""
        return [self.http.url(name) for name in self.state.nodes]

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def port(self) -> int:
        return next(iter(self.http.listeners.values())).port

    @property
    def ca_path(self) -> str:
        return self.http.ca_path

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"PVEAPIToken={self.token_id}={self.token_secret}"}

    # -- what was asked -----------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Logged]:
        """Every request since the start, or since forget()."""
        return self.front.log

    @property
    def reached(self) -> set[str]:
        """The methods of the contract that were asked for, such as "GET /nodes/{node}/qemu"."""
        found = set()
        for logged in self.requests:
            with contextlib.suppress(ApiError):
                method, _path = self.state.contract.find(logged.method, logged.path)
                found.add(f"{method.verb} {method.path}")
        return found

    @property
    def connections(self) -> int:
        """How many connections carried the logged requests."""
        return len({logged.connection for logged in self.requests})

    @property
    def writes(self) -> list[Logged]:
        """The requests that could change something."""
        return [logged for logged in self.requests if is_write(logged.method, logged.path)]

    def forget(self) -> None:
        """Empty the log."""
        self.requests.clear()

    # -- time ---------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let happen what is due."""
        with self.state.lock:
            self.state.clock.settle()

    def advance(self, seconds: float) -> None:
        """Let simulated time pass at once."""
        self.state.clock.advance(seconds)

    def refresh_resources(self) -> None:
        """A round of the status daemons now: the resource list is up to date for a moment."""
        with self.state.lock:
            self.state.clock.settle()
            self.state.seen = {vmid: observe(self.state, guest) for vmid, guest in self.state.guests.items()}


# -- by hand ----------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description="A Proxmox VE test server on the loopback interface.")
    parser.add_argument("--version", default="9.2", choices=("8.4", "9.2"))
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--vms", type=int, default=10)
    parser.add_argument("--port", type=int, default=8006, help="of the first node; the others follow")
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--task-seconds", type=float, default=1.0)
    options = parser.parse_args()
    server = ProxmoxServer(
        options.version,
        options.nodes,
        port=options.port,
        latency=options.latency,
        task_seconds=options.task_seconds,
        slow_errors=True,
    )
    example(server, options.vms)
    with server:
        print(f"url:          {' '.join(server.urls)}")
        print(f"token_id:     {server.token_id}")
        print(f"token_secret: {server.token_secret}")
        print(f"username:     {server.username}")
        print(f"password:     {server.password}")
        print(f"ca_path:      {server.ca_path}", flush=True)
        wait_for_the_end()


if __name__ == "__main__":
    main()
