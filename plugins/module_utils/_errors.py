# Copyright (c) 2026, anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong, told apart by class.

Error
├── InvalidRequest         the task asks for something that makes no sense
├── Unsupported            this backend has no such operation or setting
├── NotFound               no such VM, snapshot, image or network
├── Ambiguous              the name fits several VMs
├── Conflict               locked, in the wrong state, or changed meanwhile
├── MissingLibrary         a Python library or a program is not installed
├── BackendError           the backend refused or broke
│   ├── AuthenticationFailed
│   └── PermissionDenied
├── TransportError         no answer: reads may be repeated, writes may not
├── TaskFailed             the work began and did not succeed
├── TaskTimeout            the work goes on; the task's id is in the failure
└── SomeFailed             one task for several VMs, and not all went well
"""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """Something the user has to know: what was asked, what came back, what to do.

    :param message: what was asked and what came back, one or two sentences.
    :param advice: what the user can do about it.
    :param facts: further values for the task's result, without secrets.
    """

    kind = "error"

    def __init__(self, message: str, *, advice: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.facts = facts
        self.changed = False

    def __str__(self) -> str:
        return " ".join(part for part in (self.message, self.advice) if part)

    def to_failure(self) -> dict[str, Any]:
        """The failed task's result: ``msg``, ``kind``, ``changed`` and the facts."""
        return {"msg": str(self), "kind": self.kind, "changed": self.changed, **self.facts}


class InvalidRequest(Error):
    kind = "invalid_request"


class Unsupported(Error):
    kind = "unsupported"


class NotFound(Error):
    kind = "not_found"


class Ambiguous(Error):
    kind = "ambiguous"


class Conflict(Error):
    kind = "conflict"


class MissingLibrary(Error):
    kind = "missing_library"


class BackendError(Error):
    kind = "backend_error"


class AuthenticationFailed(BackendError):
    kind = "authentication_failed"


class PermissionDenied(BackendError):
    kind = "permission_denied"


class TransportError(Error):
    kind = "transport_error"


class TaskFailed(Error):
    kind = "task_failed"


class TaskTimeout(Error):
    kind = "task_timeout"


class SomeFailed(Error):
    kind = "some_failed"
