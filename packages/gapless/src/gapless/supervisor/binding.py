"""Answer the system calls that instances wait in: bind and listen (seccomp_unotify(2))."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from gapless.base import wire
from gapless.supervisor.listeners import RefusedError, address_text
from gapless.supervisor.records import Found, find_instance

if TYPE_CHECKING:
    from gapless.supervisor.loop import Supervisor


class Binding:
    """Gives instances their sockets, and writes down on what they listen."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def bind(self, message: wire.Message, descriptors: list[int]) -> None:
        """Let an instance have the address that it wants to bind."""
        key, call = message["key"], message["id"]
        hands, listeners = self._supervisor.hands, self._supervisor.listeners
        found = self._find(key, call)
        if found is None:
            return
        app, generation, instance = found
        with socket.socket(fileno=descriptors.pop(0)) as sock:
            try:
                held = listeners.bind(
                    app.name, generation.lineage, message["host"], message["port"], sock
                )
            except RefusedError as error:
                self.complain(key, f"{error.message}. {error.hint}".strip(" ."))
                hands.answer(key, call, "fail", errno=error.number)
                return
        instance.bound.add(address_text(message["host"], message["port"]))
        if held:
            given = listeners.by_name[held]
            if given.listening:
                # A program that looks (SO_ACCEPTCONN) will not call listen again.
                instance.listens.add(given.address)
            hands.answer(key, call, "inject", held=held)
        else:
            hands.answer(key, call, "done")

    def listen(self, message: wire.Message, descriptors: list[int]) -> None:
        """Let the socket of an instance join its group."""
        key, call = message["key"], message["id"]
        hands, listeners = self._supervisor.hands, self._supervisor.listeners
        found = self._find(key, call)
        if found is None:
            return
        app, generation, instance = found
        with socket.socket(fileno=descriptors.pop(0)) as sock:
            listener = listeners.by_inode(app.name, generation.lineage, sock)
        if listener is None:
            hands.answer(key, call, "proceed")
            return
        try:
            listeners.listen(listener)
        except OSError as error:
            # Two programs may both bind; the second to listen is refused (listen(2)).
            self.complain(key, f"could not listen on {listener.address}: {error}")
            hands.answer(key, call, "fail", errno=error.errno)
            return
        if listeners.is_alone(listener):
            generation.served = True
        generation.sockets.add(listener.name)
        for each in generation.instances:
            # A program that looks (SO_ACCEPTCONN) calls listen only if nobody else has.
            if each is instance or listener.address in each.bound:
                each.listens.add(listener.address)
        hands.answer(key, call, "done")

    def _find(self, key: str, call: int) -> Found | None:
        """Return whose call it is; nobody's goes its own way."""
        found = find_instance(self._supervisor.apps, key)
        if found is None:
            self._supervisor.hands.answer(key, call, "proceed")
        return found

    def complain(self, key: str, reason: str) -> None:
        """Keep why a system call was refused, to be told with the death that follows."""
        self._supervisor.log.write("refused", key=key, reason=reason)
        found = find_instance(self._supervisor.apps, key)
        if found is not None:
            found[2].complaint = reason
