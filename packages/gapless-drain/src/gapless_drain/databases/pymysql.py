"""PyMySQL: cursors whose statements are counted.

from gapless_drain.databases.pymysql import counted

connection = pymysql.connect(..., cursorclass=counted(drain))

How long a procedure lasts: see `cursors`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import pymysql.cursors

from gapless_drain.databases.counting import Counting
from gapless_drain.databases.cursors import Cursor, counted_cursor

if TYPE_CHECKING:
    from gapless_drain.drain import Drain

UNBUFFERED = pymysql.cursors.SSCursor


def counted(
    drain: Drain,
    cursor: Any = pymysql.cursors.Cursor,
    *,
    functions: Collection[str] = (),
    every_statement: bool = False,
) -> Any:
    """Return a class of cursors like *cursor* that counts its procedures."""
    counting = Counting(drain, "mysql", functions, every_statement=every_statement)
    return counted_cursor(counting, cursor, Cursor, UNBUFFERED)


def count_cursors(counting: Counting, connection: Any) -> None:
    """Let a connection that somebody else has opened make cursors that count."""
    kind = connection.cursorclass
    connection.cursorclass = counted_cursor(counting, kind, Cursor, UNBUFFERED)
