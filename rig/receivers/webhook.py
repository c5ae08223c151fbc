"""A receiver of webhooks: it writes down what it gets, and answers as it is told to."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

Answer = Callable[[socket.socket, threading.Event], None]
"""Answers a request on its connection; the event is set when the receiver closes."""


def status(code: int, *headers: str, body: bytes = b"") -> Answer:
    """Answer with a status."""

    def answer(sock: socket.socket, _: threading.Event) -> None:
        lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(body)}", *headers]
        sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    return answer


def hangs(_: socket.socket, closes: threading.Event) -> None:
    """Answer nothing, and keep the connection."""
    closes.wait()


def hangs_up(_: socket.socket, __: threading.Event) -> None:
    """Close the connection without an answer."""


def trickles(sock: socket.socket, closes: threading.Event) -> None:
    """Send a head that never ends, a byte at a time."""
    try:
        sock.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not closes.wait(0.05):
            sock.sendall(b"y")
    except OSError:
        return


class WebhookReceiver:
    """Listens on a port of loopback."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        """How the next requests are answered."""
        self.bodies: list[Any] = []
        self.heads: list[str] = []
        self._closes = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook?key=secret-of-the-url"

    def told(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the events with these values that have come."""
        return [
            each
            for each in list(self.bodies)
            if all(each.get(name) == value for name, value in wanted.items())
        ]

    def close(self) -> None:
        """End it, and every connection."""
        self._closes.set()
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        self._threads[0].join()
        self._listener.close()
        for each in self._threads:
            each.join()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._closes.is_set():
                sock.close()
                return
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            content = b""
            while b"\r\n\r\n" not in content:
                piece = sock.recv(65536)
                if not piece:
                    return
                content += piece
            head, _, body = content.partition(b"\r\n\r\n")
            text = head.decode("latin-1")
            length = int(text.lower().partition("content-length:")[2].split()[0])
            while len(body) < length:
                body += sock.recv(65536)
            self.heads.append(text)
            self.bodies.append(json.loads(body))
            self.answer(sock, self._closes)
