# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ansible-inventory, run as users run it: a source file in, JSON out."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.meta.source import ROOT

IMPATIENT = pathlib.Path(__file__).with_name("impatient.py")
Vars = dict[str, Any]


@dataclass(frozen=True)
class Listing:
    """How a command ended."""

    status: int
    out: str
    err: str

    @cached_property
    def groups(self) -> dict[str, Any]:
        """All that was told, without the marks that tell texts from templates."""
        return json.loads(self.out, object_hook=_plain)

    @property
    def hosts(self) -> dict[str, Vars]:
        return self.groups["_meta"]["hostvars"]

    @property
    def warned(self) -> str:
        """What was said beside it, in one line: Ansible breaks them anywhere."""
        return " ".join(self.err.split())

    def of(self, group: str) -> set[str]:
        return set(self.groups.get(group, {}).get("hosts", ()))

    def children(self, group: str) -> set[str]:
        return set(self.groups[group].get("children", ()))

    def all(self, variable: str) -> dict[str, Any]:
        """One variable of every host that has it."""
        return {name: found[variable] for name, found in self.hosts.items() if variable in found}


def _plain(value: dict[str, Any]) -> Any:
    return value["__ansible_unsafe"] if set(value) == {"__ansible_unsafe"} else value


class Site:
    """A place with this collection, and nothing of what surrounds the tests."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        namespace = path / "ansible_collections" / "anyvirt"
        namespace.mkdir(parents=True)
        (namespace / "compute").symlink_to(ROOT)
        (path / "home").mkdir()
        self.environment = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(path / "home"),
            "ANSIBLE_HOME": str(path / "home" / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": str(path),
            "ANYVIRT_STATE_DIR": str(path / "state"),
        }

    def source(self, options: Mapping[str, Any], name: str = "vms.yml") -> pathlib.Path:
        path = self.path / name
        path.write_text(json.dumps({"plugin": "anyvirt.compute.vms", **options}))
        return path

    def list(self, *sources: pathlib.Path, impatient: bool = False, **environment: str) -> Listing:
        """What ``ansible-inventory --list`` tells of these sources.

        :param impatient: it waits a second for an API that is away, and not half a minute.
        """
        program = [str(IMPATIENT)] if impatient else ["-m", "ansible", "inventory"]
        return self.run([*program, "--list"], *sources, **environment)

    def run(self, command: list[str], *sources: pathlib.Path, **environment: str) -> Listing:
        named = [word for source in sources for word in ("-i", str(source))]
        done = subprocess.run(
            [sys.executable, *command, *named],
            env={**self.environment, **environment},
            cwd=self.path,
            check=False,
            text=True,
            capture_output=True,
            timeout=120,
        )
        return Listing(done.returncode, done.stdout, done.stderr)

    def hosts(self, options: Mapping[str, Any], **environment: str) -> Listing:
        """The same of one source, which must be told without a complaint."""
        told = self.list(self.source(options), **environment)
        assert (told.status, told.err) == (0, ""), told.err
        return told


def reach(server: ProxmoxServer) -> Vars:
    """A source's options."""
    return {
        "backend": "proxmox",
        "url": server.url,
        "token_id": server.token_id,
        "token_secret": server.token_secret,
        "ca_path": server.ca_path,
    }


def asked(server: ProxmoxServer) -> list[str]:
    """The paths of all requests so far."""
    assert not server.writes
    return [logged.path for logged in server.requests]
