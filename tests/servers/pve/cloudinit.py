# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cloud-init drive: what is on it, as text, and making it anew."""

from __future__ import annotations

import hashlib
import ipaddress
from urllib.parse import unquote

from .config import visible
from .errors import ApiError
from .options import CLOUDINIT, NET
from .routes import VM, Answer, Call, route
from .state import Guest
from .volumes import is_cloudinit

_SHOWN = sorted(CLOUDINIT)


@route("GET", VM + "/cloudinit")
def listing(call: Call) -> Answer:
    values = visible(call.guest().merged())
    return Answer([{"key": key, "value": values[key]} for key in _SHOWN if key in values], ordered=False)


@route("PUT", VM + "/cloudinit")
def regenerate(call: Call) -> None:
    call.cluster.tasks.wait_lock(call.vmid)
    guest = call.guest()
    guest.check_lock()
    call.cluster.check_writable(call.node, call.vmid)
    if not any(is_cloudinit(str(guest.config[key])) for key in guest.drives()):
        raise ApiError("No cloudinit drive found\n")


@route("GET", VM + "/cloudinit/dump")
def dump(call: Call) -> str:
    guest, kind = call.guest(), call.params["type"]
    return {"user": _user, "network": _network, "meta": _meta}[kind](call, guest)


def _user(_call: Call, guest: Guest) -> str:
    config, lines = guest.merged(), ["#cloud-config", f"hostname: {guest.name}", "manage_etc_hosts: true"]
    lines.append(f"fqdn: {guest.name}")
    if "ciuser" in config:
        lines.append(f"user: {config['ciuser']}")
    if "cipassword" in config:
        lines.append(f"password: {config['cipassword']}")
    if "sshkeys" in config:
        lines.append("ssh_authorized_keys:")
        lines += [f"  - {key}" for key in unquote(config["sshkeys"]).splitlines() if key.strip()]
    lines += ["chpasswd:", "  expire: False", "users:", "  - default", "package_upgrade: true"]
    return "\n".join(lines) + "\n"


def _network(call: Call, guest: Guest) -> str:
    config, lines = guest.merged(), ["version: 1", "config:"]
    for key in sorted(key for key in config if NET.fullmatch(key)):
        number = key[3:]
        mac = call.cluster.contract.options(key, config[key]).get("macaddr", "").lower()
        lines += ["    - type: physical", f"      name: eth{number}", f"      mac_address: '{mac}'", "      subnets:"]
        address = config.get(f"ipconfig{number}")
        options = call.cluster.contract.options(f"ipconfig{number}", address) if address else {}
        lines += _subnet(options.get("ip"), options.get("gw"))
    server = config.get("nameserver", "192.0.2.53")
    lines += ["    - type: nameserver", "      address:", *(f"      - '{item}'" for item in server.split())]
    return "\n".join(lines) + "\n"


def _subnet(address: str | None, gateway: str | None) -> list[str]:
    if not address or address == "dhcp":
        return ["      - type: dhcp4"]
    interface = ipaddress.ip_interface(address)
    lines = ["      - type: static", f"        address: '{interface.ip}'", f"        netmask: '{interface.netmask}'"]
    return [*lines, f"        gateway: '{gateway}'"] if gateway else lines


def _meta(_call: Call, guest: Guest) -> str:
    return f"instance-id: {hashlib.sha1(guest.digest().encode()).hexdigest()}\n"
