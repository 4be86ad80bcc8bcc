# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role vm_fleet, run by ansible-playbook as users run it."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.meta.source import ROOT

REACH = ("url", "token_id", "token_secret", "ca_path")


@dataclass(frozen=True)
class Run:
    """How a run of the role ended.

    :param result: the fact vm_fleet_result, empty where the role did not get that far.
    """

    failed: bool
    told: str
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> Counter[str]:
        """How often a module of the collection worked, by the name of the role's task."""
        found: Counter[str] = Counter()
        for task in re.split(r"^TASK \[", self.told, flags=re.MULTILINE):
            name = task.partition("]")[0].removeprefix("anyvirt.compute.vm_fleet : ")
            found[name] += len(re.findall(r"^(?:ok|changed): .*\(item=", task, flags=re.MULTILINE))
            found[name] += name.startswith("Read the VMs") and "\nok: " in task
        return +found


class Site:
    """A place with this collection, and nothing of what surrounds the tests."""

    def __init__(self, path: pathlib.Path, environment: Mapping[str, str]) -> None:
        self.path = path
        namespace = path / "ansible_collections" / "anyvirt"
        namespace.mkdir(parents=True)
        (namespace / "compute").symlink_to(ROOT)
        self.environment = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(path),
            "ANSIBLE_CONFIG": str(ROOT / "tests" / "setup" / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(path),
            "ANSIBLE_HOME": str(path / "ansible"),
            "ANSIBLE_REMOTE_TMP": str(path / "ansible" / "remote"),
            **environment,
        }

    def run(self, vms: list[dict[str, Any]], *options: str, play: Mapping[str, Any] | None = None, **given: Any) -> Run:
        """
        :param play: keywords of the play.
        :param given: options of the role without their prefix.
        """
        ended = self.path / "ended.json"
        ended.unlink(missing_ok=True)
        role = {
            "ansible.builtin.include_role": {"name": "anyvirt.compute.vm_fleet"},
            "vars": {"vm_fleet_vms": vms, **{f"vm_fleet_{name}": value for name, value in given.items()}},
        }
        keep = {
            "ansible.builtin.copy": {"dest": str(ended), "content": "{{ vm_fleet_result | default({}) | to_json }}"},
            "check_mode": False,
            "diff": False,
        }
        head = {"hosts": "localhost", "connection": "local", "gather_facts": False, **(play or {})}
        head["vars"] = {"ansible_python_interpreter": sys.executable}
        file = self.path / "fleet.json"
        file.write_text(json.dumps([{**head, "tasks": [{"block": [role], "always": [keep]}]}]))
        failed, told = self.play(file, *options)
        return Run(failed, told, json.loads(ended.read_text()) if ended.exists() else {})

    def play(self, file: pathlib.Path, *options: str) -> tuple[bool, str]:
        """Whether a playbook failed, and what it told."""
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", str(file), *options],
            env=self.environment,
            cwd=self.path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=240,
            check=False,
        )
        assert done.returncode in (0, 2), done.stdout
        return done.returncode != 0, done.stdout


def cluster(path: pathlib.Path, server: ProxmoxServer) -> Site:
    """A place whose environment leads to a cluster."""
    reach = {name: str(getattr(server, name)) for name in REACH}
    return Site(path, {f"ANYVIRT_{name.upper()}": value for name, value in {"backend": "proxmox", **reach}.items()})
