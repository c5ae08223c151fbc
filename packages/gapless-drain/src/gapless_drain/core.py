"""What is under way in one process, and what it may begin.  No I/O, no clock.

The rules are those of spec/drain.md.  Counting takes no lock: a ticket joins its set
before the mode is read, and leaves it once, however often it is finished.  So a drain
that begins meanwhile either sees the ticket or is seen by it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from enum import Enum
from typing import Any

MOST_NAMES = 20
LONGEST_NAME = 200


class Mode(Enum):
    """What a process does with new requests."""

    SERVING = "serving"
    LEAVING = "leaving"  #: served still, but the health path says no
    HANDOFF = "handoff"  #: served on open connections, which are then closed
    RECYCLE = "recycle"  #: refused


DRAINING = (Mode.HANDOFF, Mode.RECYCLE)
_ORDERS = {
    "undrain": Mode.SERVING,
    "drain leaving": Mode.LEAVING,
    "drain handoff": Mode.HANDOFF,
    "drain recycle": Mode.RECYCLE,
}


class Draining(Exception):  # noqa: N818 - it is a state that the caller meets
    """A procedure was refused: the process finishes what it began and begins no more."""


class Ticket:
    """One request or procedure that is under way."""

    __slots__ = ("admitted", "began", "kind", "named", "open", "within")

    def __init__(
        self, kind: str, named: Any, began: float, within: Ticket | None = None
    ) -> None:
        self.kind, self.named, self.began = kind, named, began
        self.open: bool = True
        self.admitted: bool = True
        self.within: Ticket | None = None
        if within is not None and within.open:
            # The outermost: a chain of procedures must not grow for ever.
            self.within = within.within or within

    @property
    def name(self) -> str:
        """What it is called; put together only when somebody asks."""
        named = self.named
        if isinstance(named, dict):  # an ASGI scope or a WSGI environment
            method = named.get("method") or named.get("REQUEST_METHOD") or "WEBSOCKET"
            path = named.get("path") or named.get("PATH_INFO") or "/"
            named = f"{method} {path}"
        return str(named)[:LONGEST_NAME]

    @property
    def lets_begin(self) -> bool:
        """Whether something may begin within it.

        What a procedure left behind, a task for one, is within its request still.
        """
        if self.open:
            return self.admitted
        outer = self.within
        return outer is not None and outer.open and outer.admitted


current: ContextVar[Ticket | None] = ContextVar("gapless_drain_ticket", default=None)
"""The request or procedure within which the code at hand runs."""


def leave(token: Token[Ticket | None], ticket: Ticket) -> None:
    """Go back to what the code at hand was within before it was in *ticket*.

    Where it ends in another context, as in a garbage collection, that one is not touched;
    in a copy of its own, what it was within before stands there again.
    """
    try:
        current.reset(token)
    except ValueError:
        if current.get() is ticket:
            before = token.old_value
            current.set(None if before is Token.MISSING else before)


class Core:
    """The counts and the mode of one process."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self.mode = Mode.SERVING
        self._changed = changed
        self.begin_anew()

    def begin_anew(self) -> None:
        """Have nothing under way, as in a child that was forked; the mode stays."""
        self.requests: set[Ticket] = set()
        self.procedures: set[Ticket] = set()
        # Taken while draining only; a finalizer may come in between, so it is an RLock.
        self._sums = threading.RLock()
        self._forget_sums()

    def _forget_sums(self) -> None:
        self.finished_requests = self.finished_procedures = self.refused = 0
        self.longest: tuple[float, Ticket] | None = None
        self.ended: list[dict[str, Any]] = []
        """The procedures that finished, the longest first."""

    # --- requests and procedures ----------------------------------------------------

    def admit(self, named: Any, now: float) -> Ticket:
        """Count a request; it may be served if its ticket says `admitted`."""
        ticket = Ticket("request", named, now)
        self.requests.add(ticket)
        mode = self.mode
        if mode is not Mode.SERVING:
            ticket.admitted = mode is not Mode.RECYCLE
            self._changed()
        return ticket

    def begin(self, named: Any, now: float, within: Ticket | None) -> Ticket:
        """Count a procedure.  Raises Draining if it may not begin."""
        ticket = Ticket("procedure", named, now, within)
        self.procedures.add(ticket)
        inside = within is not None and within.lets_begin
        if self.mode in DRAINING and not inside:
            self.procedures.discard(ticket)
            ticket.open = False
            self._changed()
            raise Draining(f"{ticket.name}: this process drains and begins nothing new")
        if self.mode is not Mode.SERVING:
            self._changed()
        return ticket

    def finish(self, ticket: Ticket, now: float) -> None:
        """End what a ticket stands for; a second time changes nothing."""
        if not ticket.open:
            return
        under_way = self.requests if ticket.kind == "request" else self.procedures
        # One that is not there is of the process that this one was forked from.
        if self.mode is Mode.SERVING or ticket not in under_way:
            ticket.open = False
        else:
            self._sum_up(ticket, now)
        under_way.discard(ticket)
        if self.mode is not Mode.SERVING:
            self._changed()

    def _sum_up(self, ticket: Ticket, now: float) -> None:
        with self._sums:
            if not ticket.open:  # another thread has finished it meanwhile
                return
            ticket.open = False
            if not ticket.admitted:
                self.refused += 1
                return
            took_s = now - ticket.began
            if ticket.kind == "request":
                self.finished_requests += 1
            else:
                self.finished_procedures += 1
                self._name_ended(_named(ticket, took_s))
            if self.longest is None or took_s > self.longest[0]:
                self.longest = took_s, ticket

    def _name_ended(self, named: dict[str, Any]) -> None:
        """Keep the longest; a new list each time, since others read it meanwhile."""
        longest_first = sorted([*self.ended, named], key=lambda each: -each["for_s"])
        self.ended = longest_first[:MOST_NAMES]

    def has_procedure_within(self, outer: Ticket) -> bool:
        """Tell whether a procedure is under way that began within a request."""
        return any(ticket.within is outer for ticket in _copy(self.procedures))

    # --- orders ---------------------------------------------------------------------

    def order(self, line: str) -> bool:
        """Do what an order says; tell whether the counts are to be told."""
        mode = _ORDERS.get(line)
        if mode is not None:
            self.enter(mode)
        return mode is not None or line == "counts"

    def enter(self, mode: Mode) -> None:
        """Go to a mode; the sums begin anew with each drain."""
        if mode is self.mode:
            return
        if mode is Mode.SERVING or self.mode is Mode.SERVING:
            self._forget_sums()
        self.mode = mode

    @property
    def is_drained(self) -> bool:
        """Whether it drains, and nothing is under way at this moment."""
        busy = self.requests or self.procedures
        return self.mode in DRAINING and not busy

    def counts(self, now: float) -> dict[str, Any]:
        """Return what the supervisor is told (spec/drain.md)."""
        requests, procedures = _copy(self.requests), _copy(self.procedures)
        longest = self.longest
        # Of more than fit, procedures are named: many requests must not hide one.
        oldest = [*_oldest(procedures), *_oldest(requests)][:MOST_NAMES]
        return {
            "mode": self.mode.value,
            "requests": len(requests),
            "refusing": sum(not ticket.admitted for ticket in requests),
            "procedures": len(procedures),
            "refused": self.refused,
            "finished": {
                "requests": self.finished_requests,
                "procedures": self.finished_procedures,
                "named": self.ended,
            },
            "running": [
                _named(ticket, now - ticket.began) for ticket in _oldest(oldest)
            ],
            "longest": None if longest is None else _named(longest[1], longest[0]),
        }


def _copy(tickets: set[Ticket]) -> list[Ticket]:
    """Return what is in a set that other threads change meanwhile."""
    while True:
        try:
            return list(tickets)
        except RuntimeError:  # "changed size during iteration": look again
            continue


def _oldest(tickets: list[Ticket]) -> list[Ticket]:
    return sorted(tickets, key=lambda ticket: ticket.began)


def _named(ticket: Ticket, for_s: float) -> dict[str, Any]:
    return {"kind": ticket.kind, "name": ticket.name, "for_s": round(max(for_s, 0), 3)}
