# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples of the role: its README, its playbook, and what the documentation of a filter promises."""

from __future__ import annotations

import json
import pathlib
import re

import yaml

from ansible_collections.anyvirt.compute.plugins.plugin_utils._fleet_schema import problems
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.fleet.playbook import cluster
from ansible_collections.anyvirt.compute.tests.unit.meta.source import PLUGINS, ROOT

ROLE = ROOT / "roles" / "vm_fleet"


def test_the_list_in_the_readme_is_right() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROLE / "README.md").read_text(), re.DOTALL)
    given = yaml.safe_load(text)[0]["tasks"][0]["vars"]
    options = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert set(given) <= set(options)
    assert problems(given["vm_fleet_vms"], given["vm_fleet_defaults"], given["vm_fleet_tag"], True) == []


def test_the_filter_tells_what_its_example_says() -> None:
    text = yaml.safe_load((PLUGINS / "filter" / "fleet_problems.yml").read_text())["EXAMPLES"]
    promised = " ".join(re.sub(r"^ *#( =>)?", "", line) for line in text.splitlines() if "#" in line)
    given = yaml.safe_load(text)[0]["vars"]["vms"]
    assert problems(given, {"memory": "1GiB"}, "", False) == json.loads(" ".join(promised.split()))


def test_the_defaults_are_as_documented() -> None:
    options = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    documented = {name: option["default"] for name, option in options.items() if "default" in option}
    assert yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()) == documented


def test_the_playbook_on_a_cluster(tmp_path: pathlib.Path) -> None:
    with ProxmoxServer(nodes=2, task_seconds=0.02) as server:
        site = cluster(tmp_path, server)
        at_home = {
            "backend": "proxmox",
            "fleet_disk": {"slot": "scsi0", "size": "1GiB", "storage": "shared", "format": "qcow2"},
            "fleet_nic": {"slot": "net0", "network": "vmbr0"},
        }
        playbook = ROOT / "playbooks" / "fleet.yml"
        failed, told = site.play(playbook, "-e", json.dumps(at_home))
        assert not failed, told
        made = {one.config["name"]: one.running for one in server.state.guests.values()}
        assert made == {"fleet-golden": False, "fleet-web1": True, "fleet-web2": True, "fleet-db1": False}
        failed, told = site.play(playbook, "-e", json.dumps({**at_home, "fleet": []}))
        assert not failed, told
        assert not server.state.guests
