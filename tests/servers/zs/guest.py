# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What concerns the guest: its name, keys, console, boot order, agent, and high availability."""

from __future__ import annotations

from typing import Any

from .errors import refused
from .routes import Call, handles
from .rows import inventory
from .tags import replace_tag, system_tags, values

_DEFAULT_ORDER = ["HardDisk", "CdRom", "Network"]


def _tag(call: Call, name: str) -> str | None:
    """What stands behind a system tag of the VM."""
    found = values(system_tags(call.cloud, call.vm["uuid"]), name)
    return "::".join(found[0]) if found else None


def _set(call: Call, name: str, value: str | None) -> None:
    replace_tag(call.cloud, call.vm["uuid"], name, value)


def _answer(call: Call) -> dict[str, Any]:
    return inventory(call.cloud, "VmInstance", call.vm)


def _present(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


# -- name and keys ----------------------------------------------------------------------------------------------------


@handles("SetVmHostname", "DeleteVmHostname")
def set_hostname(call: Call) -> dict[str, Any]:
    _set(call, "hostname", call.params.get("hostname"))
    return {}


@handles("GetVmHostname")
def hostname(call: Call) -> dict[str, Any]:
    return _present(hostname=_tag(call, "hostname"))


@handles("SetVmSshKey")
def set_ssh_key(call: Call) -> dict[str, Any]:
    _set(call, "sshkey", call.params["SshKey"])
    return _answer(call)


@handles("DeleteVmSshKey")
def delete_ssh_key(call: Call) -> dict[str, Any]:
    _set(call, "sshkey", None)
    return {}


@handles("GetVmSshKey")
def ssh_key(call: Call) -> dict[str, Any]:
    return _present(sshKey=_tag(call, "sshkey"))


# -- console ----------------------------------------------------------------------------------------------------------


@handles("GetVmConsoleAddress")
def console_address(call: Call) -> dict[str, Any]:
    call.check_state(call.vm)
    host = call.cloud.table("Host").get(call.vm["hostUuid"] or "")
    if host is None:
        raise refused("the vm is on no host")
    return {"success": True, "hostIp": host["managementIp"], "port": 5900, "protocol": "vnc"}


@handles("SetVmConsolePassword")
def set_console_password(call: Call) -> dict[str, Any]:
    _set(call, "consolePassword", call.params["consolePassword"])
    return _answer(call)


@handles("DeleteVmConsolePassword")
def delete_console_password(call: Call) -> dict[str, Any]:
    _set(call, "consolePassword", None)
    return {}


@handles("GetVmConsolePassword")
def console_password(call: Call) -> dict[str, Any]:
    return _present(password=_tag(call, "consolePassword"))


# -- boot -------------------------------------------------------------------------------------------------------------


@handles("SetVmBootOrder")
def set_boot_order(call: Call) -> dict[str, Any]:
    _set(call, "bootOrder", ",".join(call.params["bootOrder"]) if call.params.get("bootOrder") else None)
    return _answer(call)


@handles("GetVmBootOrder")
def boot_order(call: Call) -> dict[str, Any]:
    found = _tag(call, "bootOrder")
    return {"orders": found.split(",") if found else _DEFAULT_ORDER}


@handles("SetVmBootMode")
def set_boot_mode(call: Call) -> dict[str, Any]:
    _set(call, "bootMode", call.params["bootMode"])
    return {}


# -- agent ------------------------------------------------------------------------------------------------------------


@handles("SetVmQga")
def set_agent(call: Call) -> dict[str, Any]:
    call.vm["_qga"] = call.params["enable"]
    return {}


@handles("GetVmQga")
def agent(call: Call) -> dict[str, Any]:
    return {"enable": bool(call.vm.get("_qga"))}


@handles("ChangeVmPassword")
def change_password(call: Call) -> dict[str, Any]:
    if call.vm["state"] != "Running" or not call.vm.get("_qga"):
        raise refused("the password of a vm changes only while it is Running and its guest agent is on")
    call.vm["_passwords"] = {**call.vm.get("_passwords", {}), call.params["account"]: call.params["password"]}
    return {}


@handles("GetVmGuestToolsInfo")
def guest_tools(call: Call) -> dict[str, Any]:
    up = call.vm["state"] == "Running" and call.vm.get("_tools", True)
    return {"status": "Connected", "version": "1.0.0"} if up else {"status": "Not Connected"}


# -- high availability ------------------------------------------------------------------------------------------------


@handles("SetVmInstanceHaLevel")
def set_ha(call: Call) -> dict[str, Any]:
    call.vm["_ha"] = call.params["level"]
    _set(call, "ha", call.params["level"])
    return {}


@handles("GetVmInstanceHaLevel")
def ha(call: Call) -> dict[str, Any]:
    return _present(level=call.vm.get("_ha"))


@handles("DeleteVmInstanceHaLevel")
def delete_ha(call: Call) -> dict[str, Any]:
    call.vm["_ha"] = None
    _set(call, "ha", None)
    return {}
