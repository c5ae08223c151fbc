"""Cursors of the drivers of MySQL and MariaDB: what their modules share.

The results of a CALL come one after the other while it runs, and its end is the last of
them.  So a procedure whose first result has rows lasts until `nextset` finds no more, the
cursor executes something else, is closed, or is gone.  Rows of a plain cursor are there
when `execute` returns; those of an unbuffered one (SSCursor) come as they are fetched, and
its procedure lasts as that of a CALL.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from gapless_drain.databases.counting import Calling, Counting, Held


def counted_cursor(
    counting: Counting, cursor: Any, mixin: type[_Counted], unbuffered: Any
) -> Any:
    """Return a class of cursors like *cursor* that counts its procedures."""
    if issubclass(cursor, mixin):
        return cursor
    found = counting.classes.get(cursor)
    if found is None:
        own = {
            "counting": counting,
            "comes_later": issubclass(cursor, unbuffered),
            "__doc__": cursor.__doc__,
        }
        found = type(f"Counted{cursor.__name__}", (mixin, cursor), own)
        counting.classes[cursor] = found
    return found


class _Counted:
    """What cursors have in common."""

    counting: Counting
    comes_later: bool
    description: Any
    held: Held | None = None

    def _began(self, calling: Calling) -> None:
        """Note a procedure that goes on although the call has returned."""
        more = calling.is_call or self.comes_later
        if calling.is_several or (more and self.description is not None):
            if self.held is None:
                self.held = Held()
            calling.last(self.held)

    def _ended(self) -> None:
        if self.held is not None:
            self.held.let_go()

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement.  Raises Draining."""
        calling = self.counting.calling(query)
        call = super().execute  # type: ignore[misc]  # of the driver
        if calling is None and self.held is None:
            return call(query, *args, **kwargs)
        return self._run(calling, call, query, args, kwargs)

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement again and again.  Raises Draining."""
        calling = self.counting.calling(query)
        call = super().executemany  # type: ignore[misc]  # of the driver
        if calling is None and self.held is None:
            return call(query, *args, **kwargs)
        return self._run(calling, call, query, args, kwargs)

    def callproc(self, procname: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a procedure by its name.  Raises Draining."""
        call = super().callproc  # type: ignore[misc]  # of the driver
        calling = self.counting.named(procname)
        return self._run(calling, call, procname, args, kwargs)

    def _run(
        self, calling: Calling | None, call: Any, query: Any, args: Any, kwargs: Any
    ) -> Any:
        raise NotImplementedError


class Cursor(_Counted):
    """Counts what is executed; a driver's cursor follows."""

    def _run(
        self, calling: Calling | None, call: Any, query: Any, args: Any, kwargs: Any
    ) -> Any:
        with calling or nullcontext():
            try:
                done = call(query, *args, **kwargs)
            finally:  # it has read to its end what was before
                self._ended()
            if calling is not None:
                self._began(calling)
            return done

    def nextset(self) -> Any:
        """Go to the next result."""
        more = None
        try:
            more = super().nextset()  # type: ignore[misc]  # of the driver
        finally:
            if not more:
                self._ended()
        return more

    def close(self) -> None:
        """Close it, once what is left was read."""
        try:
            super().close()  # type: ignore[misc]  # of the driver
        finally:
            self._ended()


class AsyncCursor(_Counted):
    """The same under asyncio."""

    async def _run(
        self, calling: Calling | None, call: Any, query: Any, args: Any, kwargs: Any
    ) -> Any:
        with calling or nullcontext():
            try:
                done = await call(query, *args, **kwargs)
            finally:
                self._ended()
            if calling is not None:
                self._began(calling)
            return done

    async def nextset(self) -> Any:
        """Go to the next result."""
        more = None
        try:
            more = await super().nextset()  # type: ignore[misc]  # of the driver
        finally:
            if not more:
                self._ended()
        return more

    async def close(self) -> None:
        """Close it, once what is left was read."""
        try:
            await super().close()  # type: ignore[misc]  # of the driver
        finally:
            self._ended()
