# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the backend tells in notes and requirements of modules."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
requirements:
  - "For O(backend=qemu_api), on the host on which the module runs: the Python library C(requests) 2.25 or newer"
notes:
  - With O(backend=qemu_api) the module may run on any host that reaches the API, such as C(localhost). The API has no
    authentication. Whoever reaches it has all VMs, so keep it in a network of its own.
  - With O(backend=qemu_api) a VM has one disk, which is called C(virtio0) whatever the guest sees, and it keeps its
    size. The server cannot ask a guest to shut down, so a stop and a restart need C(force=true) with
    C(shutdown_timeout=0). C(native) takes C(vncPort), a port from 5900 or the number of a display. A new VM without it
    gets the lowest port that no other VM has.
  - With O(backend=qemu_api) an answer of the server is not believed. Each change is done only when the list of VMs
    shows it, or for a CD where the list does not tell it, when the answer names the state that was asked for.
  - With O(backend=qemu_api) and O(dialect=documented) the list does not tell network cards and CDs. Network cards are
    said when a VM is made, and are not compared afterwards. A CD is put in, or taken out with an empty C(image), each
    time that it is asked for. What waits for a restart is known only to the task that changed it.
  - With O(backend=qemu_api) and O(dialect=voidvm) a VM is refused, when it is made and when it is started, whose name
    is a part of another VM's command line, or the other way round. The server tells processes apart by that, and would
    end the wrong one. Snapshots are there in this dialect only, of running VMs and with their memory, and only while
    the VM runs since a plain start by this process of the server.
"""
