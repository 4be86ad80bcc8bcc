# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tokens of consoles as websockify finds them. What it does with them is seen with a real one."""

from __future__ import annotations

import ast
import json
import pathlib
import resource
import time

import pytest

from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu import console_tokens
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.store import Store
from ansible_collections.anyvirt.compute.plugins.module_utils._backends.qemu.websockify import Websockify

SERVER = "127.0.0.1-6080"


def write(state_dir: pathlib.Path, name: str, content: str) -> None:
    folder = state_dir / "vms" / name
    folder.mkdir(parents=True)
    (folder / console_tokens.TOKEN_FILE).write_text(content)


def test_consoles_of_one_server_that_have_not_ended(state_dir: pathlib.Path) -> None:
    later, past = time.time() + 1000, time.time() - 1
    for name, server, expires in (
        ("one", SERVER, later),
        ("ended", SERVER, past),
        ("elsewhere", "127.0.0.1-7000", later),
        ("two", SERVER, later),
    ):
        write(state_dir, name, json.dumps({"token": name, "server": server, "expires": expires}))
    (state_dir / "vms" / "none").mkdir()
    found = dict(console_tokens.open_consoles(str(state_dir), SERVER))
    assert found == {str(state_dir / "vms" / name): name for name in ("one", "two")}


@pytest.mark.parametrize("content", ["", "[]", "7", "{", '{"server": "127.0.0.1-6080"}', '{"expires": "x"}', "null"])
def test_what_is_damaged_opens_nothing_and_hides_nothing(content: str, state_dir: pathlib.Path) -> None:
    write(state_dir, "damaged", content)
    write(state_dir, "one", json.dumps({"token": "one", "server": SERVER, "expires": time.time() + 1000}))
    assert [token for _directory, token in console_tokens.open_consoles(str(state_dir), SERVER)] == ["one"]


def test_a_state_directory_that_is_gone_has_none(tmp_path: pathlib.Path) -> None:
    assert list(console_tokens.open_consoles(str(tmp_path / "gone"), SERVER)) == []


def test_a_host_without_descriptors_shows_none_and_does_not_fail(state_dir: pathlib.Path) -> None:
    write(state_dir, "one", json.dumps({"token": "one", "server": SERVER, "expires": time.time() + 1000}))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        found = list(console_tokens.open_consoles(str(state_dir), SERVER))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found == []


def test_websockify_can_read_the_file_without_the_collection() -> None:
    source = pathlib.Path(console_tokens.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 7))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    alone: dict[str, object] = {"__name__": "console_tokens"}
    exec(compile(source, "console_tokens.py", "exec"), alone)
    assert alone["Tokens"].__name__ == console_tokens.Tokens.__name__


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1", "127.0.0.1:6080"),
        ("::1", "[::1]:6080"),
        ("0.0.0.0", "host1:6080"),
        ("::", "host1:6080"),
        ("192.0.2.7", "192.0.2.7:6080"),
    ],
)
def test_the_address_for_a_browser(listen: str, address: str, state_dir: pathlib.Path) -> None:
    assert Websockify(Store(str(state_dir)), listen, 6080).address("host1") == address
