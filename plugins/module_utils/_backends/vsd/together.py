# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One request for many VMs: what threads want to send while a request of the same kind is under way goes out together.

Nobody waits for others to come: the first one goes out at once, and alone.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..._errors import BackendError, Error
from .api import Api, refusal


@dataclass
class _Wish:
    """What one thread wants, and how it ended."""

    body: Mapping[str, Any]
    read_timeout: float
    is_done: bool = False
    error: Error | None = None


class Together:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._changed = threading.Condition()
        self._waiting: dict[str, list[_Wish]] = {}
        self._under_way: set[str] = set()

    def send(self, word: str, body: Mapping[str, Any], read_timeout: float) -> None:
        """Send ``/v1/compute/WORD`` for one VM, or be part of ``/v1/compute/batch_WORD``.

        :raises BackendError: it was refused for this VM.
        :raises TransportError: no answer came.
        """
        mine = _Wish(body, read_timeout)
        with self._changed:
            self._waiting.setdefault(word, []).append(mine)
            while not mine.is_done:
                if word in self._under_way:
                    self._changed.wait()
                else:
                    self._send_all(word)
        if mine.error is not None:
            raise mine.error

    def _send_all(self, word: str) -> None:
        """Send what is waiting, with the lock given back meanwhile."""
        wishes, self._waiting[word] = self._waiting[word], []
        self._under_way.add(word)
        self._changed.release()
        try:
            self._carry_out(word, wishes)
        finally:
            self._changed.acquire()
            self._under_way.discard(word)
            for wish in wishes:
                wish.is_done = True
            self._changed.notify_all()

    def _carry_out(self, word: str, wishes: list[_Wish]) -> None:
        patience = max(wish.read_timeout for wish in wishes)
        try:
            if len(wishes) == 1:
                self._api.post(f"/v1/compute/{word}", wishes[0].body, patience)
                return
            path = f"/v1/compute/batch_{word}"
            told = self._api.post(path, {"vms": [wish.body for wish in wishes]}, patience)
        except Error as error:
            for wish in wishes:
                # each thread adds to its own
                wish.error = type(error)(error.message, advice=error.advice, **error.facts)
            return
        answers = {(one.get("data") or {}).get("compute_uuid"): one for one in (told or {}).get("results") or []}
        for wish in wishes:
            answer = answers.get(wish.body["compute_uuid"])
            wish.error = (
                BackendError(f"POST {path}: VM {wish.body['compute_name']} is not in the answer.")
                if answer is None
                else refusal(f"POST {path}", answer)
            )
