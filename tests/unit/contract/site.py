# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a place for VMs wants to be told beside what every task says, so that one list of cases does for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NODE = "another node"
STORAGE = "another storage"
UNKNOWN_ID = "an unknown id"


@dataclass(frozen=True)
class Site:
    """One backend's surroundings.

    :param disk: what every disk has to name here, such as its storage.
    :param nic: the same for every network card.
    :param node: a node that the base VM is not on.
    :param storage: a storage that the base VM is not on.
    :param unknown_id: an id that a VM could have, and none has.
    """

    disk: Mapping[str, Any] = field(default_factory=dict)
    nic: Mapping[str, Any] = field(default_factory=dict)
    node: str = "elsewhere"
    storage: str = "elsewhere"
    unknown_id: str = "00000000-0000-0000-0000-000000000000"

    def fit(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """A task's options in the words of this site."""
        return {name: self._fitted(name, value) for name, value in options.items()}

    def _fitted(self, name: str, value: Any) -> Any:
        if name in ("disks", "nics"):
            told = self.disk if name == "disks" else self.nic
            return [{**told, **entry} if isinstance(entry, Mapping) else entry for entry in value]
        if name in ("clones", "each"):
            return [self.fit(entry) for entry in value]
        words = {NODE: self.node, STORAGE: self.storage, UNKNOWN_ID: self.unknown_id}
        return words.get(value, value) if isinstance(value, str) else value
