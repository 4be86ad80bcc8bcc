# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The floor of an inventory: one request, and its rows added as hosts with Ansible's own calls."""

from __future__ import annotations

import requests
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin

DOCUMENTATION = """
name: minimal
short_description: The floor of the benchmark
description: Adds the VMs of a cluster of Proxmox VE.
options:
  plugin: {description: Its name., type: str}
  url: {description: Where it is., type: str}
  token: {description: The header Authorization., type: str}
  ca_path: {description: Whom to trust., type: str}
  keys: {description: What of a row becomes a variable., type: list, elements: str, default: []}
"""


class InventoryModule(BaseInventoryPlugin):
    NAME = "minimal"

    def verify_file(self, path: str) -> bool:
        return path.endswith("minimal.yml")

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        answer = requests.get(
            f"{self.get_option('url')}/api2/json/cluster/resources",
            headers={"Authorization": self.get_option("token")},
            verify=self.get_option("ca_path"),
            timeout=60,
        )
        keys = self.get_option("keys")
        for row in answer.json()["data"]:
            if row["type"] == "qemu":
                host = inventory.add_host(row["name"])
                for key in keys:
                    inventory.set_variable(host, f"vm_{key}", row.get(key))
