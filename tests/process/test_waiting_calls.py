"""A call that waits for the supervisor, and a caller that is gone before it is told."""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.base import wire
from gapless.keeper.guardian.reserve import Reserve
from gapless.keeper.guardian.scratch import Scratch
from gapless.keeper.seccomp.waiting_calls import Answer, WaitingCalls
from rig.fixtures.interceptor import Interceptor
from rig.wait import until

KEY = "app/1/0/1"
BINDS = """
import os, signal, socket, threading
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
sock = socket.socket()
threading.Thread(target=sock.bind, args=[("127.0.0.1", PORT)]).start()
signal.sigwait({signal.SIGUSR1})
os.dup2(os.open("/dev/null", os.O_RDONLY), sock.fileno())
os.execvp("sh", ["sh", "-c", "echo away; exec sleep 1000"])
"""
"""Its thread waits in bind until another program takes its place: with the same number,
and by the number of the socket it has something else.  So it is, too, if a process has
ended and its number is used again."""


class Waits:
    """A keeper with one program that waits in bind."""

    def __init__(self, directory: str) -> None:
        self.sent: list[wire.Message] = []
        self.has_supervisor = False
        self._selector = selectors.DefaultSelector()
        self.reserve = Reserve()
        self.calls = WaitingCalls(
            self._selector,
            {},
            lambda message, *_: self.sent.append(message),
            lambda: self.has_supervisor,
            reserve=self.reserve,
            scratch=Scratch.make(),
        )
        self._interceptor = Interceptor(directory)
        self._spawned = self._interceptor.python(BINDS)
        self.calls.watch(KEY, os.dup(self._spawned.notify))

    def waits(self) -> None:
        """Wait until the call waits."""

        def waits() -> bool:
            for ready, _ in self._selector.select(0):
                ready.data()
            return self.calls.wait_s() is not None

        until(waits, "a call that waits")

    def goes_away(self) -> None:
        """Let another program take the place of the one that waits."""
        os.kill(self._spawned.pid, signal.SIGUSR1)
        assert self._interceptor.line(self._spawned) == "away"

    def close(self) -> None:
        """End the program."""
        self.calls.unwatch(KEY)
        self._interceptor.close()
        self._selector.close()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Waits]:
    """Return a keeper without a supervisor, and its program."""
    found = Waits(str(tmp_path))
    yield found
    found.close()


def test_a_call_whose_caller_is_gone_is_not_announced(program: Waits) -> None:
    """What its process has by that number now is nobody else's."""
    program.waits()
    program.goes_away()
    program.calls.announce_all()
    assert program.sent == []
    assert program.calls.wait_s() is None, "it is forgotten"
    assert not program.reserve.named("call/")


def test_who_is_gone_was_not_refused(program: Waits) -> None:
    """An answer that comes too late says nothing of the program that is there now."""
    program.has_supervisor = True
    program.waits()
    (bind,) = program.sent
    program.goes_away()
    answer = Answer(key=KEY, id=bind["id"], action="inject", held="socket/unknown")
    program.calls.answer(answer)
    assert program.sent == [bind]
    assert program.calls.wait_s() is None
