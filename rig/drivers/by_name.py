"""Every driver that the drain library counts, by name.

The drivers are installed in build/servers: call `add_to_path()` before you use one.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from typing import Any

from rig.drivers.frameworks import django, sqlalchemy, sqlalchemy_async
from rig.drivers.mariadb import aiomysql, mysqlclient, pymysql
from rig.drivers.postgresql import (
    asyncpg,
    asyncpg_pool,
    psycopg,
    psycopg_async,
    psycopg_pool,
)
from rig.hosts.host import ROOT

Run = Callable[..., Any]
"""Runs a statement: called with a drain, a database, the text, and options of counting."""

DRIVERS: dict[str, tuple[str, Run]] = {
    "psycopg": ("postgresql", psycopg),
    "psycopg-async": ("postgresql", psycopg_async),
    "psycopg-pool": ("postgresql", psycopg_pool),
    "asyncpg": ("postgresql", asyncpg),
    "asyncpg-pool": ("postgresql", asyncpg_pool),
    "pymysql": ("mariadb", pymysql),
    "mysqlclient": ("mariadb", mysqlclient),
    "aiomysql": ("mariadb", aiomysql),
    "sqlalchemy-psycopg": ("postgresql", sqlalchemy("postgresql+psycopg")),
    "sqlalchemy-pymysql": ("mariadb", sqlalchemy("mysql+pymysql")),
    "sqlalchemy-mysqlclient": ("mariadb", sqlalchemy("mysql+mysqldb")),
    "sqlalchemy-psycopg-async": (
        "postgresql",
        sqlalchemy_async("postgresql+psycopg"),
    ),
    "sqlalchemy-asyncpg": ("postgresql", sqlalchemy_async("postgresql+asyncpg")),
    "sqlalchemy-aiomysql": ("mariadb", sqlalchemy_async("mysql+aiomysql")),
    "django-postgresql": ("postgresql", django),
    "django-mysqlclient": ("mariadb", django),
}
"""The kind of the database, and what runs a statement, by the name of the driver."""


def add_to_path() -> None:
    """Let this interpreter import the drivers; its own packages come first."""
    scheme = {"base": str(ROOT / "build" / "servers")}
    path = sysconfig.get_path("purelib", "venv", scheme)
    if path not in sys.path:
        sys.path.append(path)
