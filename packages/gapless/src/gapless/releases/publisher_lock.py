"""The locks of an app's publishers: one at a time makes releases, one ends rollouts.

flock(2) also holds between clients of one NFS server since Linux 2.6.12.
"""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TextIO

from gapless.base import files
from gapless.releases.model import Progress, ReleaseSpec
from gapless.releases.publisher import lock_holders

PUBLISHING = "lock"
POLL_S = 0.1
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
    files.make_directories(spec.work, files.SHARED_DIRECTORY)
    files.make_directories(spec.inbox, files.SHARED_DIRECTORY)
    with _opened(spec, name) as file:
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


def note_command(spec: ReleaseSpec, pid: int | None) -> None:
    """Write into the lock that is held which command runs; 0: one begins, None: none."""
    for descriptor in spec.inherited_fds:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, lock_holders.text(pid).encode())


def _try(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _written(file: TextIO) -> str:
    """Return what the holder has written."""
    file.seek(0)
    return file.read().strip()


def _write(file: TextIO, text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()


@contextmanager
def try_hold(spec: ReleaseSpec, name: str = PUBLISHING) -> Iterator[bool]:
    """Hold a lock if it is free; yield whether it was."""
    with _opened(spec, name) as file:
        yield _try(file)


def _opened(spec: ReleaseSpec, name: str) -> TextIO:
    how = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    path = f"{spec.work}/{name}"
    return os.fdopen(os.open(path, how, files.GROUP_FILE), "a+", encoding="utf-8")
