"""Since when the release of a rollout that has ended is not seen: it outlives a process.

A publisher that runs from cron would else begin to wait anew each time.  The record is
written and removed by who holds the lock `SETTLING`.
"""

from __future__ import annotations

from dataclasses import dataclass

from gapless.base import clock, codec, files, set_aside
from gapless.releases.model import ReleaseSpec

FILE = "unseen.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unseen:
    """What is not seen."""

    what: str
    """The release, and which rollout has ended."""
    since: float
    """Seconds since the epoch, on the clock of the publisher's host."""


def seconds(spec: ReleaseSpec, what: str) -> float:
    """Return for how long *what* is not seen; from now on if it is new.  Raises OSError."""
    now, found = clock.wall(), _read(spec)
    # A clock that went back would let it wait for as long.
    if found is not None and found.what == what and found.since <= now:
        return now - found.since
    if found is None:
        set_aside.set_aside(_path(spec))
    new = _Unseen(what=what, since=now)
    files.write_json(_path(spec), codec.encode(new), files.GROUP_FILE)
    return 0.0


def forget(spec: ReleaseSpec) -> None:
    """Write down that the release is seen, or that nobody waits for it.  Raises OSError."""
    if _read(spec) is not None:
        files.remove(_path(spec))


def _path(spec: ReleaseSpec) -> str:
    return f"{spec.work}/{FILE}"


def _read(spec: ReleaseSpec) -> _Unseen | None:
    try:
        return codec.decode(_Unseen, files.read_json(_path(spec)))
    except (ValueError, RecursionError):
        return None
    except OSError as error:
        if not set_aside.is_foreign(error):
            raise
        return None
