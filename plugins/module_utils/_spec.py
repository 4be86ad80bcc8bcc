# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of argument specs, each with the rules that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.common.parameters import env_fallback

BACKENDS = ["qemu", "proxmox", "zstack", "vsd", "qemu_api"]

CONNECTION: dict[str, Any] = {
    "backend": {"type": "str", "choices": BACKENDS, "default": "qemu", "fallback": (env_fallback, ["ANYVIRT_BACKEND"])},
    "state_dir": {"type": "path", "fallback": (env_fallback, ["ANYVIRT_STATE_DIR"])},
    "url": {
        "type": "list",
        "elements": "str",
        "aliases": ["api_host"],
        "fallback": (env_fallback, ["ANYVIRT_URL", "PROXMOX_URL", "PROXMOX_HOST"]),
    },
    "username": {
        "type": "str",
        "aliases": ["api_user"],
        "fallback": (env_fallback, ["ANYVIRT_USERNAME", "PROXMOX_USER"]),
    },
    "password": {
        "type": "str",
        "no_log": True,
        "aliases": ["api_password"],
        "fallback": (env_fallback, ["ANYVIRT_PASSWORD", "PROXMOX_PASSWORD"]),
    },
    "token_id": {
        "type": "str",
        "no_log": False,
        "aliases": ["api_token_id"],
        "fallback": (env_fallback, ["ANYVIRT_TOKEN_ID", "PROXMOX_TOKEN_ID"]),
    },
    "token_secret": {
        "type": "str",
        "no_log": True,
        "aliases": ["api_token_secret"],
        "fallback": (env_fallback, ["ANYVIRT_TOKEN_SECRET", "PROXMOX_TOKEN_SECRET"]),
    },
    "access_key_id": {
        "type": "str",
        "no_log": False,
        "fallback": (env_fallback, ["ANYVIRT_ACCESS_KEY_ID", "ZSTACK_ACCESS_KEY_ID"]),
    },
    "access_key_secret": {
        "type": "str",
        "no_log": True,
        "fallback": (env_fallback, ["ANYVIRT_ACCESS_KEY_SECRET", "ZSTACK_ACCESS_KEY_SECRET"]),
    },
    "login_type": {
        "type": "str",
        "choices": ["account", "user", "iam2", "ldap"],
        "default": "account",
        "fallback": (env_fallback, ["ANYVIRT_LOGIN_TYPE", "ZSTACK_LOGIN_TYPE"]),
    },
    "project": {"type": "str", "fallback": (env_fallback, ["ANYVIRT_PROJECT", "ZSTACK_PROJECT"])},
    "server_timezone": {
        "type": "str",
        "default": "+00:00",
        "fallback": (env_fallback, ["ANYVIRT_SERVER_TIMEZONE", "ZSTACK_SERVER_TIMEZONE"]),
    },
    "transport": {
        "type": "str",
        "choices": ["https", "local", "openssh"],
        "default": "https",
        "fallback": (env_fallback, ["ANYVIRT_TRANSPORT"]),
    },
    "validate_certs": {
        "type": "bool",
        "default": True,
        "fallback": (env_fallback, ["ANYVIRT_VALIDATE_CERTS", "PROXMOX_VALIDATE_CERTS"]),
    },
    "ca_path": {"type": "path", "fallback": (env_fallback, ["ANYVIRT_CA_PATH", "PROXMOX_CA_PATH"])},
    "tenant": {"type": "str", "fallback": (env_fallback, ["ANYVIRT_TENANT"])},
    "cluster": {"type": "str", "fallback": (env_fallback, ["ANYVIRT_CLUSTER"])},
    "authorization": {
        "type": "str",
        "choices": ["bearer", "plain"],
        "default": "bearer",
        "fallback": (env_fallback, ["ANYVIRT_AUTHORIZATION"]),
    },
    "dialect": {
        "type": "str",
        "choices": ["auto", "documented", "voidvm"],
        "default": "auto",
        "fallback": (env_fallback, ["ANYVIRT_DIALECT"]),
    },
}
IDENTITY: dict[str, Any] = {"name": {"type": "str"}, "id": {"type": "str"}}
SELECT: dict[str, Any] = {
    "vms": {"type": "list", "elements": "str"},
    "select": {
        "type": "dict",
        "options": {
            "name": {"type": "str"},
            "tags": {"type": "list", "elements": "str"},
            "pool": {"type": "str"},
            "node": {"type": "str"},
            "status": {"type": "str", "choices": ["running", "stopped", "paused", "suspended", "unknown"]},
            "template": {"type": "bool"},
        },
    },
}
BULK: dict[str, Any] = {
    "max_parallel": {"type": "int", "default": 100},
    "max_parallel_per_node": {"type": "int", "default": 10},
    "fail_fast": {"type": "bool", "default": False},
}
SETTINGS: dict[str, Any] = {
    "description": {"type": "str"},
    "memory": {"type": "str"},
    "cores": {"type": "int"},
    "sockets": {"type": "int"},
    "cpu_type": {"type": "str"},
    "firmware": {"type": "str", "choices": ["bios", "uefi"]},
    "boot_order": {"type": "list", "elements": "str"},
    "tags": {"type": "list", "elements": "str"},
    "guest_agent": {"type": "bool"},
    "template": {"type": "bool"},
    "node": {"type": "str"},
    "pool": {"type": "str"},
    "disks": {
        "type": "list",
        "elements": "dict",
        "options": {
            "slot": {"type": "str"},
            "size": {"type": "str"},
            "storage": {"type": "str"},
            "format": {"type": "str", "choices": ["qcow2", "raw"]},
            "source": {"type": "str"},
            "checksum": {"type": "str"},
        },
    },
    "nics": {
        "type": "list",
        "elements": "dict",
        "options": {
            "slot": {"type": "str"},
            "network": {"type": "str"},
            "model": {"type": "str"},
            "mac": {"type": "str"},
            "vlan": {"type": "int"},
            "connected": {"type": "bool"},
            "forwards": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
                    "host_port": {"type": "int", "required": True},
                    "guest_port": {"type": "int", "required": True},
                },
            },
        },
    },
    "cdrom": {"type": "dict", "options": {"slot": {"type": "str"}, "image": {"type": "str"}}},
    "cloud_init": {
        "type": "dict",
        "options": {
            "user": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "ssh_keys": {"type": "list", "elements": "str", "no_log": False},
            "hostname": {"type": "str"},
            "nameservers": {"type": "list", "elements": "str"},
            "search_domains": {"type": "list", "elements": "str"},
            "ip_config": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "nic": {"type": "str", "required": True},
                    "ip": {"type": "str"},
                    "gateway": {"type": "str"},
                    "ip6": {"type": "str"},
                    "gateway6": {"type": "str"},
                },
            },
            "user_data": {"type": "str", "no_log": True},
        },
    },
    "native": {"type": "dict"},
}
CLONE_FROM: dict[str, Any] = {
    "type": "dict",
    "options": {
        "name": {"type": "str"},
        "id": {"type": "str"},
        "snapshot": {"type": "str"},
        "full": {"type": "bool"},
        "storage": {"type": "str"},
    },
    "required_one_of": [("name", "id")],
    "mutually_exclusive": [("name", "id")],
}
READINESS: dict[str, Any] = {
    "wait_for": {
        "type": "dict",
        "options": {
            "agent": {"type": "bool", "default": False},
            "ip": {"type": "bool", "default": False},
            "port": {"type": "int"},
            "host": {"type": "str"},
            "banner": {"type": "str"},
            "timeout": {"type": "int", "default": 300},
        },
    },
}


STATE: dict[str, Any] = {"type": "str", "choices": ["present", "absent", "started", "stopped"], "default": "present"}
ABSENT: dict[str, Any] = {"type": "list", "elements": "str", "default": []}


def of_each(**options: Any) -> dict[str, Any]:
    """A list of VMs with options of their own. None has a default: what is not named is as the task says."""
    own = {name: {key: one[key] for key in one if key != "default"} for name, one in options.items()}
    return {
        "type": "list",
        "elements": "dict",
        "options": {**IDENTITY, **own},
        "required_one_of": [("name", "id")],
    }


CLONES = of_each(name={"type": "str", "required": True}, **SETTINGS)
EACH_VM = of_each(state=STATE, clone_from=CLONE_FROM, **SETTINGS, **READINESS)
EACH_CONFIG = {**of_each(absent=ABSENT, **SETTINGS), "mutually_exclusive": [("name", "id")]}


def waiting(timeout: int) -> dict[str, Any]:
    """``wait``, and ``timeout`` with the seconds that fit the module's operations."""
    return {"wait": {"type": "bool", "default": True}, "timeout": {"type": "int", "default": timeout}}


def one_vm(**options: Any) -> dict[str, Any]:
    """Arguments of AnsibleModule for a module that is about one VM."""
    return {"argument_spec": {**CONNECTION, **IDENTITY, **options}, "required_one_of": [("name", "id")]}


def one_vm_or_each(each: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """Arguments of AnsibleModule for a module that is about one VM, or a list of them with options of their own."""
    return {
        "argument_spec": {**CONNECTION, **IDENTITY, "each": each, **BULK, **options},
        "required_one_of": [("name", "id", "each")],
        "mutually_exclusive": [("name", "each"), ("id", "each")],
    }


def one_vm_or_many(**options: Any) -> dict[str, Any]:
    """Arguments of AnsibleModule for a module that is about one VM, a list of them, or all that fit a selector."""
    addresses = ("name", "id", "vms", "select", *(name for name in options if name == "each"))
    return {
        "argument_spec": {**CONNECTION, **IDENTITY, **SELECT, **BULK, **options},
        "required_one_of": [addresses],
        "mutually_exclusive": [addresses],
    }


def settings_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among a task's options, still as they were given."""
    return {name: params.get(name) for name in SETTINGS}


def own_options(params: Mapping[str, Any], option: str) -> list[dict[str, Any]]:
    """The options of each VM of a list: those of the task, and its own before them."""
    return [{**params, **{name: value for name, value in one.items() if value is not None}} for one in params[option]]
