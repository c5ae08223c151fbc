"""SO_REUSEPORT groups: their sockets in order, and which one takes new connections.

Rule 1: before a socket joins a group that is not empty, the group is told to go on sending
new connections where they go.
Rule 2: a socket that leaves may move another one: the group is steered again at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Mapping
from typing import Any

from gapless.base import clock
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.sockets import affinity, steering
from gapless.supervisor.sockets.addresses import (
    copy_of,
    copy_reach,
    copy_v6only,
    give_owner,
    has_peer,
    inode_of,
    share_address,
)
from gapless.supervisor.sockets.listener import Listener
from gapless.supervisor.sockets.parts import Leads
from gapless.supervisor.sockets.unix import place
from gapless.supervisor.sockets.unix.place import Place

REMOVED_S = 2.0
"""Who removes a path binds it within this time."""


class Groups:
    """Every group of this host's apps, by address."""

    def __init__(
        self, keeper: KeeperConnection, listeners: Mapping[str, Listener]
    ) -> None:
        self._keeper, self._listeners = keeper, listeners
        self.orders: dict[str, steering.Group] = {}
        self.steered: dict[str, str] = {}
        """Which socket of a group takes the new connections; "" for none.

        If it is one of a seat, all of its generation do: see `takers`.
        """
        self.leads = Leads(listeners)
        self._changes: dict[str, int] = {}
        """How often a group has changed: of two notes the later one is known by it."""
        self._probes: dict[str, dict[str, tuple[str, int]]] = {}
        """By group and socket: the address and port of a probe that goes there."""
        self.hidden: dict[str, str] = {}
        """From which socket a path was taken that nobody has now."""
        self._restored: dict[str, float] = {}
        """When a path was put back that somebody had removed."""
        self._moved: set[str] = set()
        """Paths that a program binds and renames then: gapless leaves them alone."""

    def join(self, listener: Listener, backlog: int) -> None:
        """Let a bound socket listen; it takes no connection before `steer`.

        Raises OSError.
        """
        self.prepare(listener.group)
        order = self.orders.get(listener.group, steering.Group(()))
        if not listener.datagrams:
            listener.sock.listen(backlog)
        listener.listening = True
        self.orders[listener.group] = order.joined(listener.name)
        self.steered.setdefault(listener.group, listener.name)
        if listener.seat is not None and self.takes_connections(listener):
            self._attach(listener.group)  # one seat more

    def prepare(self, group: str) -> None:
        """Let new connections go where they go when one more socket joins a group."""
        if self.orders.get(group, steering.Group(())).order:
            self._attach(group)

    def steer(self, listener: Listener) -> None:
        """Send every new connection of a group to one of its sockets.  Raises OSError."""
        self.steered[listener.group] = listener.name
        self.hidden.pop(listener.group, None)
        self.leads.set(listener)
        self._attach(listener.group)
        self.note(listener.group)
        if listener.place is not None:
            self._put(listener.group, listener.place)  # it has been, unless that fails

    def lead_of(self, listener: Listener) -> Listener | None:
        """Return the socket that takes the connections of an address for an app."""
        name = self.steered.get(listener.group, "")
        if listener.shared_as and (leads := self.leads.of(listener.group)):
            name = leads.get(listener.app, "")
        found = self._listeners.get(name)
        if found is not None and listener.shared_as and found.app != listener.app:
            return None  # the trial of another app was there first
        return found

    def has_its_part(self, listener: Listener) -> bool:
        """Return whether a socket need not be steered to get what its app is to get.

        Alone at an address that apps share it has all before it is steered, and loses them
        to the first one that is.
        """
        if not listener.shared_as:
            return self.takes_connections(listener)
        lead = self.leads.of(listener.group).get(listener.app)
        return lead == listener.name and not listener.quiesced

    def take_parts(self, app: str, generation: int) -> None:
        """Let a generation that serves have its parts, where its app has none yet.

        Raises OSError.
        """
        for each in list(self._listeners.values()):
            own = (each.app, each.generation) == (app, generation) and each.shared_as
            there = each.listening and not (each.shut or each.leaving)
            if own and there and app not in self.leads.of(each.group):
                self.steer(each)

    def closed_beside(self, listener: Listener) -> Listener:
        """Return a socket of the same address that lets no connection begin.

        Raises OSError.
        """
        host, _, port = listener.address.removeprefix("udp:").rpartition(":")
        with socket.socket(listener.sock.family, listener.sock.type) as sock:
            copy_v6only(listener.sock, sock)
            copy_reach(listener.sock, sock)
            share_address(sock)
            give_owner(listener.sock, sock)
            if listener.datagrams:
                self.prepare(listener.group)
            else:
                steering.drop_syn(sock)
            sock.bind((host.strip("[]"), int(port)))
            return Listener(
                # Unlike that of an earlier one, which may not have left yet.
                name=f"{listener.name} shut {inode_of(sock)}",
                app=listener.app,
                generation=listener.generation,
                address=listener.address,
                group=listener.group,
                sock=copy_of(sock),
                shut=True,
                shared_as=listener.shared_as,
                number=listener.number,
            )

    def hide(self, listener: Listener) -> None:
        """Let no connection begin on a path."""
        assert listener.place is not None
        self.steered[listener.group] = ""
        self.hidden[listener.group] = listener.name
        self.note(listener.group)
        place.take_away(listener.place)

    def restore(self, group: str) -> None:
        """Let a path be there again, if somebody has removed it."""
        there = os.path.lexists(group.removeprefix("unix:"))
        if not there and self.orders.get(group) and not self._is_moved(group):
            self._restored[group] = clock.monotonic()
            self._attach(group)

    def settle(self, leaving: Listener) -> None:
        """Let a path name the socket that is to have it, before another one goes."""
        group = leaving.group
        if group in self.orders and not self.takes_connections(leaving):
            self._attach(group)

    def was_removed(self, group: str) -> bool:
        """Return whether somebody removes, or has just removed, a path."""
        if not os.path.lexists(group.removeprefix("unix:")):
            return True
        return clock.monotonic() < self._restored.get(group, -REMOVED_S) + REMOVED_S

    def takes_connections(self, listener: Listener) -> bool:
        """Return whether new connections of an address come to this socket."""
        if listener.shared_as and (leads := self.leads.of(listener.group)):
            return leads.get(listener.app) == listener.name
        steered = self.steered.get(listener.group)
        if listener.seat is None or not steered:
            return steered == listener.name
        return any(each is listener for each in self.takers(listener.group))

    def takers(self, group: str) -> list[Listener]:
        """Return the sockets that share the new connections of an address, by seat."""
        lead = self._listeners.get(self.steered.get(group, ""))
        if lead is None:
            return []
        if lead.seat is None:
            return [lead]
        every = (self._listeners.get(name) for name in self.orders[group].order)
        found = [
            each
            for each in every
            if each is not None
            and each.seat is not None
            and (each.app, each.generation) == (lead.app, lead.generation)
            and not (each.leaving or each.shut)
        ]
        return sorted(found, key=lambda each: each.seat or 0) or [lead]

    def set_vacant(self, vacant: Mapping[str, bool]) -> None:
        """Note in which seats nobody accepts: their addresses go to the others meanwhile.

        *vacant* is by the names of sockets.  Raises OSError.
        """
        changed = set()
        for name, empty in vacant.items():
            listener = self._listeners[name]
            if listener.vacant != empty:
                listener.vacant = empty
                changed.add(listener.group)
        for group in changed & self.orders.keys():
            self._attach(group)

    def set_accepting(self, listener: Listener, count: int) -> None:
        """Note how many instances accept from a socket: so large is its part."""
        before, listener.accepting = listener.accepting, count
        if before != count and self.leads.are_several(listener.group):
            self._attach(listener.group)

    def has_to_wait(self, listener: Listener) -> bool:
        """Return whether a socket that is to leave its group has to wait.

        Which place of the group each socket has follows from the order in which others
        left.  Of two that were let go when this process died nobody knows it, so where
        several sockets take connections they leave one by one.
        """
        order = self.orders.get(listener.group, steering.Group(()))
        found = (self._listeners.get(name) for name in order.order)
        several = listener.seat is not None or listener.shared_as
        return self.must_stay(listener) or bool(
            several
            and any(e is not None and e.released and e is not listener for e in found)
        )

    def must_stay(self, listener: Listener) -> bool:
        """Return whether a socket may not leave its group yet, though nobody needs it.

        The last one of the group takes the place of one that leaves.  Were that one that
        takes connections, they would come elsewhere until the group is steered again: to
        another seat, or to a socket that nobody accepts from.
        """
        order = self.orders.get(listener.group, steering.Group(()))
        found = (self._listeners.get(name) for name in order.order)
        members = [each for each in found if each is not None]
        if listener not in members or all(each.seat is None for each in members):
            return False
        takers = {e.name for e in self.takers(listener.group) if not e.leaving}
        if not takers:
            return False
        others = [each for each in members if each is not listener]
        for each in (*(e for e in others if e.leaving and not e.parked), listener):
            if each.name != order.order[-1] and order.order[-1] in takers:
                return True
            order = order.left(each.name)
        return False

    def leave(self, listener: Listener) -> None:
        """Forget a socket that was closed, and steer the others again."""
        group = listener.group
        order = self.orders.get(group)
        if order is None or listener.name not in order.order:
            return
        self.orders[group] = order.left(listener.name)
        self._probes.get(group, {}).pop(listener.name, None)
        self.leads.leave(listener)
        if self.orders[group].order:
            if self.steered[group] == listener.name:
                self._follow(group, listener)
            self._attach(group)
        else:
            del self.orders[group]
            del self.steered[group]
            self._restored.pop(group, None)
            self._moved.discard(group)
            self.hidden.pop(group, None)
            self._probes.pop(group, None)
        self.note(group)
        if group not in self.orders:
            self._changes.pop(group, None)

    def _heir(self, left: tuple[str, ...], gone: Listener | None = None) -> str:
        """Return which socket takes the connections of one that is gone."""
        whose = gone and (gone.app, gone.generation)
        known = [self._listeners[name] for name in left if name in self._listeners]
        stay = [each for each in known if not (each.leaving or each.shut)]
        same = [
            e for e in stay if e.seat is not None and (e.app, e.generation) == whose
        ]
        return [*left, *(e.name for e in stay[-1:]), *(e.name for e in same)][-1]

    # --- probes -----------------------------------------------------------------------

    def attach_probe(self, listener: Listener, host: str, port: int) -> None:
        """Send connections from one source address and port to one socket."""
        if listener.place is not None:
            return  # it is asked by its own name
        self._probes.setdefault(listener.group, {})[listener.name] = host, port
        self._attach(listener.group)

    def detach_probe(self, listener: Listener) -> None:
        """Undo `attach_probe`."""
        self._probes.get(listener.group, {}).pop(listener.name, None)
        if self.orders.get(listener.group):
            self._attach(listener.group)

    def _attach(self, group: str) -> None:
        self._forget_shut_down(group)
        order = self.orders[group]
        target = self.steered[group]
        if target in self._listeners and target in order.order:
            if (its_place := self._listeners[target].place) is not None:
                with contextlib.suppress(OSError):  # its directory is gone, perhaps
                    self._put(group, its_place)
                return
            if self._listeners[target].datagrams and has_peer(
                self._listeners[target].sock
            ):
                return  # connect(2) took it out of its group: it hears of one peer alone
            program = self._aims(group) + self._choice(group, target)
            steering.attach(self._listeners[target].sock, program)

    def _forget_shut_down(self, group: str) -> None:
        """Forget which sockets an app has shut down: the kernel took them out.

        Where apps share an address, the others would be steered by wrong places else.
        """
        names = self.orders[group].order
        members = [e for name in names if (e := self._listeners.get(name)) is not None]
        if all(each.app == members[0].app for each in members):
            return
        for each in members:
            if _listens(each) or len(self.orders[group].order) == 1:
                continue
            each.listening = False  # it may listen again
            self.orders[group] = self.orders[group].left(each.name)
            self._probes.get(group, {}).pop(each.name, None)
            self.leads.leave(each)
            if self.steered[group] == each.name:
                self._follow(group, each)
            self.note(group)

    def _follow(self, group: str, gone: Listener) -> None:
        """Let another socket of a group be the steered one in place of one that is gone."""
        left = self.orders[group].order
        leads = [each for each in self.leads.of(group).values() if each in left]
        self.steered[group] = (leads or [self._heir(left, gone)])[0]

    def _aims(self, group: str) -> tuple[steering.Instruction, ...]:
        """Return the part of a group's program that is for its probes."""
        order, found = self.orders[group], self._probes.get(group, {})
        probes = [
            steering.Probe(host, port, order.index(name))
            for name, (host, port) in found.items()
            if name in order.order
        ]
        return tuple(each for probe in probes for each in steering.aimed(probe))

    def _choice(self, group: str, target: str) -> tuple[steering.Instruction, ...]:
        """Return the part of a group's program that is for all connections."""
        order, takers = self.orders[group], self.takers(group)
        if self.leads.are_several(group):
            return self.leads.program(group, order.order)
        if len(takers) == 1:
            target = takers[0].name
        if len(takers) <= 1:
            return steering.steer_to(order.index(target))
        indices = [order.index(each.name) for each in takers]
        return affinity.choose(indices, [not each.vacant for each in takers])

    def _put(self, group: str, its_place: Place) -> None:
        """Let a path name a socket, unless its program sees to that.  Raises OSError."""
        if not self._is_moved(group):
            place.put(its_place, self._places(group))
        elif not place.is_at_path(its_place) and not place.has_another_name(its_place):
            raise OSError(
                errno.ENOENT,
                "the program renames its socket, and this one has been replaced",
                its_place.path,
            )

    def _is_moved(self, group: str) -> bool:
        if group not in self._moved and place.are_moved(self._places(group)):
            self._moved.add(group)
        return group in self._moved

    def _places(self, group: str) -> list[Place]:
        """Return where the sockets of a path are."""
        own = (each for each in self._listeners.values() if each.group == group)
        return [each.place for each in own if each.place is not None]

    # --- what outlives the supervisor -------------------------------------------------

    def note(self, group: str) -> None:
        """Let the keeper remember the order of a group."""
        self._changes[group] = self._changes.get(group, 0) + 1
        self._keeper.note(f"group/{group}", self.value(group))

    def value(self, group: str) -> dict[str, object] | None:
        """Return what is remembered of a group; None if there is none."""
        order = self.orders.get(group)
        if order is None:
            return None
        return {
            "order": list(order.order),
            "steered": self.steered[group],
            "hidden": self.hidden.get(group, ""),
            "leads": dict(self.leads.of(group)),
            "changes": self._changes.get(group, 0),
        }

    def adopt(self, notes: Mapping[str, Mapping[str, object]]) -> None:
        """Restore the order of the groups, and steer them again.

        An earlier supervisor may have died between a join or a leave and its note: a
        socket that listens and is not in the order joined last; one that is in the order
        and is not held any more has left.
        """
        for listener in self._listeners.values():
            note = notes.get(listener.group, {})
            recorded = note.get("order", [])
            if listener.group not in self.orders and isinstance(recorded, list):
                order = steering.Group(tuple(recorded))
                for name in recorded:
                    if name not in self._listeners:
                        order = order.left(name)
                self.orders[listener.group] = order
                self.steered[listener.group] = str(note.get("steered", listener.name))
                self.hidden[listener.group] = str(note.get("hidden", ""))
                self._changes[listener.group] = _changes(note)
            order = self.orders[listener.group]
            if listener.listening and listener.name not in order.order:
                self.orders[listener.group] = order.joined(listener.name)
        for name, order in self.orders.items():
            if order.order:
                self.leads.adopt(order.order, notes.get(name, {}).get("leads"))
                hidden = not self.steered[name]  # a path that is to stay away
                if self.steered[name] not in order.order and not hidden:
                    self.steered[name] = self._heir(order.order)
                self._attach(name)


def _listens(listener: Listener) -> bool:
    """Return whether the kernel has a socket in its group."""
    if listener.datagrams:
        return True
    return bool(listener.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def later(notes: dict[str, Any], others: Mapping[str, Any]) -> None:
    """Add other notes of groups; of two about one group the later one is kept.

    Each app that shares an address has noted how its group was when it changed itself.
    """
    for group, note in others.items():
        if isinstance(note, dict) and _changes(note) >= _changes(notes.get(group, {})):
            notes[group] = note


def _changes(note: Mapping[str, object]) -> int:
    """Return how often a group had changed when it was noted."""
    found = note.get("changes")
    return found if isinstance(found, int) else 0
