# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Disks whose content comes from a server, through the cache."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.anyvirt.compute.tests.integration.qemu.lab import Failed, content, qemu_img

MIB = 1024 * 1024


class Server(ThreadingHTTPServer):
    """Serves one image, counts requests, and can misbehave."""

    def __init__(self, image):
        super().__init__(("127.0.0.1", 0), Handler)
        self.image = image
        self.requests = []
        self.breaks_off = False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/image.qcow2"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        etag = hashlib.md5(server.image).hexdigest()
        kept = self.headers.get("If-None-Match") == etag
        status = 404 if self.path != "/image.qcow2" else 304 if kept else 200
        server.requests.append(status)
        self.send_response(status)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(server.image) if status == 200 else 0))
        self.end_headers()
        if status == 200:
            # who only asks whether it is there hangs up
            with contextlib.suppress(ConnectionError):
                self.wfile.write(server.image[: len(server.image) // 2] if server.breaks_off else server.image)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def server(tmp_path):
    path = tmp_path / "image.qcow2"
    (tmp_path / "raw").write_bytes(b"one" * MIB)
    qemu_img("convert", "-O", "qcow2", tmp_path / "raw", path)
    server = Server(path.read_bytes())
    yield server
    server.shutdown()
    server.server_close()


def checksum(server):
    return f"sha256:{hashlib.sha256(server.image).hexdigest()}"


def test_with_a_checksum_the_second_vm_asks_nobody(fresh, server):
    disk = {"source": server.url, "checksum": checksum(server), "size": "8MiB"}
    fresh.twice("vm", name="one", disks=[disk])
    made = len(server.requests)
    fresh.twice("vm", name="two", disks=[disk])
    assert len(server.requests) == made, "kept and proved by its checksum: no request at all"
    for name in ("one", "two"):
        assert content(fresh.disk(name))[: 3 * MIB] == b"one" * MIB and len(content(fresh.disk(name))) == 8 * MIB


def test_without_a_checksum_the_server_is_asked_whether_it_changed(fresh, server):
    fresh.run("vm", name="one", disks=[{"source": server.url}])
    downloads = server.requests.count(200)
    fresh.run("vm", name="two", disks=[{"source": server.url}])
    assert 304 in server.requests
    assert content(fresh.disk("two"))[: 3 * MIB] == b"one" * MIB
    server.image = server.image + b"\0" * 512
    fresh.run("vm", name="three", disks=[{"source": server.url}])
    assert server.requests.count(200) > downloads


def test_downloads_that_fail_leave_nothing(fresh, server):
    fresh.run("vm", name="other")
    for kind, match, source, wanted in (
        ("not_found", "404", f"{server.url}x", None),
        ("invalid_request", "has the checksum", server.url, f"sha256:{'0' * 64}"),
        ("transport_error", "cannot be downloaded", "http://127.0.0.1:9/image", None),
    ):
        disk = {"source": source, **({"checksum": wanted} if wanted else {})}
        with pytest.raises(Failed, match=match) as failure:
            fresh.run("vm", name="new", disks=[disk])
        assert failure.value.kind == kind and fresh.state("new") == "absent" and not fresh.debris()
    server.breaks_off = True
    with pytest.raises(Failed, match="broke off"):
        fresh.run("vm", name="new", disks=[{"source": server.url, "checksum": checksum(server)}])
    assert fresh.state("new") == "absent" and not fresh.debris()
    assert not list((fresh.state_dir / "images").glob("*.part"))
    server.breaks_off = False
    fresh.twice("vm", name="new", disks=[{"source": server.url, "checksum": checksum(server)}])


def test_parallel_vms_download_once(fresh, server):
    disk = {"source": server.url, "checksum": checksum(server)}
    runs = [fresh.begin("vm", name=f"vm{number}", disks=[disk]) for number in range(3)]
    assert all(run.result()["changed"] for run in runs)
    assert len({content(fresh.disk(f"vm{number}")) for number in range(3)}) == 1
