# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program: ansible-inventory that does not wait long for an API that is away."""

from __future__ import annotations

from ansible.cli import inventory
from ansible.plugins.loader import init_plugin_loader

if __name__ == "__main__":
    init_plugin_loader()  # from here on collections can be imported
    from ansible_collections.anyvirt.compute.plugins.module_utils import _http

    _http.PATIENCE = _http.FIRST_PATIENCE = 1.0
    inventory.main()
