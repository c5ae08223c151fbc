"""A wrapper whose child holds state that exists once: it takes a second to end.

The child locks the file LOCK, and notes in NOTES that it begins, that it ends, or that
another one has the lock.  PORT: it listens there, too.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket

END_S = 1.0


def note(word: str) -> None:
    """Write a line."""
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{word}\n")


if os.fork():
    signal.pause()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
lock = open(os.environ["LOCK"], "w")  # noqa: SIM115 - until it ends
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    note("meets another")
    raise
if port := os.environ.get("PORT"):
    listener = socket.create_server(("127.0.0.1", int(port)))
note("begins")
signal.sigwait({signal.SIGTERM})
signal.sigtimedwait({signal.SIGINT}, END_S)
note("ends")
