# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running the programs that belong to QEMU."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

from ..._errors import BackendError, MissingLibrary, TaskTimeout

SYSTEM = "qemu-system-x86_64"
FLOOR = (6, 2)
"""The oldest QEMU: 6.0 brought snapshot-save, 6.2 JSON for -device."""

_PACKAGES = "On Debian and Ubuntu: apt install qemu-system-x86 qemu-utils genisoimage ovmf."
_PATH = os.pathsep.join(
    [
        os.environ.get("PATH", os.defpath),
        *("/usr/libexec", "/usr/local/sbin", "/usr/sbin", "/sbin"),
        # what was installed with pip beside this Python
        os.path.dirname(sys.executable),
    ]
)


def program(*names: str, advice: str = _PACKAGES) -> str:
    """The path of the first of these programs that is installed.

    :param advice: how to get it.
    :raises MissingLibrary: none is.
    """
    for name in names:
        path = shutil.which(name, path=_PATH)
        if path:
            return path
    raise MissingLibrary(f"{' or '.join(names)} is not installed on this host.", advice=advice, program=names[0])


def run(argv: list[str], timeout: float = 60.0) -> str:
    """A program's standard output.

    :raises BackendError: it failed; the message holds what it said.
    :raises TaskTimeout: it did not end in time, and was ended.
    """
    try:
        # run_command belongs to a module and knows no timeout; a driver has no module
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TaskTimeout(f"{os.path.basename(argv[0])} did not end within {timeout:g} s.") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise BackendError(f"{os.path.basename(argv[0])} failed: {said}")
    return done.stdout


def require_qemu() -> str:
    """The path of QEMU.

    :raises MissingLibrary: it is not there or too old.
    """
    path = program(SYSTEM)
    said = run([path, "--version"])
    match = re.search(r"version (\d+)\.(\d+)", said)
    if not match or (int(match[1]), int(match[2])) < FLOOR:
        wanted = ".".join(map(str, FLOOR))
        raise MissingLibrary(f"{path} is too old: QEMU {wanted} or newer is needed, this is: {said.splitlines()[0]}.")
    return path


def versioned_machine(wanted: str) -> str:
    """What an alias such as q35 stands for today: ``pc-q35-7.2``.

    :raises BackendError: QEMU has no such machine.
    """
    for line in run([program(SYSTEM), "-machine", "help"]).splitlines():
        if line.split(" ", 1)[0] == wanted:
            alias = re.search(r"\(alias of ([^)]+)\)", line)
            return alias[1] if alias else wanted
    raise BackendError(f"This QEMU has no machine '{wanted}'.", advice=f"{SYSTEM} -machine help lists them.")
