"""The locks of an app's publishers: one at a time makes releases, one ends rollouts.

flock(2) also holds between clients of one NFS server since Linux 2.6.12.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TextIO

from gapless.base import files
from gapless.releases import paths
from gapless.releases.model import Progress, ReleaseSpec
from gapless.releases.publisher import lock_holders

PUBLISHING = "lock"
POLL_S = 0.1
_MOST_LETTERS = 1000
SETTLING = "settling"
"""Held by the publisher that ends a rollout: a long build does not delay it."""


@contextmanager
def hold(
    spec: ReleaseSpec, progress: Progress, name: str = PUBLISHING
) -> Iterator[ReleaseSpec]:
    """Hold a lock; wait for it, and report that, while another publisher has it.

    Yields the spec with which commands are run.  They inherit the lock: a migration of a
    publisher that was killed ends before the next publisher begins.
    """
    paths.make_own(spec.work)
    files.make_directories(spec.inbox, files.SHARED_DIRECTORY)
    with _open(spec, name) as file:
        if not _try(file):
            does = "ends a rollout of" if name == SETTLING else "publishes"
            holder = _written(file) or "another publisher"
            progress("waiting", f"{holder} {does} {spec.app}")
            while not _try(file):
                lock_holders.end_stragglers(f"{spec.work}/{name}", _written(file))
                select.select([], [], [], POLL_S)
        _write(file, lock_holders.text())
        try:
            yield replace(spec, inherited_fds=(file.fileno(),))
        finally:
            # Closing is not enough: a command that still runs has the file open.
            fcntl.flock(file, fcntl.LOCK_UN)


def is_busy(spec: ReleaseSpec) -> bool:
    """Return whether another publisher is at work.

    What a command has left behind, and keeps the lock, is ended.
    """
    with _open(spec, PUBLISHING) as file:
        if _try(file):
            return False
        lock_holders.end_stragglers(file.name, _written(file))
    return True


def note_command(spec: ReleaseSpec, pid: int | None) -> None:
    """Write into the lock that is held which command runs; 0: one begins, None: none."""
    for descriptor in spec.inherited_fds:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, lock_holders.text(pid).encode())


@contextmanager
def _open(spec: ReleaseSpec, name: str) -> Iterator[TextIO]:
    """Open a lock.  Whoever may read it could hold it (flock(2)): others may not."""

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, files.PRIVATE_FILE)

    path = f"{spec.work}/{name}"
    with open(path, "a+", encoding="utf-8", errors="replace", opener=opener) as file:
        if os.fstat(file.fileno()).st_mode & 0o077:  # of an earlier version
            with contextlib.suppress(PermissionError):
                os.fchmod(file.fileno(), 0o600)
        yield file


def _try(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _written(file: TextIO) -> str:
    """Return what the holder has written."""
    file.seek(0)
    return file.read(_MOST_LETTERS).strip()


def _write(file: TextIO, text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()


@contextmanager
def try_hold(spec: ReleaseSpec, name: str = PUBLISHING) -> Iterator[bool]:
    """Hold a lock if it is free; yield whether it was."""
    with _open(spec, name) as file:
        yield _try(file)
