# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs modules in this process: their real main(), with options as Ansible gives them."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

MODULES = "ansible_collections.anyvirt.compute.plugins.modules"


@dataclass(frozen=True)
class Answer:
    """How a module ended.

    :param result: as the module gave it, before Ansible hides the values of secret options.
    """

    result: dict[str, Any]
    failed: bool
    warnings: tuple[str, ...]

    @property
    def changed(self) -> bool:
        return self.result["changed"]

    @property
    def vm(self) -> dict[str, Any]:
        return self.result["vm"]

    @property
    def text(self) -> str:
        return json.dumps([self.result, self.warnings])


class Ended(BaseException):
    """The module's last word."""

    def __init__(self, result: Mapping[str, Any], failed: bool) -> None:
        super().__init__()
        # what cannot be told to Ansible is a fault
        self.result = json.loads(json.dumps(result))
        self.failed = failed


def run(module: str, options: Mapping[str, Any], *, check: bool = False) -> Answer:
    """One task, as a playbook would have it."""
    warnings: list[str] = []

    def exit_json(_module: AnsibleModule, **result: Any) -> None:
        raise Ended(result, failed=False)

    def fail_json(_module: AnsibleModule, msg: str, **result: Any) -> None:
        raise Ended({"msg": msg, **result}, failed=True)

    main = importlib.import_module(f"{MODULES}.{module}").main
    with (
        patch_module_args({**options, "_ansible_check_mode": check, "_ansible_diff": True}),
        mock.patch.object(AnsibleModule, "exit_json", exit_json),
        mock.patch.object(AnsibleModule, "fail_json", fail_json),
        mock.patch.object(AnsibleModule, "warn", lambda _module, text: warnings.append(text)),
    ):
        try:
            main()
        except Ended as end:
            return Answer(end.result, end.failed, tuple(warnings))
    raise AssertionError(f"{module} ended without a result")
