"""One process that uses the drain library, and the connection to it (spec/drain.md)."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from gapless.base import clock
from gapless.base.kernel import peer
from gapless.base.outside.disposal import (
    ROOM_BYTES,
    close_all,
    descriptors_in,
    unread,
)
from gapless.supervisor.kernel import processes
from gapless.supervisor.memory import counts
from gapless.supervisor.memory.counts import Counts
from gapless.supervisor.memory.model import Mode

LONGEST_LINE_BYTES = 1 << 18
"""All names that counts can have, at twelve bytes a character, take half of it."""
PIECE_BYTES = 16384
"""What is taken in of one process in a turn of the loop; then others have theirs."""
MOST_TRIED = 8
"""So many lines of a kind are parsed of those that come at once."""
LONGEST_MODE = 200
HTTP, PROCEDURES = "http", "procedures"
"""What a process may say that it counts only."""
LONGEST_HELLO_BYTES = 4096
"""How long a line may be before it is known whose it is."""


class DrainConnection:
    """The connection to one process, and what it has said."""

    def __init__(self, sock: socket.socket, pid: int, uid: int) -> None:
        self.sock, self.pid, self.uid = sock, pid, uid
        self._pidfd = peer.pidfd_of(sock)
        seen = processes.read(pid)
        self._ticks = seen.start_ticks if seen else 0
        self.key = ""
        """The instance that it belongs to; empty while that is not proved."""
        self.claimed_key = ""
        """The instance that it says it belongs to."""
        self.counts: Counts | None = None
        self.counted_at = 0.0
        """When it sent its counts, on the monotonic clock."""
        self.mode = ""
        """The mode that it says it is in."""
        self.asked = False
        """Whether it was asked for its counts and has not sent them yet."""
        self.given_up = False
        """Whether it has not read for so long that its connection was ended here."""
        self.scope = ""
        """What is counted only, `http` or `procedures`; empty for all that it owes."""
        self._partial = b""

    def is_same_process(self) -> bool:
        """Return whether its number is still that of the process that connected."""
        if self._pidfd >= 0:
            try:
                signal.pidfd_send_signal(self._pidfd, 0)
            except ProcessLookupError:
                return False
            except PermissionError:
                return True
            return True
        now = processes.read(self.pid)
        return now is not None and now.start_ticks == self._ticks

    @property
    def counts_all(self) -> bool:
        """Whether all that it owes is in its counts."""
        return not self.scope

    @property
    def knows_draining(self) -> bool:
        """Whether it refuses what it counts: not a program that only the preload counts."""
        return self.scope != HTTP

    def identified(self, key: str) -> None:
        """Note to which instance it belongs, from now on."""
        self.key, self.counts = key, Counts()
        self.counted_at = clock.monotonic()
        self._forget_process()

    def close(self) -> None:
        """Close it."""
        close_all(unread(self.sock))
        self.sock.close()
        self._forget_process()

    def _forget_process(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def mode_in(self, mode: Mode) -> Mode:
        """Return the mode of this process when its instance is in *mode*.

        A program that does not know of draining refuses nothing: it closes connections.
        """
        unable = mode is Mode.RECYCLE and not self.knows_draining
        return Mode.HANDOFF if unable else mode

    def has_answered(self, mode: Mode) -> bool:
        """Return whether it has done what *mode* of its instance asks of it."""
        return mode is Mode.SERVING or self.mode_in(mode).value == self.mode

    def counts_now(self) -> Counts:
        """Return its last counts, what runs as old as it is by now."""
        last = self.counts or Counts()
        return last.aged(clock.monotonic() - self.counted_at)

    def send_mode(self, mode: Mode) -> None:
        """Order the mode of its instance; it sends its counts then."""
        serving = mode is Mode.SERVING
        self.send("undrain" if serving else f"drain {self.mode_in(mode).value}")

    def ask(self) -> None:
        """Ask for its counts; one that hangs is asked once, so that its line is kept."""
        if not self.asked:
            self.asked = True
            self.send("counts")

    def send(self, order: str) -> None:
        """Send an order; a process that does not read for long has to connect again."""
        line = f"{order}\n".encode()
        try:
            whole = self.sock.send(line) == len(line)
        except OSError:
            whole = False
        if not whole:
            self.given_up = True
            with contextlib.suppress(OSError):  # its end is noticed when it is read
                self.sock.shutdown(socket.SHUT_RDWR)

    def receive(self) -> tuple[list[bytes], bool]:
        """Return the complete lines that have come, and whether the connection ended.

        Raises BlockingIOError if nothing has come.
        """
        received: list[int] = []
        try:
            piece, ancillary, _, _ = self.sock.recvmsg(PIECE_BYTES, ROOM_BYTES)
            received = descriptors_in(ancillary)
        except BlockingIOError:
            raise
        except OSError:
            piece = b""
        if not close_all(received):
            piece = b""  # whoever sends what cannot be closed is not heard any more
        *lines, self._partial = (self._partial + piece).split(b"\n")
        longest = LONGEST_LINE_BYTES if self.key else LONGEST_HELLO_BYTES
        return lines, not piece or len(self._partial) > longest

    def take_counts(self, sent: Counts, mode: str) -> None:
        """Note the counts that the process has sent."""
        self.counts, self.asked = sent, False
        self.counted_at = clock.monotonic()
        self.mode = mode


def parse_line(line: bytes) -> tuple[dict[str, Any], Counts | None] | None:
    """Return the object on a line, and the counts in it; None for what is no object."""
    try:
        found = json.loads(line)
        counted = isinstance(found, dict) and "mode" in found
        sent = counts.parse(found) if counted else None
    except (ValueError, RecursionError):
        return None
    return (found, sent) if isinstance(found, dict) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the lines that have come at once say, however many they are."""

    hello: dict[str, Any] | None = None
    ready: bool = False
    counts: Counts | None = None
    mode: str = ""


def read_lines(lines: list[bytes], *, knows_hello: bool) -> Said:
    """Return what lines say: the first hello, whether it is ready, and the last counts.

    Counts are sums, so those that were sent later are all that is to be known.  A few lines
    are parsed, however many there are.
    """
    hello = None
    if not knows_hello:
        hello = next((e for e, _ in _parsed(lines, b'"hello"') if "hello" in e), None)
    ready = any(e.get("ready") is True for e, _ in _parsed(lines, b'"ready"'))
    for each, sent in _parsed(lines[::-1], b'"mode"'):
        if sent is not None:
            mode = str(each["mode"])[:LONGEST_MODE]
            return Said(hello=hello, ready=ready, counts=sent, mode=mode)
    return Said(hello=hello, ready=ready)


def _parsed(
    lines: list[bytes], named: bytes
) -> Iterator[tuple[dict[str, Any], Counts | None]]:
    """Yield the messages on the first lines in which something is named."""
    found = (each for each in lines if named in each)
    for line in itertools.islice(found, MOST_TRIED):
        parsed = parse_line(line)
        if parsed is not None:
            yield parsed


def total(connections: Collection[DrainConnection], mode: Mode) -> Counts | None:
    """Return the sums of processes of one instance; None if none of them counts."""
    found = None
    able = {each.pid for each in connections if each.knows_draining}
    for each in connections:
        if each.counts is None:
            continue
        found = (found or Counts()).plus(each.counts)
        if not each.has_answered(mode):
            found = found.plus(Counts(silent=1))
        if each.pid not in able:
            found = found.plus(Counts(unable=1))
    return found
