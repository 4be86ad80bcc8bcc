# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A ZStack management node that exists only for tests: stateful, over real sockets, with the real server's answers.

    with ZStackServer(hosts=2) as server:
        vm = server.add_vm("web", state="Running", memory=512 * MIB)
        ...                                   # talk to server.url with server.account, server.password
        assert [r.api for r in server.requests] == ["LogInByAccount", "QueryVmInstance", "LogOut"]
        assert not server.complaints

zone-1, cluster-1, host-1.., ps-1, ps-2, bs-1, net-1, net-2, image-1, iso-1, offering-1 and disk-1 are there already.
By hand: python -m tests.servers.zstack --hosts 3 --vms 20 --port 8080
"""

from __future__ import annotations

import argparse
from typing import Any

from .http import HttpsServer, wait_for_the_end
from .zs.app import Entry
from .zs.faults import Faults, Front, Logged
from .zs.seeding import Seeding, basics, example
from .zs.state import Cloud


class ZStackServer(Seeding, Faults):
    """The server as a context manager.

    product: "cloud" (5.3) or "zsphere" (whose clone knows description, diskAOs, vmCustomSpecification and resetTpm, and
    takes vmNicParams as a JSON string). latency: seconds before each answer. read_only: writes are refused, and leaving
    the context fails. speed: simulated seconds per real one (0: time stands still until advance()). task_seconds: how
    long a job takes. polls: so many polls of each job answer "running", however quick it was. utc_offset: the server's
    time zone in hours. context: the context path, "" as behind a proxy. location: what the 202 names as host, which
    nobody can reach. empty: the body of an answer that says nothing; of older servers it is "".
    """

    def __init__(
        self,
        product: str = "cloud",
        hosts: int = 2,
        *,
        port: int = 0,
        tls: bool = False,
        context: str = "/zstack",
        location: str = "http://zstack-mn.invalid:8080",
        empty: str = "{}",
        latency: float = 0.0,
        read_only: bool = False,
        speed: float = 1.0,
        task_seconds: float = 0.05,
        polls: int = 0,
        utc_offset: float = 0.0,
        seed: int = 1,
        start: float | None = None,
    ) -> None:
        self.state = Cloud(product, speed=speed, task_seconds=task_seconds, seed=seed, start=start)
        self.state.jobs.polls = polls
        self.state.utc_offset = utc_offset
        self.account, self.password = "admin", self.state.access.add_account("admin", admin=True)
        self.user, self.user_password = "ops", self.state.access.add_user("admin", "ops")
        self.virtual_id, self.virtual_id_password = "ops@example", self.state.access.add_virtual_id("ops@example")
        self.ldap_uid, self.ldap_password = "ldap-ops", self.state.access.add_ldap("ldap-ops")
        self.access_key_id, self.access_key_secret = self.state.access.add_key("admin")
        basics(self, hosts)
        self.front = Front(self.state, latency, read_only, Entry(self.state, context, location, empty))
        self.http = HttpsServer(self.front.handle, ["management"], port, secured=tls)

    # -- life ---------------------------------------------------------------------------------------------------------

    def __enter__(self) -> ZStackServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self.close()
        if kind is None and self.front.refused:
            raise AssertionError(f"writes to a read-only server: {', '.join(self.front.refused)}")

    def close(self) -> None:
        self.http.close()

    @property
    def url(self) -> str:
        """Scheme, host and port. The API begins at url + context + "/v1"."""
        return self.http.url("management")

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def port(self) -> int:
        return self.http.listeners["management"].port

    @property
    def ca_path(self) -> str:
        return self.http.ca_path

    def session(self) -> str:
        """A new session of the account, without a request."""
        with self.state.lock:
            return self.state.access.open(self.account)["uuid"]

    # -- what was asked -----------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Logged]:
        """Every request since the start, or since forget(); polls of jobs and logins too."""
        return self.front.log

    @property
    def reached(self) -> set[str]:
        """The APIs of the contract that were asked for, such as "StartVmInstance"."""
        return {logged.api for logged in self.requests if logged.api}

    @property
    def connections(self) -> int:
        """How many connections carried the logged requests."""
        return len({logged.connection for logged in self.requests})

    @property
    def writes(self) -> list[Logged]:
        """The requests that could change something; logins and logouts are none."""
        return [logged for logged in self.requests if logged.write]

    @property
    def complaints(self) -> list[str]:
        """What the real server ignores without a word: parameters and tags of which it knows nothing."""
        return self.front.complaints

    def forget(self) -> None:
        """Empty the log and the complaints."""
        self.requests.clear()
        self.complaints.clear()

    def fingerprint(self) -> tuple[Any, int]:
        """All that the cloud holds, and how many of the logged requests were writes."""
        with self.state.lock:
            self.state.clock.settle()
            rows = {
                (kind, uuid): {key: repr(value) for key, value in row.items() if not callable(value)}
                for kind, table in self.state.tables.items()
                for uuid, row in table.items()
            }
        return rows, len(self.writes)

    def vm(self, who: str) -> dict[str, Any]:
        """A VM as it is now, by uuid or by the name that only one not destroyed VM has."""
        return self.get("VmInstance", who)

    # -- time ---------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let happen what is due."""
        with self.state.lock:
            self.state.clock.settle()

    def advance(self, seconds: float) -> None:
        """Let simulated time pass at once."""
        self.state.clock.advance(seconds)


# -- by hand ----------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description="A ZStack test server on the loopback interface.")
    parser.add_argument("--product", default="cloud", choices=("cloud", "zsphere"))
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--vms", type=int, default=10)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--hot-plug", action="store_true", help="running VMs can get more memory and processors")
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--task-seconds", type=float, default=1.0)
    options = parser.parse_args()
    server = ZStackServer(
        options.product,
        options.hosts,
        port=options.port,
        tls=options.tls,
        latency=options.latency,
        task_seconds=options.task_seconds,
    )
    example(server, options.vms)
    server.set_config("vm", "numa", str(options.hot_plug).lower())
    with server:
        print(f"url:               {server.url}")
        print(f"account:           {server.account}")
        print(f"password:          {server.password}")
        print(f"access_key_id:     {server.access_key_id}")
        print(f"access_key_secret: {server.access_key_secret}")
        print(f"ca_path:           {server.ca_path if options.tls else ''}", flush=True)
        wait_for_the_end()


if __name__ == "__main__":
    main()
