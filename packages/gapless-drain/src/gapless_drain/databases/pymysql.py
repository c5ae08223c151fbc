"""PyMySQL: cursors whose statements are counted.

from gapless_drain.databases.pymysql import counted

connection = pymysql.connect(..., cursorclass=counted(drain))

How long a procedure lasts: see `mysql_cursors`.
"""

from __future__ import annotations

import pymysql.cursors

from gapless_drain.databases.mysql_cursors import SyncCursor
from gapless_drain.databases.mysql_driver import MysqlDriver

_driver = MysqlDriver(
    mixin=SyncCursor,
    cursor=pymysql.cursors.Cursor,
    unbuffered_cursor=pymysql.cursors.SSCursor,
)
counted = _driver.counted
count_cursors = _driver.count_cursors
