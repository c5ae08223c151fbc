"""What the modules of the drivers share: which statements count as stored procedures."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gapless_drain.activity import Activity, current, restore_current
from gapless_drain.databases.sql.procedures import (
    NO_FINDINGS,
    Findings,
    ProcedureFinder,
)
from gapless_drain.databases.sql.statements import CONTROL
from gapless_drain.databases.sql.tokens import Dialect
from gapless_drain.databases.stored_procedure import (
    StoredProcedure,
    StoredProcedureName,
)

if TYPE_CHECKING:
    from gapless_drain.drain import Drain

MOST_CACHED_TEXTS = 1024
LONGEST_CACHED_CHARS = 10_000
"""Longer texts are read each time, so that the cache stays small."""
MOST_PREPARED = 1000
_UNCOUNTED = Activity("procedure", StoredProcedureName(), 0.0)


class StatementCounter:
    """Decides what counts as a stored procedure, for one driver and one drain."""

    def __init__(
        self,
        drain: Drain,
        dialect: Dialect,
        functions: Collection[str] = (),
        *,
        every_statement: bool = False,
    ) -> None:
        self._core = drain.core
        self._dialect = dialect
        self._every_statement = every_statement
        finder = ProcedureFinder(dialect, functions)
        self._find = finder.read if every_statement else finder.find
        self._find_cached = lru_cache(MOST_CACHED_TEXTS)(self._find)
        self._prepared: dict[str, tuple[str, ...] | None] = {}
        """What each prepared statement calls; None: it is not known."""
        self._counted_classes: dict[Any, Any] = {}

    def procedure_in(self, text: Any) -> StoredProcedure | None:
        """Return what to run a statement within; None if it calls no procedure."""
        if type(text) is not str:  # bytes, or a subclass of str
            text = _as_str(text)
        if len(text) < LONGEST_CACHED_CHARS:
            findings = self._find_cached(text)
        else:
            findings = self._find(text)
        return None if findings is NO_FINDINGS else self._procedure_of(findings)

    def procedure_named(self, name: Any) -> StoredProcedure:
        """Return what to run a procedure within that the app calls by its name."""
        return StoredProcedure(self._core, _as_str(name), may_have_more_results=True)

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Neither count nor refuse what a driver executes for itself."""
        token = current.set(_UNCOUNTED)
        try:
            yield
        finally:
            restore_current(token, _UNCOUNTED)

    def counted_class(self, base: Any, mixin: Any, **attributes: Any) -> Any:
        """Return a subclass of *base* with *mixin*, the same one each time.

        Its attribute `statement_counter` is this object.
        """
        found = self._counted_classes.get(base)
        if found is None:
            own = {"statement_counter": self, "__doc__": base.__doc__, **attributes}
            found = type(f"Counted{base.__name__}", (mixin, base), own)
            self._counted_classes[base] = found
        return found

    def _procedure_of(self, findings: Findings) -> StoredProcedure | None:
        names = [*findings.calls]
        for name, calls in findings.prepares:
            self._note_prepared(self._key(name), calls)
        for name in findings.executes:
            calls = self._prepared.get(self._key(name))
            # What was prepared elsewhere may call a procedure: better one count too many.
            names += (f"EXECUTE {name}",) if calls is None else calls
        if self._every_statement and not CONTROL.issuperset(findings.verbs):
            parent = current.get()
            if parent is None or not parent.is_open:
                # No more than the verb: the rest may hold secrets, and is reported.
                verbs = (verb for verb in findings.verbs if verb not in CONTROL)
                names += (f"{verb} statement".strip() for verb in verbs)
        if not names:
            return None
        return StoredProcedure(
            self._core,
            ", ".join(names),
            has_several_statements=findings.statement_count > 1,
            may_have_more_results=findings.may_have_more_results,
        )

    def _key(self, name: str) -> str:
        """Return the name of a prepared statement as the database compares it."""
        return name.lower() if self._dialect == "mysql" else name

    def _note_prepared(self, name: str, calls: tuple[str, ...] | None) -> None:
        """Add to what a name calls, whatever the connection, so that none is missed."""
        if len(self._prepared) >= MOST_PREPARED:
            self._prepared.clear()
        before = self._prepared.get(name, ())
        if calls is None or before is None:
            self._prepared[name] = None
        else:
            self._prepared[name] = (*before, *(c for c in calls if c not in before))


def _as_str(text: Any) -> str:
    if isinstance(text, (bytes, bytearray, memoryview)):
        return bytes(text).decode(errors="replace")
    return str(text)
