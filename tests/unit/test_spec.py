# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several VMs with options of their own: what they take, and what holds for each."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.anyvirt.compute.plugins.module_utils._spec import CLONES, EACH_CONFIG, EACH_VM, own_options


@pytest.mark.parametrize(
    ("of_task", "of_vm", "holds"),
    [
        ({"memory": "1GiB"}, {"memory": None}, {"memory": "1GiB"}),
        ({"memory": "1GiB"}, {"memory": "2GiB"}, {"memory": "2GiB"}),
        ({"memory": None}, {"memory": "2GiB"}, {"memory": "2GiB"}),
        ({"state": "present"}, {"state": "absent"}, {"state": "absent"}),
        # what is empty, or no, is said
        ({"tags": ["a"], "absent": ["net1"]}, {"tags": [], "absent": []}, {"tags": [], "absent": []}),
        ({"guest_agent": True}, {"guest_agent": False}, {"guest_agent": False}),
        # as a whole
        ({"cloud_init": {"user": "a"}}, {"cloud_init": {"hostname": "b"}}, {"cloud_init": {"hostname": "b"}}),
        ({"disks": [{"size": "1"}, {"size": "2"}]}, {"disks": [{"size": "3"}]}, {"disks": [{"size": "3"}]}),
    ],
)
def test_an_own_option_goes_before_that_of_the_task(of_task: Any, of_vm: Any, holds: Any) -> None:
    task = {"force": True, "name": None, "id": None, **of_task}
    given = {**task, "each": [{"name": "a", "id": None, **of_vm}, {"name": None, "id": "7"}]}
    first, second = own_options(given, "each")
    assert first == {**given, "name": "a", **holds}
    assert second == {**given, "id": "7"}


@pytest.mark.parametrize(
    ("several", "entry", "fault"),
    [
        (EACH_VM, {"name": "a", "id": "7", "state": "started"}, ""),
        (EACH_VM, {"memory": "1GiB"}, "one of the following is required: name, id"),
        (EACH_VM, {"name": "a", "absent": []}, "absent"),
        (EACH_VM, {"name": "a", "clone_from": {"full": True}}, "one of the following is required: name, id"),
        (EACH_CONFIG, {"id": "7", "absent": ["net1"]}, ""),
        (EACH_CONFIG, {"name": "a", "id": "7"}, "mutually exclusive: name|id"),
        (EACH_CONFIG, {"name": "a", "state": "started"}, "state"),
        (CLONES, {"name": "a", "id": "7"}, ""),
        (CLONES, {"id": "7"}, "missing required arguments: name"),
    ],
)
def test_what_an_entry_may_say(several: Any, entry: Any, fault: str) -> None:
    told = ArgumentSpecValidator({"each": several}).validate({"each": [entry]}).error_messages
    assert (fault in told[0]) if fault else (told == [])
