# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measured times, and the floors that they are held against."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Ratio:
    """A measured amount against its floor, and the ratio that is promised; None where none is.

    :param unit: ``s``, or ``MiB`` where the floor is what may be used at most.
    """

    what: str
    took: float
    floor: float
    promised: float | None = None
    unit: str = "s"


@dataclass(frozen=True)
class Run:
    """What a process used: wall clock and CPU in seconds, and at its peak memory in MiB."""

    wall: float
    cpu: float
    peak: float


def seconds(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def run(command: Sequence[str], **environment: str) -> Run:
    """
    :raises SystemExit: it failed; with what it told.
    """
    variables = {**os.environ, **environment}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile() as told:
        begin = time.perf_counter()
        process = subprocess.Popen(command, env=variables, stdout=told, stderr=subprocess.STDOUT)
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begin
        if status:
            told.seek(0)
            raise SystemExit(told.read().decode()[-4000:])
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def task_times(tasks: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> list[float]:
    """The time of each task of a play on this host, as Ansible's own junit callback tells it.

    :param options: of the connection.
    """
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "module_defaults": {"group/anyvirt.compute.all": options},
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": list(tasks),
    }
    with tempfile.TemporaryDirectory() as directory:
        playbook = Path(directory, "play.json")
        playbook.write_text(json.dumps([play]), encoding="utf-8")
        run(
            [str(BIN / "ansible-playbook"), "-i", "localhost,", str(playbook)],
            ANSIBLE_CALLBACKS_ENABLED="junit",
            JUNIT_OUTPUT_DIR=f"{directory}/junit",
            ANSIBLE_LIBRARY=str(ROOT / "benchmarks" / "modules"),
        )
        report = ElementTree.parse(next(Path(directory, "junit").iterdir()))
        return [float(case.attrib["time"]) for case in report.iter("testcase")]


@contextlib.contextmanager
def proxmox_server(**options: object) -> Iterator[dict[str, Any]]:
    """A test server in a process of its own, and the options of a connection to it.

    :param options: those of its command line.
    """
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "tests.servers.proxmox", "--port", "0", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            told = {}
            for line in process.stdout or ():
                name, _mark, value = line.partition(":")
                told[name] = value.strip()
                if name == "ca_path":
                    break
            wanted = ("token_id", "token_secret", "ca_path")
            yield {"backend": "proxmox", "url": [told["url"].split()[0]], **{name: told[name] for name in wanted}}
        finally:
            process.terminate()


def table(ratios: Sequence[Ratio]) -> str:
    """As Markdown."""
    lines = ["| what | ratio | promised | took | floor |", "|---|---|---|---|---|"]
    for one in ratios:
        digits = 0 if one.unit == "MiB" else 2
        amounts = " | ".join(f"{amount:.{digits}f} {one.unit}" for amount in (one.took, one.floor))
        promised = "-" if one.promised is None else f"{one.promised:g}"
        lines.append(f"| {one.what} | {one.took / one.floor:.2f} | {promised} | {amounts} |")
    return "\n".join(lines)
