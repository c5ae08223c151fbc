"""Let the relay take connections from generations that finish, and hear how far it is.

The relay is started when the first connection is to be taken.  The keeper holds our end of
the line to it, so a relay outlives the supervisor that started it, and the next one goes
on with it.
"""

from __future__ import annotations

import os
import selectors
import socket

from gapless.base import codec, events, interpreter, wire
from gapless.base.names import Home
from gapless.supervisor.act.log_settings import log_settings
from gapless.supervisor.act.trust import declares_trust
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.model import Role, Takeover
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.relay.mend import mend
from gapless.supervisor.relay.messages import Aim, Drop, Ending, Got, Need, Status
from gapless.supervisor.sockets.listeners import Listeners

HELD_AS = "relay/line"
DESCRIPTOR = 3
PATIENCE_S = 5.0
"""Programs that close connections by their answers are left those that are in use."""
MOST_STARTS = 3
"""A generation whose relay died so often goes on without."""
_KEY = "takeover relay"


class Takeovers:
    """The takeovers of this host, and its relay."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        home: Home,
        apps: Apps,
        keeper: KeeperConnection,
        *,
        membership: Membership,
        listeners: Listeners,
        log: events.Log,
    ) -> None:
        self._selector, self._home, self._apps = selector, home, apps
        self._keeper, self._membership = keeper, membership
        self._listeners, self._log = listeners, log
        self._channel: wire.Channel | None = None
        self._sent: dict[tuple[str, int], Aim] = {}
        self._carried: set[str] = set()
        """The apps of which the relay may hold connections without a process."""
        self._serial = 0

    # --- what is asked of it ----------------------------------------------------------

    def begin(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Begin to take the connections of a generation; its plan goes on with that."""
        generation.relay_starts += 1
        if generation.relay_starts > MOST_STARTS:
            generation.takeover = Takeover.OFF
            self._note_trouble(app, generation, "the relay ended again and again")
            return
        generation.takeover, app.takeover_trouble = Takeover.UNDER_WAY, ""
        self._start()
        self.update(app)

    def update(self, app: AppRecord) -> None:
        """Tell the relay about processes and ports that have changed."""
        if not app.running and app.name in self._carried:
            self._carried.discard(app.name)
            self._send("drop", Drop(app=app.name))
        for generation in app.generations:
            if _is_under_way(generation) and not _is_ending(generation):
                place = app.name, generation.number
                aim = self._aim(app, generation)
                known = self._sent.get(place) == aim
                if aim.pids and not known and self._send("aim", aim):
                    self._sent[place] = aim
                    self._carried.add(app.name)

    def _aim(self, app: AppRecord, generation: GenerationRecord) -> Aim:
        pids: set[int] = set()
        for instance in generation.instances:
            pids.update(self._membership.members(instance))
        wanted = generation.spec.takeover
        counted = any(each.counts is not None for each in generation.instances)
        own = self._listeners.of(app.name, generation.sockets_of)
        return Aim(
            app=app.name,
            generation=generation.number,
            pids=tuple(sorted(pids)),
            ports=tuple(
                sorted(
                    each.tcp_port
                    for each in own
                    if each.tcp_port is not None and self._listeners.has_successor(each)
                )
            ),
            patience_s=PATIENCE_S if counted else 0.0,
            loopback_only=wanted is spec.Taking.AUTO
            and (generation.declares_trust or declares_trust(generation.spec)),
            starts=generation.relay_starts,
            limit_s=generation.spec.stop.drain_timeout_s,
            by_source=any(self._listeners.chooses_by_source(each) for each in own),
        )

    def ending(self, app: AppRecord, key: str) -> None:
        """Tell the relay that what an instance closes from now on is our doing."""
        found = app.instance(key)
        if found is None:
            return
        generation, _ = found
        if (app.name, generation.number) in self._sent:
            self._send("ending", Ending(app=app.name, generation=generation.number))

    def forget(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Drop what is known of a generation that has ended."""
        self._sent.pop((app.name, generation.number), None)
        ended = Ending(app=app.name, generation=generation.number, ended=True)
        self._send("ending", ended)

    def close(self) -> None:
        """Let the relay finish what it carries, and end."""
        if self._channel is not None:
            self._lose_line()

    # --- the relay --------------------------------------------------------------------

    def _start(self) -> None:
        """Start the relay, unless it runs."""
        if self._channel is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._keeper.hold(HELD_AS, None, ours.fileno())
            self._serial += 1
            message = {
                "key": f"{_KEY}/{os.getpid()}/{self._serial}",
                "meta": {"takeovers": True},
                "argv": interpreter.python(
                    "gapless.supervisor.relay.run", [str(DESCRIPTOR)], libraries=True
                ),
                "environment": {"GAPLESS_HOME": self._home.path},
                "directory": "/",
                "filtered": False,
                "log": log_settings(
                    spec.AppSpec(name="gapless", command=(), directory="/"),
                    self._home.own_log,
                    generation=0,
                    ordinal=0,
                    identity=0,
                ),
            }
            self._keeper.spawn(message, {DESCRIPTOR: theirs})
        self.adopt(ours)

    def adopt(self, line: socket.socket) -> None:
        """Hear the relay on a line."""
        self._channel = wire.Channel(line)
        self._selector.register(line, selectors.EVENT_READ, self._receive)

    def flush(self) -> None:
        """Send what has waited for room."""
        if self._channel is not None:
            try:
                self._channel.flush()
            except OSError:
                self._lose_line()

    def ended(self, key: str) -> bool:
        """Note that a process has ended; return whether it was the relay.

        The end of its line has told us.
        """
        if not key.startswith(f"{_KEY}/"):
            return False
        self._keeper.forget(key)
        return True

    def _send(self, kind: str, value: object, lent: tuple[int, ...] = ()) -> bool:
        if self._channel is None:
            return False
        try:
            self._channel.send({"op": kind, **codec.encode(value)}, lent)
        except OSError:
            self._lose_line()
            return False
        return True

    def _receive(self) -> None:
        while self._channel is not None:
            try:
                message, received = self._channel.receive()
            except BlockingIOError:
                return
            except (EOFError, ConnectionError):
                self._lose_line()
                return
            for each in received:
                os.close(each)
            if message.get("event") == "need":
                self._ask_keeper(codec.decode(Need, message, "need"))
            else:
                self._note(codec.decode(Status, message, "status"))

    def _ask_keeper(self, need: Need) -> None:
        app = self._apps.get(need.app)
        for generation in [] if app is None else app.generations:
            if generation.number == need.generation:
                name = f"{need.app}/{need.generation}/{need.inode}"
                self._keeper.duplicate(name, need.pid, need.descriptor)

    def duplicated(self, message: wire.Message, received: list[int]) -> None:
        """Pass on a duplicate that the keeper has made, or why it has not."""
        app, generation, inode = str(message["name"]).rsplit("/", 2)
        got = Got(
            app=app,
            generation=int(generation),
            inode=int(inode),
            reason=str(message["reason"]),
        )
        self._send("got", got, tuple(received))

    def _note(self, status: Status) -> None:
        app = self._apps.get(status.app)
        if app is None:
            return
        for generation in app.generations:
            if generation.number != status.generation:
                continue
            generation.connections_taken = status.taken + status.parked
            generation.connections_given_back = status.given_back
            generation.takeover_cut = status.cut
            if _is_under_way(generation):
                settled = status.is_settled
                after = Takeover.SETTLED if settled else Takeover.UNDER_WAY
                if status.trouble:
                    self._note_trouble(app, generation, status.trouble)
                    after = Takeover.OFF
                if generation.takeover is not after:
                    generation.takeover = after
                    self._apps.touch(status.app)

    def _note_trouble(
        self, app: AppRecord, generation: GenerationRecord, trouble: str
    ) -> None:
        """Note, once, why the connections of a generation cannot be taken."""
        generation.takeover_trouble = trouble
        if app.takeover_trouble != trouble:
            app.takeover_trouble = trouble
            self._log.write("takeover", app=app.name, missing=trouble)

    def _lose_line(self) -> None:
        """Forget a relay that has ended; what was under way is begun again."""
        channel, self._channel = self._channel, None
        if channel is None:
            return
        self._selector.unregister(channel.sock)
        channel.close()
        self._keeper.release(HELD_AS)
        self._sent.clear()
        self._undo()
        for app in self._apps.values():
            for generation in app.generations:
                if _is_under_way(generation):
                    generation.takeover = Takeover.NONE
                    self._apps.touch(app.name)

    def complete(self) -> None:
        """Undo what a relay left that died together with its supervisor."""
        if self._channel is None:
            self._undo()

    def _undo(self) -> None:
        """Undo what a relay that died has left with processes: stops and marks."""
        for app in self._apps.values():
            for generation in app.generations:
                if generation.role is Role.RETIRING:
                    self._undo_in(generation)

    def _undo_in(self, generation: GenerationRecord) -> None:
        mend(
            process
            for instance in generation.instances
            for process in self._membership.members(instance).values()
        )


def _is_under_way(generation: GenerationRecord) -> bool:
    return generation.takeover in (Takeover.UNDER_WAY, Takeover.SETTLED)


def _is_ending(generation: GenerationRecord) -> bool:
    """Return whether its processes were told to end: the relay knows them by now."""
    return any(each.stop_sent_at is not None for each in generation.instances)
