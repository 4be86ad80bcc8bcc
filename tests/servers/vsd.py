# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A TopHC platform ("VSD") that exists only for tests: stateful, over real sockets.

No real one was ever asked: it follows the documents that are public, and where they leave something open it can be told
to do it either way.

    with VsdServer() as server:
        vm = server.add_vm("web", state="running", memory=512 * MIB)
        ...                                   # talk to server.url with server.username, server.password
        assert [one.path for one in server.writes] == ["/v1/compute/vsd/snapshot/create"]
        assert not server.complaints

By hand: python -m tests.servers.vsd --vms 20 --port 9990
It tells where it is, and then every request with the code of its answer.
"""

from __future__ import annotations

import argparse
import secrets
from typing import Any

from .http import HttpsServer, wait_for_the_end
from .vs.app import Entry, Fault, Logged
from .vs.state import ApiError, Disk, Platform, Vm

MIB = 1024**2


class VsdServer:
    """The server as a context manager. cluster, tenant system, host-1 and host-2 are there already.

    latency: seconds before each answer. read_only: writes are refused, and leaving the context fails. polls: so many
    looks at a VM until what is asynchronous has happened. hidden: so many lists do not show a new snapshot yet.
    page_parameter: which of the two documented names it reads. page_limit: it never lists more rows at once. code_name:
    "status_code" as on older pages. tells_rollback: the answer to a rollback has the snapshot. tells_details: get has
    vm_detail. tells_memory: a snapshot with memory has the two addresses. wants_power_off: whether a rollback of a
    running VM is refused.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        tls: bool = False,
        latency: float = 0.0,
        read_only: bool = False,
        polls: int = 1,
        hidden: int = 0,
        seed: int = 1,
        **manners: Any,
    ) -> None:
        self.state = Platform(seed, polls, hidden)
        self.entry = Entry(self.state, latency, read_only, **manners)
        self.tenant_name, self.username, self.password = "system", "admin", secrets.token_hex(8)
        self.cluster, self.tenant = self.state.new_uuid(), self.state.new_uuid()
        self.state.clusters[self.cluster] = "cluster"
        self.state.tenants[self.tenant] = self.tenant_name
        for number in (1, 2):
            self.state.hosts[self.state.new_uuid()] = f"host-{number}"
        self.state.add_user(self.tenant_name, self.username, self.password)
        self.http = HttpsServer(self.entry.handle, ["manager"], port, secured=tls)

    # -- life ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> VsdServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self.close()
        if kind is None and self.entry.refused:
            raise AssertionError(f"writes to a read-only server: {', '.join(self.entry.refused)}")

    def close(self) -> None:
        self.http.close()

    @property
    def url(self) -> str:
        return self.http.url("manager")

    @property
    def ca_path(self) -> str:
        return self.http.ca_path

    # -- what is there ------------------------------------------------------------------------------------------------

    def add_vm(
        self,
        name: str,
        *,
        state: str = "shutoff",
        memory: int = 1024 * MIB,
        cpus: int = 1,
        disks: tuple[str, ...] = ("vda",),
        size: int = 16 * MIB,
        agent: bool = True,
        hangs: bool = False,
        passthrough: bool = False,
        tenant: str = "",
        most_cpus: int = 0,
    ) -> Vm:
        """disks: their devices. agent: of a running guest. hangs: it never shuts down."""
        platform = self.state
        with platform.lock:
            vm = Vm(platform.new_uuid(), name, self.cluster, tenant or self.tenant, agent=agent, hangs=hangs)
            most = most_cpus or cpus
            vm.config = {"mem_size": memory, "mem_max": 256 * 1024 * MIB, "cpu_current": cpus, "cpu_max_count": most,
                         "cpu_sockets": 1, "cpu_socket_cores": most}  # fmt: skip
            buses = {"vd": "virtio", "sd": "scsi", "id": "ide"}
            vm.disks = [Disk(one, buses[one[:2]], platform.new_uuid(), size, passthrough=passthrough) for one in disks]
            vm.interfaces = [{"mac_address": platform.mac(), "interface_model_type": "virtio", "vlan_tag_ids": [14],
                              "interface_type": "lan", "port_group": "pg", "port_group_name": "group"}]  # fmt: skip
            if state != "shutoff":
                platform.start(vm)
                vm.state = state
            platform.vms[vm.uuid] = vm
        return vm

    def add_tenant(self, name: str, user: str, password: str) -> str:
        """Another tenant with a user of its own, who is no administrator; its uuid."""
        uuid = self.state.new_uuid()
        self.state.tenants[uuid] = name
        self.state.add_user(name, user, password, admin=False)
        return uuid

    # -- what was asked -----------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Logged]:
        """Every request since the start, or since forget(); logins too."""
        return self.entry.log

    @property
    def writes(self) -> list[Logged]:
        """The requests that could change something; logins are none."""
        return [one for one in self.requests if one.write]

    @property
    def reached(self) -> set[str]:
        """What was asked for and succeeded, such as "GET /v1/compute/list"."""
        return {f"{one.method} {one.path}" for one in self.requests if one.scode == 0}

    @property
    def complaints(self) -> list[str]:
        """What the real server ignores without a word: parameters of which it knows nothing."""
        return self.entry.complaints

    def forget(self) -> None:
        self.requests.clear()
        self.complaints.clear()

    def fingerprint(self) -> tuple[str, int]:
        """All that the platform holds, and how many of the logged requests were writes."""
        with self.state.lock:
            return repr(self.state.vms), len(self.writes)

    # -- what goes wrong ----------------------------------------------------------------------------------------------

    def fail_next(self, kind: str | int = "lost", path: str = "", **more: Any) -> Fault:
        """A fault for the next request whose path matches the pattern; see Fault."""
        fault = Fault(kind, path, **more)
        self.entry.faults.append(fault)
        return fault

    def expire_tokens(self) -> None:
        """Every token that was given out so far is invalid."""
        with self.state.lock:
            self.state.tokens.clear()

    def break_cluster(self, uuid: str) -> None:
        """Lists of VMs succeed outside, and fail for this cluster inside."""
        self.entry.broken[uuid] = ApiError(20900, "cluster is not reachable", "集群无法访问", uuid)


def tell(one: Logged) -> None:
    print(f"{one.method} {one.path} {one.scode}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="A VSD test server on the loopback interface.")
    parser.add_argument("--vms", type=int, default=10)
    parser.add_argument("--port", type=int, default=9990)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--polls", type=int, default=3, help="looks at a VM until what is asynchronous has happened")
    options = parser.parse_args()
    server = VsdServer(port=options.port, tls=options.tls, latency=options.latency, polls=options.polls)
    for number in range(options.vms):
        server.add_vm(f"vm{number}", state="running" if number % 2 else "shutoff")
    with server:
        print(f"url:      {server.url}")
        print(f"tenant:   {server.tenant_name}")
        print(f"username: {server.username}")
        print(f"password: {server.password}")
        print(f"ca_path:  {server.ca_path if options.tls else ''}", flush=True)
        server.entry.journal = tell
        wait_for_the_end()


if __name__ == "__main__":
    main()
