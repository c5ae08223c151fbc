"""The journal of an app's publishers: what one has set out to do, until it is done.

Rule 1: it is written before the first act, and removed after the last one.
Rule 2: it holds an intent and no facts.  How far its publisher came is seen in `dist/`, by
the supervisor and by the link; what serves decides.
Rule 3: a record that is empty, cut off or of another kind is as if it were not there; the
next publisher gives it another name (`base/set_aside.py`).

Who holds the publisher's lock next finishes what is written there, or undoes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gapless.base import clock, codec, files, set_aside
from gapless.releases.file_state import FileState
from gapless.releases.model import ReleaseSpec, stamp_of

FILE = "change.json"
RESERVE = "reserve"
"""A file that is removed when the disk is full, so that going back is still possible."""
RESERVE_BYTES = 128 << 10
_FULL = (errno.ENOSPC, errno.EDQUOT)
_Result = TypeVar("_Result")

PUBLISH, ROLLBACK = "publish", "rollback"
SAME_COMMAND_S = 900.0
"""Within this time after its beginning a rollback is taken for the same one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a publisher has set out to do."""

    action: str
    """`PUBLISH` or `ROLLBACK`."""
    release: str
    """The name of the release that is to be current."""
    token: str
    """By it the supervisor knows the reload that was asked of it."""
    upload: str = ""
    """The name of the upload; empty in a rollback, and for a tarball from elsewhere.

    Earlier versions wrote `copy-` and its name for that, and no `copy`."""
    copy: str = ""
    """The path of its copy in the work directory."""
    source: str = ""
    """The path of the tarball, as an absolute path."""
    source_state: FileState | None = None
    """What the tarball was when it was opened to be copied."""
    began_at: float = 0.0
    """Seconds since the epoch, on the clock of the publisher's host."""
    rollout: int = 0
    """In a fleet, the number of the rollout before."""
    is_settled: bool = False
    """Another publisher has finished it.  The command that began it may come again."""


def path_of(spec: ReleaseSpec) -> str:
    """Return the path of the journal of an app."""
    return f"{spec.work}/{FILE}"


def new_token() -> str:
    """Return a token that no other request has."""
    return os.urandom(8).hex()


def read(spec: ReleaseSpec) -> Change | None:
    """Return what a publisher has set out to do; None if nothing is under way."""
    change = _read(spec)
    return None if change is None or change.is_settled else change


def read_settled(spec: ReleaseSpec) -> Change | None:
    """Return what was begun by one publisher, and finished by another."""
    change = _read(spec)
    return change if change is not None and change.is_settled else None


def has_ended(spec: ReleaseSpec, earlier: Change | None) -> bool:
    """Return whether *earlier*, which was read here, is over: its publisher is not dead."""
    if earlier is None:
        return False
    now = _read(spec)
    return now is None or now.token != earlier.token


def _read(spec: ReleaseSpec) -> Change | None:
    try:
        change = codec.decode(Change, files.read_json(path_of(spec)))
    except (ValueError, RecursionError):
        return None
    except OSError as error:
        if not set_aside.is_foreign(error):
            raise  # it may be there, and cannot be read now
        return None
    if stamp_of(spec.app, change.release) is None:
        return None
    return change if change.action in (PUBLISH, ROLLBACK) else None


def write(spec: ReleaseSpec, change: Change) -> None:
    """Write down what a publisher sets out to do.  Raises OSError."""
    files.make_directories(spec.work, files.SHARED_DIRECTORY)
    if _read(spec) is None:
        set_aside.set_aside(path_of(spec))
    with_reserve(
        spec,
        lambda: files.write_json(path_of(spec), codec.encode(change), files.GROUP_FILE),
    )


def drop(spec: ReleaseSpec) -> None:
    """Write down that all is done; what is no journal is set aside.  Raises OSError."""
    if _read(spec) is None:
        set_aside.set_aside(path_of(spec))
    else:
        files.remove(path_of(spec))


def is_rollback(change: Change, wanted: str) -> bool:
    """Return whether a change is the rollback that is asked for again: *wanted*, or any."""
    is_recent = clock.wall() - change.began_at < SAME_COMMAND_S
    if change.action != ROLLBACK or not is_recent:
        return False
    return wanted in ("", change.release) or change.release.endswith(f"-{wanted}")


# --- a full disk ----------------------------------------------------------------------


def with_reserve(spec: ReleaseSpec, act: Callable[[], _Result]) -> _Result:
    """Return what *act* returns; on a full disk the reserve is given to it.

    Raises OSError.
    """
    try:
        return act()
    except OSError as error:
        if error.errno not in _FULL or not os.path.exists(f"{spec.work}/{RESERVE}"):
            raise
    os.unlink(f"{spec.work}/{RESERVE}")
    return act()


def keep_reserve(spec: ReleaseSpec) -> None:
    """Make the reserve if there is none; a disk that is full has none."""
    path = f"{spec.work}/{RESERVE}"
    with contextlib.suppress(OSError):
        if not os.path.exists(path) or os.path.getsize(path) < RESERVE_BYTES:
            files.write_over(path, bytes(RESERVE_BYTES), files.PRIVATE_FILE)
