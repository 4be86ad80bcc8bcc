# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a call ends with when it does not succeed."""

from __future__ import annotations

from typing import Any

from .contract import facts


class ApiError(Exception):
    """A failure of the business layer: 503 with an ErrorCode, at once or as the result of the job."""

    def __init__(self, code: str, details: str, cause: ApiError | None = None) -> None:
        super().__init__(details)
        self.code = code
        self.details = details
        self.cause = cause

    def row(self) -> dict[str, Any]:
        """The ErrorCode as it goes over the wire."""
        row = {"code": self.code, "description": facts()["error_codes"].get(self.code, ""), "details": self.details}
        return {**row, "cause": self.cause.row()} if self.cause else row


class TextError(Exception):
    """A failure of the HTTP layer: a status and plain text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def bad_argument(details: str) -> ApiError:
    return ApiError("SYS.1007", details)


def refused(details: str, cause: ApiError | None = None) -> ApiError:
    return ApiError("SYS.1006", details, cause)


def missing(kind: str, uuid: str) -> ApiError:
    return ApiError("SYS.1003", f"resource[uuid:{uuid}, type:{kind}VO] not found")
