# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for the guest."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  wait_for:
    description:
      - Wait until the guest can be used. The task succeeds once all conditions hold at the same time.
      - Nothing is waited for in check mode, nor where the VM does not run in the end.
      - RV(vm.agent) and RV(vm.addresses) then tell what the guest said, where its agent was asked.
    type: dict
    suboptions:
      agent:
        description:
          - The agent in the guest answers.
        type: bool
        default: false
      ip:
        description:
          - The agent in the guest tells an IP address that is neither a loopback nor a link-local one.
        type: bool
        default: false
      port:
        description:
          - A TCP port to which a connection can be made from the host on which the module runs.
        type: int
      host:
        description:
          - The name or address at which O(wait_for.port) is tried. By default these are the addresses that the agent
            tells.
          - A port that is forwarded from the network V(user) says nothing about the guest. QEMU itself accepts
            connections to it as soon as the VM runs. Give O(wait_for.banner) there, or wait for O(wait_for.agent).
          - With O(backend=proxmox) the agent answers only where C(guest_agent) was set when the VM was started.
        type: str
      banner:
        description:
          - What the service at O(wait_for.port) has to say first, or a part of it, such as C(SSH).
        type: str
      timeout:
        description:
          - How many seconds to wait for the guest. This time begins when the VM runs.
        type: int
        default: 300
"""
