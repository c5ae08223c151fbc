"""An HTTP probe through the real port, before any user reaches the new generation.

The kernel is told to send connections from the probe's own address and port, and no
others, to the socket of the generation that is asked (`steering.Probe`).
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections.abc import Callable, Iterable

from gapless.supervisor.decide import http_check
from gapless.supervisor.decide.addresses import covers
from gapless.supervisor.sockets.addresses import address_text
from gapless.supervisor.sockets.groups import Groups
from gapless.supervisor.sockets.listener import Listener

_LOCAL4 = tuple(f"127.0.0.{number}" for number in range(1, 10))
_LOCAL = {"0.0.0.0": _LOCAL4, "[::]": ("::1", *_LOCAL4)}  # noqa: S104 - looked up


def host_for(listener: Listener, others: Iterable[Listener]) -> str:
    """Return an address of this host whose connections come to a socket's group.

    The kernel prefers a narrower socket, so one that listens on all addresses is asked at
    one that no other socket of the app has.  Raises OSError if there is none.
    """
    if listener.place is not None:
        return "localhost"  # for the head of the request
    bound, _, port = listener.address.rpartition(":")
    narrower = [
        each.group
        for each in others
        if each.listening
        and each.group != listener.group
        and covers(listener.group, each.group)
    ]
    for host in _LOCAL.get(bound, (bound.strip("[]"),)):
        place = address_text(host, int(port))
        if covers(listener.group, place) and not any(
            covers(group, place) for group in narrower
        ):
            return host
    raise OSError(errno.EADDRINUSE, f"no address of {listener.address} is its own yet")


class HttpProbe:
    """One GET request to one generation; calls `done` once, with the outcome."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        groups: Groups,
        listener: Listener,
        host: str,
        path: str,
        *,
        done: Callable[[bool, str], None],
    ) -> None:
        """Send it to *host*, as `host_for` chooses it.  Raises OSError."""
        self._selector, self._groups, self._listener = selector, groups, listener
        self._path, self._done = path, done
        self._answer = b""
        self._connected = False
        self._host, self._port = host, listener.tcp_port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._place = listener.place
        if self._place is not None:
            family = socket.AF_UNIX
        self._sock = socket.socket(family, socket.SOCK_STREAM)
        self._sock.setblocking(False)
        try:
            self._connect()
        except OSError as error:
            self._sock.close()
            groups.detach_probe(listener)
            raise OSError(error.errno, f"probe: {error.strerror}") from error

    def _connect(self) -> None:
        if self._place is not None:
            # The path is the old generation's still; this name is its own.
            number = self._sock.connect_ex(self._place.beside or self._place.path)
        else:
            self._sock.bind((self._host, 0))
            own_port = self._sock.getsockname()[1]
            self._groups.attach_probe(self._listener, self._host, own_port)
            number = self._sock.connect_ex((self._host, self._port))
        if number not in (0, errno.EINPROGRESS):
            raise OSError(number, os.strerror(number))
        self._selector.register(self._sock, selectors.EVENT_WRITE, self._go_on)

    def _go_on(self) -> None:
        try:
            if not self._connected:
                self._send()
            elif self._read():
                self._judge()
        except BlockingIOError:
            return
        except OSError as error:
            self.end(passed=False, answer=(error.strerror or str(error)).lower())

    def _send(self) -> None:
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        self._connected = True
        self._groups.detach_probe(self._listener)
        request = http_check.request(self._path, self._host, self._port)
        self._sock.sendall(request)
        self._selector.modify(self._sock, selectors.EVENT_READ, self._go_on)

    def _read(self) -> bool:
        """Read on; return whether the status line is complete, or nothing follows."""
        piece = self._sock.recv(4096)
        self._answer += piece
        return not piece or b"\r\n" in self._answer

    def _judge(self) -> None:
        no_answer = False, "it closed the connection without an answer"
        passed, answer = http_check.verdict(self._answer) or no_answer
        self.end(passed=passed, answer=answer)

    def end(self, *, passed: bool, answer: str) -> None:
        """Close the connection and report the outcome."""
        if self._sock.fileno() < 0:
            return
        if not self._connected:
            self._groups.detach_probe(self._listener)
        self._selector.unregister(self._sock)
        self._sock.close()
        self._done(passed, answer)
