# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proxmox VE without its network API: the command pvesh, on this host or over SSH.

proxmoxer makes the commands and reads what they print. They are run here: its own SSH needs a library that is no longer
kept, and it takes every word on stderr for a failure.

pvesh runs tasks in the foreground. They end with it, so a write is waited for however long it takes.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ..._errors import (
    AuthenticationFailed,
    BackendError,
    Error,
    MissingLibrary,
    PermissionDenied,
    TransportError,
    Unsupported,
)

READ_TIMEOUT = 60.0

_SECRETS = ("cipassword",)

_NODE_AWAY = "ssh: .*proxy handler failed|malformed JSON"
"""pvesh asks other nodes by SSH, and does not understand all that it gets from there."""

_TROUBLE: tuple[tuple[str, type[Error], str], ...] = (
    (
        r"Permission denied \(|Host key verification failed|Too many authentication",
        AuthenticationFailed,
        "The user who runs the module needs an SSH key for that host, and must know its host key.",
    ),
    ("^(ssh: |kex_exchange|Connection )", TransportError, "Check url, and that the host answers over SSH."),
    ("run as root", PermissionDenied, "With transport local use become, with openssh the user root."),
)
"""What is no answer of the API: a pattern, what it means, and advice; the first that fits."""


def over_ssh(host: str, user: str) -> tuple[str, ...]:
    """What goes before a command to run it there. Questions are never asked."""
    options = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15")
    return ("ssh", *options, "-l", user.partition("@")[0], "--", host)


def connection(proxmoxer: Any, prefix: Sequence[str]) -> Any:
    """proxmoxer's root resource."""
    made = proxmoxer.ProxmoxAPI(backend="local")
    made._store["session"]._exec = partial(_run, prefix)
    return made


def clock_ahead(prefix: Sequence[str]) -> float:
    """Seconds that the other host's clock is ahead of ours."""
    told, text, status = _run(prefix, ["date", "+%s"])
    if status or not told.strip().isdigit():
        raise BackendError(
            f"{shlex.join(prefix)} date +%s: {text or told.strip()}.", advice="It must have a POSIX shell."
        )
    return float(told) - time.time()


def check_arguments(values: Mapping[str, Any]) -> None:
    """
    :raises Unsupported: there is a secret among them.
    """
    for name in _SECRETS:
        if values.get(name) is not None:
            raise Unsupported(
                f"{name} cannot be given to pvesh: whoever is on that host could read it among the arguments.",
                advice="Use transport: https, or set the password in another way.",
            )


def _run(prefix: Sequence[str], command: Sequence[str]) -> tuple[str, str, int]:
    """What it printed, what it complained of if it failed, and its exit status.

    :raises Error: it could not be run, or the host that it is about could not be reached.
    """
    words = [*prefix, shlex.join(command)] if prefix else list(command)
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=READ_TIMEOUT if "get" in command[:2] else None,
            check=False,
        )
    except FileNotFoundError as error:
        raise MissingLibrary(
            f"There is no command {words[0]} on the host that runs the module.",
            advice="Use transport: https, or run the module on a node of the cluster.",
            library=words[0],
        ) from error
    except subprocess.TimeoutExpired as error:
        raise TransportError(f"{command[0]} did not answer within {READ_TIMEOUT:g} s.") from error
    if done.returncode == 0:
        # what it prints on stderr now are warnings, of Perl or SSH
        return done.stdout, "", 0
    # of a request to another node it repeats the whole command
    text = done.stderr.partition("proxy handler failed:")[0].strip() or f"exit status {done.returncode}"
    _check_answered(f"{shlex.join(command[:3])}: {text}", done.stderr, done.returncode)
    return "", text, done.returncode


def _check_answered(message: str, said: str, status: int) -> None:
    """
    :raises Error: what it said is not what the API answered.
    """
    if status == 127:  # of a shell
        raise MissingLibrary(f"{message}.", advice="Only the nodes of a cluster have pvesh.", library="pvesh")
    said = " ".join(said.split())
    if re.search(_NODE_AWAY, said):
        raise TransportError(f"{message}.", advice="A node of the cluster does not answer.", code=595)
    for pattern, make, advice in _TROUBLE:
        if re.search(pattern, said):
            raise make(f"{message}.", advice=advice)
