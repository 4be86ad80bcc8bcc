# Copyright: anyvirt.compute contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an operation of the API ends with when it does not succeed."""

from __future__ import annotations


class ApiError(Exception):
    """An error of the API; inside a task its text becomes the exit status."""

    def __init__(self, message: str, status: int = 500, errors: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.errors = errors

    def exit_text(self) -> str:
        """How a worker prints the error as its exit status."""
        text = self.message.rstrip("\n")
        if self.errors:
            parts = " ".join(f"{key}: {value}" for key, value in sorted(self.errors.items()))
            return f"{self.status} {text} {parts}".replace("\n", " ")
        return f"{self.status} {text}" if self.status == 403 else text


class EmptyError(Exception):
    """An answer without a body: 401 before the API is reached, 595 and 596 of a node that is away."""

    def __init__(self, status: int, reason: str, seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.seconds = seconds


class PlainError(EmptyError):
    """An answer of the HTTP layer whose body is the reason as plain text."""


def parameter_error(**errors: str) -> ApiError:
    return ApiError("Parameter verification failed.\n", 400, {k.replace("_", "-"): v for k, v in errors.items()})


def permission_error(text: str = "") -> ApiError:
    return ApiError(f"Permission check failed ({text})\n" if text else "Permission check failed\n", 403)


def missing_config(node: str, vmid: int) -> ApiError:
    return ApiError(f"Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist\n")


def missing_file(node: str, vmid: int) -> ApiError:
    return ApiError(f"unable to find configuration file for VM {vmid} on node '{node}'\n")
