"""aiomysql: cursors whose statements are counted.

from gapless_drain.databases.aiomysql import counted

pool = await aiomysql.create_pool(..., cursorclass=counted(drain))

How long a procedure lasts: see `cursors`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import aiomysql

from gapless_drain.databases.counting import Counting
from gapless_drain.databases.cursors import AsyncCursor, counted_cursor

if TYPE_CHECKING:
    from gapless_drain.drain import Drain

UNBUFFERED = aiomysql.SSCursor


def counted(
    drain: Drain,
    cursor: Any = aiomysql.Cursor,
    *,
    functions: Collection[str] = (),
    every_statement: bool = False,
) -> Any:
    """Return a class of cursors like *cursor* that counts its procedures."""
    counting = Counting(drain, "mysql", functions, every_statement=every_statement)
    return counted_cursor(counting, cursor, AsyncCursor, UNBUFFERED)
