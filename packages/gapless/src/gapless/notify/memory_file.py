"""The file of what a target remembers, and who of several processes tells it.

Rule: one process tells a target at a time.  A generation that follows another one waits
until that has ended; it holds no file open meanwhile, so that both may run at once.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gapless.base import codec, files
from gapless.base.names import Home
from gapless.notify.memory import VERSION, Memory
from gapless.supervisor.kernel import processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The process that tells a target."""

    pid: int = 0
    start_ticks: int = 0
    """Since boot; with the pid it names a process for good."""
    boot: str = ""


class MemoryFile:
    """The file of one target."""

    def __init__(self, home: Home, name: str) -> None:
        self._directory = f"{home.path}/notify"
        self.path = f"{self._directory}/{name}.json"
        self._owner_path = f"{self._directory}/{name}.owner"

    def load(self) -> Memory | None:
        """Return what is remembered; None if nothing is.

        Raises OSError, ValueError if it cannot be understood.
        """
        found = files.read_own_json(self.path)
        if found is None:
            return None
        codec.check_plain(found, self.path)
        memory = codec.decode(Memory, found, self.path)
        if memory.version != VERSION:
            raise ValueError(f"{self.path}: version {memory.version} is not {VERSION}")
        return memory

    def save(self, memory: Memory) -> None:
        """Remember for the next process.  Raises OSError."""
        files.make_directories(self._directory, files.PRIVATE_DIRECTORY)
        content = files.as_json(codec.encode(memory))
        files.write_atomically(self.path, content, durable=False)

    def take(self) -> bool:
        """Become who tells the target, if nobody is.  Raises OSError."""
        with self._locked() as descriptor:
            own = _this_process()
            if _lives(_owner_of(os.pread(descriptor, 1000, 0)), own):
                return False
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, files.as_json(codec.encode(own)), 0)
            return True

    def give_up(self) -> None:
        """Let another process tell the target at once.  Raises OSError."""
        with self._locked() as descriptor:
            if _owner_of(os.pread(descriptor, 1000, 0)) == _this_process():
                os.ftruncate(descriptor, 0)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Open the file of the owner for a moment, alone."""
        files.make_directories(self._directory, files.PRIVATE_DIRECTORY)
        descriptor = files.open_own(self._owner_path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def _owner_of(content: bytes) -> Owner:
    try:
        return codec.decode(Owner, json.loads(content))
    except ValueError:
        return Owner()  # nobody, or half a line


def _lives(owner: Owner, own: Owner) -> bool:
    """Return whether a process lives that is not this one."""
    if owner == own or owner.boot != own.boot:
        return False
    row = processes.read(owner.pid) if owner.pid > 0 else None
    ended = row is None or row.state in ("Z", "X")
    return not ended and row is not None and row.start_ticks == owner.start_ticks


def _this_process() -> Owner:
    row = processes.read(os.getpid())
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    return Owner(pid=os.getpid(), start_ticks=row.start_ticks if row else 0, boot=boot)
