"""Apps that share an address: which socket takes the next connection there.

Each app has one lead, the socket of its generation that serves.  New connections are dealt
out at random, to each lead as often as instances accept from it.

Rule 1: who closes an address, or has nobody to accept there, gets none while others do.
Rule 2: what the relay carries for an app comes to the lead of that app, whatever else.  The
time to live of its packets names the app, and they come from the address that they go to:
another host cannot choose an app.
Where nobody accepts, what waits is let go on to the others, but for that: nobody has
seen it yet.
Rule 3: while a socket leaves the group, the last one of it gets none: it takes the place of
the one that leaves, and the kernel may not know it by its old index.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gapless.supervisor.kernel.source_buckets import SHARED_TTLS
from gapless.supervisor.sockets import steering
from gapless.supervisor.sockets.addresses import of_another_app, too_many_apps
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.steering import (
    JUMP_IF_EQUAL,
    LOAD_BYTE,
    LOAD_WORD,
    NET_OFF,
    RETURN,
    SHIFT_RIGHT,
    Instruction,
)

MOST_APPS = len(SHARED_TTLS)
"""So many apps share an address; each has a time to live of its own."""
_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM, <linux/filter.h>
_JUMP, _JUMP_IF_AT_LEAST, _MODULO = 0x05, 0x35, 0x94
_TO_X, _JUMP_IF_X = 0x07, 0x1D
_PAST = -1  # jump over all that is for what is carried


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The lead of one app."""

    index: int
    """Its place in the group."""
    number: int
    """That of its app among those of the address."""
    accepting: int = 1
    """How many instances accept from it."""
    closed: bool = False
    """It leaves, or lets no connection begin."""


def ttl_of(number: int) -> int:
    """Return the time to live of what is carried for an app."""
    return SHARED_TTLS[number]


def shares(parts: Iterable[Part], avoided: int = -1) -> list[tuple[int, int]]:
    """Return the index of each lead that gets new connections, and how many shares.

    The one at the index *avoided* gets none, unless no other can.
    """
    found = list(parts)
    for fits in (
        [p for p in found if not p.closed and p.accepting and p.index != avoided],
        [p for p in found if not p.closed and p.accepting],
        [p for p in found if not p.closed],
        found,
    ):
        if fits:
            return [(each.index, max(1, each.accepting)) for each in fits]
    return []


def choose(parts: Sequence[Part], avoided: int = -1) -> tuple[Instruction, ...]:
    """Return the program that deals new connections out to the leads."""
    found = shares(parts, avoided)
    program = _carried(parts)
    program += [(LOAD_WORD, 0, 0, _RANDOM)]
    program += [(_MODULO, 0, 0, sum(count for _, count in found))]
    until = 0
    for index, count in found[:-1]:
        until += count
        program += [(_JUMP_IF_AT_LEAST, 1, 0, until), (RETURN, 0, 0, index)]
    return (*program, (RETURN, 0, 0, found[-1][0]))


def _carried(parts: Sequence[Part]) -> list[Instruction]:
    """Return what chooses for connections that the relay carries; others go on after it.

    IPv4 comes to a dual-stack socket with its own header.
    """
    v6 = [*_from_here(8, words=4), (LOAD_BYTE, 0, 0, NET_OFF + 7)]
    v4 = [*_from_here(12, words=1), (LOAD_BYTE, 0, 0, NET_OFF + 8)]
    v4 += [(_JUMP, 0, 0, len(v6))]
    program = [(LOAD_BYTE, 0, 0, NET_OFF), (SHIFT_RIGHT, 0, 0, 4)]
    program += [(JUMP_IF_EQUAL, 0, len(v4), 4), *v4, *v6]
    for each in parts:
        program += [(JUMP_IF_EQUAL, 0, 1, ttl_of(each.number))]
        program += [(RETURN, 0, 0, each.index)]
    return [
        (code, true, len(program) - place - 1 if false == _PAST else false, constant)
        for place, (code, true, false, constant) in enumerate(program)
    ]


def _from_here(source_at: int, *, words: int) -> list[Instruction]:
    """Return what goes on if a packet comes from the address that it goes to."""
    found: list[Instruction] = []
    for offset in range(NET_OFF + source_at, NET_OFF + source_at + 4 * words, 4):
        found += [(LOAD_WORD, 0, 0, offset), (_TO_X, 0, 0, 0)]
        found += [(LOAD_WORD, 0, 0, offset + 4 * words), (_JUMP_IF_X, 0, _PAST, 0)]
    return found


class Leads:
    """Of each address that apps may share: which socket takes the part of each app.

    An app that has never served at an address has none there, and gets no connection.
    """

    def __init__(self, listeners: Mapping[str, Listener]) -> None:
        self._listeners = listeners
        self._names: dict[str, dict[str, str]] = {}

    def set(self, listener: Listener) -> None:
        """Let a socket take the part of its app."""
        if listener.shared_as:
            names = self._names.setdefault(listener.group, {})
            names[listener.app] = listener.name
            for name in names.values() if len(names) > 1 else ():
                if (each := self._listeners.get(name)) is not None:
                    steering.save_syn(each.sock)
        else:
            self._names.pop(listener.group, None)  # no other app is there

    def of(self, group: str) -> dict[str, str]:
        """Return the names of the sockets at an address, by app."""
        return self._names.get(group, {})

    def sockets(self, group: str) -> list[Listener]:
        """Return the sockets that have a part of an address."""
        found = (self._listeners.get(name) for name in self.of(group).values())
        return [each for each in found if each is not None]

    def are_several(self, group: str) -> bool:
        """Return whether apps share an address now."""
        return len(self.of(group)) > 1

    def are_left_to_others(self, listener: Listener) -> bool:
        """Return whether a socket has a part, and those of other apps take connections."""
        names = self.of(listener.group)
        return names.get(listener.app) == listener.name and any(
            each.app != listener.app and each.accepting and not _is_closed(each)
            for each in self.sockets(listener.group)
        )

    def leave(self, listener: Listener) -> None:
        """Forget a socket that was closed."""
        names = self.of(listener.group)
        if names.get(listener.app) == listener.name:
            del names[listener.app]
        if not names:
            self._names.pop(listener.group, None)

    def program(self, group: str, order: Sequence[str]) -> tuple[Instruction, ...]:
        """Return the program for an address whose sockets stand in this *order*."""
        members = (self._listeners.get(name) for name in order)
        leaves = any(each is not None and each.leaving for each in members)
        parts = [
            Part(
                index=order.index(each.name),
                number=each.number,
                accepting=each.accepting,
                closed=_is_closed(each),
            )
            for each in self.sockets(group)
            if each.name in order
        ]
        return choose(parts, avoided=len(order) - 1 if leaves else -1)

    def adopt(self, order: Sequence[str], noted: object) -> None:
        """Restore what was noted of an address whose sockets stand in this *order*.

        A socket that is not there any more, as that of `Listeners.quiesce` when all of
        gapless has died, is followed by the last one of its app that stays.
        """
        members = [self._listeners[name] for name in order]
        for app, name in noted.items() if isinstance(noted, dict) else ():
            own = [each for each in members if each.app == app]
            stay = [e for e in own if not (e.leaving or e.shut)]
            for lead in [e for e in own if e.name == name] or stay[-1:]:
                self.set(lead)


def _is_closed(lead: Listener) -> bool:
    """Return whether a lead gets no new connections while others can."""
    return lead.shut or lead.leaving or lead.quiesced


def check(
    related: Collection[Listener],
    app: str,
    group: str,
    sock: socket.socket,
    shared_as: str,
) -> None:
    """Raise RefusedError if another app has an address, or a part, and does not share it.

    *related* has all sockets that get connections to it.
    """
    others = [each for each in related if each.app != app]
    kept = {e.app for e in others if not _may_share(e, group, sock, shared_as)}
    if kept:
        raise of_another_app(app, group, ", ".join(sorted(kept)))


def number_at(port: int, every: Iterable[Listener], app: str, shared_as: str) -> int:
    """Return the number of an app among those that share a port, at any of its addresses.

    The relay knows a connection by its port alone.  Raises RefusedError.
    """
    if not shared_as:
        return 0
    found = [each for each in every if each.shared_as and each.tcp_port == port]
    own = [each.number for each in found if each.app == app]
    taken = {each.number for each in found if each.app != app}
    free = [number for number in range(MOST_APPS) if number not in taken]
    if not (own or free):
        raise too_many_apps(app, port, MOST_APPS)
    return (own or free)[0]


def _may_share(one: Listener, group: str, sock: socket.socket, shared_as: str) -> bool:
    """Return whether a socket may be bound where *one* of another app is.

    A part of an address is not shared: the kernel prefers the narrower socket.  And it puts
    sockets of one user into a group only.
    """
    mine, theirs = (os.fstat(each.fileno()).st_uid for each in (sock, one.sock))
    return one.group == group and mine == theirs and one.shared_as == shared_as != ""
