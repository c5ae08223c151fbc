"""Errors: each has a kind, an exit code, a message, and a hint what to do.

The docstring of a class is its message if none is given.  `kind` is a closed
list: it is also the label in logs, in JSON and in metrics.
"""

from __future__ import annotations

from typing import ClassVar

DONE, FAILED, MISUSE, NOT_FOUND, TIMED_OUT = 0, 1, 2, 3, 4


class GaplessError(Exception):
    """Something failed."""

    kind: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = FAILED

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").rstrip("."))
        self.hint = hint

    @property
    def message(self) -> str:
        """What was attempted, on what, and why it failed."""
        return str(self.args[0])

    def describe(self) -> dict[str, object]:
        """Return the error as it is sent on the control socket (spec/control.md)."""
        return {
            "kind": self.kind,
            "message": self.message,
            "hint": self.hint,
            "exit_code": self.exit_code,
        }


class MisuseError(GaplessError, ValueError):
    """The command or the configuration asks for something impossible."""

    kind = "misuse"
    exit_code = MISUSE


class NotFoundError(GaplessError, LookupError):
    """There is no such app, file, executable, directory or release."""

    kind = "not_found"
    exit_code = NOT_FOUND


class TimedOutError(GaplessError, TimeoutError):
    """It took longer than it was allowed to."""

    kind = "timed_out"
    exit_code = TIMED_OUT


class ReleaseError(GaplessError):
    """A tarball could not become a release."""

    kind = "release"


class StoppedError(GaplessError):
    """It was asked to end between two steps; what it had begun was undone."""

    kind = "stopped"


class HandoffError(GaplessError):
    """The new generation did not take over; the old one serves."""

    kind = "handoff"


class UnavailableError(GaplessError, OSError):
    """The supervisor, the keeper or the kernel lacks what this needs."""

    kind = "unavailable"


class ConflictError(GaplessError):
    """Another process wrote first."""

    kind = "conflict"


class InternalError(GaplessError):
    """Gapless has a fault of its own."""

    kind = "internal"


_KINDS: dict[str, type[GaplessError]] = {
    error.kind: error
    for error in (
        GaplessError,
        MisuseError,
        NotFoundError,
        TimedOutError,
        ReleaseError,
        StoppedError,
        HandoffError,
        UnavailableError,
        ConflictError,
        InternalError,
    )
}


def from_wire(described: dict[str, object]) -> GaplessError:
    """Return the error that the other side has described with `describe`."""
    kind = _KINDS.get(str(described.get("kind")), GaplessError)
    return kind(str(described.get("message")), hint=str(described.get("hint") or ""))
