"""One request on a connection of its own, read in a thread: how much of it came."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator

PIECE_BYTES, UPLOAD_BYTES = 1000, 2000
TIMEOUT_S = 60.0


class Download:
    """A request, whose answer is read as it comes."""

    def __init__(
        self, port: int, path: str, upload: Iterator[bytes] | None = None
    ) -> None:
        """Send it; *upload* is the body of a POST, as slow as it comes."""
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        self._path, self._upload = path, upload
        self.received = 0
        """How many bytes of the body have come."""
        self.wanted: int | None = None
        """How many were promised."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._exchange()

    def _exchange(self) -> None:
        if self._upload is None:
            self._line.request("GET", self._path)
        else:
            headers = {"Content-Length": str(UPLOAD_BYTES)}
            self._line.request("POST", self._path, self._upload, headers)
        answer = self._line.getresponse()
        self.wanted = int(answer.headers["Content-Length"])
        while piece := answer.read1(PIECE_BYTES):
            self.received += len(piece)

    def has_begun(self) -> bool:
        """Return whether something of the answer has come."""
        return self.received > 0

    def wait(self) -> bool:
        """Wait for its end; return whether the whole answer came."""
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive(), "it does not end"
        return self.received == self.wanted

    def close(self) -> None:
        """Close its connection, as a client does that needs it no more."""
        if self._line.sock is not None:
            with contextlib.suppress(OSError):
                self._line.sock.shutdown(socket.SHUT_RDWR)
        self._line.close()


def slow_upload(seconds: float) -> Iterator[bytes]:
    """Yield a body of `UPLOAD_BYTES`, a tenth of it at a time."""
    for _ in range(10):
        yield b"y" * (UPLOAD_BYTES // 10)
        time.sleep(seconds / 10)
