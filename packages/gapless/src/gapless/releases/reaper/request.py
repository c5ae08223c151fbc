"""What the reaper is asked to run, and what it answers: one line of JSON each, by pipes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One command, and how it is run."""

    command: list[str]
    directory: str
    environment: dict[str, str]
    """All of it.  It goes through a pipe: arguments can be read by every user (proc(5))."""
    user: str = ""
    """Name or number; empty for the publisher's own."""
    user_variables: list[str] = field(default_factory=list)
    """Which of HOME, USER, LOGNAME and SHELL are to be those of *user*."""
    log: int
    """The descriptor of the file that gets the output."""
    timeout_s: float
    goes_on: bool
    """Whether the command is finished if its publisher dies: half a migration is worse."""
    gains_no_rights: bool = False
    """Whether set-user-ID programs run as their caller (PR_SET_NO_NEW_PRIVS, prctl(2))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the command ended; nothing that came from it lives."""

    code: int | None = None
    """The exit code, or minus the number of the signal; None if it did not end itself."""
    errno: int = 0
    """Why it did not start; 0 if it did."""
    reason: str = ""
    alive: list[int] = field(default_factory=list)
    """Processes that could not be ended."""
