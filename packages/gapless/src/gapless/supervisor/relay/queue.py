"""Serve the connections in the queue of a generation that has no instance left.

Each connection is accepted, opened once more to the address that its client asked for
(so the kernel gives it to the generation that serves now), and both are joined until
they end.  No byte is interpreted.  The app sees the host's own address as its client.

New connections were steered away from its socket before a relay is started.
"""

from __future__ import annotations

import json
import os
import select
import selectors
import signal
import socket
import sys

from gapless.base import clock, descriptors
from gapless.supervisor.kernel.source_buckets import SHARED_TTLS
from gapless.supervisor.relay import sockets

BUFFER_BYTES = 64 << 10
ACCEPT_S = 0.1


class Half:
    """One direction: what was read from one side and not yet written to the other."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source, self.target = source, target
        self.waiting = b""
        self.read_all = self.passed_on = False

    def pass_on(self) -> int:
        """Move what can be moved; return how many bytes.  Raises OSError."""
        if not self.read_all and len(self.waiting) < BUFFER_BYTES:
            try:
                piece = self.source.recv(BUFFER_BYTES)
                self.waiting += piece
                self.read_all = not piece
            except BlockingIOError:
                pass
        moved = 0
        if self.waiting:
            try:
                moved = self.target.send(self.waiting)
                self.waiting = self.waiting[moved:]
            except BlockingIOError:
                pass
        if self.read_all and not self.waiting and not self.passed_on:
            self.target.shutdown(socket.SHUT_WR)
            self.passed_on = True
        return moved


class Relay:
    """Accepts from one listening socket until it is quiet."""

    def __init__(
        self,
        listener: socket.socket,
        quiet_s: float,
        deadline_s: float,
        path: str = "",
        *,
        ttl: int = 0,
    ) -> None:
        """Use *path* to reach the app: a Unix-domain socket does not know it.

        *ttl* is the time to live that names the app, if it shares its address.
        """
        self._listener, self._quiet_s = listener, quiet_s
        self._path, self._ttl = path, ttl
        self._deadline = clock.monotonic() + deadline_s
        self._selector = selectors.DefaultSelector()
        self._pairs: dict[socket.socket, tuple[Half, Half]] = {}
        self._own: set[tuple[str, int]] = set()
        self._quiet_since = clock.monotonic()
        self.counts = {"accepted": 0, "finished": 0, "failed": 0, "bytes": 0}
        self.accepting = True

    def take_new(self) -> None:
        """Accept until no connection has come for long enough.

        No program accepts from the socket any more: its flags are this process's.
        """
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def take(self, most: int) -> None:
        """Accept what waits, so many at most, and nothing that comes later.

        A program may accept from the socket again meanwhile: its flags are left alone,
        and a connection that it has accepted first is not waited for.  All are accepted
        before one goes on: those that go on may come to this very socket.
        """
        self.accepting = False
        clients: list[socket.socket] = []
        listener = self._listener.fileno()
        while len(clients) < most and descriptors.is_ready(listener, select.POLLIN):
            signal.setitimer(signal.ITIMER_REAL, ACCEPT_S)
            try:
                clients.append(self._listener.accept()[0])
            except OSError:
                break
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        self.counts["accepted"] += len(clients)
        for client in clients:
            try:
                self._join(client)
            except OSError:
                client.close()
                self.counts["failed"] += 1

    def run(self) -> None:
        """Serve until the queue was quiet for long enough and every connection ended."""
        while not self._is_over():
            for selected, _ in self._selector.select(self._timeout_s()):
                if selected.fileobj is self._listener:
                    self._accept()
                elif selected.data in self._pairs:
                    self._advance(selected.data)

    def _is_over(self) -> bool:
        now = clock.monotonic()
        if now >= self._deadline:
            return True
        quiet = not self.accepting or now >= self._quiet_since + self._quiet_s
        return quiet and not self._pairs

    def _timeout_s(self) -> float:
        ends = self._deadline
        if not self._pairs:
            ends = min(ends, self._quiet_since + self._quiet_s)
        return max(0.0, min(ends - clock.monotonic(), 1.0))

    def _accept(self) -> None:
        try:
            client, peer = self._listener.accept()
        except OSError:
            return
        self._quiet_since = clock.monotonic()
        self.counts["accepted"] += 1
        if not self._path and peer[:2] in self._own:
            # No generation serves: the kernel gave us our own connection.
            client.close()
            self.counts["failed"] += 1
            return
        try:
            self._join(client)
        except OSError:
            client.close()
            self.counts["failed"] += 1

    def _join(self, client: socket.socket) -> None:
        onward = socket.socket(client.family, socket.SOCK_STREAM)
        try:
            if self._ttl:
                sockets.TTLS[client] = self._app_of(client)
            if not self._path:
                sockets.bind_for(onward, client)
            onward.connect(self._path or client.getsockname())
            self._own.add(onward.getsockname()[:2])
        except OSError:
            onward.close()
            raise
        pair = (Half(client, onward), Half(onward, client))
        for sock in (client, onward):
            sock.setblocking(False)
            self._pairs[sock] = pair
            self._selector.register(sock, selectors.EVENT_READ, sock)

    def _app_of(self, client: socket.socket) -> int:
        """Return the time to live that names the app of a connection; 0 without one.

        What is carried for an app stays with it; what nobody has accepted is any app's.
        What is carried comes from the very address that it goes to.
        """
        if client.getpeername()[0] != client.getsockname()[0]:
            return 0
        found = sockets.saved_ttl(client)
        if found is None:
            return self._ttl  # it began before the address was shared
        return found if found in SHARED_TTLS else 0

    def _advance(self, sock: socket.socket) -> None:
        pair = self._pairs[sock]
        try:
            for half in pair:
                self.counts["bytes"] += half.pass_on()
        except OSError:
            self._end(pair, "failed")
            return
        if pair[1].passed_on:
            # The app has closed: what the client may still send is not read by it.
            self._end(pair, "finished")
            return
        for half, other in (pair, pair[::-1]):
            events = 0
            if not half.read_all and len(half.waiting) < BUFFER_BYTES:
                events |= selectors.EVENT_READ
            if other.waiting:
                events |= selectors.EVENT_WRITE
            self._listen_for(half.source, events)

    def _listen_for(self, sock: socket.socket, events: int) -> None:
        known = sock.fileno() in self._selector.get_map()
        if events and known:
            self._selector.modify(sock, events, sock)
        elif events:
            self._selector.register(sock, events, sock)
        elif known:
            self._selector.unregister(sock)

    def _end(self, pair: tuple[Half, Half], fate: str) -> None:
        self.counts[fate] += 1
        self._own.discard(pair[0].target.getsockname()[:2])
        for half in pair:
            self._listen_for(half.source, 0)
            del self._pairs[half.source]
            half.source.close()


def main(arguments: list[str]) -> None:
    """Relay; arguments are --fd N, --until-quiet S, --deadline S, --path PATH.

    With --by-source 1 each connection comes to the instance of its client's address; with
    --ttl N they come to any app that shares the address (`sockets.parts`), but for what is
    carried; with --most N those that wait, so many at most, and none that come later.
    """
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    listener = socket.socket(fileno=int(options["--fd"]))
    most = int(options.get("--most", "0"))
    if "--by-source" in options:
        sockets.PORTS_BY_SOURCE.add(listener.getsockname()[1])
    relay = Relay(
        listener,
        float(options.get("--until-quiet", "0.2")),
        float(options.get("--deadline", "30")),
        options.get("--path", ""),
        ttl=int(options.get("--ttl", "0")),
    )

    def stop(*_: object) -> None:
        relay.accepting = False

    def late(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, late)
    if most:
        relay.take(most)
    else:
        relay.take_new()
    relay.run()
    os.write(1, (json.dumps({"event": "relay", **relay.counts}) + "\n").encode())


if __name__ == "__main__":
    main(sys.argv[1:])
