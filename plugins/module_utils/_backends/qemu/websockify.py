# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""websockify on this host: it hands out noVNC's pages, and leads whoever has a token to a VM's VNC socket.

There is one for each address and port, with a directory of its own below ``consoles/``. It is started when a console is
opened, and ends by itself when none is left: see ``console_tokens``.
"""

from __future__ import annotations

import errno
import http.client
import inspect
import ipaddress
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from ..._errors import BackendError, Conflict, InvalidRequest, MissingLibrary, PermissionDenied
from ..._task import Deadline
from . import console_tokens, process, tools
from .locks import EXCLUSIVE, is_held, try_lock
from .store import Store, write_atomically

PAGE = "vnc.html"
PAGES = ("/usr/share/novnc", "/usr/share/webapps/novnc", "/usr/local/share/novnc")
"""Where distributions put noVNC."""

_PACKAGES = "On Debian and Ubuntu: apt install novnc websockify. On Fedora: dnf install novnc python3-websockify."
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL")
"""What websockify is told of the task's environment, which may hold passwords."""


def pages_in(folder: str | None) -> str:
    """The folder with noVNC's pages.

    :param folder: None to look where distributions put it.
    :raises MissingLibrary: they are not there.
    """
    for path in [folder] if folder else PAGES:
        if os.path.isfile(os.path.join(path, PAGE)):
            return os.path.abspath(path)
    if folder:
        advice = "Give the folder that has it, or leave novnc_path out to use that of the distribution's package."
        raise MissingLibrary(f"novnc_path: there is no {PAGE} of noVNC in {folder}.", advice=advice)
    raise MissingLibrary(
        f"There is no {PAGE} of noVNC in {' or '.join(PAGES)}.",
        advice=f"{_PACKAGES} If it is elsewhere, novnc_path is its folder.",
    )


def program() -> str:
    """
    :raises MissingLibrary: websockify is not installed.
    """
    return tools.program("websockify", advice=_PACKAGES)


@dataclass(frozen=True)
class Websockify:
    """The one of an address and a port.

    :param listen: an IP address.
    """

    store: Store
    listen: str
    port: int

    @property
    def name(self) -> str:
        return f"{self.listen}-{self.port}"

    @property
    def dir(self) -> str:
        return self.store.path("consoles", self.name)

    @property
    def is_alive(self) -> bool:
        return is_held(self._life)

    @property
    def is_needed(self) -> bool:
        return any(console_tokens.open_consoles(self.store.root, self.name))

    @property
    def _life(self) -> str:
        """A file that websockify, and each of its connections, holds locked."""
        return os.path.join(self.dir, "run.lock")

    def address(self, anywhere: str) -> str:
        """What a client connects to.

        :param anywhere: the host, where the server listens at all addresses.
        """
        host = anywhere if ipaddress.ip_address(self.listen).is_unspecified else self.listen
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def bind(self) -> socket.socket:
        """
        :raises Conflict: something else has the port.
        :raises InvalidRequest: this host does not have the address.
        :raises PermissionDenied: the port is not for ordinary users.
        """
        version = ipaddress.ip_address(self.listen).version
        bound = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((self.listen, self.port))
        except OSError as error:
            bound.close()
            what = f"Port {self.port} of {self.listen}"
            if error.errno == errno.EADDRINUSE:
                raise self._taken(what) from error
            if error.errno == errno.EACCES:
                advice = "Give a web_port from 1024 on, or run as root."
                raise PermissionDenied(f"{what} may not be used.", advice=advice) from error
            raise InvalidRequest(f"listen: {what} cannot be used: {error.strerror}.") from error
        return bound

    def _taken(self, what: str) -> Conflict:
        """The port is another one's, which may be a websockify of ours at another address."""
        for one in _known(self.store):
            if one.port == self.port and one.is_alive:
                advice = f"Close those first (they have listen {one.listen}), or give another web_port."
                return Conflict(f"{what} is in use by consoles of this state_dir.", advice=advice)
        return Conflict(f"{what} is in use by something else.", advice="Give another web_port.")

    def ensure(self, novnc_path: str | None, deadline: Deadline) -> None:
        """Have it run and answer. The lock of the consoles must be held.

        :param novnc_path: where its pages are if it has to be started; as ``pages_in`` takes it.
        :raises BackendError: it does not start, or does not answer.
        :raises MissingLibrary: it has to be started, and it or its pages are not there.
        """
        limit = Deadline(min(10.0, deadline.left))
        for _turn in limit.intervals(0.05, 0.5):
            os.makedirs(self.dir, mode=0o700, exist_ok=True)
            life = try_lock(self._life, EXCLUSIVE)
            if life is not None:
                try:
                    self._start(pages_in(novnc_path), life, deadline)
                finally:
                    os.close(life)
                return
            if self._answers():
                return
        raise BackendError(
            f"websockify at port {self.port} of {self.listen} runs, and did not answer within {limit.seconds:.1f} s.",
            advice=f"End it: it has {self._life} open.",
        )

    def _start(self, pages: str, life: int, deadline: Deadline) -> None:
        log = os.path.join(self.dir, "websockify.log")
        websockify = self._run(pages, life, log)
        limit = Deadline(min(30.0, deadline.left))
        for _turn in limit.intervals(0.02, 0.1):
            if websockify.poll() is not None:
                when = ""
                break
            if self._answers():
                process.leave_service(websockify.pid, f"anyvirt-console-{self.name}")
                return
        else:
            when = f" within {limit.seconds:.1f} s"
            websockify.kill()
            websockify.wait()
        with open(log, encoding="utf-8", errors="replace") as file:
            said = file.read()[-4000:].strip() or "it said nothing"
        raise BackendError(f"websockify did not start{when}: {said}", advice=f"Its log is {log}.")

    def _run(self, pages: str, life: int, log: str) -> subprocess.Popen[bytes]:
        code = inspect.getsource(console_tokens)
        write_atomically(os.path.join(self.dir, "console_tokens.py"), code.encode())
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        # a colon in the path of the directory would make two of it
        environment.update(PYTHONPATH=".", PYTHONDONTWRITEBYTECODE="1")
        plugin = ["--token-plugin", f"console_tokens.{console_tokens.Tokens.__name__}", "--token-source", self.dir]
        with self.bind() as listener, open(log, "wb") as output:
            listener.listen(100)
            # run_command would wait for the end of a process that is to outlive the module
            return subprocess.Popen(  # pylint: disable=ansible-bad-function
                [program(), "--inetd", "--web", pages, *plugin],
                stdin=listener.fileno(),
                stdout=output,
                stderr=output,
                cwd=self.dir,
                env=environment,
                start_new_session=True,
                pass_fds=[life],
            )

    def _answers(self) -> bool:
        local = "::1" if ":" in self.listen else "127.0.0.1"
        connection = http.client.HTTPConnection(self.address(local), timeout=2.0)
        try:
            connection.request("HEAD", f"/{PAGE}")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def sweep(store: Store) -> None:
    """Remove the directories of those that have ended and show no console. The lock of the consoles must be held."""
    for one in _known(store):
        if not one.is_alive and not one.is_needed:
            shutil.rmtree(one.dir, ignore_errors=True)


def _known(store: Store) -> Iterator[Websockify]:
    """All that have a directory, whether they run or not."""
    consoles = store.path("consoles")
    for name in os.listdir(consoles) if os.path.isdir(consoles) else ():
        listen, _dash, port = name.rpartition("-")
        if port.isdecimal():
            yield Websockify(store, listen, int(port))
