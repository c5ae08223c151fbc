"""mysqlclient (MySQLdb): cursors whose statements are counted.

from gapless_drain.databases.mysqlclient import counted

connection = MySQLdb.connect(..., cursorclass=counted(drain))

How long a procedure lasts: see `mysql_cursors`.
"""

from __future__ import annotations

import MySQLdb.cursors

from gapless_drain.databases.mysql_cursors import SyncCursor
from gapless_drain.databases.mysql_driver import MysqlDriver

_driver = MysqlDriver(
    mixin=SyncCursor,
    cursor=MySQLdb.cursors.Cursor,
    unbuffered_cursor=MySQLdb.cursors.CursorUseResultMixIn,
)
counted = _driver.counted
count_cursors = _driver.count_cursors
