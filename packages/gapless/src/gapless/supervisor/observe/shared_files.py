"""Which files generations that serve or finish hold, and a new one beside them, from /proc.

Files themselves are looked at only where one that serves writes or locks them: a disk that
hangs holds up nobody who does not use it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gapless.supervisor.decide.files import path_patterns
from gapless.supervisor.decide.files.shared_state import HeldFile, Use
from gapless.supervisor.kernel.open_files import (
    OpenFile,
    inode_of,
    link_to,
    open_files,
    same_description,
    waiting_locks,
)
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.observe.membership import Membership

_END_BYTES, _NUMBER_BYTES = 4096, 32
_SQLITE_MAGIC = b"SQLite format 3\0"
_SQLITE_ENDINGS = ("-wal", "-shm", "-journal")


_Holders = list[tuple[str, OpenFile]]
"""Who has a file open: the key of the instance, and how."""


@dataclass(slots=True)
class _Uses:
    """What instances of one generation have open, by the inodes."""

    generation: int
    named: str = ""
    by_inode: dict[int, _Holders] = field(default_factory=dict)
    pids: set[int] = field(default_factory=set)


def held_files(
    membership: Membership, app: AppRecord, new: GenerationRecord
) -> list[HeldFile]:
    """Return what the other generations write or lock, and how the new one uses it."""
    others = [g for g in app.generations if g is not new and g.served and g.instances]
    if not (others and new.instances):
        return []
    own = _uses(membership, _Uses(new.number), new.instances)
    found: list[HeldFile] = []
    for generation in others:
        uses = _uses(membership, _Uses(generation.number), generation.instances)
        for inode, by in uses.by_inode.items():
            if any(each.writes or each.locks for _, each in by):
                found += _held(uses, by, own, inode, new.spec)
    return found


def held_beside(
    membership: Membership, generation: GenerationRecord, successor: InstanceRecord
) -> list[HeldFile]:
    """Return what an instance that hangs writes or locks, and how its successor uses it.

    What others of the generation have open as well they share by design.
    """
    before = [each for each in generation.instances if each is not successor]
    number, hangs, new = generation.number, "the instance that hangs", "its successor"
    uses = _uses(membership, _Uses(number, hangs), before)
    own = _uses(membership, _Uses(number, new), [successor])
    found: list[HeldFile] = []
    for inode, by in uses.by_inode.items():
        held = (each for key, each in by if key == successor.replaces)
        if any(each.writes or each.locks for each in held):
            found += _held(uses, by, own, inode, generation.spec)
    return found


def cpu_ticks(
    membership: Membership, instances: Iterable[InstanceRecord]
) -> int | None:
    """Return how much the processes of instances have computed.

    None while one of them runs or waits for a disk.
    """
    total = 0
    for instance in instances:
        for process in membership.members(instance).values():
            if process.state in "RD":
                return None
            total += process.cpu_ticks
    return total


def _uses(
    membership: Membership, uses: _Uses, instances: Iterable[InstanceRecord]
) -> _Uses:
    """Take in what instances have open."""
    for instance in instances:
        for pid in membership.members(instance):
            uses.pids.add(pid)
            for each in open_files(pid):
                uses.by_inode.setdefault(each.inode, []).append((instance.key, each))
    return uses


def _held(
    before: _Uses, by: _Holders, new: _Uses, inode: int, wanted: spec.AppSpec
) -> Iterator[HeldFile]:
    """Yield the files of an inode: those of two disks may have the same number."""
    by_device: dict[int, _Holders] = {}
    for key, each in by:
        if (device := _device(each)) is not None:
            by_device.setdefault(device, []).append((key, each))
    for device, old in by_device.items():
        one = old[0][1]
        try:
            status = os.stat(link_to(one))
        except OSError:
            continue
        is_regular = stat.S_ISREG(status.st_mode)
        if status.st_nlink == 0 or not (is_regular or stat.S_ISDIR(status.st_mode)):
            continue
        same = [e for e in new.by_inode.get(inode, ()) if _device(e[1]) == device]
        locked = any(each.locks for _, each in old)
        yield HeldFile(
            path=one.path,
            old=_use(before, old, waits=False),
            new=_use(new, same, waits=locked and _waits(new, inode)) if same else None,
            is_regular=is_regular,
            is_empty=is_regular and _has_no_more_than_a_number(one, status.st_size),
            is_text=is_regular and _is_text(one, status.st_size),
            is_lines=is_regular and _is_lines(one, status.st_size),
            is_sqlite=_is_sqlite(one) or _is_lock_of_readers(one, before),
            is_of_process=_is_of_process(one),
            is_allowed=is_allowed(wanted, one.path),
        )


def _waits(new: _Uses, inode: int) -> bool:
    """Return whether a generation waits for a lock on a file that it has open.

    The kernel does not say who waits for a lock of an open file description.
    """
    return any(
        inode_of(lock.place) == inode and (lock.pid <= 0 or lock.pid in new.pids)
        for lock in waiting_locks()
    )


def _use(whose: _Uses, found: _Holders, *, waits: bool) -> Use:
    writing = [(key, each) for key, each in found if each.writes]
    held = [lock for _, each in found for lock in each.locks]
    return Use(
        generation=whose.generation,
        named=whose.named,
        writes=bool(writing),
        appends=all(each.appends for _, each in writing),
        locks=bool(held),
        excludes=any(lock.exclusive for lock in held),
        waits=waits,
        by_several=_is_opened_by_several(writing or found),
    )


def _is_opened_by_several(found: _Holders) -> bool:
    """Return whether two instances or processes opened a file, each by itself."""
    first_key, first = found[0]
    return any(
        key != first_key
        or (each.pid != first.pid and not same_description(first, each))
        for key, each in found[1:]
    )


def _device(each: OpenFile) -> int | None:
    try:
        return os.stat(link_to(each)).st_dev
    except OSError:
        return None


# --- what a file is -------------------------------------------------------------------


def _is_of_process(each: OpenFile) -> bool:
    """Return whether a file is named after its process, as `app.123.sock`.

    Java has one in memory, whose number is that in its own pid namespace.
    """
    directory, _, name = each.path.rpartition("/")
    return str(each.pid) in re.findall(r"\d+", name) or "/hsperfdata_" in directory


def _has_no_more_than_a_number(each: OpenFile, size: int) -> bool:
    if not size:
        return True
    if size > _NUMBER_BYTES:
        return False
    return re.fullmatch(rb"[\d\s]+", _bytes_at(link_to(each), 0, size)) is not None


def _is_text(each: OpenFile, size: int) -> bool:
    """Return whether there is no NUL where a file begins, or none where it ends.

    One that was cut while it is written begins with a hole.
    """
    at_end = max(0, size - _END_BYTES)
    parts = [_bytes_at(link_to(each), at, _END_BYTES) for at in (0, at_end)]
    return not size or any(part and b"\0" not in part for part in parts)


def _is_lock_of_readers(each: OpenFile, before: _Uses) -> bool:
    """Return whether a file is the lock of an LMDB database that nobody writes."""
    directory, _, name = each.path.rpartition("/")
    if name != "lock.mdb" and not name.endswith("-lock"):
        return False
    data = "data.mdb" if name == "lock.mdb" else name.removesuffix("-lock")
    path = f"{directory}/{data}"
    if not os.path.exists(f"/proc/{each.pid}/root{path}"):
        return False
    return not any(
        other.path == path and other.writes
        for holders in before.by_inode.values()
        for _, other in holders
    )


def _is_lines(each: OpenFile, size: int) -> bool:
    """Return whether a file ends in lines of text, or is empty."""
    end = _bytes_at(link_to(each), max(0, size - _END_BYTES), _END_BYTES)
    if size and not end:
        return False  # it cannot be read
    lines = end.partition(b"\n")[2] if size > _END_BYTES else end
    try:
        lines.decode()
    except UnicodeDecodeError:
        return False
    whole = not end or end.endswith(b"\n")
    return whole and b"\0" not in lines and not end.endswith(b"\r\n")


def _is_sqlite(each: OpenFile) -> bool:
    """Return whether a file is a database of SQLite, or belongs to one.

    By what it begins with, or, of one that is empty or encrypted, by what is beside it.
    """
    if _bytes_at(link_to(each), 0, len(_SQLITE_MAGIC)) == _SQLITE_MAGIC:
        return True
    base = f"/proc/{each.pid}/root{each.path}"
    for ending in _SQLITE_ENDINGS:
        if each.path.endswith(ending):
            base = base.removesuffix(ending)
            break
    else:
        return os.path.exists(f"{base}-shm")
    if _bytes_at(base, 0, len(_SQLITE_MAGIC)) == _SQLITE_MAGIC:
        return True
    return os.path.exists(f"{base}-shm")


def _bytes_at(path: str, position: int, count: int) -> bytes:
    """Return some bytes of a file; nothing if they cannot be read."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return b""
    try:
        return os.pread(descriptor, count, position)
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
