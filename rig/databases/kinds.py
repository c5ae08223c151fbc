"""The databases with stored procedures, by their kind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rig.databases.database import Database
from rig.databases.mariadb import mariadb
from rig.databases.postgresql import postgresql

DATABASES: dict[str, Callable[[Path], AbstractContextManager[Database]]] = {
    "postgresql": postgresql,
    "mariadb": mariadb,
}
