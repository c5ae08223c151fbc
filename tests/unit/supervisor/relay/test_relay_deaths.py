"""The relay is killed right after each of its own steps."""

from __future__ import annotations

import socket
import threading

import pytest

from gapless.supervisor.kernel import processes
from gapless.supervisor.relay.mend import mend
from rig import wait
from rig.relay.generations import GET, hiding, old, read_answer, relay_process

SAMPLE = (3, 8, 21, 55)
REQUESTS = (GET, hiding(1_000_000))
"""What each client sends, without a pause: the body looks like requests."""


def points() -> list[object]:
    """Return the steps after which it is killed: few in `make test`, all in the soak."""
    soak = [n for n in range(1, 90) if n not in SAMPLE]
    return [*SAMPLE, *(pytest.param(n, marks=pytest.mark.soak) for n in soak)]


class Client:
    """Sends one request after the other until another generation answers, or nobody."""

    def __init__(self, sock: socket.socket, request: bytes) -> None:
        self._sock, self._request = sock, request
        self.outcome = ""
        self.answers = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self.outcome:
            try:
                self._sock.sendall(self._request)
                answer = read_answer(self._sock)
            except TimeoutError:
                self.outcome = "hung"
            except (ConnectionError, AssertionError):
                self.outcome = "closed"
            else:
                self.answers += 1
                self.outcome = "" if answer == b"old" else answer.decode()

    def join(self) -> str:
        """Return what became of it."""
        self._thread.join(60 * wait.SLOWER)
        return self.outcome or "hung"


@pytest.mark.parametrize("kind", ["loop", "threads"])
@pytest.mark.parametrize("step", points())
def test_a_relay_that_dies_after_any_step_hangs_nobody(kind: str, step: int) -> None:
    """Nor does a process stay stopped, or get a part of a body as a request."""
    with old(kind, len(REQUESTS)) as it:
        clients = [Client(*each) for each in zip(it.clients, REQUESTS, strict=True)]
        with relay_process(it, "rig.relay.dying", str(step)) as relay:
            wait.until(
                lambda: (relay.poll(), it.process.poll()) != (None, None),
                "it dies, or has nothing left to do",
                60,
            )
            died = relay.poll() is not None
            found = processes.read(it.process.pid)
            if died and found is not None:
                mend([found])
            with relay_process(it):
                outcomes = [each.join() for each in clients]
                assert it.process.wait(10) == 0
        assert set(outcomes) <= {"new", "closed"}, outcomes
        assert died or "closed" not in outcomes, outcomes
        assert it.process.stdout is not None
        assert it.process.stdout.read() == b"", "it ran a part of the body"
