# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all unit tests share: the same examples in every run, and a state directory that nobody else may read."""

from __future__ import annotations

import pathlib

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "unit", deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")


@pytest.fixture
def state_dir(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    return path
