"""Cursors of the drivers of MySQL and MariaDB: what makes them count.

The results of a CALL come one after the other while it runs, and it ends with the last of
them.  So a procedure whose first result has rows lasts until `nextset` finds no more, or
the cursor executes something else, is closed, or is garbage.  A plain cursor has all rows
when `execute` returns.  An unbuffered one (SSCursor) fetches them later, and its procedure
lasts as long as that of a CALL.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from gapless_drain.databases.statement_counter import StatementCounter
from gapless_drain.databases.stored_procedure import OpenProcedures, StoredProcedure


class CountedCursor:
    """What the cursors of sync and async drivers share; a mixin."""

    statement_counter: StatementCounter
    is_unbuffered: bool
    description: Any
    open_procedures: OpenProcedures | None = None

    def _keep_open(self, procedure: StoredProcedure) -> None:
        """Let a procedure last, if the database goes on although the call has returned."""
        more = procedure.may_have_more_results or self.is_unbuffered
        if procedure.has_several_statements or (more and self.description is not None):
            if self.open_procedures is None:
                self.open_procedures = OpenProcedures()
            procedure.keep_open(self.open_procedures)

    def _finish_open(self) -> None:
        if self.open_procedures is not None:
            self.open_procedures.finish()

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement.  Raises Draining."""
        procedure = self.statement_counter.procedure_in(query)
        call = super().execute  # type: ignore[misc]  # of the driver
        if procedure is None and self.open_procedures is None:
            return call(query, *args, **kwargs)
        return self._run(procedure, call, query, args, kwargs)

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement again and again.  Raises Draining."""
        procedure = self.statement_counter.procedure_in(query)
        call = super().executemany  # type: ignore[misc]  # of the driver
        if procedure is None and self.open_procedures is None:
            return call(query, *args, **kwargs)
        return self._run(procedure, call, query, args, kwargs)

    def callproc(self, procname: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a procedure by its name.  Raises Draining."""
        call = super().callproc  # type: ignore[misc]  # of the driver
        procedure = self.statement_counter.procedure_named(procname)
        return self._run(procedure, call, procname, args, kwargs)

    def _run(
        self,
        procedure: StoredProcedure | None,
        call: Any,
        query: Any,
        args: Any,
        kwargs: Any,
    ) -> Any:
        """Call the driver within a procedure, and finish what was open before."""
        raise NotImplementedError


class SyncCursor(CountedCursor):
    """Counts what a sync cursor executes; a mixin."""

    def _run(
        self,
        procedure: StoredProcedure | None,
        call: Any,
        query: Any,
        args: Any,
        kwargs: Any,
    ) -> Any:
        with procedure or nullcontext():
            try:
                result = call(query, *args, **kwargs)
            finally:  # the driver has read the results before to their end
                self._finish_open()
            if procedure is not None:
                self._keep_open(procedure)
            return result

    def nextset(self) -> Any:
        """Go to the next result."""
        more = None
        try:
            more = super().nextset()  # type: ignore[misc]  # of the driver
        finally:
            if not more:
                self._finish_open()
        return more

    def close(self) -> None:
        """Close it; the driver first reads what is left."""
        try:
            super().close()  # type: ignore[misc]  # of the driver
        finally:
            self._finish_open()


class AsyncCursor(CountedCursor):
    """Counts what a cursor under asyncio executes; a mixin."""

    async def _run(
        self,
        procedure: StoredProcedure | None,
        call: Any,
        query: Any,
        args: Any,
        kwargs: Any,
    ) -> Any:
        with procedure or nullcontext():
            try:
                result = await call(query, *args, **kwargs)
            finally:
                self._finish_open()
            if procedure is not None:
                self._keep_open(procedure)
            return result

    async def nextset(self) -> Any:
        """Go to the next result."""
        more = None
        try:
            more = await super().nextset()  # type: ignore[misc]  # of the driver
        finally:
            if not more:
                self._finish_open()
        return more

    async def close(self) -> None:
        """Close it; the driver first reads what is left."""
        try:
            await super().close()  # type: ignore[misc]  # of the driver
        finally:
            self._finish_open()
