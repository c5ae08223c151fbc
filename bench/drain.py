"""What does counting cost a Python app?  Microseconds of processor time, bare and counted.

    .venv/bin/python bench/drain.py

Bare and counted calls take turns in one process, without a server: its own cost would hide
the difference.  Each is the least of its rounds: what else the machine does adds to some.
An empty call beside it tells how fast the machine is just now.  The goal is 2 microseconds
a request or less.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from gapless_drain import Drain

from rig.sigterm import clean_up_at_sigterm
from rig.turns import take_turns

CALLS, ROUNDS = 20_000, 15
HTTP = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "http_version": "1.1",
    "headers": [],
}
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"5")],
}
BODY = {"type": "http.response.body", "body": b"hello"}
ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Answer as the smallest ASGI app."""
    await send(START)
    await send(BODY)


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """Answer as the smallest WSGI app."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


async def _send(message: Any) -> None:
    pass


def _start_response(status: str, headers: Any) -> None:
    pass


def asgi_round(app: Any) -> float:
    """Return the seconds of `CALLS` requests to an ASGI app."""

    async def run() -> float:
        began = time.process_time()
        for _ in range(CALLS):
            await app(HTTP, _send, _send)
        return time.process_time() - began

    return asyncio.run(run())


def wsgi_round(app: Any) -> float:
    """Return the seconds of `CALLS` requests to a WSGI app, each answer closed."""
    began = time.process_time()
    for _ in range(CALLS):
        answer = app(ENVIRON, _start_response)
        for _piece in answer:
            pass
        if hasattr(answer, "close"):
            answer.close()
    return time.process_time() - began


def procedure_round(work: Callable[[], None]) -> float:
    """Return the seconds of `CALLS` calls of a function."""
    began = time.process_time()
    for _ in range(CALLS):
        work()
    return time.process_time() - began


def main() -> None:
    """Print the table."""
    drain = Drain(environ={}, on_signal=None)

    def bare() -> None:
        pass

    pairs: dict[str, tuple[Any, Any, Any]] = {
        "ASGI request": (asgi_round, asgi, drain.asgi(asgi)),
        "WSGI request": (wsgi_round, wsgi, drain.wsgi(wsgi)),
        "procedure": (procedure_round, bare, drain.procedure(bare)),
    }
    loop_us = min(procedure_round(bare) for _ in range(ROUNDS)) / CALLS * 1e6
    print(f"{'an empty call':<14}{loop_us:>9.3f}")
    print(f"{'what':<14}{'bare us':>9}{'counted us':>12}{'cost us':>9}")
    for name, (run_round, plain, counted) in pairs.items():
        found = take_turns(
            functools.partial(run_round, plain),
            functools.partial(run_round, counted),
            calls=CALLS,
            rounds=ROUNDS,
        )
        one, other = (min(each) for each in found)
        print(f"{name:<14}{one:>9.2f}{other:>12.2f}{other - one:>9.2f}")


if __name__ == "__main__":
    clean_up_at_sigterm()
    main()
