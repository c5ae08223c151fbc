"""Tells one target what happens, in a thread of its own.

Rule 1: the log of gapless is the queue.  The place in it moves behind an event when that
was told, or given up: whoever ends in between is followed by one that tells it again.
Rule 2: what cannot be told is tried again, later and later, until it is `retry_s` old.
Rule 3: what is remembered is never ahead of that place, not in memory either.
Rule 4: a target that hangs holds up no other one, and nothing of the supervisor.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable, Iterable

from gapless.base import clock
from gapless.base.names import Home
from gapless.notify import sifting, ways
from gapless.notify.journal import Journal
from gapless.notify.memory import Memory
from gapless.notify.memory_file import MemoryFile
from gapless.notify.model import Event, Target

LOOK_S = 0.5
DISK_S = 10.0
"""How often it is looked how full the disk is."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0

Others = Callable[[Memory], list[Event]]
"""Returns events that are no lines of the log, as rollouts are."""


class Teller:
    """Tells one target."""

    def __init__(
        self,
        home: Home,
        target: Target,
        *,
        others: Others,
        complain: Callable[[str], None],
    ) -> None:
        """Use *complain* to say what could not be told, and why."""
        self._home, self._target = home, target
        self._others, self._complain = others, complain
        self._file = MemoryFile(home, target.name)
        self._journal = Journal(home.own_log)
        self._memory = Memory()
        self._disk_at = 0.0
        self._trouble = ""
        self.ends = threading.Event()
        """Set to end it."""
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while not self._take():
                if self.ends.wait(LOOK_S):
                    return
            self._memory = self._remembered()
            while not self.ends.wait(LOOK_S):
                self._look()
            self._file.give_up()
        except OSError as error:
            self._say(f"could not go on: {error.filename}: {error.strerror}")

    def _take(self) -> bool:
        try:
            return self._file.take()
        except OSError as error:
            self._say_once(f"cannot use {error.filename}: {error.strerror}")
            return False

    def _remembered(self) -> Memory:
        """Return what is remembered; of nothing, or of what is unreadable, a new one.

        What happened before somebody wanted to be told is no news.
        """
        try:
            found = self._file.load()
        except (OSError, ValueError) as error:
            self._say(f"begins anew: {error}")
            found = None
        if found is None:
            found = Memory(place=self._journal.end())
            self._memory = found
            self._save()
        return found

    # --- one look -----------------------------------------------------------------------

    def _look(self) -> None:
        """Tell what is new; it ends early when this process is to end."""
        while self._read_on() and not self.ends.is_set():
            pass
        if self.ends.is_set():
            return
        before = self._memory.copy()
        found = self._others(self._memory)
        if clock.monotonic() >= self._disk_at:
            self._disk_at = clock.monotonic() + DISK_S
            found += self._of_disk()
        if not self._tell_all(found):
            self._take_back(before)
        elif self._memory != before:
            self._save()

    def _take_back(self, before: Memory) -> None:
        """Forget what was taken in but not told; what was told stays told."""
        before.told = self._memory.told
        before.given_up = self._memory.given_up
        self._memory = before
        self._save()

    def _read_on(self) -> bool:
        """Take in the next lines; return whether there were some."""
        any_lines = False
        for line, after in self._journal.lines(self._memory.place):
            any_lines = True
            before = self._memory.copy()
            now = _seconds(line.get("time"))
            events = sifting.events_of(line, self._memory, self._target, now)
            if not self._tell_all(events):
                self._take_back(before)
                return False
            self._memory.place = after
            if events:
                self._save()
        if any_lines:
            self._save()
        if self._journal.lost:
            self._journal.lost = False
            self._say("lines of the log went before they were read")
        return any_lines

    def _of_disk(self) -> list[Event]:
        logs = self._home.logs  # not there before the first supervisor
        path = logs if os.path.isdir(logs) else self._home.path
        try:
            found = os.statvfs(path)
        except OSError:
            return []
        free = found.f_bavail * found.f_frsize
        at = clock.stamp(clock.wall())
        return sifting.of_disk(path, free, self._memory, self._target, at)

    # --- to tell ------------------------------------------------------------------------

    def _tell_all(self, events: Iterable[Event]) -> bool:
        """Tell events in their order; False if this process is to end before."""
        for event in events:
            is_new = event.identity not in self._memory.told
            if is_new and self._target.wants(event) and not self._tell(event):
                return False
            self._memory.remember(event.identity)
        return True

    def _tell(self, event: Event) -> bool:
        """Tell one event, or give it up; False if this process is to end before."""
        pause_s = FIRST_PAUSE_S
        until = _seconds(event.at) + self._target.retry_s
        while True:
            attempt = ways.tell(self._target, event, self._memory.given_up)
            if attempt.told:
                self._memory.given_up = 0
                self._trouble = ""
                return True
            if not attempt.again or clock.wall() + pause_s > until:
                self._say(
                    f"could not be told of {event.text[:200]!a}: {attempt.reason}"
                )
                self._memory.given_up += 1
                return True
            self._say_once(f"{attempt.reason}; it is tried again")
            if self.ends.wait(max(pause_s, attempt.wait_s)):
                return False
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _save(self) -> None:
        try:
            self._file.save(self._memory)
        except OSError as error:
            self._say_once(f"could not write {self._file.path}: {error.strerror}")

    def _say(self, text: str) -> None:
        self._complain(f"notify.{self._target.name}: {text}")

    def _say_once(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            self._say(text)


def _seconds(stamp: object) -> float:
    """Return the time of a stamp of ours; now, if it is none."""
    try:
        return dt.datetime.fromisoformat(str(stamp)).timestamp()
    except (ValueError, OverflowError):
        return clock.wall()
