# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Python libraries, imported at the moment a feature begins to need them."""

from __future__ import annotations

import importlib
from types import ModuleType

from ansible.module_utils.basic import missing_required_lib

from ._errors import MissingLibrary

FLOORS = {"requests": "2.25.0", "proxmoxer": "2.0.0", "jsonschema": "4.0.0"}
"""The oldest version of each library that the collection is written for."""


def require(name: str, reason: str) -> ModuleType:
    """The library ``name``, imported.

    :param reason: completes "is required ...", for example ``to check native settings``.
    :raises MissingLibrary: it is not installed for the Python that runs the module.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        wanted = f"{name}>={FLOORS[name]}"
        raise MissingLibrary(missing_required_lib(wanted, reason=reason), library=name) from error
