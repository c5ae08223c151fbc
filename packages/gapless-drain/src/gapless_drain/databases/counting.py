"""What the modules of the drivers share: what is a procedure, and how long it lasts."""

from __future__ import annotations

import time
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import Token
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gapless_drain.core import Core, Ticket, current, leave
from gapless_drain.databases.statements import CONTROL, NOTHING, Found, Statements
from gapless_drain.databases.tokens import Dialect

if TYPE_CHECKING:
    from typing import Self

    from gapless_drain.drain import Drain

MOST_TEXTS = 1024
LONGEST_TEXT = 10_000
"""Longer texts are looked at each time, so that the cache stays small."""
MOST_PREPARED = 1000


class Called(str):
    """The name of a procedure that was found in a statement, not marked by the app."""

    __slots__ = ()


_CALL = Found(is_call=True)
_UNSEEN = Ticket("procedure", Called(), 0.0)


class Counting:
    """What counts as a procedure, for one driver and one drain."""

    def __init__(
        self,
        drain: Drain,
        dialect: Dialect,
        functions: Collection[str] = (),
        *,
        every_statement: bool = False,
    ) -> None:
        self._core = drain.core
        self._statements = Statements(dialect, functions)
        self._every = every_statement
        self._look = self._statements.read if every_statement else self._statements.look
        self._cached = lru_cache(MOST_TEXTS)(self._look)
        self._prepared: dict[str, tuple[str, ...] | None] = {}
        self.classes: dict[Any, Any] = {}
        """The classes of a driver, and those that count in their place."""

    def calling(self, text: Any) -> Calling | None:
        """Return what to run a statement within, or None if it is no procedure."""
        if type(text) is not str:  # bytes, or a kind of str
            text = _text(text)
        found = self._cached(text) if len(text) < LONGEST_TEXT else self._look(text)
        return None if found is NOTHING else self._of(found)

    def named(self, name: Any) -> Calling:
        """Return what to run a procedure within, whose name the driver was told."""
        return Calling(self._core, _text(name), _CALL)

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Neither count nor refuse what a driver executes for itself."""
        token = current.set(_UNSEEN)
        try:
            yield
        finally:
            leave(token, _UNSEEN)

    def _of(self, found: Found) -> Calling | None:
        names = [*found.calls]
        for name, calls in found.prepares:
            self._remember(self._key(name), calls)
        for name in found.executes:
            calls = self._prepared.get(self._key(name))
            # What somebody else prepared may be a procedure: better one too many.
            names += (f"EXECUTE {name}",) if calls is None else calls
        if self._every and not CONTROL.issuperset(found.verbs):
            outer = current.get()
            if outer is None or not outer.open:
                # No more than the verb: the rest may hold secrets, and is reported.
                verbs = (verb for verb in found.verbs if verb not in CONTROL)
                names += (f"{verb} statement".strip() for verb in verbs)
        return Calling(self._core, ", ".join(names), found) if names else None

    def _key(self, name: str) -> str:
        """Return a name of a prepared statement as the database compares it."""
        return name.lower() if self._statements.dialect == "mysql" else name

    def _remember(self, name: str, calls: tuple[str, ...] | None) -> None:
        """Note what was prepared; on any connection, so a procedure is never forgotten."""
        if len(self._prepared) >= MOST_PREPARED:
            self._prepared.clear()
        before = self._prepared.get(name, ())
        if calls is None or before is None:
            self._prepared[name] = None
        else:
            self._prepared[name] = (*before, *(c for c in calls if c not in before))


class Calling:
    """One call of a driver that is a procedure: a context manager."""

    __slots__ = (
        "_core",
        "_goes_on",
        "_name",
        "_ticket",
        "_token",
        "is_call",
        "is_several",
    )

    def __init__(self, core: Core, name: str, found: Found) -> None:
        self._core, self._name = core, Called(name)
        self._ticket: Ticket | None = None
        self._token: Token[Ticket | None] | None = None
        self._goes_on = False
        self.is_call, self.is_several = found.is_call, found.count > 1

    @property
    def names(self) -> list[str]:
        """What it calls, each by the name that is counted."""
        return self._name.split(", ")

    def __enter__(self) -> Self:
        """Begin, unless a layer above has begun for the same call.  Raises Draining."""
        outer = current.get()
        self._goes_on = False
        if outer is None or not outer.open or type(outer.named) is not Called:
            self._ticket = self._core.begin(self._name, time.monotonic(), outer)
            self._token = current.set(self._ticket)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End, also with an error, a time-out, or a cancellation."""
        ticket, token = self._ticket, self._token
        if ticket is None or token is None:
            return
        self._ticket = self._token = None
        leave(token, ticket)
        if not self._goes_on:
            self._core.finish(ticket, time.monotonic())

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """Let the procedure last for a block that is not the driver's.

        What the app calls in the block is its own, and counts.
        """
        held = Held()
        with self:
            self.last(held)
        try:
            yield
        finally:
            held.let_go()

    def last(self, held: Held) -> None:
        """Let the procedure last on when the call returns, until `held` is let go.

        Within a layer above it is that layer's to say how long it lasts.
        """
        if self._ticket is not None:
            self._goes_on = True
            held.take(self._core, self._ticket)


class Held:
    """Procedures that last longer than the call that began them; no longer than this."""

    __slots__ = ("__weakref__", "_tickets")

    def __init__(self) -> None:
        self._tickets: list[tuple[Core, Ticket]] = []
        weakref.finalize(self, _let_go, self._tickets).atexit = False

    def take(self, core: Core, ticket: Ticket) -> None:
        """Keep one more."""
        self._tickets.append((core, ticket))

    def let_go(self) -> None:
        """End all."""
        _let_go(self._tickets)


def _text(given: Any) -> str:
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given).decode(errors="replace")
    return str(given)


def _let_go(tickets: list[tuple[Core, Ticket]]) -> None:
    now = time.monotonic()
    while tickets:
        core, ticket = tickets.pop()
        core.finish(ticket, now)
