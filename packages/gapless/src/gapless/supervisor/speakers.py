"""The processes of instances that speak for themselves (spec/drain.md).

Each connects to one socket, which the keeper holds, so that its name stays the same from
one supervisor to the next.  It is heard if its process belongs to the instance that it
names; what it says is added up for each instance.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

from gapless.base import clock
from gapless.supervisor import counts
from gapless.supervisor.counts import Counts
from gapless.supervisor.hands import Hands
from gapless.supervisor.model import Mode

HELD = "speakers/listener"
NAME_BYTES = 107
"""As long as a name can be: padding and length cannot be mistaken (unix(7))."""
LONGEST_LINE_BYTES = 1 << 18
"""All names that counts can have, at twelve bytes a character, take half of it."""
MOST_SPEAKERS = 4096
MOST_STRANGERS = 64
"""Who have connected, and have not said yet whose they are."""
ANSWER_S = 0.05
"""How long `list` waits for processes that are busy or stopped."""

Belongs = Callable[[str, int], bool]
"""Tells whether a process is one of an instance."""


class Speaker:
    """One process, and the line to it."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self.sock, self.pid = sock, pid
        self.key = self.claim = ""
        """The instance that it is of, and the one that it says."""
        self.heard = b""
        self.counts: Counts | None = None
        self.told_at = 0.0
        """When it told its counts, on the monotonic clock."""
        self.mode = ""
        """What it said that it does."""
        self.asked = False
        self.knows_all = True
        """Whether all that it owes is in its counts."""

    def mode_in(self, mode: Mode) -> Mode:
        """Return what it is to do in a mode of its instance.

        A program that does not know of draining refuses nothing: it closes connections.
        """
        unable = mode is Mode.RECYCLE and not self.knows_all
        return Mode.HANDOFF if unable else mode

    def now(self) -> Counts:
        """Return what it told last, and how old what runs is by now."""
        told = self.counts or Counts()
        return told.aged(clock.monotonic() - self.told_at)

    def tell(self, order: str) -> None:
        """Send an order; one who does not read for long has to connect anew."""
        line = f"{order}\n".encode()
        try:
            whole = self.sock.send(line) == len(line)
        except OSError:
            whole = False
        if not whole:
            with contextlib.suppress(OSError):  # its end is met when it is read
                self.sock.shutdown(socket.SHUT_RDWR)


class Speakers:
    """Hears all of them."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        hands: Hands,
        belongs: Belongs,
        changed: Callable[[str, Counts | None, bool], None],
    ) -> None:
        self._selector, self._hands = selector, hands
        self._belongs, self._changed = belongs, changed
        self._listener: socket.socket | None = None
        self._speakers: dict[Speaker, None] = {}
        """In the order in which they came."""
        self._gone: dict[str, dict[int, Counts]] = {}
        """What was left of lines that broke, by instance and process."""
        self._modes: dict[str, Mode] = {}
        self._waiting: list[tuple[float, Callable[[], None]]] = []
        self.address = ""

    # --- the socket -----------------------------------------------------------------

    def open(self) -> None:
        """Listen, on the socket that the keeper holds or on a new one."""
        if self._listener is not None:
            return
        name = f"gapless/{os.urandom(64).hex()}"[:NAME_BYTES]
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(f"\0{name}")
        sock.listen(1024)
        self._hands.hold(HELD, None, sock.fileno())
        self.adopt(sock)

    def adopt(self, sock: socket.socket) -> None:
        """Listen on a socket that was held while no supervisor was there."""
        sock.setblocking(False)
        self._listener = sock
        self.address = "@" + sock.getsockname()[1:].decode()
        self._selector.register(sock, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, uid = (int.from_bytes(credentials[at : at + 4], "little") for at in (0, 4))
        # Only root's supervisor has instances of other users.
        allowed = uid in (0, os.getuid()) or os.getuid() == 0
        if not allowed or len(self._speakers) >= MOST_SPEAKERS:
            sock.close()
            return
        speaker = Speaker(sock, pid)
        sock.setblocking(False)
        self._speakers[speaker] = None
        strangers = [each for each in self._speakers if not each.key]
        if len(strangers) > MOST_STRANGERS:
            self._lose(strangers[0])
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._hear(speaker))

    def close(self) -> None:
        """Listen no more: there is nobody who could connect."""
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
            self._hands.release(HELD)

    # --- what they say --------------------------------------------------------------

    def _hear(self, speaker: Speaker) -> bool:
        """Hear what is there; tell whether there was something, or the end."""
        try:
            piece = speaker.sock.recv(65536)
        except BlockingIOError:
            return False
        except OSError:
            piece = b""
        *lines, speaker.heard = (speaker.heard + piece).split(b"\n")
        for line in lines:
            self._understand(speaker, line)
        if not piece or len(speaker.heard) > LONGEST_LINE_BYTES:
            self._lose(speaker)
        return True

    def _understand(self, speaker: Speaker, line: bytes) -> None:
        """Hear one line; nonsense says nothing."""
        try:
            said = json.loads(line)
            is_told = isinstance(said, dict) and "mode" in said
            told = counts.parse(said) if is_told else None
        except (ValueError, RecursionError):
            return
        if not isinstance(said, dict):
            return
        if "hello" in said:
            speaker.claim = str(said.get("instance", ""))
            speaker.knows_all = said.get("scope") != "http"
            self._greet(speaker)
        elif speaker.key and said.get("ready") is True:
            self._changed(speaker.key, self.of(speaker.key), True)
        elif speaker.key and told is not None:
            speaker.counts, speaker.asked = told, False
            speaker.told_at = clock.monotonic()
            speaker.mode = str(said["mode"])
            self._changed(speaker.key, self.of(speaker.key), False)
            self._answer_who_waits()

    def greet(self) -> None:
        """Look again at those who came before we knew of their instance."""
        for speaker in list(self._speakers):
            if speaker.claim and not speaker.key:
                self._greet(speaker)

    def _greet(self, speaker: Speaker) -> None:
        key = speaker.claim
        if not speaker.key and self._belongs(key, speaker.pid):
            # A line that broke is told anew on this one, what had finished with it.
            for other in list(self._of(key)):
                while other.pid == speaker.pid and other in self._speakers:
                    if not self._hear(other):
                        break
            self._gone.get(key, {}).pop(speaker.pid, None)
            speaker.key, speaker.counts = key, Counts()
            speaker.told_at = clock.monotonic()
            mode = speaker.mode_in(self._modes.get(key, Mode.SERVING))
            speaker.tell("counts" if mode is Mode.SERVING else f"drain {mode.value}")
            self._changed(key, self.of(key), False)

    def _lose(self, speaker: Speaker) -> None:
        if speaker not in self._speakers:
            return
        del self._speakers[speaker]
        self._selector.unregister(speaker.sock)
        speaker.sock.close()
        if speaker.key and speaker.counts is not None:
            gone = self._gone.setdefault(speaker.key, {})
            draining = self._modes.get(speaker.key, Mode.SERVING) is not Mode.SERVING
            if draining:
                before = gone.get(speaker.pid, Counts())
                gone[speaker.pid] = before.plus(speaker.now().ended())
            self._changed(speaker.key, self.of(speaker.key), False)
        self._answer_who_waits()

    # --- sums -----------------------------------------------------------------------

    def of(self, key: str) -> Counts | None:
        """Return the sums of an instance; None if none of it ever spoke."""
        gone = self._gone.get(key)
        total = None if gone is None else reduce(Counts.plus, gone.values(), Counts())
        mode = self._modes.get(key, Mode.SERVING)
        for speaker in self._of(key):
            if speaker.counts is not None:
                total = (total or Counts()).plus(speaker.counts)
                wanted = speaker.mode_in(mode)
                if wanted.value != speaker.mode and wanted is not Mode.SERVING:
                    total = total.plus(Counts(silent=1))
                if not speaker.knows_all:
                    total = total.plus(Counts(unable=1))
        return total

    def pids(self, key: str) -> frozenset[int]:
        """Return the processes of an instance that count all they owe."""
        return frozenset(s.pid for s in self._of(key) if s.knows_all)

    def running(self, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield what each process of an instance says that it runs, with its pid."""
        for speaker in self._of(key):
            for each in speaker.now().running:
                yield speaker.pid, each

    def unanswered(self, key: str) -> int:
        """Return how many processes of an instance were asked and have not answered."""
        return sum(speaker.asked for speaker in self._of(key))

    def _of(self, key: str) -> Iterator[Speaker]:
        return (speaker for speaker in self._speakers if speaker.key == key)

    # --- orders ---------------------------------------------------------------------

    def order(self, key: str, mode: Mode) -> None:
        """Tell every process of an instance, and those that come later."""
        self._modes[key] = mode
        serving = mode is Mode.SERVING
        if serving:
            self._gone.pop(key, None)
        for speaker in self._of(key):
            wanted = speaker.mode_in(mode).value
            speaker.tell("undrain" if serving else f"drain {wanted}")
        self._changed(key, self.of(key), False)

    def remember(self, key: str, mode: Mode) -> None:
        """Take over what an earlier supervisor had ordered."""
        self._modes[key] = mode

    def ask(self, then: Callable[[], None]) -> None:
        """Do *then* when every process has told its counts, or soon all the same."""
        for speaker in list(self._speakers):
            if speaker.key:
                speaker.asked = True
                speaker.tell("counts")
        self._waiting.append((clock.monotonic() + ANSWER_S, then))
        self._answer_who_waits()

    def _answer_who_waits(self) -> None:
        if self._waiting and not any(speaker.asked for speaker in self._speakers):
            waiting, self._waiting = self._waiting, []
            for _, then in waiting:
                then()

    def wait_until(self) -> float | None:
        """Return until when somebody is waited for."""
        return self._waiting[0][0] if self._waiting else None

    def expire(self, now: float) -> None:
        """Wait no longer for those who do not answer."""
        while self._waiting and self._waiting[0][0] <= now:
            self._waiting.pop(0)[1]()

    def forget(self, key: str) -> Counts | None:
        """Read the last words of an instance that is gone; return its sums."""
        for speaker in list(self._of(key)):
            while speaker in self._speakers:
                if not self._hear(speaker):
                    self._lose(speaker)  # somebody else holds its end
        total = self.of(key)
        self._gone.pop(key, None)
        self._modes.pop(key, None)
        return total


def as_json(total: Counts | None) -> dict[str, Any] | None:
    """Return sums as the faces see them."""
    return None if total is None else total.to_wire()
