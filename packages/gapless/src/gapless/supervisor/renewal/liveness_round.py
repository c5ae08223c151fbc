"""One check of the liveness of all instances of an app.

All instances of a generation accept from one socket, and the kernel does not let a client
choose.  So connections are made one after the other; who accepted one is seen in the
kernel's table, and an instance that was asked already is not asked again.  Most are closed
without a word.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable

from gapless.supervisor.memory.spec import Alive, Asks
from gapless.supervisor.renewal.liveness_probe import Aim, LivenessProbe

LOOK_S = 0.01
"""How often it is looked who has accepted a connection."""
DEFERRED_S = 0.2
"""A socket with TCP_DEFER_ACCEPT shows no connection before its first byte."""
LEAST_LOOKS = 2
"""One that was looked at less often may have had no chance: it is not judged."""
STALL_S = 0.1
"""A look that comes so much later than it was due finds answers that are unread."""
MOST_STALLS = 3
"""So often in one check the time of a stall is no time that an instance took."""
AT_ONCE = 3
"""For each instance so many connections are made at once; then one after a pause."""
PAUSE_S = 0.1

Verdict = tuple[bool, str]
Acceptor = Callable[[int, tuple[str, int]], tuple[bool, str] | None]
Waits = Callable[[str], bool | None]


class LivenessRound:
    """Asks each instance once."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        listener: socket.socket,
        alive: Alive,
        keys: set[str],
        *,
        began: float,
        acceptor: Acceptor,
        waits: Waits,
        changed: Callable[[], None],
        aim: Aim | None = None,
    ) -> None:
        """Ask the instances of *keys* at the address of a listening socket.

        *acceptor* says who has accepted a connection, *waits* whether an instance waits
        for events.  *aim* is for a socket that gets some source addresses only.
        """
        self._aim = aim
        self._selector, self._listener, self._alive = selector, listener, alive
        self._keys, self.began = keys, began
        self._acceptor, self._waits, self._changed = acceptor, waits, changed
        self.verdicts: dict[str, Verdict] = {}
        self._searching: LivenessProbe | None = None
        """The connection of which it is not known yet who accepts it."""
        self._asked: dict[str, LivenessProbe] = {}
        self._seen_waiting: set[str] = set()
        self._looks = 0
        """How often it was looked whether those that are missing wait for events."""
        self._attempts, self._next_at = 0, began
        self._refused = ""
        self._unseen = False
        """Whether the kernel does not tell who accepts."""
        self._looked_at, self._due, self._stalls = began, began, 0
        """When the last look was, when the next one is due, and how many were late."""

    def go_on(self, now: float) -> float | None:
        """Do what is to do now; return when to look again, None once it is over."""
        if now > self._due + STALL_S and self._stalls < MOST_STALLS:
            self._forgive(now - self._looked_at)
        for key, probe in list(self._asked.items()):
            self._take_answer(key, probe, now)
        if self._searching is not None:
            self._find_acceptor(self._searching, now)
        missing = self._missing()
        until = self.began + self._alive.timeout_s
        if missing and self._searching is None and (self._refused or now >= until):
            self._judge_missing(missing)
            missing = set()
        if missing and self._searching is None and now >= self._next_at:
            self._connect(now)
        if not (missing or self._asked):
            self.close()
            return None
        self._looked_at, self._due = now, self._wake_at(now, until, missing)
        return self._due

    def _forgive(self, stalled_s: float) -> None:
        """Move every limit by the time in which nobody here has read an answer.

        The instance may have answered in time: that is read next, by the loop's selector.
        """
        self._stalls += 1
        self.began += stalled_s
        for probe in (self._searching, *self._asked.values()):
            if probe is not None:
                probe.began += stalled_s

    def close(self) -> None:
        """Close what is open."""
        for probe in (self._searching, *self._asked.values()):
            if probe is not None:
                probe.close()
        self._searching, self._asked = None, {}

    def _missing(self) -> set[str]:
        return self._keys - self.verdicts.keys() - self._asked.keys()

    def _wake_at(self, now: float, until: float, missing: set[str]) -> float:
        wakes = [probe.began + self._alive.timeout_s for probe in self._asked.values()]
        if self._searching is not None:
            wakes.append(now + LOOK_S)
        elif missing:
            wakes.append(min(max(self._next_at, now), until))
        return min(wakes)

    # --- connections ------------------------------------------------------------------

    def _connect(self, now: float) -> None:
        """Make the next connection."""
        self._attempts += 1
        self._next_at = now
        late = now >= self.began + self._alive.timeout_s / 2
        if late or self._attempts > AT_ONCE * len(self._keys):
            self._next_at = now + PAUSE_S
            self._looks += 1
            for key in self._missing() - self._seen_waiting:
                if self._waits(key) is not False:
                    self._seen_waiting.add(key)
        try:
            self._searching = LivenessProbe(
                self._selector, self._listener, now, self._changed, self._aim
            )
        except ConnectionRefusedError as error:
            self._refused = (error.strerror or str(error)).lower()
        except OSError:
            # No port or descriptor is left here: that says nothing of an instance.
            self._unseen, self._next_at = True, now + PAUSE_S

    def _find_acceptor(self, probe: LivenessProbe, now: float) -> None:
        """Find out who has accepted a connection, and ask that instance."""
        if not probe.connected and probe.outcome is not None:
            self._refused = probe.outcome[1]
            self._drop_searching()
            return
        if probe.connected:
            found = self._acceptor(probe.port, probe.client)
            self._unseen = found is None
            probe.accepted, probe.key = found or (True, "")
            probe.accepted |= probe.outcome is not None  # it may be closed by now
        alone = len(self._keys) == 1
        if probe.accepted and not probe.key and alone:
            (probe.key,) = self._keys
        if probe.key:
            self._searching = None
            if probe.key in self._missing():
                self._ask(probe)
            else:
                probe.close()  # it was asked already, or is none of them
            return
        asks = self._alive.when is Asks.HTTP
        deferred = probe.connected and now >= probe.began + DEFERRED_S
        if deferred and not probe.asked and probe.outcome is None:
            if asks:
                probe.ask(self._alive.path)
            else:
                probe.end()
        late = now >= probe.began + self._alive.timeout_s
        if late and not probe.accepted:
            self._refused = f"no connection is accepted within {self._limit()}"
        if late or probe.outcome is not None or (probe.accepted and not alone):
            self._drop_searching()

    def _drop_searching(self) -> None:
        if self._searching is not None:
            self._searching.close()
            self._searching = None

    def _ask(self, probe: LivenessProbe) -> None:
        """Ask the instance that has accepted a connection."""
        if self._alive.when is Asks.LISTENING:
            self.verdicts[probe.key] = True, ""
            probe.close()
            return
        self._asked[probe.key] = probe
        if not probe.asked:
            probe.ask(self._alive.path)

    def _take_answer(self, key: str, probe: LivenessProbe, now: float) -> None:
        verdict = probe.outcome
        if verdict is None and now >= probe.began + self._alive.timeout_s:
            verdict = False, f"no answer within {self._limit()}"
        if verdict is not None:
            del self._asked[key]
            self.verdicts[key] = verdict
            probe.close()

    def _judge_missing(self, missing: set[str]) -> None:
        """Judge the instances that have accepted no connection.

        Where others have, one that waits for events may have had no chance.
        """
        for key in missing:
            if self._refused:
                self.verdicts[key] = False, self._refused
            elif self._looks < LEAST_LOOKS:
                continue
            elif not (self._unseen or key in self._seen_waiting):
                reason = f"it accepts no connection within {self._limit()}"
                self.verdicts[key] = False, reason
        self._keys = set(self.verdicts) | set(self._asked)

    def _limit(self) -> str:
        return f"{self._alive.timeout_s:g} s"
