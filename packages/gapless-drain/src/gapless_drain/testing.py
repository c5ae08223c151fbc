"""A supervisor for the tests of an app: a real socket, and orders when you want them.

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
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

INSTANCE = "app/1/0/1"


class Process:
    """One process that has connected, and what it said."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.heard = b""
        self.hello: dict[str, Any] = {}
        self.counts: dict[str, Any] = {}
        self.ready = False


class FakeSupervisor:
    """Listens where an app's processes connect; adds up what they count."""

    def __init__(self) -> None:
        self._directory = tempfile.mkdtemp(prefix="drain-")
        path = os.path.join(self._directory, "socket")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(64)
        self.environ = {"GAPLESS_SOCKET": path, "GAPLESS_INSTANCE": INSTANCE}
        self.processes: list[Process] = []
        self._news = threading.Condition()
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Hang up, as a supervisor that is replaced does, and clean up."""
        self._stop.send(b".")
        self._thread.join(5)
        for sock in (self._listener, self._stop, self._stopped):
            sock.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def order(self, line: str) -> None:
        """Tell every process."""
        with self._news:
            for process in self.processes:
                process.counts = {}
                process.sock.sendall(line.encode() + b"\n")

    def hang_up(self) -> None:
        """Break every line; the processes connect again."""
        with self._news:
            for process in self.processes:
                process.sock.shutdown(socket.SHUT_RDWR)

    def total(self, name: str) -> int:
        """Return a count, added up over all processes."""
        return sum(int(process.counts.get(name, 0)) for process in self.processes)

    def wait_for(
        self,
        *,
        processes: int | None = None,
        mode: str | None = None,
        timeout_s: float = 20.0,
        **counts: int,
    ) -> None:
        """Wait until so many processes are there, in this mode, with these counts.

        Raises AssertionError with what there is when the time is up.
        """

        def holds() -> bool:
            if processes is not None and len(self.processes) != processes:
                return False
            told = [process.counts for process in self.processes]
            if not told or not all(told):
                return False
            if mode is not None and any(each["mode"] != mode for each in told):
                return False
            return all(self.total(name) == number for name, number in counts.items())

        with self._news:
            if not self._news.wait_for(holds, timeout_s):
                told = [process.counts for process in self.processes]
                raise AssertionError(f"not {processes=} {mode=} {counts=}: {told}")

    # --- the thread -----------------------------------------------------------------

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._stopped:
                        self._leave()
                        return
                    if key.fileobj is self._listener:
                        process = Process(self._listener.accept()[0])
                        selector.register(process.sock, selectors.EVENT_READ, process)
                        with self._news:
                            self.processes.append(process)
                    else:
                        self._hear(selector, key.data)

    def _leave(self) -> None:
        for process in self.processes:
            process.sock.close()

    def _hear(self, selector: selectors.BaseSelector, process: Process) -> None:
        try:
            piece = process.sock.recv(65536)
        except OSError:
            piece = b""
        with self._news:
            *lines, process.heard = (process.heard + piece).split(b"\n")
            for line in lines:
                self._understand(process, json.loads(line))
            if not piece:
                selector.unregister(process.sock)
                process.sock.close()
                self.processes.remove(process)
            self._news.notify_all()

    def _understand(self, process: Process, said: dict[str, Any]) -> None:
        if "hello" in said:
            process.hello = said
        elif "ready" in said:
            process.ready = True
        else:
            process.counts = said
