"""Which files the instances of two generations have open both, and how.

Reads /proc for a generation on trial and for those that serve or finish beside it.  Files
themselves are looked at only if both have them open: a disk that hangs holds up nobody
who does not use it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from gapless.supervisor.decide import path_patterns
from gapless.supervisor.decide.shared_state import SharedFile, Use
from gapless.supervisor.kernel.open_files import (
    Lock,
    OpenFile,
    inode_of,
    open_files,
    same_description,
    waiting_locks,
)
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.observe.membership import Membership

_SQLITE_MAGIC = b"SQLite format 3\0"
_SQLITE_ENDINGS = ("-wal", "-shm", "-journal")


@dataclass(slots=True)
class _Uses:
    """What the instances of one generation have open, by the inodes."""

    generation: int
    by_inode: dict[int, list[tuple[str, OpenFile]]] = field(default_factory=dict)
    """Each with the key of its instance."""
    pids: set[int] = field(default_factory=set)


def shared_files(
    membership: Membership, app: AppRecord, trial: GenerationRecord
) -> list[SharedFile]:
    """Return what a generation on trial has open of what the others use."""
    others = [g for g in app.generations if g is not trial and g.served and g.instances]
    if not (others and trial.instances):
        return []
    new = _uses(membership, trial)
    if not new.by_inode:
        return []
    waiting = [lock for lock in waiting_locks() if _is_waited_for(lock, new)]
    found: list[SharedFile] = []
    for generation in others:
        old = _uses(membership, generation)
        for inode in new.by_inode.keys() & old.by_inode.keys():
            found += _shared(old, new, inode, waiting, trial.spec)
    return found


def _uses(membership: Membership, generation: GenerationRecord) -> _Uses:
    uses = _Uses(generation.number)
    for instance in generation.instances:
        for pid in membership.members(instance):
            uses.pids.add(pid)
            for each in open_files(pid):
                uses.by_inode.setdefault(each.inode, []).append((instance.key, each))
    return uses


def _is_waited_for(lock: Lock, new: _Uses) -> bool:
    """Return whether a generation waits for a lock.

    The kernel does not say who waits for a lock of an open file description.
    """
    if lock.pid > 0:
        return lock.pid in new.pids
    return inode_of(lock.place) in new.by_inode


def _shared(
    old: _Uses,
    new: _Uses,
    inode: int,
    waiting: list[Lock],
    wanted: spec.AppSpec,
) -> Iterator[SharedFile]:
    """Yield the file of an inode if both have it; inodes of two disks may be equal."""
    for device in {_device(each) for _, each in new.by_inode[inode]} - {None}:
        old_files = [o for o in old.by_inode[inode] if _device(o[1]) == device]
        new_files = [o for o in new.by_inode[inode] if _device(o[1]) == device]
        if not old_files:
            continue
        one = new_files[0][1]
        try:
            status = os.stat(_magic_link(one))
        except OSError:
            continue
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            continue
        if status.st_nlink == 0:
            continue
        yield SharedFile(
            path=one.path,
            old=_use(old.generation, old_files, []),
            new=_use(new.generation, new_files, waiting),
            is_regular=stat.S_ISREG(status.st_mode),
            is_empty=status.st_size == 0,
            is_sqlite=_is_sqlite(one),
            is_allowed=is_allowed(wanted, one.path),
        )


def _use(
    generation: int, found: list[tuple[str, OpenFile]], waiting: list[Lock]
) -> Use:
    writing = [(key, each) for key, each in found if each.writes]
    held = [lock for _, each in found for lock in each.locks]
    inode = found[0][1].inode
    return Use(
        generation=generation,
        writes=bool(writing),
        appends=all(each.appends for _, each in writing),
        locks=bool(held),
        excludes=any(lock.exclusive for lock in held),
        waits=any(inode_of(lock.place) == inode for lock in waiting),
        by_several=_is_opened_by_several(writing or found),
    )


def _is_opened_by_several(found: list[tuple[str, OpenFile]]) -> bool:
    """Return whether two instances or processes opened a file, each by itself."""
    first_key, first = found[0]
    return any(
        key != first_key
        or (each.pid != first.pid and not same_description(first, each))
        for key, each in found[1:]
    )


def _device(each: OpenFile) -> int | None:
    try:
        return os.stat(_magic_link(each)).st_dev
    except OSError:
        return None


def _magic_link(each: OpenFile) -> str:
    """Return a path by which the kernel finds the file, wherever it is mounted."""
    return f"/proc/{each.pid}/fd/{each.number}"


# --- what a file is -------------------------------------------------------------------


def _is_sqlite(each: OpenFile) -> bool:
    """Return whether a file is a database of SQLite, or belongs to one.

    By what it begins with, or, of one that is empty or encrypted, by what is beside it.
    """
    if _first_bytes(_magic_link(each), len(_SQLITE_MAGIC)) == _SQLITE_MAGIC:
        return True
    base = f"/proc/{each.pid}/root{each.path}"
    for ending in _SQLITE_ENDINGS:
        if each.path.endswith(ending):
            base = base.removesuffix(ending)
            break
    else:
        return os.path.exists(f"{base}-shm")
    if _first_bytes(base, len(_SQLITE_MAGIC)) == _SQLITE_MAGIC:
        return True
    return os.path.exists(f"{base}-shm")


def _first_bytes(path: str, count: int) -> bytes:
    """Return how a file begins; nothing if it cannot be read."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return b""
    try:
        return os.read(descriptor, count)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def is_allowed(wanted: spec.AppSpec, path: str) -> bool:
    """Return whether an app may share a file: it says so, or it is one of its logs."""
    log = wanted.log
    logs = {each for each in (log.output, log.error, log.combined) if each}
    if path in logs or path in {os.path.realpath(each) for each in logs}:
        return True
    entries = [_resolved(wanted.directory, each) for each in wanted.shared_files]
    return path_patterns.matches(path, wanted.directory, entries)


def _resolved(directory: str, entry: str) -> str:
    """Return an entry without the symlinks that /proc does not show either."""
    if "/" not in entry.rstrip("/"):
        return entry  # a name, in any directory
    fixed, rest = path_patterns.fixed_part(os.path.join(directory, entry))
    return os.path.join(os.path.realpath(fixed), rest).rstrip("/")
