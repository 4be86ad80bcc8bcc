# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small HTTPS server, or HTTP, on the loopback interface: connections, keep-alive, and nothing of any API."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_OPENSSL_CONFIG = """[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = localhost
[extensions]
basicConstraints = critical, CA:TRUE
keyUsage = digitalSignature, keyCertSign
subjectAltName = DNS:localhost, IP:127.0.0.1
"""


@dataclass(slots=True)
class Request:
    """What came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    listener: str


@dataclass(slots=True)
class Reply:
    """What goes out; drop closes the connection without an answer."""

    status: int = 200
    reason: str = "OK"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    close: bool = False
    drop: bool = False


@functools.cache
def certificate() -> tuple[str, str]:
    """Paths of a self-signed certificate (its own CA) and of its key; made once per process."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="anyvirt-tls-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config, cert, key = folder / "openssl.cnf", folder / "cert.pem", folder / "key.pem"
    config.write_text(_OPENSSL_CONFIG)
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key)]
    command = ["openssl", "req", "-x509", *new, "-out", str(cert), "-days", "2", "-config", str(config)]
    subprocess.run(command, check=True, capture_output=True)
    return str(cert), str(key)


class Listener:
    """One port. Connections get a thread each; a stopped listener refuses, and can be started again."""

    def __init__(self, server: HttpsServer, name: str, port: int = 0) -> None:
        self.server = server
        self.name = name
        self._socket: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.port = port
        self.start()

    def start(self) -> None:
        if self._socket is not None:
            return
        self._socket = socket.create_server(("127.0.0.1", self.port), backlog=256, reuse_port=False)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def stop(self) -> None:
        """Refuse new connections and cut the open ones."""
        if self._socket is None:
            return
        listening, self._socket = self._socket, None
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _address = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        self._open.add(raw)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.settimeout(self.server.idle_seconds)
            with self.server.secure(raw) as connection:
                self._open.add(connection)
                try:
                    _Conversation(self, connection).run()
                finally:
                    self._open.discard(connection)
        except (OSError, ValueError):
            pass  # the client went away, did not speak TLS, or was silent for too long
        finally:
            self._open.discard(raw)
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)
            raw.close()


class _Conversation:
    """The requests of one connection."""

    def __init__(self, listener: Listener, connection: socket.socket) -> None:
        self._server = listener.server
        self._listener = listener
        self._connection = connection
        self._reader = connection.makefile("rb", buffering=65536)
        self._number = next(listener.server.numbers)

    def run(self) -> None:
        for count in itertools.count(1):
            request = self._read()
            if request is None:
                return
            reply = self._server.handle(request)
            if reply.drop:
                return
            close = (
                reply.close
                or reply.status >= 400
                or count >= self._server.answers_per_connection
                or request.headers.get("connection", "").lower() == "close"
            )
            self._connection.sendall(self._render(reply, close))
            if close:
                if isinstance(self._connection, ssl.SSLSocket):
                    with contextlib.suppress(OSError):
                        self._connection.unwrap()
                return

    def _read(self) -> Request | None:
        line = self._reader.readline(65536)
        if not line.strip():
            return None
        method, target, _version = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := self._reader.readline(65536)) not in (b"\r\n", b"\n", b""):
            key, _colon, value = line.decode("latin-1").partition(":")
            headers[key.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self._reader.read(int(headers.get("content-length") or 0))
        return Request(method, target, headers, body, self._number, self._listener.name)

    def _render(self, reply: Reply, close: bool) -> bytes:
        reason = reply.reason.replace("\r", " ").replace("\n", " ")
        lines = [
            f"HTTP/1.1 {reply.status} {reason}",
            "Connection: close" if close else "Connection: Keep-Alive",
            f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())}",
            f"Content-Length: {len(reply.body)}",
            *(f"{key}: {value}" for key, value in reply.headers.items()),
        ]
        return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + reply.body


class HttpsServer:
    """Listeners that share one handler; handle() is called from many threads at once. secured=False: plain HTTP."""

    def __init__(
        self, handle: Callable[[Request], Reply], names: list[str], port: int = 0, *, secured: bool = True
    ) -> None:
        self.handle = handle
        self.idle_seconds = 5.0
        self.answers_per_connection = 100
        self.numbers = itertools.count(1)
        self.secured = secured
        self.ca_path, key_path = certificate()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.ca_path, key_path)
        self.listeners = {name: Listener(self, name, port + i if port else 0) for i, name in enumerate(names)}

    def secure(self, raw: socket.socket) -> socket.socket:
        return self.tls.wrap_socket(raw, server_side=True) if self.secured else raw

    def url(self, name: str) -> str:
        return f"http{'s' if self.secured else ''}://127.0.0.1:{self.listeners[name].port}"

    def close(self) -> None:
        for listener in self.listeners.values():
            listener.stop()


def wait_for_the_end() -> None:
    """Until an interrupt or SIGTERM, either of which lets the server clean up behind itself."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
