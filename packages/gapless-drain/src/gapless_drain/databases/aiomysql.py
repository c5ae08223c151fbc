"""aiomysql: cursors whose statements are counted.

from gapless_drain.databases.aiomysql import counted

pool = await aiomysql.create_pool(..., cursorclass=counted(drain))

How long a procedure lasts: see `mysql_cursors`.
"""

from __future__ import annotations

import aiomysql

from gapless_drain.databases.mysql_cursors import AsyncCursor
from gapless_drain.databases.mysql_driver import MysqlDriver

counted = MysqlDriver(
    mixin=AsyncCursor,
    cursor=aiomysql.Cursor,
    unbuffered_cursor=aiomysql.SSCursor,
).counted
