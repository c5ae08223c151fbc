"""Look at what the kernel knows of generations that finish: queues, sockets, processes.

A look costs milliseconds, so it is taken only while something is finishing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from gapless.base import clock
from gapless.supervisor import connections, outgoing, processes
from gapless.supervisor.listeners import Listeners
from gapless.supervisor.model import Mode, Phase, Role
from gapless.supervisor.outgoing import Call
from gapless.supervisor.records import AppRecord, GenerationRecord, InstanceRecord

VARIABLE = "GAPLESS_INSTANCE"
Place = tuple[str, int]


class Evidence:
    """Takes looks; remembers which connections it has seen."""

    def __init__(
        self, listeners: Listeners, speaking: Callable[[str], frozenset[int]]
    ) -> None:
        self._listeners, self._speaking = listeners, speaking
        self.keeper_pid = 0
        self._diag = connections.SockDiag()
        self._seen: dict[tuple[str, int], set[tuple[str, int]]] = {}
        self._received: dict[str, dict[tuple[Place, Place], int]] = {}
        """By app: how many bytes each connection had brought, while it leaves."""

    def look(self, app: AppRecord) -> None:
        """Update the records of everything in *app* that is finishing."""
        self._look_for_arrivals(app)
        finishing = [g for g in app.generations if _is_finishing(g)]
        if not finishing:
            return
        table = processes.snapshot()
        for generation in finishing:
            for instance in generation.instances:
                instance.members = self.count_members(table, generation, instance)
        leaving = (Role.RETIRING, Role.YIELDING)
        watched = [g for g in finishing if g.role in leaving and g.served]
        if watched:
            self._look_at_connections(app, watched, table)
        others = [g for g in finishing if g.spec.outgoing and not g.served]
        if others:
            self._look_at_calls(others, table)

    def _look_at_calls(
        self, unserved: list[GenerationRecord], table: dict[int, processes.Process]
    ) -> None:
        """Look at what never served: it owes no answer, but may have begun procedures."""
        asked = self._diag.outgoing(_outgoing_ports(unserved))
        for generation in unserved:
            for instance in generation.instances:
                inodes = processes.socket_inodes(self.members(table, instance))
                self._note_calls(generation, instance, asked, inodes)
            calls = sum(len(instance.calls) for instance in generation.instances)
            generation.quiet_looks = 0 if calls else generation.quiet_looks + 1

    def _look_at_connections(
        self,
        app: AppRecord,
        watched: list[GenerationRecord],
        table: dict[int, processes.Process],
    ) -> None:
        ports = self._ports(app)
        found, handshaking = self._diag.incoming(ports)
        half_open = peers(handshaking)
        asked = self._diag.outgoing(_outgoing_ports(watched))
        for generation in watched:
            generation.lively = 0
            seen = self._seen.setdefault((app.name, generation.number), set())
            for instance in generation.instances:
                inodes = processes.socket_inodes(self.members(table, instance))
                if not inodes:
                    # It is ending, and what was owed before is what is cut; or it never
                    # had a socket, and owes nothing.
                    owes = instance.busy or instance.calls
                    instance.quiet_looks = 0 if owes else instance.quiet_looks + 1
                    continue
                own = [c for c in found if c.inode in inodes]
                instance.connections = len(own)
                instance.busy = self._busy(instance, own)
                self._note_calls(generation, instance, asked, inodes)
                owes = instance.busy or instance.calls
                instance.quiet_looks = 0 if owes else instance.quiet_looks + 1
                if instance.counts is not None:
                    generation.lively += sum(map(connections.is_lively, own))
                seen.update(c.remote for c in own)
            generation.connections_seen = len(seen)
            generation.queued = self.queued(app, generation)
            generation.handshakes &= half_open
            busy = generation.queued + len(generation.handshakes)
            busy += sum(i.busy + len(i.calls) for i in generation.instances)
            generation.quiet_looks = 0 if busy else generation.quiet_looks + 1

    def _look_for_arrivals(self, app: AppRecord) -> None:
        """Notice what comes while the balancer goes elsewhere, for who does not count.

        A connection that is new or that brought more bytes is taken for a request.  One
        that came and went between two looks is not seen.
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
        found = self._diag.connections(self._ports(app))
        received = {(c.local, c.remote): c.bytes_received for c in found}
        before = self._received.get(app.name, {})
        self._received[app.name] = received
        if any(count > before.get(pair, -1) for pair, count in received.items()):
            now = clock.monotonic()
            for instance in leaving:
                instance.arrived_at = now

    def _note_calls(
        self,
        generation: GenerationRecord,
        instance: InstanceRecord,
        asked: tuple[connections.Connection, ...],
        inodes: frozenset[int],
    ) -> None:
        """Write down what an instance has asked of others and waits for."""
        if not inodes:
            return  # it is ending: what it waited for before is what is cut
        ports = generation.spec.outgoing
        own = [c for c in asked if c.remote[1] in ports]
        told = instance.told
        since_stop_s = None if told is None else clock.monotonic() - told
        calls = outgoing.outstanding(own, inodes, since_stop_s)
        known = {(call.inode, call.turn) for call in instance.calls}
        new = [call for call in calls if (call.inode, call.turn) not in known]
        if generation.role is Role.RETIRING or instance.mode is not Mode.SERVING:
            generation.calls_seen += len(new)
        if told is not None:
            calls = outgoing.keep_given_up(instance.calls, calls, inodes)
        instance.calls = calls

    def _busy(
        self,
        instance: InstanceRecord,
        own: list[connections.Connection],
    ) -> int:
        """Return how much an instance owes: as it counts, else as the kernel sees it.

        Of processes that count, the kernel is only asked what they cannot count yet.
        """
        if instance.counts is None:
            return sum(map(connections.is_busy, own))
        speaking = self._speaking(instance.key)
        counted = processes.socket_inodes(tuple(speaking))
        others = [c for c in own if c.inode not in counted]
        unserved = sum(connections.is_unserved(c) for c in own if c.inode in counted)
        counts = instance.counts
        total = counts.requests + counts.procedures + counts.silent + unserved
        by_kernel = sum(map(connections.is_busy, others))
        # Who counts HTTP only is asked for it by both ways.
        return max(total, by_kernel) if counts.unable else total + by_kernel

    def look_for_acceptors(self, app: AppRecord, now: float) -> bool:
        """Update who accepts from a socket that was given to it; tell whether to go on.

        There is no call to `listen` to wait for: evidence is an epoll set that watches
        the socket.  A program that uses none counts once it has lived long enough.
        """
        waiting = False
        for generation in app.generations:
            given = set(generation.spec.listen)
            for instance in generation.instances:
                if (
                    not given
                    or instance.phase is not Phase.STARTING
                    or not instance.pid
                ):
                    continue
                pids = self.members(processes.snapshot(), instance)
                old = now >= instance.started + generation.spec.restart.min_uptime_s
                for listener in self._listeners.of(app.name, generation.lineage):
                    inode = os.fstat(listener.sock.fileno()).st_ino
                    if old or processes.listens_by_epoll(pids, inode):
                        instance.listens.add(listener.address)
                waiting |= not instance.listens >= given
        return waiting

    def queued(self, app: AppRecord, generation: GenerationRecord) -> int:
        """Return how many connections wait to be accepted by a generation."""
        own = self._listeners.of(app.name, generation.lineage)
        return sum(connections.queued(each.sock) for each in own if each.listening)

    def handshakes(self, app: AppRecord) -> set[str]:
        """Return the peers whose handshake with an app is under way."""
        return peers(self._diag.half_open(self._ports(app)))

    def census(self, app: AppRecord) -> dict[str, tuple[int, int]]:
        """Return connections and busy ones of every instance, by key."""
        found = self._diag.connections(self._ports(app))
        counts = {}
        for instance, inodes in self._sockets(app):
            own = [c for c in found if c.inode in inodes]
            counts[instance.key] = len(own), self._busy(instance, own)
        return counts

    def calls(self, app: AppRecord) -> dict[str, tuple[Call, ...]]:
        """Return what every instance waits for from others, by key."""
        ports = _outgoing_ports(app.generations)
        if not ports:
            return {}
        asked = self._diag.outgoing(ports)
        return {
            instance.key: outgoing.outstanding(asked, inodes)
            for instance, inodes in self._sockets(app)
        }

    def _sockets(
        self, app: AppRecord
    ) -> Iterator[tuple[InstanceRecord, frozenset[int]]]:
        """Yield every instance of an app with the inodes of its sockets."""
        table = processes.snapshot()
        for generation in app.generations:
            for instance in generation.instances:
                yield instance, processes.socket_inodes(self.members(table, instance))

    def count_members(
        self,
        table: dict[int, processes.Process],
        generation: GenerationRecord,
        instance: InstanceRecord,
    ) -> int:
        """Return how many processes have to end before an instance has ended."""
        if not (instance.leader_alive or generation.spec.stop.tree):
            return 0  # what it started may live on
        return len(self.members(table, instance))

    def members(
        self, table: dict[int, processes.Process], instance: InstanceRecord
    ) -> tuple[int, ...]:
        """Return the living processes of an instance."""
        return members(table, instance, self.keeper_pid)

    def forget(self, app: AppRecord, generation: GenerationRecord) -> None:
        """Drop what was remembered of a generation that is over."""
        self._seen.pop((app.name, generation.number), None)

    def _ports(self, app: AppRecord) -> frozenset[int]:
        own = self._listeners.by_name.values()
        return frozenset(each.port for each in own if each.app == app.name)


def members(
    table: dict[int, processes.Process], instance: InstanceRecord, keeper_pid: int
) -> tuple[int, ...]:
    """Return the living processes of an instance: its leader's tree and its orphans.

    The number of a leader that is gone is not followed: it may be somebody else's.
    What left the tree and its session became a child of the keeper, and says in its
    environment whose it is.
    """
    leader = instance.pid if instance.leader_alive else 0
    found = set(processes.tree(table, leader, session=instance.pid))
    for pid, process in table.items():
        stray = process.parent == keeper_pid and pid not in found
        if stray and processes.belongs(pid, VARIABLE, instance.key):
            found |= set(processes.tree(table, pid, session=0))
    return tuple(sorted(pid for pid in found if table[pid].state != "Z"))


def peers(half_open: frozenset[connections.Peer]) -> set[str]:
    """Return handshakes as text, as they are kept in records."""
    return {f"{peer}" for peer in half_open}


def _outgoing_ports(generations: Iterable[GenerationRecord]) -> frozenset[int]:
    return frozenset(port for g in generations for port in g.spec.outgoing)


def _is_finishing(generation: GenerationRecord) -> bool:
    if generation.role in (Role.RETIRING, Role.YIELDING):
        return True
    return any(i.told is not None or not i.leader_alive for i in generation.instances)
