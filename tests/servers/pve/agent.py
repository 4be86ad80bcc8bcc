# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guest agent: whether it answers, and what."""

from __future__ import annotations

import itertools
from typing import Any

from .errors import ApiError
from .guests import agent_enabled
from .options import NET
from .routes import VM, Answer, Call, route
from .state import Cluster, Guest
from .text import words

_AGENT = VM + "/agent"
_COMMANDS = words(
    "exec exec-status file-read file-write fsfreeze-freeze fsfreeze-status fsfreeze-thaw fstrim get-fsinfo"
    " get-host-name get-memory-block-info get-memory-blocks get-osinfo get-time get-timezone get-users get-vcpus info"
    " network-get-interfaces ping set-user-password shutdown suspend-disk suspend-hybrid suspend-ram"
)
_PIDS = itertools.count(149, 2)
_FAMILIES = {4: "ipv4", 6: "ipv6"}


def _up(call: Call, command: str) -> Guest:
    """The guest, when its agent answers."""
    cluster, guest = call.cluster, call.guest()
    if not agent_enabled(cluster, guest):
        raise ApiError("No QEMU guest agent configured\n")
    if not guest.running:
        raise ApiError(f"VM {call.vmid} is not running\n")
    booting = cluster.clock.now() < guest.started + guest.agent_seconds
    if guest.agent == "absent" or guest.paused or booting:
        cluster.sleep(3)
        raise ApiError("QEMU guest agent is not running\n")
    if guest.agent == "hung":
        cluster.sleep(3)
        raise ApiError(f"VM {call.vmid} qga command 'guest-{command}' failed - got timeout\n")
    return guest


def _result(value: Any) -> dict[str, Any]:
    return {"result": value}


@route("GET", _AGENT)
def index(_call: Call) -> Answer:
    return Answer([{"name": name} for name in _COMMANDS])


@route("POST", _AGENT)
def run(call: Call) -> Any:
    command = call.params["command"]
    if command == "ping":
        return ping(call)
    if command == "network-get-interfaces":
        return interfaces(call)
    _up(call, command)
    return _result({})


@route("POST", _AGENT + "/ping")
def ping(call: Call) -> Any:
    _up(call, "ping")
    return _result({})


@route("POST", _AGENT + "/shutdown")
def shutdown(call: Call) -> Any:
    guest = _up(call, "shutdown")
    cluster: Cluster = call.cluster

    def off() -> None:
        guest.running = guest.paused = False

    cluster.clock.after(guest.shutdown_seconds or 0, off)
    return _result({})


@route("POST", *(f"{_AGENT}/{name}" for name in ("fsfreeze-freeze", "fsfreeze-thaw", "fstrim")))
def file_systems(call: Call) -> Any:
    _up(call, "fsfreeze")
    return _result(1)


@route("POST", _AGENT + "/fsfreeze-status")
def freeze_status(call: Call) -> Any:
    _up(call, "fsfreeze-status")
    return _result("thawed")


def _interface(name: str, mac: str, addresses: list[str]) -> dict[str, Any]:
    rows = []
    for text in addresses:
        address, _slash, prefix = text.partition("/")
        kind = "ipv6" if ":" in address else "ipv4"
        rows.append({"ip-address": address, "ip-address-type": kind, "prefix": int(prefix)})
    counters = {f"{way}-{what}": 0 for way in ("rx", "tx") for what in ("bytes", "dropped", "errs", "packets")}
    return {"name": name, "hardware-address": mac, "ip-addresses": rows, "statistics": counters}


@route("GET", _AGENT + "/network-get-interfaces")
def interfaces(call: Call) -> Any:
    guest = _up(call, "network-get-interfaces")
    rows = [_interface("lo", "00:00:00:00:00:00", ["127.0.0.1/8", "::1/128"])]
    rows += [_interface(name, "02:42:00:00:00:01", found) for name, found in guest.interfaces.items()]
    addresses = list(guest.addresses)
    for key in sorted(key for key in guest.config if NET.fullmatch(key)):
        mac = call.cluster.contract.options(key, guest.config[key]).get("macaddr", "").lower()
        rows.append(_interface(f"eth{key[3:]}", mac, [*addresses, "fe80::ff:fe00:300/64"] if addresses else []))
        addresses = []
    return _result(rows)


@route("GET", _AGENT + "/get-osinfo")
def os_info(call: Call) -> Any:
    _up(call, "get-osinfo")
    return _result({"kernel-release": "0.0.0-guest", "kernel-version": "#1 SMP example", "machine": "x86_64"})


@route("GET", _AGENT + "/get-host-name")
def host_name(call: Call) -> Any:
    return _result({"host-name": _up(call, "get-host-name").name})


@route("GET", _AGENT + "/get-timezone")
def timezone(call: Call) -> Any:
    _up(call, "get-timezone")
    return _result({"offset": 0, "zone": "UTC"})


@route("GET", _AGENT + "/info")
def info(call: Call) -> Any:
    _up(call, "info")
    names = ("guest-ping", "guest-exec", "guest-network-get-interfaces", "guest-shutdown")
    rows = [{"enabled": True, "name": name, "success-response": True} for name in names]
    return _result({"supported_commands": rows, "version": "7.2.22"})


@route("GET", _AGENT + "/get-time")
def guest_time(call: Call) -> Any:
    _up(call, "get-time")
    return _result(int(call.cluster.clock.now() * 1e9))


@route("GET", _AGENT + "/get-users")
def users(call: Call) -> Any:
    _up(call, "get-users")
    return _result([])


@route("GET", _AGENT + "/get-vcpus")
def vcpus(call: Call) -> Any:
    count = _up(call, "get-vcpus").config.get("cores", 1)
    return _result([{"can-offline": number > 0, "logical-id": number, "online": True} for number in range(count)])


@route("GET", _AGENT + "/get-fsinfo")
def file_system_info(call: Call) -> Any:
    _up(call, "get-fsinfo")
    disk = {
        "bus": 1, "bus-type": "ide", "dev": "/dev/sr0", "target": 0, "unit": 0,
        "pci-controller": {"bus": 0, "domain": 0, "function": 1, "slot": 1},
    }  # fmt: skip
    row = {"disk": [disk], "mountpoint": "/mnt/ci", "name": "sr0", "type": "iso9660"}
    return _result([{**row, "total-bytes": 376832, "used-bytes": 376832}])


# -- commands and files -----------------------------------------------------------------------------------------------


@route("POST", _AGENT + "/exec")
def execute(call: Call) -> dict[str, int]:
    """Two commands are known: uname -s, and cat, which gives its input back; others end with 127."""
    guest = _up(call, "exec")
    command = call.params["command"]
    words = command if isinstance(command, list) else command.split("\0")
    known = {"uname": "Linux\n", "cat": call.params.get("input-data", "")}
    pid = next(_PIDS)
    result = {"exited": 1, "exitcode": 0 if words[0] in known else 127}
    guest.commands[pid] = {**result, "out-data": known.get(words[0], ""), "out-truncated": 0}
    return {"pid": pid}


@route("GET", _AGENT + "/exec-status")
def execute_status(call: Call) -> dict[str, Any]:
    guest = _up(call, "exec-status")
    if call.params["pid"] not in guest.commands:
        raise ApiError("Agent error: Invalid parameter 'pid'\n")
    return guest.commands.pop(call.params["pid"])


@route("POST", _AGENT + "/file-write")
def write_file(call: Call) -> None:
    _up(call, "file-write").files[call.params["file"]] = call.params["content"]


@route("GET", _AGENT + "/file-read")
def read_file(call: Call) -> dict[str, Any]:
    guest, name = _up(call, "file-read"), call.params["file"]
    if name not in guest.files:
        raise ApiError(f"Agent error: failed to open file '{name}' (mode: 'r'): No such file or directory\n")
    return {"bytes-read": len(guest.files[name]), "content": guest.files[name]}
