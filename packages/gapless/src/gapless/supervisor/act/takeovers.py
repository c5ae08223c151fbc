"""Let the relay take connections from generations that finish, and hear how far it is.

The relay is started when the first connection is to be taken.  The keeper holds our end of
the line to it, so a relay outlives the supervisor that started it, and the next one goes
on with it.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Iterable
from dataclasses import replace

from gapless.base import clock, codec, events, interpreter, wire
from gapless.base.names import Home
from gapless.supervisor.act.log_settings import log_settings
from gapless.supervisor.act.trust import declares_trust
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.model import Mode, Role, Takeover
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.relay.mend import mend
from gapless.supervisor.relay.messages import (
    Aim,
    Drop,
    Ending,
    GoOn,
    Got,
    Need,
    Status,
)
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.parts import ttl_of

HELD_AS = "relay/line"
DESCRIPTOR = 3
PATIENCE_S = 5.0
"""Programs that close connections by their answers are left those that are in use."""
LONGEST_START_S, LONGEST_TAKEOVER_S = 10.0, 1.0
"""How long an instance that hangs is left alive until the relay has seen its connections,
and then."""
MOST_STARTS = 3
"""A generation whose relay died so often goes on without."""
_KEY = "takeover relay"

Ends = GenerationRecord | InstanceRecord
"""What ends, and has its connections taken."""
Place = tuple[str, int, str]
"""The app, the generation, and the key of the instance if it ends alone."""


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
        self._sent: dict[Place, Aim] = {}
        self._carried: set[str] = set()
        """The apps of which the relay may hold connections without a process."""
        self._serial = 0
        self._pids: dict[str, int] = {}
        """By key: the relay, and one before it that ends."""

    # --- what is asked of it ----------------------------------------------------------

    def begin(
        self, app: AppRecord, generation: GenerationRecord, key: str = ""
    ) -> None:
        """Begin to take the connections of a generation, or of one instance of it.

        Its plan goes on with that.
        """
        ends = generation if not key else _instance(generation, key)
        if ends is None:
            return
        ends.relay_starts += 1
        if ends.relay_starts > MOST_STARTS:
            ends.takeover = Takeover.OFF
            self._note_trouble(app, generation, "the relay ended again and again")
            return
        ends.takeover, app.takeover_trouble = Takeover.UNDER_WAY, ""
        if isinstance(ends, InstanceRecord) and not ends.takeover_until:
            ends.takeover_until = clock.monotonic() + LONGEST_START_S
        self._start()
        self.update(app)

    def update(self, app: AppRecord) -> None:
        """Tell the relay about processes and ports that have changed."""
        if not app.running and app.name in self._carried:
            self._carried.discard(app.name)
            self._send("drop", Drop(app=app.name))
        for generation in app.generations:
            self._prepare(generation)
            if _is_under_way(generation) and not _is_ending(generation):
                own = [i for i in generation.instances if i.takeover is Takeover.NONE]
                self._tell(self._aim(app, generation, own))
            for instance in generation.instances:
                if not _is_under_way(instance) or instance.stop_sent_at is not None:
                    continue
                if _ends_alone(generation, instance):
                    self._tell(self._aim(app, generation, [instance], instance.key))
                else:
                    instance.takeover, instance.takeover_until = Takeover.NONE, 0.0
                    self._sent.pop((app.name, generation.number, instance.key), None)
                    self._send("drop", Drop(app=app.name, instance=instance.key))
        self._let_go_on(app)

    def _prepare(self, generation: GenerationRecord) -> None:
        """Start the relay while a generation with connections still stands by.

        Its start takes a core for a moment, and is over when the drain begins.
        """
        wanted = generation.spec.takeover is not spec.Taking.NEVER
        standing_by = generation.role is Role.STANDBY and generation.connections
        if wanted and standing_by and not generation.relay_prepared:
            generation.relay_prepared = True
            self._start()

    def _tell(self, aim: Aim) -> None:
        """Tell the relay whose connections to take, unless it knows."""
        place = aim.app, aim.generation, aim.instance
        known = self._sent.get(place) == aim
        if aim.pids and not known and self._send("aim", aim):
            self._sent[place] = aim
            self._carried.add(aim.app)

    def _let_go_on(self, app: AppRecord) -> None:
        """Let the relay carry what it holds for instances that have ended."""
        quiesced = {each.number for each in app.generations if each.quiesced}
        for place, aim in list(self._sent.items()):
            if aim.app != app.name or not aim.instance:
                continue
            if aim.holds and aim.generation not in quiesced:
                self._tell(replace(aim, holds=False))
            if app.instance(aim.instance) is None and not self._sent[place].holds:
                del self._sent[place]  # it is over when the relay has no more of it

    def _aim(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        ends: list[InstanceRecord],
        key: str = "",
    ) -> Aim:
        """Return what the relay is told: *key* names the instance that ends alone."""
        pids: set[int] = set()
        for instance in ends:
            pids.update(self._membership.members(instance))
        wanted = generation.spec.takeover
        counted = not key and any(each.counts is not None for each in ends)
        own = self._listeners.of(app.name, generation.sockets_of)
        return Aim(
            app=app.name,
            generation=generation.number,
            instance=key,
            pids=tuple(sorted(pids)),
            ports=tuple(
                sorted(
                    each.tcp_port
                    for each in own
                    if each.tcp_port is not None
                    and (key or self._listeners.has_successor(each))
                )
            ),
            patience_s=PATIENCE_S if counted else 0.0,
            loopback_only=wanted is spec.Taking.AUTO
            and (generation.declares_trust or declares_trust(generation.spec)),
            starts=generation.relay_starts,
            limit_s=generation.spec.stop.drain_timeout_s,
            by_source=any(self._listeners.chooses_by_source(each) for each in own),
            ttls=_ttls(own),
            at_once=bool(key),
            holds=bool(key) and generation.quiesced,
        )

    def ending(self, app: AppRecord, key: str) -> None:
        """Tell the relay that what an instance closes from now on is our doing."""
        found = app.instance(key)
        if found is None:
            return
        generation, instance = found
        alone = _is_under_way(instance)
        ending = Ending(
            app=app.name, generation=generation.number, instance=key if alone else ""
        )
        if (ending.app, ending.generation, ending.instance) in self._sent:
            self._send("ending", ending)

    def forget(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Drop what is known of a generation that has ended."""
        self._sent.pop((app.name, generation.number, ""), None)
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
        self._send("go-on", GoOn())

    @property
    def relay_pid(self) -> int | None:
        """The process of the relay; None while none runs."""
        return next(reversed(self._pids.values()), None)

    def started(self, key: str, pid: int) -> None:
        """Note a relay that the keeper has started."""
        self._pids[key] = pid

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
        self._pids.pop(key, None)
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
            if status.instance:
                self._note_of_instance(app, generation, status)
                continue
            generation.connections_taken = status.taken + status.parked
            generation.connections_given_back = status.given_back
            generation.takeover_cut = status.cut
            self._note_progress(app, generation, generation, status)

    def _note_of_instance(
        self, app: AppRecord, generation: GenerationRecord, status: Status
    ) -> None:
        """Note how far the relay is with one instance; others of it may have ended."""
        instance = _instance(generation, status.instance)
        if instance is None:
            return
        now = status.taken + status.parked, status.given_back, status.cut
        more = [max(0, a - b) for a, b in zip(now, instance.taken, strict=True)]
        generation.connections_taken += more[0]
        generation.connections_given_back += more[1]
        generation.takeover_cut += more[2]
        instance.taken = now
        if status.looked:  # from now on it hangs for nothing
            until = clock.monotonic() + LONGEST_TAKEOVER_S
            instance.takeover_until = min(instance.takeover_until, until)
        instance.held = status.waiting, max(0, status.parked - status.waiting)
        self._note_progress(app, generation, instance, status)

    def _note_progress(
        self,
        app: AppRecord,
        generation: GenerationRecord,
        ends: Ends,
        status: Status,
    ) -> None:
        if not _is_under_way(ends):
            return
        after = Takeover.SETTLED if status.is_settled else Takeover.UNDER_WAY
        if status.trouble:
            self._note_trouble(app, generation, status.trouble)
            after = Takeover.OFF
        if ends.takeover is not after:
            ends.takeover = after
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
                every: list[Ends] = [generation, *generation.instances]
                for ends in every:
                    if _is_under_way(ends):
                        ends.takeover = Takeover.NONE
                        self._apps.touch(app.name)

    def complete(self) -> None:
        """Undo what a relay left that died together with its supervisor."""
        if self._channel is None:
            self._undo()

    def _undo(self) -> None:
        """Undo what a relay that died has left with processes: stops and marks."""
        for app in self._apps.values():
            for generation in app.generations:
                mend(
                    process
                    for instance in generation.instances
                    if generation.role is Role.RETIRING
                    or _ends_alone(generation, instance)
                    for process in self._membership.members(instance).values()
                )


def _ttls(own: Iterable[Listener]) -> tuple[tuple[int, int], ...]:
    """Return which times to live name an app, by the ports that it may share."""
    found = {
        (each.tcp_port, ttl_of(each.number))
        for each in own
        if each.tcp_port is not None and each.shared_as
    }
    return tuple(sorted(found))


def _instance(generation: GenerationRecord, key: str) -> InstanceRecord | None:
    found = (each for each in generation.instances if each.key == key)
    return next(found, None)


def _is_under_way(ends: Ends) -> bool:
    return ends.takeover in (Takeover.UNDER_WAY, Takeover.SETTLED)


def _ends_alone(generation: GenerationRecord, instance: InstanceRecord) -> bool:
    """Return whether an instance ends, or may, while others of its generation stay."""
    if generation.role is Role.YIELDING:
        return instance.mode is Mode.RECYCLE
    others = generation.instances
    hangs = instance.hung or instance.alive_failures > 0
    return hangs or any(each.replaces == instance.key for each in others)


def _is_ending(generation: GenerationRecord) -> bool:
    """Return whether its processes were told to end: the relay knows them by now."""
    return any(each.stop_sent_at is not None for each in generation.instances)
