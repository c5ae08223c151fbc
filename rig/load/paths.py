"""A strict load on a Unix-domain path: one request a connection, and none is sent twice."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator

from rig import wait
from rig.load.client import PACE_S

ANSWER_S = 20.0


class PathLoad:
    """Clients that connect anew for each request."""

    def __init__(self, path: str, clients: int, pause_s: float = 0.001) -> None:
        """Each client rests for *pause_s* after an answer."""
        self._path, self._pause_s = path, pause_s
        self._over = threading.Event()
        self.fates: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, body: str) -> None:
        """Wait until an answer has *body* in it; count anew from there for that."""
        wait.until(lambda: self.fates[f"ok {body}"], f"an answer {body}")

    def stop(self) -> dict[str, int]:
        """Stop the clients; return what became of the requests that got no answer."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        return {fate: n for fate, n in self.fates.items() if not fate.startswith("ok ")}

    @property
    def answered(self) -> int:
        """How many requests got a whole answer."""
        return sum(n for fate, n in self.fates.items() if fate.startswith("ok "))

    def versions(self) -> dict[str, int]:
        """Return how many answers came from each release so far."""
        with self._lock:
            return {
                fate.removeprefix("ok release "): n
                for fate, n in self.fates.items()
                if fate.startswith("ok release ")
            }

    def _run(self, number: int) -> None:
        path = "/slow?s=0.3" if number == 0 else "/"
        while not self._over.wait(max(PACE_S, self._pause_s)):
            fate = self._ask(path)
            with self._lock:
                self.fates[fate] += 1

    def _ask(self, path: str) -> str:
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = b""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(ANSWER_S * wait.SLOWER)
                sock.connect(self._path)
                sock.sendall(request.encode())
                while piece := sock.recv(65536):
                    answer += piece
        except OSError as error:
            return f"{type(error).__name__} after {len(answer)} bytes"
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            return f"no answer: {head[:60]!r}"
        words = body.decode(errors="replace").split()
        return f"ok {' '.join(words[:2])}" if len(words) > 1 else f"body {body!r}"


@contextlib.contextmanager
def load_on_path(
    path: str, clients: int = 6, pause_s: float = 0.001
) -> Iterator[PathLoad]:
    """Run a load on a path; it is stopped at the end of the block."""
    load = PathLoad(path, clients, pause_s)
    try:
        yield load
    finally:
        load.stop()
