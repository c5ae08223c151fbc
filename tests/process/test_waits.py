"""Whether a process waits for connections, as the kernel tells of real threads."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gapless.supervisor.kernel import waits
from gapless.supervisor.sockets.addresses import inode_of
from rig import wait

PROGRAM = """
import os, select, socket, sys, time
sock = socket.socket(fileno=int(sys.argv[2]))
sock.setblocking(True)
match sys.argv[1]:
    case "accepts": sock.accept()
    case "epoll":
        epoll = select.epoll()
        epoll.register(sock)
        epoll.poll()
    case "other epoll":
        epoll = select.epoll()
        epoll.register(os.pipe()[0])
        epoll.poll()
    case "poll":
        poll = select.poll()
        poll.register(sock)
        poll.poll()
    case "selects": select.select([sock], [], [])
    case "sleeps": time.sleep(1000)
    case "runs":
        while True:
            pass
"""


@contextmanager
def _running(how: str) -> Iterator[tuple[int, int]]:
    """Run a program that waits in a way; yield its pid and the inode of its socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.fileno()
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, how, str(number)], pass_fds=(number,)
        )
        try:
            yield child.pid, inode_of(listener)
        finally:
            child.kill()
            child.wait()


@pytest.mark.parametrize("how", ["accepts", "epoll", "poll", "selects"])
def test_one_that_waits_for_connections_is_seen(how: str) -> None:
    """Until it is stopped."""
    with _running(how) as (pid, inode):
        wait.until(lambda: waits.wait_for_connections([pid], inode), "it to wait")
        assert waits._sleeps(pid, str(pid))  # what is left under Yama
        assert not waits.wait_for_connections([os.getpid()], inode + 1)
        os.kill(pid, signal.SIGSTOP)
        wait.until(
            lambda: waits.wait_for_connections([pid], inode) is False, "its stop"
        )


ELSEWHERE = {
    "other epoll": ("ep_poll", "do_epoll_wait"),
    "sleeps": ("hrtimer_nanosleep", "common_nsleep"),
    "runs": ("",),
}
"""Ways to do something else, and in which kernel function their threads sleep then."""


@pytest.mark.parametrize("how", ELSEWHERE)
def test_one_that_does_something_else_does_not_wait(how: str) -> None:
    """It holds the socket, and would not see a connection."""
    with _running(how) as (pid, inode):

        def begun() -> bool:
            with open(f"/proc/{pid}/wchan", encoding="ascii") as file:
                return file.read().startswith(ELSEWHERE[how])

        wait.until(begun, "it to begin")
        assert waits.wait_for_connections([pid], inode) is False
