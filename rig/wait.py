"""Wait for a condition, with a deadline, instead of a sleep of a guessed length."""

from __future__ import annotations

import http.client
import os
import random
import socket
import time
from collections.abc import Callable
from typing import TypeVar

Fact = TypeVar("Fact")
PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.08
GROWTH = 1.3
SLOWER = float(os.environ.get("RIG_SLOWER", "1"))
"""How many times slower than others this machine is: deadlines are as much later."""


def until(fact: Callable[[], Fact], what: str, timeout_s: float = 15.0) -> Fact:
    """Return what *fact* returns as soon as that is true.

    Calls of *fact* take a third of the time at most, since many of them ask a supervisor:
    who looks must not keep from work who is waited for.  Raises AssertionError that names
    *what* after *timeout_s* seconds.
    """
    timeout_s *= SLOWER
    deadline = time.monotonic() + timeout_s
    pause_s = PAUSE_S
    while True:
        began = time.monotonic()
        found = fact()
        if found:
            return found
        now = time.monotonic()
        if now > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(max(PAUSE_S, min(max(pause_s, 2 * (now - began)), deadline - now)))
        pause_s = min(pause_s * GROWTH, LONGEST_PAUSE_S)


def answers(port: int, timeout_s: float = 3.0) -> bool:
    """Return whether an HTTP server on a port of loopback answers with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that no socket is bound to now, below the ephemeral range.

    The kernel could give an ephemeral port to the next outgoing connection.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    draw = random.SystemRandom()
    for _ in range(200):
        port = draw.randrange(12000, 32000)
        with socket.socket(family) as sock:
            try:
                sock.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port found")
