"""Where and how a log is written: the `log` of a spawn message (spec/keeper.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Where and how the output of a program is written."""

    app: str
    generation: int
    ordinal: int
    id: int = 0
    output: str
    error: str
    combined: str = ""
    """Gets both streams as well; empty for none."""
    format: str = "text"
    date_format: str = ""
    own: tuple[str, ...] = ()
    """Of output, error, combined: files of the user's.  Their mode is by the umask of the
    keeper, and they are moved aside only with `rotate_own`."""
    rotate_own: bool = False
    rotate_bytes: int = 0
    rotate_s: float = 0.0
    keep: int = 5
