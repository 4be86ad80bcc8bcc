# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a new disk's content comes from: a file of this host, or a URL through a cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from ..._errors import Error, InvalidRequest, NotFound, TransportError
from ..._task import Deadline
from .locks import EXCLUSIVE, hold
from .store import write_atomically

_ALGORITHMS = ("sha256", "sha512")
_BLOCK = 1024 * 1024


def split_checksum(checksum: str) -> tuple[str, str]:
    """``sha256:...`` as algorithm and digest.

    :raises InvalidRequest: it is written otherwise.
    """
    algorithm, _colon, digest = checksum.partition(":")
    if algorithm not in _ALGORITHMS or not re.fullmatch(
        f"[0-9a-f]{{{hashlib.new(algorithm).digest_size * 2}}}", digest
    ):
        raise InvalidRequest(
            f"'{checksum}' is not a checksum.", advice="Write sha256: or sha512: and the digest in hexadecimal."
        )
    return algorithm, digest


def is_url(source: str) -> bool:
    return urlsplit(source).scheme in ("http", "https")


class ImageCache:
    """Downloads, kept by URL.

    With a checksum a kept image is used unasked; without one the server is asked whether it is still good.
    """

    def __init__(self, directory: str, options: Mapping[str, Any]) -> None:
        self._directory = directory
        self._options = options

    def check(self, source: str, checksum: str | None) -> None:
        """Whether ``local_path`` could work, without downloading.

        :raises InvalidRequest: the checksum is malformed.
        :raises NotFound: no such file, or the server has none.
        """
        if checksum:
            split_checksum(checksum)
        if not is_url(source):
            _require_file(source)
        elif not self._is_kept(source, checksum):
            self._open(source, {}, 30.0).close()

    def local_path(self, source: str, checksum: str | None, deadline: Deadline) -> str:
        """A file of this host with the image's content, as it came.

        :raises InvalidRequest: its checksum is another.
        :raises NotFound: it is not there.
        :raises TransportError: the server did not answer.
        """
        if is_url(source):
            path = self._path(source)
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            with hold(f"{path}.lock", EXCLUSIVE, deadline, f"The download of {_without_password(source)}"):
                if not self._is_kept(source, checksum):
                    self._download(source, checksum, deadline)
            return path
        _require_file(source)
        if checksum:
            with open(source, "rb") as file:
                _verify(_digest(file, split_checksum(checksum)[0]), checksum, source)
        return source

    def _path(self, url: str) -> str:
        return os.path.join(self._directory, hashlib.sha256(url.encode()).hexdigest()[:32])

    def _facts(self, url: str) -> dict[str, Any]:
        try:
            with open(f"{self._path(url)}.json", encoding="utf-8") as file:
                facts = json.load(file)
            return facts if os.path.getsize(self._path(url)) == facts["size"] else {}
        except (OSError, ValueError, KeyError):
            return {}

    def _is_kept(self, url: str, checksum: str | None) -> bool:
        return bool(checksum) and self._facts(url).get("checksum") == checksum

    def _download(self, url: str, checksum: str | None, deadline: Deadline) -> None:
        facts = self._facts(url)
        headers = {}
        if facts.get("etag") and not checksum:
            headers = {"If-None-Match": facts["etag"]}
        response = self._open(url, headers, deadline.left)
        with response:
            if response.status == 304:
                return
            algorithm = split_checksum(checksum)[0] if checksum else "sha256"
            partial = f"{self._path(url)}.part"
            try:
                digest, size = _copy(response, partial, algorithm, deadline)
                _verify(digest, checksum, _without_password(url))
            except Error:
                os.unlink(partial)
                raise
        with suppress(FileNotFoundError):
            # what is known of the old image must not outlive it
            os.unlink(f"{self._path(url)}.json")
        os.rename(partial, self._path(url))
        kept = {"url": _without_password(url), "checksum": checksum, "etag": response.headers.get("ETag"), "size": size}
        write_atomically(f"{self._path(url)}.json", json.dumps(kept).encode())

    def _open(self, url: str, headers: dict[str, str], timeout: float) -> Any:
        import ssl
        from http.client import HTTPException
        from urllib.error import HTTPError
        from urllib.request import HTTPSHandler, Request, build_opener

        name = _without_password(url)
        try:
            context = ssl.create_default_context(cafile=self._options.get("ca_path"))
            if not self._options.get("validate_certs", True):
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            # not ansible.module_utils.urls: that would travel with every task of every module
            return build_opener(HTTPSHandler(context=context)).open(Request(url, headers=headers), timeout=timeout)
        except HTTPError as error:
            if error.code == 304:
                return error
            raise NotFound(f"{name} cannot be downloaded: {error.code} {error.reason}.") from error
        except (OSError, HTTPException, ValueError) as error:
            raise TransportError(f"{name} cannot be downloaded: {error}.") from error


def _require_file(source: str) -> None:
    if "://" in source:
        raise InvalidRequest(
            f"{_without_password(source)}: a source is a file of the host, or a URL with http or https."
        )
    if not os.path.isabs(source):
        raise InvalidRequest(
            f"{source}: a file is named by its whole path, since it lies on the host that runs the VM."
        )
    if not os.path.isfile(source):
        raise NotFound(f"There is no file {source} on {os.uname().nodename}.")


def _copy(response: Any, path: str, algorithm: str, deadline: Deadline) -> tuple[str, int]:
    from http.client import HTTPException

    digest, size = hashlib.new(algorithm), 0
    with open(path, "wb") as file:
        try:
            while block := response.read(_BLOCK):
                if deadline.is_over:
                    raise TransportError(f"The download took longer than {deadline.seconds:g} s.")
                file.write(block)
                digest.update(block)
                size += len(block)
        except (OSError, HTTPException) as error:
            raise TransportError(f"The download broke off: {error}.") from error
    expected = response.headers.get("Content-Length")
    if expected is not None and int(expected) != size:
        raise TransportError(f"The download broke off after {size} of {expected} bytes.")
    return digest.hexdigest(), size


def _digest(file: Any, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _verify(digest: str, checksum: str | None, source: str) -> None:
    if checksum and digest != split_checksum(checksum)[1]:
        raise InvalidRequest(
            f"{source} has the checksum {checksum.split(':')[0]}:{digest}, not {checksum}.",
            advice="The file is another one than expected, or damaged; nothing was made from it.",
        )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
