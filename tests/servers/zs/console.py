# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Consoles: each has a token that lasts for a time, and no longer than the session that it was made with."""

from __future__ import annotations

from typing import Any

from .errors import refused
from .routes import Call, handles
from .state import Cloud, Row

TOKEN_SECONDS = 1800
_STATES = ("Running", "Crashed", "VolumeRecovering", "Paused", "NoState")


def token_of(cloud: Cloud, vm: Row) -> str | None:
    """The token that opens the console of a VM now."""
    made = vm.get("_console")
    if not made or made["host"] != vm["hostUuid"] or cloud.clock.now() > made["end"]:
        return None
    is_open = made["session"] is None or cloud.access.valid(made["session"])
    return made["token"] if is_open else None


@handles("RequestConsoleAccess")
def console(call: Call) -> dict[str, Any]:
    """One that is there keeps its token, whoever made it, and gets more time. A key has a session that nobody sees."""
    cloud, vm = call.cloud, call.row("VmInstance", "vmInstanceUuid")
    if vm["state"] not in _STATES:
        states = ", ".join(_STATES)
        raise refused(f"vm[uuid:{vm['uuid']}] is not in state of [{states}], current state is {vm['state']}")
    if token_of(cloud, vm) is None:
        session = call.caller.session or None
        token = f"{session or cloud.new_uuid()}_{vm['uuid']}"
        vm["_console"] = {"session": session, "token": token, "host": vm["hostUuid"]}
    vm["_console"]["end"] = cloud.clock.now() + TOKEN_SECONDS
    return {
        "inventory": {
            "scheme": "http", "targetScheme": "vnc", "hostname": "192.0.2.1", "port": 4900,
            "token": vm["_console"]["token"], "expiredDate": cloud.stamp(TOKEN_SECONDS),
        }
    }  # fmt: skip
