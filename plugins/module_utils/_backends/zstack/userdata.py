# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""User data for cloud-init, which ZStack keeps in a system tag, and the settings that it was made from."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

_HEAD = "#cloud-config\n"
_KEYS = {"hostname", "users", "password", "chpasswd", "ssh_authorized_keys", "ssh_pwauth"}


def tag_of(settings: Mapping[str, Any], before: str | None = None) -> str:
    """The system tag for settings.

    :param before: the tag that is there; where no password is given, the one in it is kept.
    """
    text = settings.get("user_data")
    if text is None:
        password = settings.get("password") or _password_in(_text_in(before))
        text = _text_of({**settings, "password": password})
    return f"userdata::{base64.b64encode(text.encode()).decode()}"


def settings_in(tag: str) -> dict[str, Any]:
    """What a tag was made from, without the password; a text that is not ours is ``user_data``."""
    text = _text_in(tag)
    content = _ours(text)
    if content is None:
        return {"user_data": text}
    user = (content.get("users") or [{}])[0]
    keys = (user or content).get("ssh_authorized_keys")
    found = {"user": user.get("name"), "ssh_keys": keys, "hostname": content.get("hostname")}
    return {name: value for name, value in found.items() if value}


def _text_of(settings: Mapping[str, Any]) -> str:
    """YAML is a superset of JSON, so it is written as JSON."""
    content: dict[str, Any] = {}
    if settings.get("hostname"):
        content["hostname"] = settings["hostname"]
    user: dict[str, Any] = {}
    if settings.get("user"):
        user = {"name": settings["user"], "sudo": "ALL=(ALL) NOPASSWD:ALL", "shell": "/bin/bash", "lock_passwd": True}
        content["users"] = [user]
    if settings.get("ssh_keys"):
        (user or content)["ssh_authorized_keys"] = settings["ssh_keys"]
    if settings.get("password"):
        if user:
            hashed = settings["password"].startswith("$")
            user["lock_passwd"] = False
            user["hashed_passwd" if hashed else "plain_text_passwd"] = settings["password"]
        else:
            content["password"] = settings["password"]
            content["chpasswd"] = {"expire": False}
        content["ssh_pwauth"] = True
    return _HEAD + json.dumps(content, indent=1) + "\n"


def _text_in(tag: str | None) -> str:
    encoded = (tag or "").partition("::")[2]
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return encoded


def _ours(text: str) -> dict[str, Any] | None:
    """The content, where it is written as this module writes it."""
    try:
        content = json.loads(text[len(_HEAD) :]) if text.startswith(_HEAD) else None
    except ValueError:
        return None
    return content if isinstance(content, dict) and set(content) <= _KEYS else None


def _password_in(text: str) -> str | None:
    content = _ours(text) or {}
    user = (content.get("users") or [{}])[0]
    return user.get("plain_text_passwd") or user.get("hashed_passwd") or content.get("password")
