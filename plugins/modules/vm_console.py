#!/usr/bin/python
# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vm_console
short_description: Show the console of a VM in a browser
version_added: 0.1.0
description:
  - Opens a page of noVNC, which shows the screen of a running VM and takes its keyboard and mouse, and tells its
    address. Closes it again where the backend can do that.
  - This is for O(backend=qemu), O(backend=proxmox), O(backend=zstack) and O(backend=qemu_api). The module fails with
    the other backends.
options:
  state:
    description:
      - With V(present) the console is open. With O(backend=qemu) one that has a good part of its time left stays as it
        is.
      - With V(absent) its token opens nothing any more, and who is looking sees no more. Only O(backend=qemu) can do
        that.
    type: str
    choices: [present, absent]
    default: present
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
      - Only for O(backend=qemu_api).
    type: int
  web_port:
    description:
      - The port on which the page shall be.
      - The default for O(backend=qemu) is V(6080). With O(backend=qemu_api) it is up to the server, usually 6080 and
        the number of the display. The other backends do not have this option.
      - With O(backend=qemu) all VMs of a state directory can use the same port. A VM has one console. With another port
        it moves there, and has another token.
    type: int
  listen:
    description:
      - The IP address of the host at which the page shall be. V(0.0.0.0) or V(::) means all that it has.
      - An address that begins with C(fe80:) cannot be used.
      - The default is V(127.0.0.1), which is reached from the host itself only, or through an SSH tunnel.
      - Only for O(backend=qemu).
    type: str
  expires_after:
    description:
      - How many seconds the console is open, from this task on. The default is V(3600).
      - Where less than half of it is left, it is set anew, and the token stays the same. To shorten it, close the
        console first.
      - Only for O(backend=qemu).
    type: int
  novnc_path:
    description:
      - The folder on the host that has C(vnc.html) of noVNC. Whoever reaches the port can read all that is in it.
      - The default is the one where the packages of Debian, Ubuntu, Fedora or Arch put it.
      - It is looked at when the first console of a port is opened.
      - Only for O(backend=qemu).
    type: path
  websocket:
    description:
      - Whether a WebSocket for a program is needed, which is told as RV(console.websocket).
      - With O(backend=proxmox) it has to be opened for that, for one connection that must come within ten seconds. So
        the task changes something each time.
      - With O(backend=qemu) and O(backend=zstack) it is there in any case. O(backend=qemu_api) has none.
    type: bool
    default: false
  timeout:
    description:
      - How many seconds the work may take.
    type: int
    default: 60
requirements:
  - "For O(backend=qemu), on the host on which the module runs: websockify 0.10 or newer, and noVNC"
notes:
  - Exactly one of O(name), O(id) and O(vnc_port) is needed.
  - Who has the address, with the token that may be in it, has the VM. Use C(no_log) where others read the output.
  - "O(backend=qemu): websockify runs on the host, as the user of the task, for as long as a console is open. A token
    ends by its time, by O(state=absent), or with its VM; within two seconds that also ends the connections that were
    opened with it. When there is no console left websockify ends by itself. A VM keeps its console while it is stopped
    and started again."
  - "O(backend=qemu): The page is not encrypted. Leave O(listen) as it is and use an SSH tunnel, such as C(ssh -L
    6080:127.0.0.1:6080 host), or put a proxy with TLS in front of it. With another O(listen) everybody on the way can
    read the token."
  - "O(backend=qemu): Each connection, also one without a token, is a process of up to 36 MB on the host, as root with
    C(become=true). With O(listen) other than loopback whoever reaches the port can make many of them, so keep others
    away with a firewall."
  - "O(backend=proxmox): The page is that of the web interface, which is always there, so nothing changes, whether the
    VM runs or not. The browser must be logged in there as a user with the privilege VM.Console. There is no secret in
    it."
  - "O(backend=proxmox): A WebSocket needs the privilege VM.Console and a VM that runs or is paused. Who connects has to
    send the credentials of the user, or of the very API token, that ran the module (header C(Authorization), or cookie
    C(PVEAuthCookie)), and RV(console.password) as the password of VNC. It is on the node that answered, so O(url) must
    not lead to another node each time. With O(transport=local) and O(transport=openssh) there is none."
  - "O(backend=zstack): The server can not be asked which consoles are open, so each task opens one, and changes
    something. The VM must run or be paused. The server lets it expire, after 30 minutes unless it is set otherwise. A
    stop or a migration of the VM closes it."
  - "O(backend=zstack): The token is made of the session that opened the console. B(Who has it can use the API as that
    user) until the session ends, so use a user with few rights. The module leaves the session open, since the console
    ends with it: by itself after two hours, or with the next login where the server allows one session for each user."
  - "O(backend=zstack): The address of the page is that of the web interface in 4.0 and newer, at its default port 5000,
    which is not documented. Where yours is elsewhere use RV(console.websocket)."
  - "O(backend=qemu_api): How long the page is there is up to the server. The open-source server has no token, and its
    page is there for everybody who reaches the port. Whether a page is there already can be asked only by opening it.
    So check mode always tells a change. A real run tells none where the server says that it was there before, and a
    server that does not say so is told to open it each time."
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
  - anyvirt.compute.qemu
  - anyvirt.compute.proxmox
  - anyvirt.compute.zstack
  - anyvirt.compute.qemu_api
"""

EXAMPLES = r"""
---
- name: The console of web1
  anyvirt.compute.vm_console:
    name: web1
  register: opened

- name: Where it is
  ansible.builtin.debug:
    var: opened.console.url

- name: A console for a day, for whoever reaches the host in its own network
  anyvirt.compute.vm_console:
    backend: qemu
    name: web2
    listen: 0.0.0.0
    expires_after: 86400

- name: Nobody looks at web2 any more
  anyvirt.compute.vm_console:
    backend: qemu
    name: web2
    state: absent

- name: A WebSocket for a program that takes pictures of the screen
  anyvirt.compute.vm_console:
    backend: proxmox
    name: web1
    websocket: true
  register: for_program
  no_log: true

- name: The console of a VM of ZStack, whose token can do more than that
  anyvirt.compute.vm_console:
    backend: zstack
    url: http://zstack.example.com:8080
    username: console
    password: "{{ zstack_password }}"
    name: web1
  no_log: true

- name: A page by the HTTP manager
  anyvirt.compute.vm_console:
    backend: qemu_api
    url: http://manager.example.com:3000
    name: web1

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
    - The console. What the backend does not tell is null.
  returned: with O(state=present); in check mode only where it is open and stays as it is
  type: dict
  contains:
    url:
      description:
        - The address of the page, for a browser.
      returned: always
      type: str
    websocket:
      description:
        - The address of a WebSocket that speaks RFB, the protocol of VNC, for a program.
      returned: always
      type: str
    token:
      description:
        - What opens the page or the WebSocket. It is part of their addresses.
      returned: always
      type: str
    password:
      description:
        - The password that RFB asks for.
      returned: always
      type: str
    expires:
      description:
        - When the token ends, in seconds since the epoch.
      returned: always
      type: int
    web_port:
      description:
        - The port of the page, or of the proxy to which it connects.
      returned: always
      type: int
    vnc_port:
      description:
        - The VNC port of the VM.
      returned: always
      type: int
    pid:
      description:
        - The process of the page on the server.
      returned: always
      type: int
  sample:
    url: >-
      http://127.0.0.1:6080/vnc.html#autoconnect=1&path=websockify%3Ftoken%3DOMoJ9VDqCmXZTIKcDEXPpBNqBjZOqpQMdzGH1TLPIQY
    websocket: ws://127.0.0.1:6080/websockify?token=OMoJ9VDqCmXZTIKcDEXPpBNqBjZOqpQMdzGH1TLPIQY
    token: OMoJ9VDqCmXZTIKcDEXPpBNqBjZOqpQMdzGH1TLPIQY
    password: null
    expires: 1795290417
    web_port: 6080
    vnc_port: null
    pid: null
vm:
  description:
    - The VM, with its C(id), C(name), C(node), C(state) and the other keys of a row. M(anyvirt.compute.vm_info) tells
      more.
  returned: success
  type: dict
  sample:
    id: f233b666-efb3-49e8-90f1-c820fbd8a814
    name: web1
    backend: qemu
    node: host1
    state: running
    native_state: running
    template: false
    tags: []
    pool: null
    memory: 2048
    cores: 2
    sockets: 1
task:
  description:
    - What the backend was asked to do, as in RV(anyvirt.compute.vm#module:task).
  returned: when something changed, but not in check mode
  type: dict
  sample:
    id: qemu:console:f233b666-efb3-49e8-90f1-c820fbd8a814
    backend: qemu
    state: succeeded
    warnings: []
diff:
  description:
    - It has C(before) and C(after), both as RV(vm), with a C(console) where there is one, without its token.
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
from ..module_utils._console import OPTIONS, plan_absent, plan_present, wanted_console, with_console
from ..module_utils._errors import NotFound
from ..module_utils._plan import VM, Plan
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


def run(session: Session) -> Result:
    wanted = wanted_console(session.backend, session.params)
    identity = addressed(session)

    def decide(vm: VM | None) -> Plan:
        vm = session.existing(identity, vm)
        return plan_present(vm, wanted) if session.params["state"] == "present" else plan_absent(vm)

    return with_console(session.converge(identity, decide, ("console",)).to_result())


def main() -> None:
    options = {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        **OPTIONS,
        "timeout": {"type": "int", "default": 60},
    }
    run_module(
        run,
        argument_spec={**CONNECTION, **IDENTITY, **options},
        required_one_of=ONE,
        mutually_exclusive=ONE,
    )


if __name__ == "__main__":
    main()
