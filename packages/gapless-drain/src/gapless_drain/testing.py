"""A supervisor for the tests of an app: a real socket, and orders when the test wants them.

with FakeSupervisor() as supervisor:
    drain = Drain(environ=supervisor.environ)
    supervisor.wait_for(processes=1)
    supervisor.order("drain recycle")
    supervisor.wait_for(mode="recycle", requests=0)
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import socket
import tempfile
import threading
from typing import Any, Self

INSTANCE = "app/1/0/1"


class Process:
    """One process that has connected, and what it has sent."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.partial_line = b""
        self.hello: dict[str, Any] = {}
        self.counts: dict[str, Any] = {}
        self.ready = False


class FakeSupervisor:
    """Accepts the connections of an app's processes, and adds up their counts."""

    def __init__(self) -> None:
        self._directory = tempfile.mkdtemp(prefix="drain-")
        path = os.path.join(self._directory, "socket")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(64)
        self.environ = {"GAPLESS_SOCKET": path, "GAPLESS_INSTANCE": INSTANCE}
        self.processes: list[Process] = []
        self._changed = threading.Condition()
        self._stop_sender, self._stop_receiver = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin to accept connections."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Disconnect, as a supervisor that is replaced does, and clean up."""
        self._stop_sender.send(b".")
        self._thread.join(5)
        for sock in (self._listener, self._stop_sender, self._stop_receiver):
            sock.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def order(self, line: str) -> None:
        """Send an order to every process."""
        with self._changed:
            for process in self.processes:
                process.counts = {}
                process.sock.sendall(line.encode() + b"\n")

    def hang_up(self) -> None:
        """Break every connection; the processes connect again."""
        with self._changed:
            for process in self.processes:
                process.sock.shutdown(socket.SHUT_RDWR)

    def total(self, name: str) -> int:
        """Return one count, added up over all processes."""
        return sum(int(process.counts.get(name, 0)) for process in self.processes)

    def wait_for(
        self,
        *,
        processes: int | None = None,
        mode: str | None = None,
        timeout_s: float = 20.0,
        **counts: int,
    ) -> None:
        """Wait until so many processes are connected, in this mode, with these counts.

        Raises AssertionError with the counts that were sent when the time is up.
        """

        def holds() -> bool:
            if processes is not None and len(self.processes) != processes:
                return False
            if not self.processes or not all(each.counts for each in self.processes):
                return False
            if mode is not None and any(
                each.counts["mode"] != mode for each in self.processes
            ):
                return False
            return all(self.total(name) == number for name, number in counts.items())

        with self._changed:
            if not self._changed.wait_for(holds, timeout_s):
                sent = [process.counts for process in self.processes]
                raise AssertionError(f"not {processes=} {mode=} {counts=}: {sent}")

    # --- the thread -----------------------------------------------------------------

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._stop_receiver, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._stop_receiver:
                        self._disconnect()
                        return
                    if key.fileobj is self._listener:
                        process = Process(self._listener.accept()[0])
                        selector.register(process.sock, selectors.EVENT_READ, process)
                        with self._changed:
                            self.processes.append(process)
                    else:
                        self._receive(selector, key.data)

    def _disconnect(self) -> None:
        for process in self.processes:
            process.sock.close()

    def _receive(self, selector: selectors.BaseSelector, process: Process) -> None:
        try:
            piece = process.sock.recv(65536)
        except OSError:
            piece = b""
        with self._changed:
            received = process.partial_line + piece
            *lines, process.partial_line = received.split(b"\n")
            for line in lines:
                _take(process, json.loads(line))
            if not piece:
                selector.unregister(process.sock)
                process.sock.close()
                self.processes.remove(process)
            self._changed.notify_all()


def _take(process: Process, message: dict[str, Any]) -> None:
    if "hello" in message:
        process.hello = message
    elif "ready" in message:
        process.ready = True
    else:
        process.counts = message
