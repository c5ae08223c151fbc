"""What the modules of MySQL's drivers offer; each gives the classes of its driver."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gapless_drain.databases.mysql_cursors import CountedCursor
from gapless_drain.databases.statement_counter import StatementCounter

if TYPE_CHECKING:
    from gapless_drain.drain import Drain


@dataclass(frozen=True, slots=True, kw_only=True)
class MysqlDriver:
    """A driver of MySQL and MariaDB."""

    mixin: type[CountedCursor]
    cursor: Any
    """The driver's class of cursors that is used by default."""
    unbuffered_cursor: Any
    """A base class of the driver's cursors that fetch their rows later."""

    def counted(
        self,
        drain: Drain,
        cursor: Any = None,
        *,
        functions: Collection[str] = (),
        every_statement: bool = False,
    ) -> Any:
        """Return a class of cursors like *cursor* that counts its procedures."""
        counter = StatementCounter(
            drain, "mysql", functions, every_statement=every_statement
        )
        return self._counted_cursor(counter, self.cursor if cursor is None else cursor)

    def count_cursors(self, counter: StatementCounter, connection: Any) -> None:
        """Make a connection that is open already return cursors that count."""
        counted = self._counted_cursor(counter, connection.cursorclass)
        connection.cursorclass = counted

    def _counted_cursor(self, counter: StatementCounter, cursor: Any) -> Any:
        if issubclass(cursor, self.mixin):
            return cursor
        is_unbuffered = issubclass(cursor, self.unbuffered_cursor)
        return counter.counted_class(cursor, self.mixin, is_unbuffered=is_unbuffered)
