# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cloud-init seed: a small CD labelled cidata (NoCloud)."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from typing import Any

from . import tools
from .store import STAGING


def documents(name: str, uuid: str, settings: dict[str, Any], macs: dict[str, str]) -> dict[str, str]:
    """The files of the seed. YAML is a superset of JSON, so each is written as JSON.

    :param macs: the MAC address of each NIC by slot; cloud-init finds NICs by it.
    """
    hostname = settings.get("hostname") or name
    # a new instance-id makes cloud-init run again, which a changed seed asks for
    fingerprint = json.dumps([settings, macs], sort_keys=True)
    meta = {"instance-id": f"{uuid}-{_short_hash(fingerprint)}", "local-hostname": hostname}
    files = {"meta-data": json.dumps(meta), "user-data": settings.get("user_data") or _user_data(hostname, settings)}
    if settings.get("ip_config") or settings.get("nameservers"):
        files["network-config"] = json.dumps(_network(settings, macs))
    return files


def write(path: str, files: dict[str, str]) -> None:
    """Write the CD. Its files hold secrets: they lie beside it, in a directory of mode 0700, only while it is made."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path), prefix=STAGING) as directory:
        for name, content in files.items():
            with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                file.write(content)
        new = os.path.join(directory, "seed.iso")
        maker = tools.program("genisoimage", "mkisofs", "xorrisofs")
        paths = [os.path.join(directory, name) for name in files]
        tools.run([maker, "-quiet", "-volid", "cidata", "-joliet", "-rock", "-output", new, *paths])
        os.chmod(new, 0o600)
        os.rename(new, path)


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _user_data(hostname: str, settings: dict[str, Any]) -> str:
    content: dict[str, Any] = {"hostname": hostname}
    user: dict[str, Any] = {}
    if settings.get("user"):
        user = {"name": settings["user"], "sudo": "ALL=(ALL) NOPASSWD:ALL", "shell": "/bin/bash", "lock_passwd": True}
        content["users"] = [user]
    if settings.get("ssh_keys"):
        (user or content)["ssh_authorized_keys"] = settings["ssh_keys"]
    if settings.get("password"):
        hashed = settings["password"].startswith("$")
        if user:
            user["lock_passwd"] = False
            user["hashed_passwd" if hashed else "plain_text_passwd"] = settings["password"]
        else:
            content["password"] = settings["password"]
            content["chpasswd"] = {"expire": False}
        content["ssh_pwauth"] = True
    return "#cloud-config\n" + json.dumps(content, indent=1) + "\n"


def _network(settings: dict[str, Any], macs: dict[str, str]) -> dict[str, Any]:
    """Network configuration version 2."""
    resolver = {"addresses": settings.get("nameservers") or [], "search": settings.get("search_domains") or []}
    configured = settings.get("ip_config") or {slot: {"ip": "dhcp"} for slot in macs}
    ethernets = {}
    for slot, wanted in configured.items():
        card: dict[str, Any] = {"match": {"macaddress": macs[slot].lower()}}
        card["dhcp4"] = wanted.get("ip") == "dhcp"
        card["dhcp6"] = wanted.get("ip6") == "dhcp"
        card["addresses"] = [wanted[key] for key in ("ip", "ip6") if wanted.get(key) not in (None, "dhcp")]
        card["routes"] = [
            {"to": target, "via": wanted[key]}
            for key, target in (("gateway", "0.0.0.0/0"), ("gateway6", "::/0"))
            if wanted.get(key)
        ]
        card["nameservers"] = resolver
        ethernets[slot] = card
    return {"version": 2, "ethernets": ethernets}
