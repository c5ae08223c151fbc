"""The keeper's end of the line to its guardian.

What is put there outlives this process: it is there before anything else is done with it.
Without a guardian nothing waits: another one is started, and is given everything.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gapless.base import clock
from gapless.keeper.guardian import frames
from gapless.keeper.guardian.frames import Frame
from gapless.keeper.guardian.guardian import BEGUN

PATIENCE_S = 3
"""A guardian that takes nothing for so long is stopped or hangs: another one is started."""
RENEWAL_S = 10
AGAIN_S = 1.0
"""After how long it is tried again to start one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept by one name."""

    value: bytes
    descriptors: tuple[int, ...] = ()
    pid: int = 0


class Reserve:
    """What the keeper has put with its guardian, by name; it is remembered here as well."""

    def __init__(
        self,
        line: socket.socket | None = None,
        start_guardian: Callable[[], tuple[socket.socket, int]] | None = None,
    ) -> None:
        """Without *start_guardian* nothing is kept anywhere else."""
        self._line, self._start = line, start_guardian
        self._opened: Callable[[socket.socket], None] = lambda _: None
        self._closes: Callable[[socket.socket], None] = lambda _: None
        self.guardian_pid = 0
        """0 while there is none."""
        self.keeper_ended_at = 0.0
        """When the keeper before this one ended, on CLOCK_MONOTONIC; 0 if nobody knows."""
        self._kept: dict[str, Kept] = {}
        self._try_at = 0.0
        if line is not None:
            _be_patient(line, PATIENCE_S)

    def watch(
        self,
        opened: Callable[[socket.socket], None],
        closes: Callable[[socket.socket], None],
    ) -> None:
        """Tell of the line, and of each other that takes its place.

        It is ready when the guardian is gone: then `lost` is to be called.
        """
        self._opened, self._closes = opened, closes
        if self._line is not None:
            opened(self._line)

    # --- what is kept -----------------------------------------------------------------

    def put(self, name: str, value: bytes, *lent: int, pid: int = 0) -> None:
        """Keep a value, and copies of descriptors, in the place of what had the name.

        Without descriptors those of before stay.  They are ours to close after `drop`.
        """
        before = self._kept.get(name)
        known = lent or (before.descriptors if before is not None else ())
        self._kept[name] = Kept(value=value, descriptors=tuple(known), pid=pid)
        frame = Frame(
            kind="put", name=name, number=pid, value=value, descriptors=list(lent)
        )
        self._send(frame)

    def drop(self, name: str) -> None:
        """Forget what is kept by a name, if there is something."""
        if self._kept.pop(name, None) is not None:
            self._send(Frame(kind="drop", name=name))

    def drop_now(self, name: str) -> None:
        """Forget it, and return when the guardian has closed its descriptors."""
        if self._kept.pop(name, None) is not None:
            self._ask(Frame(kind="drop", name=name, number=1))

    def named(self, prefix: str) -> Mapping[str, Kept]:
        """Return what is kept by names that begin so, without that beginning."""
        return {
            name.removeprefix(prefix): kept
            for name, kept in self._kept.items()
            if name.startswith(prefix)
        }

    def everything(self) -> bytes:
        """Return all names and values, without descriptors."""
        plain = {
            name: kept.value.decode("latin-1") for name, kept in self._kept.items()
        }
        return json.dumps(plain).encode()

    def value(self, name: str) -> bytes | None:
        """Return what is kept by a name; None for nothing."""
        found = self._kept.get(name)
        return None if found is None else found.value

    def receive_all(self) -> None:
        """Take what a keeper before this one has put.  Raises OSError, EOFError."""
        assert self._line is not None
        _be_patient(self._line, RENEWAL_S)
        frames.send(self._line, Frame(kind="give"))
        while (frame := _frame(self._line)).kind != "all":
            if frame.kind == "have":
                self._kept[frame.name] = Kept(
                    value=frame.value,
                    descriptors=tuple(frame.descriptors),
                    pid=frame.number,
                )
        self.keeper_ended_at = frame.number / 1000
        _be_patient(self._line, PATIENCE_S)

    # --- what the guardian can do -----------------------------------------------------

    def status(self, name: str) -> int | None:
        """Return how the process of a name ended (wait(2)); None if nobody knows."""
        answer = self._ask(Frame(kind="status", name=name))
        return None if answer is None or answer.number < 0 else answer.number

    def duplicate(self, pid: int, number: int) -> int:
        """Return a duplicate of a process's descriptor.  Raises OSError."""
        value = str(number).encode()
        return _descriptor(self._ask(Frame(kind="getfd", number=pid, value=value)))

    def open_memory(self, thread_id: int) -> int:
        """Return a descriptor of the memory of a thread.  Raises OSError."""
        return _descriptor(self._ask(Frame(kind="memory", number=thread_id)))

    def renew(self, argv: list[str], *, with_table: bool) -> str:
        """Let the guardian become another program; return why it does not.

        That one is given everything; *with_table*, it takes along what it has, too.
        """
        if self._line is None:
            return "there is none"
        words = "\0".join(argv).encode(errors="surrogateescape")
        _be_patient(self._line, RENEWAL_S)
        answer = self._ask(Frame(kind="renew", number=with_table, value=words))
        if answer is None:
            return "it ended"
        _be_patient(self._line, PATIENCE_S)
        if answer.number:
            return os.strerror(answer.number).lower()
        self._put_all()
        return ""

    def end(self) -> None:
        """Let the guardian end; return when it has."""
        line, self._line, self._start = self._line, None, None
        if line is None:
            return
        with line, contextlib.suppress(OSError, EOFError, ValueError):
            frames.send(line, Frame(kind="end"))
            frames.receive(line)

    # --- the line ---------------------------------------------------------------------

    @property
    def line(self) -> socket.socket | None:
        """The line; None while there is none."""
        return self._line

    def wait_s(self) -> float | None:
        """Return after how long `retry` has something to do; None for never."""
        if self._line is not None or self._start is None:
            return None
        return max(0.0, self._try_at - clock.monotonic())

    def retry(self) -> None:
        """Start a guardian if there is none."""
        if self.wait_s() == 0.0:
            self._begin_again()

    def lost(self) -> None:
        """Note that the guardian is gone, and start another."""
        if self._line is not None:
            self._closes(self._line)
            self._line.close()
        self._line, self.guardian_pid = None, 0
        self.retry()

    def _send(self, frame: Frame) -> None:
        if self._line is None:
            return
        try:
            frames.send(self._line, frame)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENOMEM, errno.ETOOMANYREFS):
                return  # this process lacks it, not the guardian
            self.lost()

    def _ask(self, frame: Frame) -> Frame | None:
        """Return the answer; None if the guardian is gone: then another was started."""
        if self._line is None:
            return None
        try:
            frames.send(self._line, frame)
            return frames.receive(self._line)
        except (OSError, EOFError, ValueError):
            self.lost()
            return None

    def _begin_again(self) -> None:
        self._try_at = clock.monotonic() + AGAIN_S
        if self._start is None:
            return
        try:
            self._line, self.guardian_pid = self._start()
        except OSError:
            return
        _be_patient(self._line, RENEWAL_S)
        self._put_all()
        # It counts when it has everything: a stopped one before it may go on till then.
        if self._ask(Frame(kind="status")) is not None and self._line is not None:
            _be_patient(self._line, PATIENCE_S)
            self._opened(self._line)

    def _put_all(self) -> None:
        """Put everything anew; last what lets a keeper follow this one."""
        begun = self._kept.pop(BEGUN, None)
        if begun is not None:
            self._kept[BEGUN] = begun
        for name, kept in list(self._kept.items()):
            frame = Frame(
                kind="put",
                name=name,
                number=kept.pid,
                value=kept.value,
                descriptors=list(kept.descriptors),
            )
            line = self._line
            self._send(frame)
            if line is None or line is not self._line:
                return  # it was lost again


def _be_patient(line: socket.socket, limit_s: int) -> None:
    """Let no send and no receive take longer."""
    limit = struct.pack("ll", limit_s, 0)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


def _frame(line: socket.socket) -> Frame:
    """Return the next frame, and leave alone what is none.  Raises OSError, EOFError."""
    while True:
        with contextlib.suppress(ValueError):
            frame = frames.receive(line)
            if frame.lacks:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return frame


def _descriptor(answer: Frame | None) -> int:
    if answer is None:
        raise OSError(errno.ESRCH, os.strerror(errno.ESRCH))
    if answer.number or not answer.descriptors:
        number = answer.number or errno.EMFILE
        raise OSError(number, os.strerror(number))
    return answer.descriptors[0]
