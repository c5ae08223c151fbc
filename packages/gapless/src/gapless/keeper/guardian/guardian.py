"""The guardian: it holds what the keeper has, and starts the next keeper.

Rule 1: it decides nothing, and reads no value of what it holds: a name, bytes, descriptors.
Rule 2: it is the parent of the keeper, and a subreaper: it becomes the parent of the
instances when the keeper dies, and knows how they end.
Rule 3: it ends with the last keeper that wants to end, and with one that has taken another
guardian.

A keeper that dies is followed by a new one, which is given everything.  A guardian that
dies is followed by one that the keeper starts, and gives everything.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
from collections.abc import Callable
from typing import TypeVar

from gapless.base import clock, descriptors
from gapless.keeper.duplicate import duplicate
from gapless.keeper.guardian import frames, place, process, table
from gapless.keeper.guardian.frames import Frame
from gapless.keeper.guardian.table import UNKNOWN, Entry

BEGUN = "keeper"
"""The name by which a keeper says that it has begun; before that, none follows it."""
SCRATCH = "scratch"
"""The name by which the memory is kept that outlives the keeper (`guardian.scratch`)."""
LONG_LIFE_S = 5.0
"""A keeper that lived less is followed after a pause, which grows."""
LOOK_AGAIN_S = 1.0
"""How often a guardian whose line is closed looks whether it has a successor."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
Made = TypeVar("Made")
StartKeeper = Callable[[socket.socket], int]
"""Starts a keeper at the other end of a line, and returns its pid."""


class Guardian:
    """The table, and the keeper that it is the table of."""

    def __init__(
        self,
        line: socket.socket,
        keeper: int,
        start_keeper: StartKeeper,
        entries: dict[str, Entry] | None = None,
    ) -> None:
        """Serve the keeper with that pid, at the other end of *line*.

        *entries* are what this process had before it became another version.
        """
        self._line, self._start_keeper = line, start_keeper
        self._entries = entries or {}
        lives = (e for e in self._entries.values() if e.pid and e.status == UNKNOWN)
        self._by_pid = {each.pid: each for each in lives}
        self._pause_s = FIRST_PAUSE_S
        self._ended_at = 0.0
        """When the keeper before this one ended, on CLOCK_MONOTONIC; 0: there was none."""
        self._ending = False
        how = os.O_NONBLOCK | os.O_CLOEXEC
        self._wakeup, self._wakeup_write = _for_certain(lambda: os.pipe2(how))
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._follow(keeper)

    def _follow(self, keeper: int) -> None:
        self._keeper, self._began_at = keeper, clock.monotonic()
        self._keeper_pidfd = _for_certain(lambda: _open_keeper(keeper))
        self._line.setblocking(True)
        self._is_open = True

    def serve(self) -> None:
        """Run until the last keeper has ended, or has another guardian."""
        while not self._ending:
            if self._keeper_pidfd < 0:
                self._begin_next()
                continue
            poll = select.poll()
            for each in (self._keeper_pidfd, self._wakeup):
                poll.register(each, select.POLLIN)
            if self._is_open:
                poll.register(self._line, select.POLLIN)
            found = poll.poll(None if self._is_open else LOOK_AGAIN_S * 1000)
            ready = {descriptor for descriptor, _ in found}
            if self._line.fileno() in ready and not self._read():
                self._is_open = False  # the keeper has died, or has another guardian
            if not self._is_open and self._has_successor():
                return
            if self._wakeup in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wakeup, 4096)
            self._reap()
            if not self._ending and self._has_ended():
                self._begin_next()

    # --- what the keeper sends --------------------------------------------------------

    def _read(self) -> bool:
        """Take in one frame; return whether the line is open."""
        try:
            frame = frames.receive(self._line)
        except EOFError:
            return False
        except ValueError:
            return True
        except OSError as error:
            if descriptors.is_shortage(error):
                descriptors.pause()
                return True
            return False
        self._take(frame)
        return True

    def _take(self, frame: Frame) -> None:
        match frame.kind:
            case "put":
                self._put(frame)
                return
            case "drop":
                self._drop(frame.name)
                if frame.number:  # it waits until nothing is open here
                    self._answer(0)
            case "status":
                self._reap()
                found = self._entries.get(frame.name)
                self._answer(UNKNOWN if found is None else found.status)
            case "getfd":
                self._answer_descriptor(lambda: duplicate(*_pair(frame)))
            case "memory":
                path = f"/proc/{frame.number}/mem"
                self._answer_descriptor(
                    lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                )
            case "give":
                self._give_all()
            case "renew":
                self._renew(frame)
            case "end":
                self._ending = True
            case _:
                pass  # a keeper of a later version knows more
        for each in frame.descriptors:
            os.close(each)

    def _put(self, frame: Frame) -> None:
        """Hold what came, in the place of what had its name.

        Without descriptors it changes the value alone.
        """
        entry = Entry(frame.value, frame.descriptors, frame.number)
        before = self._entries.get(frame.name)
        if before is not None:
            if not entry.descriptors:
                entry.descriptors, before.descriptors = before.descriptors, []
            if before.pid == entry.pid:
                entry.status = before.status
            self._let_go(before)
        self._entries[frame.name] = entry
        if entry.pid:
            self._by_pid[entry.pid] = entry

    def _drop(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._let_go(entry)

    def _let_go(self, entry: Entry) -> None:
        entry.close()
        if self._by_pid.get(entry.pid) is entry:
            del self._by_pid[entry.pid]

    def _answer(self, number: int, *lent: int) -> None:
        with contextlib.suppress(OSError):  # it has died
            frames.send(
                self._line,
                Frame(kind="answer", number=number, descriptors=list(lent)),
            )

    def _answer_descriptor(self, make: Callable[[], int]) -> None:
        """Send what *make* opens: number is 0, or the errno."""
        try:
            made = make()
        except OSError as error:
            self._answer(error.errno or errno.EIO)
            return
        try:
            self._answer(0, made)
        finally:
            os.close(made)

    def _renew(self, frame: Frame) -> None:
        """Become another program, of the same pid: the keeper then puts all here anew.

        The arguments are separated by NUL; the last but one is the number of the line.
        One that knows how gets the table as well, by one more.
        """
        memory = -1
        argv = frame.value.decode(errors="surrogateescape").split("\0")
        argv = [each.replace("{line}", str(self._line.fileno())) for each in argv]
        signal.set_wakeup_fd(-1)
        try:
            self._line.set_inheritable(True)
            if frame.number:
                memory = table.write(self._entries)
                argv.append(str(memory))
            os.execv(argv[0], argv)
        except (OSError, ValueError) as error:
            if memory >= 0:
                table.take_back(self._entries, memory)
            signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
            self._line.set_inheritable(False)
            self._answer(getattr(error, "errno", None) or errno.EINVAL)

    # --- the keeper -------------------------------------------------------------------

    def _reap(self) -> None:
        """Note how children have ended that the table tells of; reap all others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            entry = self._by_pid.pop(pid, None)
            if entry is not None:
                entry.status = status

    def _has_ended(self) -> bool:
        poll = select.poll()
        poll.register(self._keeper_pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def _has_successor(self) -> bool:
        """Return whether the keeper has another guardian, which has everything."""
        scratch = self._entries.get(SCRATCH)
        if scratch is None or not scratch.descriptors:
            return False
        own = os.getpid()
        return place.is_anothers(scratch.descriptors[0], own, process.began_at(own))

    def _begin_next(self) -> None:
        """Start the next keeper; it asks for everything."""
        self._ended_at = clock.monotonic()
        self._line.setblocking(False)
        while True:  # what the dead one has sent
            try:
                frame = frames.receive(self._line)
            except ValueError:
                continue
            except EOFError:
                break
            except OSError as error:
                if not descriptors.is_shortage(error):
                    break
                descriptors.pause()  # what has come waits
                continue
            self._take_of_the_dead(frame)
        if self._keeper_pidfd >= 0:
            os.close(self._keeper_pidfd)
        self._line.close()
        if self._ending or BEGUN not in self._entries:
            self._ending = True
            return
        if clock.monotonic() - self._began_at < LONG_LIFE_S:
            select.select([], [], [], self._pause_s)
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        else:
            self._pause_s = FIRST_PAUSE_S
        kind = socket.SOCK_SEQPACKET
        self._line, far = _for_certain(lambda: socket.socketpair(socket.AF_UNIX, kind))
        with far:
            keeper = _for_certain(lambda: self._start_keeper(far))
        self._follow(keeper)

    def _take_of_the_dead(self, frame: Frame) -> None:
        if frame.kind in ("put", "drop", "end"):
            self._take(frame)
            return
        for each in frame.descriptors:
            os.close(each)

    def _give_all(self) -> None:
        try:
            for name, entry in self._entries.items():
                given = Frame(
                    kind="have",
                    name=name,
                    number=entry.pid,
                    value=entry.value,
                    descriptors=entry.descriptors,
                )
                frames.send(self._line, given)
            ended_ms = int(self._ended_at * 1000)
            frames.send(self._line, Frame(kind="all", number=ended_ms))
        except OSError:
            return  # it died: the loop finds that


def _for_certain(make: Callable[[], Made]) -> Made:
    """Return what *make* makes, sooner or later: nobody else can begin the next keeper.

    It fails without memory, processes or descriptors, or while an install is changed.
    """
    while True:
        try:
            return descriptors.with_spare(make)
        except OSError:
            select.select([], [], [], LONGEST_PAUSE_S)


def _open_keeper(pid: int) -> int:
    """Return a pidfd of the keeper; -1 if it has ended.  Raises OSError for a shortage.

    A keeper that is no child of this process has started it, and is older: what is not has
    got its number since.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        if descriptors.is_shortage(error):
            raise
        return -1  # there is no process of that number, or it is one of a thread now
    own = os.getpid()
    if process.parent_of(pid) == own or process.began_at(pid) <= process.began_at(own):
        return pidfd
    os.close(pidfd)
    return -1


def _pair(frame: Frame) -> tuple[int, int]:
    return frame.number, int(frame.value)
