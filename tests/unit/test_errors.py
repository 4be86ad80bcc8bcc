# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors, and how each becomes a failed task's result."""

from __future__ import annotations

import inspect

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils import _errors
from ansible_collections.anyvirt.compute.plugins.module_utils._errors import BackendError, Conflict, Error

CLASSES = [one for _name, one in inspect.getmembers(_errors, inspect.isclass) if issubclass(one, Error)]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_becomes_a_failure(kind: type[Error]) -> None:
    failure = kind("VM web is locked.", advice="Wait.", holder="backup").to_failure()
    assert failure == {"msg": "VM web is locked. Wait.", "kind": kind.kind, "changed": False, "holder": "backup"}


def test_every_class_has_a_kind_of_its_own_and_stands_in_the_tree() -> None:
    assert len({one.kind for one in CLASSES}) == len(CLASSES)
    assert all(one.__name__ in (_errors.__doc__ or "") for one in CLASSES)


def test_without_advice_there_is_only_what_happened() -> None:
    assert str(Conflict("It is locked.")) == "It is locked."


def test_a_failure_tells_whether_something_was_changed_before_it() -> None:
    error = BackendError("It broke.")
    error.changed = True
    assert error.to_failure()["changed"] is True


def test_facts_of_one_error_are_its_own() -> None:
    first, second = Error("a", x=1), Error("b")
    assert (first.facts, second.facts) == ({"x": 1}, {})
