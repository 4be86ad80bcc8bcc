#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_console
short_description: Open a page in which the console of a VM is seen
version_added: 0.1.0
description:
  - Has the backend open a page of noVNC, which shows the screen of a running VM and takes its keyboard and mouse, and
    tells its address.
  - This is for O(backend=qemu_api). The module fails with the other backends.
  - How long the page is there is up to the server, whose API cannot close it.
options:
  name:
    description:
      - The name of the VM.
    type: str
  id:
    description:
      - The id of the VM, as results give it.
    type: str
  vnc_port:
    description:
      - The VNC port of the VM, such as V(5901), instead of its name. V(1), the number of the display, means the same.
      - If it is not the port of any VM the task fails.
    type: int
  web_port:
    description:
      - The port on which the page shall be.
      - The default is up to the server, usually 6080 and the number of the display.
    type: int
  timeout:
    description:
      - How many seconds the work may take.
    type: int
    default: 60
notes:
  - Exactly one of O(name), O(id) and O(vnc_port) is needed.
  - Who has the address, with the token that may be in it, has the VM. Use C(no_log) where others read the output. The
    open-source server has no token, and its page is there for everybody who reaches the port.
  - Whether a page is there already can be asked only by opening it. So check mode always tells a change. A real run
    tells none where the server says that it was there before, and a server that does not say so is told to open it
    each time.
seealso:
  - module: anyvirt.compute.vm_power
  - module: anyvirt.compute.vm_config
    description: Sets the VNC port, with C(native).
author:
  - anyvirt.compute contributors (@anyvirt)
extends_documentation_fragment:
  - anyvirt.compute.attributes
  - anyvirt.compute.attributes.actiongroup
  - anyvirt.compute.connection
  - anyvirt.compute.qemu_api
"""

EXAMPLES = r"""
---
- name: A page with the console of web1
  anyvirt.compute.vm_console:
    backend: qemu_api
    url: http://manager.example.com:3000
    name: web1
  register: opened

- name: Where it is
  ansible.builtin.debug:
    var: opened.console.url

- name: The console of whichever VM has VNC port 5903, on a web port of its own
  anyvirt.compute.vm_console:
    backend: qemu_api
    url: http://manager.example.com:3000
    vnc_port: 5903
    web_port: 7000
"""

RETURN = r"""
---
console:
  description:
    - The page.
  returned: success, but not in check mode
  type: dict
  contains:
    url:
      description:
        - The address, for a browser.
      returned: always
      type: str
    web_port:
      description:
        - The port of the page.
      returned: always
      type: int
    vnc_port:
      description:
        - The VNC port of the VM.
      returned: always
      type: int
    token:
      description:
        - What opens the page, or null where the server gives none.
      returned: always
      type: str
    pid:
      description:
        - The process of the page on the server, or null where it is not told.
      returned: always
      type: int
    already_running:
      description:
        - Whether the server says that the page was there before.
      returned: always
      type: bool
  sample:
    url: http://manager.example.com:6081/vnc.html?token=3f2a9c51d07be846
    web_port: 6081
    vnc_port: 5901
    token: 3f2a9c51d07be846
    pid: 4221
    already_running: false
vm:
  description:
    - The VM, with its C(id), C(name), C(node), C(state) and the other keys of a row. M(anyvirt.compute.vm_info) tells
      more.
  returned: success
  type: dict
  sample:
    id: web1
    name: web1
    backend: qemu_api
    node: manager.example.com
    state: running
    native_state: running
    template: false
    tags: []
    pool: null
    memory: 2048
    cores: 2
task:
  description:
    - What the backend was asked to do, as in RV(anyvirt.compute.vm#module:task).
  returned: success, but not in check mode
  type: dict
  sample:
    id: qemu_api:console:web1
    backend: qemu_api
    state: succeeded
    warnings: []
diff:
  description:
    - It has C(before) and C(after), both as RV(vm), and they are the same.
  returned: success
  type: dict
kind:
  description:
    - What kind of failure it is, one of those of RV(anyvirt.compute.vm#module:kind).
  returned: failure
  type: str
  sample: conflict
"""

from ..module_utils._backends.base import Identity
from ..module_utils._errors import NotFound
from ..module_utils._plan import VM, Op, Plan, Step
from ..module_utils._session import Result, Session, run_module
from ..module_utils._spec import CONNECTION, IDENTITY

ONE = [("name", "id", "vnc_port")]


def addressed(session: Session) -> Identity:
    port = session.params["vnc_port"]
    if port is None:
        return session.identity
    found = session.backend.at_vnc_port(port)
    if found is None:
        raise NotFound(f"There is no VM with VNC port {port}.", advice="See native.vncPort of the VMs.")
    return found


def decide(session: Session, vm: VM) -> Plan:
    how = {"by_port": session.params["vnc_port"] is not None, "web_port": session.params["web_port"]}
    return Plan(vm, vm, (), (Step(Op.CONSOLE, vm, how),))


def run(session: Session) -> Result:
    identity = addressed(session)
    outcome = session.converge(identity, lambda vm: decide(session, session.existing(identity, vm)), ("console",))
    console = outcome.vm.pop("console", None)
    result = outcome.to_result()
    if console is not None:
        result.update(console=console, changed=not console["already_running"])
    return result


def main() -> None:
    options = {"vnc_port": {"type": "int"}, "web_port": {"type": "int"}, "timeout": {"type": "int", "default": 60}}
    run_module(
        run,
        argument_spec={**CONNECTION, **IDENTITY, **options},
        required_one_of=ONE,
        mutually_exclusive=ONE,
    )


if __name__ == "__main__":
    main()
