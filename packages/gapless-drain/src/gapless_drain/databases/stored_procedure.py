"""A stored procedure that a driver calls, and how long it is under way."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from gapless_drain.activity import Activity, current
from gapless_drain.core import Core
from gapless_drain.procedure import Procedure


class StoredProcedureName(str):
    """A name that was found in a statement, not given by the app."""

    __slots__ = ()


class OpenProcedures:
    """Stored procedures that the database goes on with after the driver's call returned.

    They finish with this object at the latest.
    """

    __slots__ = ("__weakref__", "_activities")

    def __init__(self) -> None:
        self._activities: list[tuple[Core, Activity]] = []
        weakref.finalize(self, _finish_all, self._activities).atexit = False

    def add(self, core: Core, activity: Activity) -> None:
        """Add one that is under way."""
        self._activities.append((core, activity))

    def finish(self) -> None:
        """Finish all of them."""
        _finish_all(self._activities)


class StoredProcedure(Procedure):
    """One call of a driver that runs stored procedures: a context manager."""

    def __init__(
        self,
        core: Core,
        name: str,
        *,
        has_several_statements: bool = False,
        may_have_more_results: bool = False,
    ) -> None:
        """*name*: what is counted; several names are joined by `, `."""
        super().__init__(core, StoredProcedureName(name))
        self.has_several_statements = has_several_statements
        self.may_have_more_results = may_have_more_results

    @property
    def names(self) -> list[str]:
        """The names that are counted."""
        return self._name.split(", ")

    def __enter__(self) -> None:
        """Begin, unless a layer above has begun for the same call.  Raises Draining."""
        parent = current.get()
        if (
            parent is None
            or not parent.is_open
            or type(parent.name_source) is not StoredProcedureName
        ):
            super().__enter__()

    def keep_open(self, until_finished: OpenProcedures) -> None:
        """Let it last until *until_finished* is finished; the last step of its block.

        If a layer above has begun for the same call, that layer decides how long it lasts.
        """
        activity = self._leave()
        if activity is not None:
            until_finished.add(self._core, activity)

    @contextmanager
    def open_during_block(self) -> Iterator[None]:
        """Let it last for a block that is the app's own.

        The app's calls in the block are not part of it, and count.
        """
        open_procedures = OpenProcedures()
        with self:
            self.keep_open(open_procedures)
        try:
            yield
        finally:
            open_procedures.finish()


def _finish_all(activities: list[tuple[Core, Activity]]) -> None:
    now = time.monotonic()
    while activities:
        core, activity = activities.pop()
        core.finish(activity, now)
