"""The kernel's evidence about generations that finish: queues, connections, calls.

A check costs milliseconds, so it is made only while something is finishing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gapless.base import clock, events
from gapless.supervisor.kernel import connections, processes, queues
from gapless.supervisor.kernel.dumps import Dumps
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.calls import Call
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.memory.model import Mode, Role
from gapless.supervisor.observe import calls, path_connections
from gapless.supervisor.observe.looks import Looks, Pair, Place
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.observe.path_connections import PathConnections
from gapless.supervisor.sockets.listeners import Listeners

WATCH_S = 0.1
"""How often the connections of a generation that stands by are looked at."""
DATAGRAMS_S = 2.0
"""For so long after the last one that waited a datagram may be answered."""
UNSEEN = "unseen"
"""Stands for the handshakes that may be under way where none can be seen."""


class Evidence:
    """Reads the evidence into the records; remembers which connections it has seen."""

    def __init__(
        self,
        listeners: Listeners,
        membership: Membership,
        counting: Callable[[str], frozenset[int]],
        log: events.Log,
    ) -> None:
        """Use *counting* to ask which processes of an instance count what they owe."""
        self._listeners, self._membership = listeners, membership
        self._counting = counting
        self._dumps = Dumps(log)
        self._paths = PathConnections(listeners, self._dumps)
        self._seen: dict[tuple[str, int], set[Place]] = {}
        self._looks = Looks()
        self._received: dict[str, dict[Pair, int]] = {}
        """By app: how many bytes each connection had brought, while it leaves."""
        self._datagrams_at: dict[tuple[str, int], float] = {}
        """When datagrams were last seen to wait for a generation that finishes."""
        self._switched: list[tuple[AppRecord, GenerationRecord]] = []
        """The generations whose handshakes are read at the end of the turn."""
        self._judged: dict[tuple[str, int], int] = {}
        """By which dump a generation was judged last: one dump is one check."""

    def why_unavailable(self) -> str:
        """Return why the kernel shows no connections here, found out anew; else nothing.

        Then nothing is idle, and what is owed is known of processes that count alone.
        """
        return self._dumps.try_again()

    def begin_turn(self) -> None:
        """Read anew what is read from here on."""
        self._dumps.begin_turn()

    def end_turn(self) -> None:
        """Read, once for all apps, what could wait for the end of the turn."""
        waiting, self._switched = self._switched, []
        if waiting:
            ports = frozenset[int]().union(*(self._ports(app) for app, _ in waiting))
            found = self._dumps.half_open(ports)
            for app, generation in waiting:
                own = self._ports(app)
                generation.handshakes |= (
                    {UNSEEN}
                    if found is None
                    else peers(e for e in found if e.local_port in own)
                )

    def update(self, app: AppRecord, *, now: bool = False) -> None:
        """Update the records of everything in *app* that is finishing.

        All apps share what was read in one turn, unless it is to be as it is *now*.
        """
        if now:
            self._dumps.begin_turn()
        self._note_arrivals(app)
        finishing = [g for g in app.generations if _is_finishing(g)]
        watched = [g for g in app.generations if self._is_watched(app, g)]
        if not finishing and not watched:
            self._dumps.finished(app.name)
            return
        for generation in watched:
            self._watch(app, generation)
        for generation in finishing:
            for instance in generation.instances:
                count = self._membership.count(generation, instance)
                instance.process_count = count
        leaving = (Role.RETIRING, Role.YIELDING)
        served = [
            g
            for g in finishing
            if (g.role in leaving and g.served) or any(i.hung for i in g.instances)
        ]
        if served:
            self._check_connections(app, served)
        unserved = [g for g in finishing if g.spec.outgoing and not g.served]
        if unserved:
            self._check_calls(app, unserved)

    # --- a generation that stands by --------------------------------------------------

    def watches(self, app: AppRecord) -> bool:
        """Return whether something of an app is to be looked at again soon."""
        return any(self._is_watched(app, each) for each in app.generations)

    def _is_watched(self, app: AppRecord, generation: GenerationRecord) -> bool:
        """Return whether a generation stands by, and has connections of its own.

        Which of them carries a stream is known when it is to finish.
        """
        if generation.role is not Role.STANDBY:
            return False
        uncounted = [i for i in generation.instances if i.counts is None]
        waiting = generation.half_open or self.queued(app, generation)
        may_have = self._looks.may_have_connections
        return any(waiting or may_have(instance.key) for instance in uncounted)

    def _watch(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Look at the connections of a generation that stands by."""
        incoming = self._dumps.incoming(app.name, self._ports(app))
        if incoming is None or not self._is_new(app, generation):
            return
        for instance in generation.instances:
            members = self._membership.members(instance)
            inodes = processes.socket_inodes(members)
            own = [c for c in incoming[0] if c.inode in inodes]
            instance.connections = len(own)
            self._looks.take(instance, own)

    # --- what is owed -----------------------------------------------------------------

    def _check_calls(self, app: AppRecord, unserved: list[GenerationRecord]) -> None:
        """Check generations that never served: they may have begun procedures."""
        asked = self._dumps.outgoing(_outgoing_ports(unserved))
        for generation in unserved:
            if asked is None:
                self._note_unseen(app, generation)
                continue
            check = self._is_new(app, generation)
            for instance in generation.instances:
                members = self._membership.members(instance)
                inodes = processes.socket_inodes(members)
                _note_calls(generation, instance, asked, inodes)
            found = sum(len(instance.calls) for instance in generation.instances)
            generation.idle_checks = 0 if found else generation.idle_checks + check

    def _is_new(self, app: AppRecord, generation: GenerationRecord) -> bool:
        """Return whether a generation was not judged yet by what this turn has read."""
        place = app.name, generation.number
        before, self._judged[place] = self._judged.get(place), self._dumps.turn
        return before != self._dumps.turn

    def _check_connections(
        self, app: AppRecord, served: list[GenerationRecord]
    ) -> None:
        incoming = self._dumps.incoming(app.name, self._ports(app))
        asked = self._dumps.outgoing(_outgoing_ports(served))
        on_paths = self._paths.of(app)
        if incoming is None or asked is None or on_paths is None:
            for generation in served:
                self._note_unseen(app, generation)
            return
        found, handshakes = incoming
        half_open = peers(handshakes)
        for generation in served:
            check = self._is_new(app, generation)
            generation.active_connections = 0
            seen = self._seen.setdefault((app.name, generation.number), set())
            for instance in generation.instances:
                inodes: frozenset[int] = frozenset()
                counts = instance.counts is not None
                if found or asked or on_paths or instance.busy or counts:
                    members = self._membership.members(instance)
                    inodes = processes.socket_inodes(members)
                else:
                    instance.connections = instance.moving = instance.unknown = 0
                if inodes:
                    own = [c for c in found if c.inode in inodes]
                    if check:
                        self._looks.take(instance, own)
                    instance.connections = len(own)
                    # New connections wait until one that recycles has ended.
                    patient = generation.role is not Role.YIELDING
                    # What waits with the relay is for who follows it.
                    waiting, resting = instance.held
                    busy = self._busy(instance, own, patient=patient)
                    instance.busy = max(0, busy - waiting)
                    self._looks.note_ends(instance, own)
                    instance.moving = max(0, instance.moving - waiting)
                    instance.unknown = max(0, instance.unknown - resting)
                    held = [each for each in on_paths if each.inode in inodes]
                    path_connections.note(instance, held)
                    _note_calls(generation, instance, asked, inodes)
                    if generation.role is not Role.SERVING or instance.hung:
                        seen.update(c.remote for c in own)
                        seen.update(("unix", each.inode) for each in held)
                    if instance.counts is not None:
                        active = sum(map(connections.is_active, own))
                        generation.active_connections += active
                # Without a socket it is ending, and what it owed before is what is cut;
                # or it never had one, and owes nothing.
                owes = instance.busy or instance.calls
                instance.idle_checks = 0 if owes else instance.idle_checks + check
            generation.unseen = False
            generation.connections_seen = len(seen)
            generation.queued = self.queued(app, generation)
            if UNSEEN in generation.handshakes:
                generation.handshakes = half_open
            generation.handshakes &= half_open
            busy = generation.queued + generation.half_open + generation.busy
            busy += self._reads_datagrams(app, generation)
            generation.idle_checks = 0 if busy else generation.idle_checks + check

    def _note_unseen(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Note what is known of a generation whose connections cannot be seen."""
        generation.unseen, generation.idle_checks = True, 0
        generation.queued = self.queued(app, generation)
        for instance in generation.instances:
            instance.idle_checks = 0
            instance.busy = _counted(instance)

    def _busy(
        self,
        instance: InstanceRecord,
        own: list[connections.Connection],
        *,
        patient: bool = True,
    ) -> int:
        """Return how much an instance owes: as it counts, else as the kernel shows it.

        Of processes that count, the kernel is only asked for what they cannot count yet.
        """
        if instance.counts is None:
            return self._looks.under_way(instance.key, own, patient=patient)
        counted = processes.socket_inodes(self._counting(instance.key))
        others = [c for c in own if c.inode not in counted]
        unserved = sum(connections.is_unserved(c) for c in own if c.inode in counted)
        total = _counted(instance) + unserved
        by_kernel = self._looks.under_way(instance.key, others, patient=patient)
        # A process that counts HTTP only is in both sums.
        return max(total, by_kernel) if instance.counts.unable else total + by_kernel

    def _note_arrivals(self, app: AppRecord) -> None:
        """Note requests to instances that leave service and do not count.

        A connection that is new or that brought more bytes is taken for a request.  One
        that came and went between two checks is not seen.
        """
        leaving = [
            instance
            for generation in app.generations
            for instance in generation.instances
            if instance.mode is Mode.LEAVING and instance.counts is None
        ]
        if not leaving:
            self._received.pop(app.name, None)
            return
        incoming = self._dumps.incoming(app.name, self._ports(app))
        received = {
            (c.local, c.remote): c.bytes_received for c in (incoming or [()])[0]
        }
        before = self._received.get(app.name, {})
        self._received[app.name] = received
        more = any(count > before.get(pair, -1) for pair, count in received.items())
        if more or incoming is None:  # a request that cannot be seen may have come
            now = clock.monotonic()
            for instance in leaving:
                instance.last_request_at = now

    def _reads_datagrams(self, app: AppRecord, generation: GenerationRecord) -> bool:
        """Return whether datagrams wait, or did just now: no one knows of their answers.

        Those that came last before the switch may have been read since.
        """
        own = self._listeners.of(app.name, generation.sockets_of)
        read = [e for e in own if e.datagrams and not e.shut]
        place, now = (app.name, generation.number), clock.monotonic()
        if any(queues.queued(each.sock) for each in read):
            self._datagrams_at[place] = now
        last = max(self._datagrams_at.get(place, 0.0), app.serves_since or 0.0)
        return bool(read) and now < last + DATAGRAMS_S

    # --- what is asked for ------------------------------------------------------------

    def queued(self, app: AppRecord, generation: GenerationRecord) -> int:
        """Return how many connections wait to be accepted by a generation."""
        own = self._listeners.of(app.name, generation.sockets_of)
        return sum(
            queues.queued(each.sock)
            for each in own
            # A relay can carry connections, and no datagrams.
            if each.listening
            and not each.shut
            and (generation.instances or not each.datagrams)
        )

    def handshakes(self, app: AppRecord) -> set[str]:
        """Return the peers whose handshake with an app is under way."""
        found = self._dumps.half_open(self._ports(app))
        return {UNSEEN} if found is None else peers(found)

    def note_handshakes(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Note the handshakes under way at the end of this turn as those of a generation.

        New ones that began in between may be among them: they are waited for as well.
        """
        self._switched.append((app, generation))
        self._looks.forget(generation.instances)  # those from before it came back

    def acceptor(
        self, app: AppRecord, port: int, client: tuple[str, int]
    ) -> tuple[bool, str] | None:
        """Return whether a connection to an app was accepted, and by which instance.

        Its key is empty if no instance holds it; None if that cannot be seen.
        """
        found = self._dumps.connections(frozenset((port,)))
        if found is None:
            return None
        host, number = client
        own = [
            c
            for c in found
            if c.remote[1] == number and c.remote[0].removeprefix("::ffff:") == host
        ]
        if not (own and own[0].inode):
            return False, ""  # it waits; or it was accepted, and is closed by now
        for instance, inodes in self._membership.sockets(app):
            if own[0].inode in inodes:
                return True, instance.key
        return True, ""

    def census(self, app: AppRecord) -> dict[str, tuple[int, int]] | None:
        """Return how many connections, and busy ones, each instance has, by its key."""
        found = self._dumps.connections(self._ports(app))
        if found is None:
            return None
        on_paths = self._paths.of(app) or ()
        counts = {}
        for instance, inodes in self._membership.sockets(app):
            own = [c for c in found if c.inode in inodes]
            held = [each for each in on_paths if each.inode in inodes]
            busy = self._busy(instance, own) + sum(each.is_moving for each in held)
            counts[instance.key] = len(own) + len(held), busy
        return counts

    def calls(self, app: AppRecord) -> dict[str, tuple[Call, ...]] | None:
        """Return the calls to databases that each instance waits for, by its key.

        None if they cannot be seen.
        """
        ports = _outgoing_ports(app.generations)
        if not ports:
            return {}
        asked = self._dumps.outgoing(ports)
        if asked is None:
            return None
        return {
            instance.key: calls.outstanding(asked, inodes)
            for instance, inodes in self._membership.sockets(app)
        }

    def forget(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Drop what was remembered of a generation that has ended."""
        self._seen.pop((app.name, generation.number), None)
        self._judged.pop((app.name, generation.number), None)
        self._datagrams_at.pop((app.name, generation.number), None)
        self._looks.forget_generation(app.name, generation.number)
        self._dumps.finished(app.name)

    def _ports(self, app: AppRecord) -> frozenset[int]:
        ports = (each.tcp_port for each in self._listeners.of_app(app.name))
        return frozenset(port for port in ports if port is not None)


def peers(half_open: Iterable[connections.Peer]) -> set[str]:
    """Return handshakes as text, as they are kept in records."""
    return {f"{peer}" for peer in half_open}


def _note_calls(
    generation: GenerationRecord,
    instance: InstanceRecord,
    asked: tuple[connections.Connection, ...],
    inodes: frozenset[int],
) -> None:
    """Note the calls to databases that an instance waits for."""
    if not inodes:
        return  # it is ending: what it waited for before is what is cut
    own = [c for c in asked if c.remote[1] in generation.spec.outgoing]
    stop_sent_at = instance.stop_sent_at
    since_stop_s = None if stop_sent_at is None else clock.monotonic() - stop_sent_at
    found = calls.outstanding(own, inodes, since_stop_s)
    known = {(call.inode, call.turn) for call in instance.calls}
    new = [call for call in found if (call.inode, call.turn) not in known]
    if generation.role is Role.RETIRING or instance.mode is not Mode.SERVING:
        generation.calls_seen += len(new)
    if stop_sent_at is not None:
        found = calls.keep_abandoned(instance.calls, found, inodes)
    instance.calls = found


def _counted(instance: InstanceRecord) -> int:
    """Return how much an instance owes by its own counts."""
    counts = instance.counts
    return 0 if counts is None else counts.requests + counts.procedures + counts.silent


def _outgoing_ports(generations: Iterable[GenerationRecord]) -> frozenset[int]:
    return frozenset(port for g in generations for port in g.spec.outgoing)


def _is_finishing(generation: GenerationRecord) -> bool:
    if generation.role in (Role.RETIRING, Role.YIELDING):
        return True
    return any(
        i.stop_sent_at is not None or not i.leader_alive for i in generation.instances
    )
