"""Wait on facts, with a deadline, in the place of sleeping for a guess."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TypeVar

Fact = TypeVar("Fact")
PAUSE_S = 0.01


def until(fact: Callable[[], Fact], what: str, timeout_s: float = 15.0) -> Fact:
    """Return what *fact* returns as soon as it is true.

    Asking takes half of the time at most: many facts are a command's answer.
    Raises AssertionError that names *what* after *timeout_s* seconds.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        began = time.monotonic()
        found = fact()
        if found:
            return found
        now = time.monotonic()
        if now > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(max(PAUSE_S, min(now - began, deadline - now)))


def answers(port: int, timeout_s: float = 3.0) -> bool:
    """Tell whether a server on a port of loopback says that all is well."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody holds now, below the ephemeral range.

    A port that the kernel hands out could be the source port of the next connection.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(200):
        port = _candidate()
        with socket.socket(family) as sock:
            try:
                sock.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port found")


def _candidate() -> int:
    import random

    return random.SystemRandom().randrange(12000, 32000)
