"""The locks of an app's publishers: one at a time makes releases, one ends rollouts.

flock(2) also holds between clients of one NFS server since Linux 2.6.12.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from gapless.releases.model import Progress, ReleaseSpec

PUBLISHING = "lock"
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
    os.makedirs(spec.work, exist_ok=True)
    os.makedirs(spec.inbox, exist_ok=True)
    with open(f"{spec.work}/{name}", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another publisher"
            does = "ends a rollout of" if name == SETTLING else "publishes"
            progress("waiting", f"{holder} {does} {spec.app}")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {os.uname().nodename}")
        file.flush()
        try:
            yield replace(spec, inherited_fds=(file.fileno(),))
        finally:
            # Closing is not enough: a command that still runs has the file open.
            fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def try_hold(spec: ReleaseSpec, name: str = PUBLISHING) -> Iterator[bool]:
    """Hold a lock if it is free; yield whether it was."""
    with open(f"{spec.work}/{name}", "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
