# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pvesh on this host and over SSH: real commands, which end at the test server."""

from __future__ import annotations

import json
import os
import pathlib
import sys
from typing import Any

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils import _http
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.proxmox import commands
from ansible_collections.anyvirt.compute.tests.servers.proxmox import ProxmoxServer
from ansible_collections.anyvirt.compute.tests.unit.contract.harness import Answer, run

DISK = {"slot": "scsi0", "size": "1GiB", "storage": "shared", "format": "qcow2"}
PVESH = pathlib.Path(__file__).with_name("pvesh.py")
SSH = """#!/bin/sh
printf '%s\\n' "$*" >> "$0.log"
for word; do host=$last; last=$word; done
[ "$host" = down.example.com ] && {{ echo "ssh: connect to host $host port 22: Connection refused" >&2; exit 255; }}
[ "$host" = locked.example.com ] && {{ echo "me@$host: Permission denied (publickey)." >&2; exit 255; }}
echo "Warning: Permanently added '$host' to the list of known hosts." >&2
PATH={path}:/usr/bin:/bin exec sh -c "$last"
"""


@pytest.fixture(autouse=True)
def node(server: ProxmoxServer, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder with pvesh, as on a node. By itself it is on nobody's PATH."""
    server.add_vm(200, "web", memory="512", scsi0="shared:1,format=qcow2")
    folder = tmp_path / "node"
    folder.mkdir()
    site = {
        "host": server.host,
        "port": server.port,
        "ca": server.ca_path,
        "authorization": server.authorization["Authorization"],
        "log": str(tmp_path / "pvesh.log"),
    }
    (folder / "pvesh.json").write_text(json.dumps(site))
    script(folder / "pvesh", f"#!{sys.executable} -I\n{PVESH.read_text()}")
    monkeypatch.setenv("PATH", os.defpath)
    return folder


def script(path: pathlib.Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o700)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "PATIENCE", 1.0)
    monkeypatch.setattr(_http, "FIRST_PATIENCE", 1.0)


@pytest.fixture(params=["local", "openssh"])
def options(
    request: pytest.FixtureRequest, node: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """How a task reaches the cluster, with what it needs for it on its PATH."""
    if request.param == "local":
        monkeypatch.setenv("PATH", f"{node}:{os.defpath}")
        return {"backend": "proxmox", "transport": "local"}
    here = tmp_path / "here"
    here.mkdir()
    script(here / "ssh", SSH.format(path=node))
    monkeypatch.setenv("PATH", f"{here}:{os.defpath}")
    return {"backend": "proxmox", "transport": "openssh", "url": ["https://pve1.example.com:8006"]}


def calls(tmp_path: pathlib.Path) -> list[list[str]]:
    """The arguments of each call of pvesh."""
    path = tmp_path / "pvesh.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def assert_refused(answer: Answer, kind: str, *texts: str) -> None:
    assert (answer.failed, answer.result["kind"], answer.changed) == (True, kind, False), answer.result
    for text in texts:
        assert text in answer.result["msg"], (text, answer.result["msg"])


def test_the_life_of_a_vm(options: dict[str, Any], server: ProxmoxServer) -> None:
    text = 'it\'s "new",\nwith two lines; $HOME `id`'
    tasks: list[tuple[str, dict[str, Any]]] = [
        ("vm", {"memory": "64", "disks": [DISK], "description": text, "tags": ["a", "b"]}),
        ("vm_config", {"memory": "128", "cores": 2}),
        ("vm_config", {"description": "-o other"}),
        ("vm_power", {"state": "started"}),
        ("vm_snapshot", {"snapshot": "first"}),
        ("vm_snapshot", {"snapshot": "first", "description": "another text"}),
        ("vm", {"state": "absent", "force": True}),
    ]
    for module, wanted in tasks:
        done = run(module, {**options, "name": "new", **wanted})
        assert not done.failed, done.result
        assert (done.changed, done.warnings) == (True, ())
        for name in {"description", "tags", "cores"} & set(done.vm) & set(wanted) if module != "vm_snapshot" else ():
            assert done.vm[name] == wanted[name]
    assert list(server.state.guests) == [200]


def test_what_the_api_refuses(options: dict[str, Any], server: ProxmoxServer) -> None:
    told = run("vm_config", {**options, "name": "web", "native": {"onboot": "often"}})
    assert_refused(told, "invalid_request", "onboot: type check ('boolean') failed - got 'often'")
    told = run("vm_power", {**options, "id": "999", "state": "started"})
    assert_refused(told, "not_found", "id 999")
    told = run("vm_config", {**options, "name": "web", "disks": [{**DISK, "slot": "scsi1", "storage": "nope"}]})
    assert_refused(told, "not_found", "storage 'nope' does not exist")


def test_a_task_that_fails(options: dict[str, Any], server: ProxmoxServer) -> None:
    server.plan_task("qmstart", 200, exitstatus="start failed: no such thing")
    assert_refused(run("vm_power", {**options, "id": "200", "state": "started"}), "task_failed", "no such thing")
    assert run("vm_power", {**options, "id": "200", "state": "started"}).changed


def test_a_node_that_is_down(options: dict[str, Any], server: ProxmoxServer) -> None:
    server.add_vm(201, "away", "pve2", memory="64")
    server.refresh_resources()
    server.node_down("pve2", quorum=True)
    told = run("vm_config", {**options, "id": "201", "memory": "128"})
    assert_refused(told, "transport_error", "pvesh get /nodes/pve2", "A node of the cluster does not answer")
    assert "proxy handler" not in told.result["msg"]


def test_a_write_whose_answer_is_lost(options: dict[str, Any], server: ProxmoxServer, node: pathlib.Path) -> None:
    """A node's answer that pvesh does not understand. What was done is found in the list of tasks."""
    script(node / "pvesh", (node / "pvesh").read_text().replace("ANSWERS = True", "ANSWERS = False"))
    done = run("vm_power", {**options, "id": "200", "state": "started"})
    assert not done.failed, done.result
    assert len([one for one in server.writes if one.path.endswith("/status/start")]) == 1


def test_the_page_of_the_web_interface(options: dict[str, Any], server: ProxmoxServer, tmp_path: pathlib.Path) -> None:
    """On the node itself its address has to be asked for. A WebSocket would be for root alone."""
    told = run("vm_console", {**options, "id": "200"})
    host = "pve1.example.com" if "url" in options else server.state.nodes["pve1"].address
    assert told.result["console"]["url"].startswith(f"https://{host}:8006/?console=kvm&novnc=1&vmid=200&vmname=web&")
    for check in (True, False):
        told = run("vm_console", {**options, "id": "200", "websocket": True}, check=check)
        assert_refused(told, "unsupported", "transport: https")
    assert not [words for words in calls(tmp_path) if words[0] != "get"]


def test_a_command_that_hangs(
    options: dict[str, Any], server: ProxmoxServer, node: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "READ_TIMEOUT", 0.5)
    script(node / "pvesh", "#!/bin/sh\nexec sleep 60\n")
    assert_refused(run("vm_info", options), "transport_error", "pvesh did not answer within 0.5 s")


def test_secrets_are_in_no_argument(options: dict[str, Any], server: ProxmoxServer, tmp_path: pathlib.Path) -> None:
    secrets = {"password": "HUSH-1", "token_id": "root@pam!api", "token_secret": "HUSH-2"}
    assert run("vm_power", {**options, **secrets, "id": "200", "state": "started"}).changed
    secret = {"disks": [DISK], "cloud_init": {"user": "me", "password": "HUSH-3"}}
    for check in (True, False):
        for module, name in (("vm", "new"), ("vm_config", "web")):
            told = run(module, {**options, **secrets, **secret, "name": name}, check=check)
            assert_refused(told, "unsupported", "cipassword", "transport: https")
    assert [one.path for one in server.writes] == ["/nodes/pve1/qemu/200/status/start"]
    arguments = [*map(str, calls(tmp_path)), *(path.read_text() for path in tmp_path.glob("here/ssh.log"))]
    assert arguments
    assert "HUSH" not in str(arguments) + told.text


def test_ssh_asks_nothing_and_knows_no_realm(
    node: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "ssh", SSH.format(path=node))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    task = {"backend": "proxmox", "transport": "openssh"}
    run("vm_info", {**task, "url": ["https://pve1.example.com:8006"], "username": "me@pam"})
    run("vm_info", {**task, "url": ["-oProxyCommand=x"]})
    logged = (tmp_path / "ssh.log").read_text().splitlines()
    assert all(" BatchMode=yes " in line for line in logged)
    first = {line.partition(" -l ")[2] for line in logged if line.endswith("date +%s")}
    assert first == {"me -- pve1.example.com date +%s", "root -- -oproxycommand=x date +%s"}


def test_ssh_hosts_that_do_not_answer(
    node: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "ssh", SSH.format(path=node))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    task = {"backend": "proxmox", "transport": "openssh", "id": "200", "memory": "1GiB"}
    told = run("vm_config", {**task, "url": ["down.example.com"]})
    assert_refused(told, "transport_error", "connect to host down.example.com", "answers over SSH")
    told = run("vm_config", {**task, "url": ["locked.example.com"]})
    assert_refused(told, "authentication_failed", "Permission denied (publickey)", "SSH key")
    assert run("vm_config", {**task, "url": ["down.example.com", "pve1.example.com"]}).changed


def test_what_is_not_installed(node: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    task = {"backend": "proxmox", "id": "200", "memory": "1GiB"}
    monkeypatch.setenv("PATH", str(empty))
    told = run("vm_config", {**task, "transport": "local"})
    assert_refused(told, "missing_library", "no command pvesh", "transport: https")
    over_ssh = {**task, "transport": "openssh", "url": ["pve1.example.com"]}
    assert_refused(run("vm_config", over_ssh), "missing_library", "no command ssh")
    script(tmp_path / "ssh", SSH.format(path=empty))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    assert_refused(run("vm_config", over_ssh), "missing_library", "pvesh: not found", "nodes of a cluster")
    monkeypatch.setitem(sys.modules, "proxmoxer", None)
    assert_refused(run("vm_config", {**task, "transport": "local"}), "missing_library", "proxmoxer")


def test_a_url_is_needed_for_ssh_only() -> None:
    told = run("vm_info", {"backend": "proxmox", "transport": "openssh"})
    assert_refused(told, "invalid_request", "needs a url")
