"""Answer balancers about the apps of this host: one loop, which never waits for a client.

Rule 1: a connection has `CONNECTION_S` for its request, however its bytes come.
Rule 2: at most `MOST` requests may be incomplete.  One more, and the oldest of the source
that has most of them is closed, so that no source keeps another from its answer.
Rule 3: a request that has come is answered, at the latest when the supervisor had its time
(`AppListing`); with the last list if need be.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import threading
from collections.abc import Callable, Sequence

from gapless.agent.app_listing import AppListing
from gapless.agent.health import answer, sockets
from gapless.agent.health.askers import AllowedAskers, Unfinished, source_of
from gapless.base import clock

CONNECTION_S = 1.0
MOST = 256
MOST_WAITING = 256
ACCEPTED_AT_ONCE = 64
"""Then those are heard that are there already."""
RETRY_S = 0.2
"""How long no connection is accepted when no descriptor is free."""
MOST_REFUSALS_TOLD = 16
_READ_BYTES = 4096
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class _Connection:
    """One connection, whose request has not come yet or waits for a list."""

    def __init__(self, sock: socket.socket, source: str) -> None:
        self.sock, self.source = sock, source
        self.until = clock.monotonic() + CONNECTION_S
        self.head = bytearray()
        self.request = ("", "")


class HealthEndpoint:
    """Answers balancers on some addresses, until closed."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        apps: Sequence[str],
        listing: AppListing,
        *,
        allowed: AllowedAskers | None = None,
        complain: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Answer on sockets that listen; `sockets.listen` makes them.

        *complain* is told, once for each address, who asked and may not.
        """
        self._apps, self._listing, self._listeners = tuple(apps), listing, listeners
        self._allowed, self._complain = allowed or AllowedAskers(()), complain
        self._told: set[str] = set()
        self._unfinished = Unfinished[_Connection]()
        self._reading: dict[_Connection, None] = {}
        """Those whose request has not come, the oldest first: its time ends first."""
        self._waiting: dict[_Connection, float] = {}
        """Until when those wait for a list whose request has come, the oldest first."""
        self._accept_at = 0.0
        """When connections are accepted again; 0: they are accepted now."""
        self._is_closing = False
        self._selector = selectors.DefaultSelector()
        self._wake_end, self._woken_end = socket.socketpair()
        self._wake_end.setblocking(False)
        self._woken_end.setblocking(False)
        self._selector.register(self._woken_end, selectors.EVENT_READ)
        self._listen()
        listing.on_answer(self._wake)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._listeners[0].getsockname()[1])

    @property
    def is_running(self) -> bool:
        """Whether it answers."""
        return self._thread.is_alive()

    def __str__(self) -> str:
        """Return the addresses on which it listens."""
        return sockets.shown(self._listeners)

    def close(self) -> None:
        """Stop listening; requests under way are answered."""
        self._is_closing = True
        self._wake()
        self._thread.join()
        self._selector.close()
        for sock in (*self._listeners, self._wake_end, self._woken_end):
            sock.close()

    # --- the loop -----------------------------------------------------------------------

    def _run(self) -> None:
        while not (self._is_closing and not self._reading and not self._waiting):
            for key, _ in self._selector.select(self._pause_s()):
                if key.fileobj is self._woken_end:
                    self._take_wake()
                elif isinstance(key.data, _Connection):
                    self._read(key.data)
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._accept(key.fileobj)
            self._end_what_is_late()
            if self._is_closing or 0 < self._accept_at <= clock.monotonic():
                self._listen()

    def _pause_s(self) -> float | None:
        """Return how long nothing has to be done, if no byte comes; None: for ever."""
        ends = [next(iter(self._waiting.values()))] if self._waiting else []
        if self._reading:
            ends.append(next(iter(self._reading)).until)
        if self._accept_at:
            ends.append(self._accept_at)
        return max(0.0, min(ends) - clock.monotonic()) if ends else None

    def _end_what_is_late(self) -> None:
        now = clock.monotonic()
        while self._reading and (late := next(iter(self._reading))).until <= now:
            self._close(late)
        while self._waiting and next(iter(self._waiting.values())) <= now:
            self._answer(next(iter(self._waiting)))

    def _listen(self, *, pause_s: float = 0.0) -> None:
        """Accept connections, or none for a while, or none any more."""
        self._accept_at = clock.monotonic() + pause_s if pause_s else 0.0
        is_open = not (pause_s or self._is_closing)
        registered = self._selector.get_map()
        for sock in self._listeners:
            if is_open and sock not in registered:
                self._selector.register(sock, selectors.EVENT_READ)
            elif not is_open and sock in registered:
                self._selector.unregister(sock)

    # --- connections --------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, name = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR:
                    if self._unfinished:
                        self._close(self._unfinished.first_out())
                    self._listen(pause_s=RETRY_S)
                    return
                continue  # it was closed before it was accepted
            host = str(name[0])
            if not self._allowed.allow(host):
                sock.close()
                self._tell_refusal(host)
                continue
            self._admit(sock, host)

    def _admit(self, sock: socket.socket, host: str) -> None:
        sock.setblocking(False)
        connection = _Connection(sock, source_of(host))
        self._reading[connection] = None
        self._unfinished.add(connection.source, connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)
        # A balancer's request is here already, or comes in a moment.
        self._read(connection)
        if len(self._unfinished) > MOST:
            self._close(self._unfinished.first_out())

    def _read(self, connection: _Connection) -> None:
        if connection not in self._reading:
            return  # it was closed after the selector had reported it
        before = len(connection.head)
        try:
            piece = connection.sock.recv(_READ_BYTES)
            if not piece:
                raise ValueError("it hung up")
            connection.head += piece
            if answer.is_whole(connection.head, before):
                connection.request = answer.request_of(connection.head)
                self._wait(connection)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            self._close(connection)

    def _wait(self, connection: _Connection) -> None:
        """Answer a request, now or when the supervisor has listed its apps."""
        self._forget(connection)
        wait_until = self._listing.look()
        if wait_until <= clock.monotonic():
            self._answer(connection)
            return
        self._waiting[connection] = wait_until
        if len(self._waiting) > MOST_WAITING:
            self._answer(next(iter(self._waiting)))

    def _answer(self, connection: _Connection) -> None:
        self._waiting.pop(connection, None)
        method, path = connection.request
        app, why = answer.app_of(self._apps, method, path)
        # Not 404, which has a meaning for the balancer.
        status = 400
        if app:
            status, why = answer.health_of(self._listing.last, app)
        content = answer.response(status, why, with_body=method != "HEAD")
        # It is smaller than any socket's buffer; who does not take it has hung up.
        with connection.sock, contextlib.suppress(OSError):
            connection.sock.send(content)

    def _close(self, connection: _Connection) -> None:
        self._forget(connection)
        connection.sock.close()

    def _forget(self, connection: _Connection) -> None:
        """Read no more from a connection."""
        if self._reading.pop(connection, self) is self:
            return
        self._unfinished.remove(connection.source, connection)
        self._selector.unregister(connection.sock)

    def _tell_refusal(self, host: str) -> None:
        if host not in self._told and len(self._told) < MOST_REFUSALS_TOLD:
            self._told.add(host)
            self._complain(
                f"{host} asked for the health answer, and is not in health_from"
            )

    # --- from other threads -------------------------------------------------------------

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it is awake already, or has ended
            self._wake_end.send(b"!")

    def _take_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken_end.recv(_READ_BYTES):
                pass
        for each in [*self._waiting]:
            self._answer(each)
