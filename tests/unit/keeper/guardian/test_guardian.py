"""A guardian begins when its keeper has just died, or when the machine lacks something."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gapless.keeper.guardian import frames, guardian, process
from gapless.keeper.guardian.frames import Frame
from gapless.keeper.guardian.guardian import BEGUN, Guardian
from gapless.keeper.guardian.table import Entry

FOLLOWED = b"another keeper"


def child(act: Callable[[], object]) -> int:
    """Return the pid of a process that does that, and ends with 1 if it raises."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return pid


def end(pid: int) -> None:
    """Kill a process, and wait for it."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def pid_of_nobody() -> int:
    """Return the number of a process that has ended, and that was waited for."""
    pid = child(lambda: None)
    os.waitpid(pid, 0)
    return pid


@contextmanager
def younger_than(pid: int) -> Iterator[int]:
    """Yield a process that began later."""
    while True:
        found = child(signal.pause)
        if process.began_at(found) > process.began_at(pid):
            break
        end(found)
    yield found
    end(found)


class Guarding:
    """A guardian in a process of its own, and what it does."""

    def __init__(self, *names: str, fails: Callable[[], None] = lambda: None) -> None:
        self._told, told = os.pipe()
        self.line, line = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line = line.fileno()
        entries = {name: Entry(b"", [], 0) for name in names}

        def start_next(far: socket.socket) -> int:
            os.write(told, FOLLOWED)
            return child(lambda: frames.send(far, Frame(kind="end")))

        def guards() -> None:
            keeper = int(line.recv(16))
            self.line.close()
            fails()
            Guardian(line, keeper, start_next, entries).serve()

        self.pid = child(guards)
        os.close(told)
        line.close()

    def of(self, keeper: int) -> bytes:
        """Be the guardian of a keeper; return what it did."""
        self.line.send(str(keeper).encode())
        return self.done()

    def done(self) -> bytes:
        """Return what it did, once it has ended by itself."""
        self.line.close()
        _, status = os.waitpid(self.pid, 0)
        assert status == 0
        with open(self._told, "rb") as told:
            return told.read()


def test_a_keeper_that_has_ended_before_its_guardian_begins_is_followed() -> None:
    """It was waited for by init: no process has its number."""
    assert Guarding(BEGUN).of(pid_of_nobody()) == FOLLOWED


def test_a_keeper_that_had_not_begun_is_not_followed() -> None:
    """Its guardian was not given everything: it ends."""
    assert Guarding("scratch").of(pid_of_nobody()) == b""


def test_what_a_keeper_put_before_it_ended_counts() -> None:
    """The guardian reads it from the line."""
    guarding = Guarding()
    os.kill(guarding.pid, signal.SIGSTOP)  # so that both are sent before it reads one
    os.waitpid(guarding.pid, os.WUNTRACED)
    guarding.line.send(str(pid_of_nobody()).encode())
    frames.send(guarding.line, Frame(kind="put", name=BEGUN))
    os.kill(guarding.pid, signal.SIGCONT)
    assert guarding.done() == FOLLOWED


def test_a_process_that_has_the_number_of_a_keeper_is_not_waited_for() -> None:
    """It is younger than the guardian, which its keeper had started."""
    guarding = Guarding(BEGUN)
    with younger_than(guarding.pid) as stranger:
        assert guarding.of(stranger) == FOLLOWED


def test_a_keeper_that_lives_is_waited_for() -> None:
    """The one that has started its guardian, and is no child of it."""
    keeper = child(signal.pause)
    guarding = Guarding(BEGUN)
    guarding.line.send(str(keeper).encode())
    frames.send(guarding.line, Frame(kind="status"))
    assert frames.receive(guarding.line).kind == "answer"
    assert not has_told(guarding)
    end(keeper)
    assert guarding.done() == FOLLOWED


def has_told(guarding: Guarding) -> bool:
    """Return whether it has followed its keeper."""
    os.set_blocking(guarding._told, False)
    try:
        return bool(os.read(guarding._told, 1))
    except BlockingIOError:
        return False


@pytest.mark.parametrize(
    ("module", "name"), [(os, "pipe2"), (socket, "socketpair"), (os, "pidfd_open")]
)
def test_a_shortage_does_not_end_a_guardian(module: object, name: str) -> None:
    """It tries again, at the moment that it is for."""

    def fails() -> None:
        make, left = getattr(module, name), [1]

        def lacks(*given: object) -> object:
            if left and left.pop():
                raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
            return make(*given)

        setattr(module, name, lacks)
        guardian.LONGEST_PAUSE_S = 0.0

    assert Guarding(BEGUN, fails=fails).of(pid_of_nobody()) == FOLLOWED
