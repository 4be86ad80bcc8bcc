# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The floor of a task on Proxmox VE: a module that only imports what such a task cannot do without."""

from __future__ import annotations

import importlib

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    importlib.import_module("proxmoxer.backends.https")
    AnsibleModule(argument_spec={}).exit_json(changed=False)


main()
