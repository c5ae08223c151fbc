"""The connections to processes that use the drain library (spec/drain.md).

All processes connect to one socket.  The keeper holds it, so that its name stays the same
from one supervisor to the next.  It is in the abstract namespace, which processes of every
user reach; programs that know no such names (Node before 20.8) get a path beside it, which
each supervisor makes anew.  What a process says is accepted if it belongs to the
instance that it names; what all processes of an instance say is added up.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

from gapless.base import clock, descriptors, files
from gapless.base.kernel import peer
from gapless.base.names import Home
from gapless.supervisor.instances.drain_connection import (
    HTTP,
    PROCEDURES,
    DrainConnection,
    read_lines,
    total,
)
from gapless.supervisor.memory.counts import Counts
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.model import Mode

HELD_AS = "speakers/listener"
"""What the keeper calls the socket; older versions know it by this name."""
NAME_BYTES = 107
"""As long as a name can be: padding and length cannot be mistaken (unix(7))."""
MOST_CONNECTIONS = 4096
MOST_UNIDENTIFIED = 256
"""Processes that have connected, and have not said yet to which instance they belong; of
one user no more than half of them."""
MOST_OF_AN_INSTANCE = 1024
MOST_ACCEPTED = 32
"""In one turn of the loop."""
MOST_LAST_PIECES = 32
"""More than the kernel keeps of what a process has sent (net.core.wmem_max)."""
LONGEST_KEY = 200
ANSWER_S = 0.05
"""How long `list` waits for processes that are busy or stopped."""

Belongs = Callable[[str, int], bool]
"""Returns whether a process belongs to an instance."""
Changed = Callable[[str, Counts | None, bool], None]
"""Is called with the key of an instance, its sums, and whether a process is ready."""


class DrainConnections:
    """Accepts and reads the connections, and sends orders."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        keeper: KeeperConnection,
        belongs: Belongs,
        changed: Changed,
        *,
        home: Home,
        is_ours: Callable[[], bool],
    ) -> None:
        """Use the home, as long as it is ours, for the path at which it listens too."""
        self._selector, self._keeper = selector, keeper
        self._belongs, self._changed = belongs, changed
        self._listeners: list[socket.socket] = []
        self._connections: dict[DrainConnection, None] = {}
        """In the order in which they came."""
        self._unidentified: dict[DrainConnection, None] = {}
        """Those of which it is not known yet whose they are."""
        self._lost: dict[str, dict[int, Counts]] = {}
        """The counts of connections that broke, by instance and process."""
        self._unheard: dict[str, set[int]] = {}
        """The processes of which those are older than the last order, by instance."""
        self._modes: dict[str, Mode] = {}
        self._waiting: list[tuple[float, Callable[[], None]]] = []
        self.address = ""
        self._home, self._is_ours = home, is_ours
        self._identity = (0, 0)
        self.path = ""
        """The path at which it listens too; empty if it cannot."""

    # --- the socket -------------------------------------------------------------------

    def open(self) -> None:
        """Listen, on the socket that the keeper holds or on a new one."""
        if self._listeners:
            return
        name = f"gapless/{os.urandom(64).hex()}"[:NAME_BYTES]
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(f"\0{name}")
        sock.listen(1024)
        self._keeper.hold(HELD_AS, None, sock.fileno())
        self.adopt(sock)

    def adopt(self, sock: socket.socket) -> None:
        """Listen on a socket that was held while there was no supervisor."""
        self.address = "@" + sock.getsockname()[1:].decode()
        self._listen(sock)
        directory, name = os.path.split(self._home.drain)
        if len(os.fsencode(self._home.drain)) > NAME_BYTES or not self._is_ours():
            return
        try:
            beside, self._identity = descriptors.listen_at(directory, name, 1024)
        except OSError:
            return  # a full disk, say
        self.path = self._home.drain
        self._listen(beside)

    def _listen(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        peer.refuse_descriptors(listener)
        self._listeners.append(listener)
        self._selector.register(
            listener, selectors.EVENT_READ, lambda: self._accept_some(listener)
        )

    def _accept_some(self, listener: socket.socket) -> None:
        for _ in range(MOST_ACCEPTED):
            sock = descriptors.accept(listener)
            if sock is None:
                return
            self._accept(sock)

    def _accept(self, sock: socket.socket) -> None:
        peer.refuse_descriptors(sock)
        pid, uid = peer.credentials_of(sock)
        # Only root's supervisor has instances of other users.
        allowed = uid in (0, os.getuid()) or os.getuid() == 0
        full = len(self._connections) >= MOST_CONNECTIONS or not descriptors.refill()
        if not allowed or (full and not self._make_room(uid)):
            sock.close()
            descriptors.refill()
            return
        connection = DrainConnection(sock, pid, uid)
        sock.setblocking(False)
        self._connections[connection] = self._unidentified[connection] = None
        own = [each for each in self._unidentified if each.uid == uid]
        if len(own) > MOST_UNIDENTIFIED // 2:
            self._lose(own[0])
        elif len(self._unidentified) > MOST_UNIDENTIFIED:
            self._lose(next(iter(self._unidentified)))
        self._selector.register(
            sock, selectors.EVENT_READ, lambda: self._read(connection)
        )
        self._read(connection)  # most have said already whose they are

    def _make_room(self, uid: int) -> bool:
        """Close the newest connection of the user who has most; return whether it helps.

        So whoever has filled the room does not keep others out of it.
        """
        counts = Counter(each.uid for each in self._connections)
        most = max(counts, key=counts.__getitem__, default=uid)
        if counts[most] <= counts[uid] + 1:
            return False
        self._lose(next(e for e in reversed(self._connections) if e.uid == most))
        return descriptors.refill()

    def close(self) -> None:
        """Stop listening: no process is left that could connect."""
        if not self._listeners:
            return
        for listener in self._listeners:
            self._selector.unregister(listener)
            listener.close()
        self._listeners.clear()
        if self.path:
            files.unlink_own(self.path, self._identity)
            self.path = ""
        self._keeper.release(HELD_AS)

    # --- what processes say -----------------------------------------------------------

    def _read(self, connection: DrainConnection) -> bool:
        """Read what has come; return whether there was something, or the end."""
        try:
            lines, ended = connection.receive()
        except BlockingIOError:
            return False
        if lines:
            self._take(connection, lines)
        if ended:
            self._lose(connection)
        return True

    def _read_rest(self, connection: DrainConnection) -> None:
        """Read what has come; whoever writes on meanwhile does not hold us."""
        for _ in range(MOST_LAST_PIECES):
            if connection not in self._connections or not self._read(connection):
                return

    def _take(self, connection: DrainConnection, lines: list[bytes]) -> None:
        """Take in what has come at once; what is no message is ignored.

        So is a second hello: whose a process is does not change, and to find out costs
        more than a line.
        """
        said = read_lines(lines, knows_hello=bool(connection.claimed_key))
        if said.hello is not None:
            connection.claimed_key = str(said.hello.get("instance", ""))[:LONGEST_KEY]
            scope = said.hello.get("scope")
            connection.scope = scope if scope in (HTTP, PROCEDURES) else ""
            self._identify(connection)
        key = connection.key
        if not key or not (said.ready or said.counts):
            return
        if said.counts is not None:
            connection.take_counts(said.counts, said.mode)
        self._changed(key, self.counts_of(key), said.ready)
        self._answer_waiting()

    def identify_all(self) -> None:
        """Check again the processes that came before their instance was known."""
        for connection in list(self._unidentified):
            if connection.claimed_key:
                self._identify(connection)

    def _identify(self, connection: DrainConnection) -> None:
        key = connection.claimed_key
        if connection.key or not self._belongs(key, connection.pid):
            return
        if not connection.is_same_process():
            return  # it has ended, and a process of the instance has got its number
        own = list(self._of(key))
        if len(own) >= MOST_OF_AN_INSTANCE:
            self._lose(connection)
            return
        # What finished on a connection that broke is reported again on this one.
        for other in own:
            if other.pid == connection.pid:
                self._read_rest(other)
        self._lost.get(key, {}).pop(connection.pid, None)
        self._unheard.get(key, set()).discard(connection.pid)
        connection.identified(key)
        self._unidentified.pop(connection, None)
        # Also that it serves: it may have missed the order while it was away.
        connection.send_mode(self._modes.get(key, Mode.SERVING))
        self._changed(key, self.counts_of(key), False)

    def _lose(self, connection: DrainConnection) -> None:
        if connection not in self._connections:
            return
        del self._connections[connection]
        self._unidentified.pop(connection, None)
        self._selector.unregister(connection.sock)
        connection.close()
        key = connection.key
        if key and connection.counts is not None:
            lost = self._lost.setdefault(key, {})
            mode = self._modes.get(key, Mode.SERVING)
            if not connection.has_answered(mode):
                self._unheard.setdefault(key, set()).add(connection.pid)
            # One that serves tells no ends; one that hangs has none.
            if mode is not Mode.SERVING or connection.given_up:
                before = lost.get(connection.pid, Counts())
                lost[connection.pid] = before.plus(connection.counts_now().ended())
            self._changed(key, self.counts_of(key), False)
        self._answer_waiting()

    # --- sums -------------------------------------------------------------------------

    def counts_of(self, key: str) -> Counts | None:
        """Return the sums of an instance; None if no process of it ever connected."""
        lost = self._lost.get(key)
        found = None if lost is None else reduce(Counts.plus, lost.values(), Counts())
        living = total(list(self._of(key)), self._modes.get(key, Mode.SERVING))
        if found is None or living is None:
            return found or living
        return found.plus(living)

    def is_heard(self, key: str) -> bool:
        """Return whether the counts of an instance are no older than its last order.

        Else the kernel knows more of what its processes owe.
        """
        mode = self._modes.get(key, Mode.SERVING)
        answered = all(each.has_answered(mode) for each in self._of(key))
        return mode is not Mode.SERVING and answered and not self._unheard.get(key)

    def pids(self, key: str) -> frozenset[int]:
        """Return the processes of an instance that count all they owe."""
        return frozenset(each.pid for each in self._of(key) if each.counts_all)

    def running(self, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield what each process of an instance says that it runs, with its pid."""
        for connection in self._of(key):
            for each in connection.counts_now().running:
                yield connection.pid, each

    def unanswered(self, key: str) -> int:
        """Return how many processes of an instance were asked and have not answered."""
        return sum(each.asked for each in self._of(key))

    def _of(self, key: str) -> Iterator[DrainConnection]:
        return (each for each in self._connections if each.key == key)

    # --- orders -----------------------------------------------------------------------

    def order(self, key: str, mode: Mode) -> None:
        """Send a mode to every process of an instance, and to those that come later."""
        self._modes[key] = mode
        if mode is Mode.SERVING:
            self._lost.pop(key, None)
            self._unheard.pop(key, None)
        for connection in self._of(key):
            connection.send_mode(mode)
        self._changed(key, self.counts_of(key), False)

    def restore(self, key: str, mode: Mode) -> None:
        """Take over the mode that an earlier supervisor had sent."""
        self._modes[key] = mode

    def ask(self, then: Callable[[], None]) -> None:
        """Call *then* when every process has sent its counts, or after `ANSWER_S`."""
        for connection in list(self._connections):
            if connection.key:
                connection.ask()
        self._waiting.append((clock.monotonic() + ANSWER_S, then))
        self._answer_waiting()

    def _answer_waiting(self) -> None:
        if self._waiting and not any(each.asked for each in self._connections):
            waiting, self._waiting = self._waiting, []
            for _, then in waiting:
                then()

    def wait_until(self) -> float | None:
        """Return until when answers are waited for; None if none are."""
        return self._waiting[0][0] if self._waiting else None

    def expire(self, now: float) -> None:
        """Wait no longer for processes that do not answer."""
        while self._waiting and self._waiting[0][0] <= now:
            self._waiting.pop(0)[1]()

    def forget(self, key: str) -> Counts | None:
        """Read what an instance that is gone had still sent; return its sums."""
        for connection in list(self._of(key)):
            self._read_rest(connection)
            self._lose(connection)  # another process may hold its end
        found = self.counts_of(key)
        self._lost.pop(key, None)
        self._unheard.pop(key, None)
        self._modes.pop(key, None)
        return found
