# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What backend vsd needs."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
requirements:
  - "For O(backend=vsd), on the host on which the module runs: the Python library C(requests)"
notes:
  - O(backend=vsd) follows documents of the API of TopHC, and was never tried on a real platform. Snapshots follow the
    document of its snapshots. All the rest, which is the login, lists, power, clones, migration, memory, cores and
    deletion, follows documents that were published in 2021.
  - With O(backend=vsd) the module may run on any host that reaches the API, such as C(localhost).
  - With O(backend=vsd) names of VMs need not be unique. Where several have one, use the id.
  - With O(backend=vsd) a VM on which the platform works, so that its RV(ignore:lock) is not null, is waited for before
    it is changed.
"""
