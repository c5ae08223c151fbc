"""Statements that run in the background, and what a drain counts meanwhile."""

from __future__ import annotations

import contextvars
import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gapless_drain import Drain
from gapless_drain.activity import current


class BackgroundStatement(threading.Thread):
    """A statement that runs in a thread, in the context of the code that started it."""

    def __init__(self, work: Callable[..., Any], *args: Any, **options: Any) -> None:
        super().__init__(daemon=True)
        self.error: BaseException | None = None
        context = contextvars.copy_context()
        self._work = functools.partial(context.run, work, *args, **options)
        self.start()

    def run(self) -> None:
        """Run the statement."""
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - the test checks it
            self.error = error

    def result(self) -> BaseException | None:
        """Wait for its end; return its error."""
        self.join(30)
        assert not self.is_alive()
        return self.error


@contextmanager
def request_under_way(drain: Drain) -> Iterator[None]:
    """Run the block within an admitted request."""
    ticket = drain.core.admit("GET /", time.monotonic())
    assert ticket.admitted
    token = current.set(ticket)
    try:
        yield
    finally:
        current.reset(token)
        drain.core.finish(ticket, time.monotonic())


def names(drain: Drain) -> list[str]:
    """Return the names of the procedures that run."""
    running = drain.counts()["running"]
    return [each["name"] for each in running if each["kind"] == "procedure"]


def finished(drain: Drain) -> dict[str, int]:
    """Return how many requests and procedures have finished."""
    done = drain.counts()["finished"]
    return {kind: done[kind] for kind in ("requests", "procedures")}
