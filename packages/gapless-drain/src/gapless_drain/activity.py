"""One request or procedure under way, and which one the running code is part of.  Pure."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any

LONGEST_NAME_CHARS = 200


class Activity:
    """One request or procedure that is under way."""

    __slots__ = ("admitted", "began_at", "is_open", "kind", "name_source", "root")

    def __init__(
        self,
        kind: str,
        name_source: Any,
        began_at: float,
        parent: Activity | None = None,
    ) -> None:
        """*kind*: request or procedure; *name_source*: see `name`."""
        self.kind, self.name_source, self.began_at = kind, name_source, began_at
        self.is_open: bool = True
        self.admitted: bool = True
        self.root: Activity | None = None
        if parent is not None and parent.is_open:
            # Not the parent: a chain of procedures must not grow for ever.
            self.root = parent.root or parent

    @property
    def name(self) -> str:
        """Its name, which is made from the source only when it is asked for."""
        source = self.name_source
        if isinstance(source, dict):  # an ASGI scope or a WSGI environment
            method = source.get("method") or source.get("REQUEST_METHOD") or "WEBSOCKET"
            path = source.get("path") or source.get("PATH_INFO") or "/"
            source = f"{method} {path}"
        return str(source)[:LONGEST_NAME_CHARS]

    @property
    def admits_procedures(self) -> bool:
        """Whether a procedure may begin within it while the process drains.

        What a finished procedure left behind, such as a task, is within its root.
        """
        if self.is_open:
            return self.admitted
        root = self.root
        return root is not None and root.is_open and root.admitted


current: ContextVar[Activity | None] = ContextVar("gapless_drain_current", default=None)
"""The request or procedure that the running code is part of."""


def restore_current(token: Token[Activity | None], activity: Activity) -> None:
    """Make current what was current before *activity*.

    An activity can end in another context than it began in.  In an unrelated one, as in a
    garbage collection, nothing changes; in a copy of its own, the value before is set.
    """
    try:
        current.reset(token)
    except ValueError:
        if current.get() is activity:
            before = token.old_value
            current.set(None if before is Token.MISSING else before)
