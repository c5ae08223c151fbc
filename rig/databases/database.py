"""A database that runs: how it is reached, and its own client."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SQL_S = 120.0
HOST, USER, PASSWORD, NAME = "127.0.0.1", "app", "secret", "app"


@dataclass(frozen=True, kw_only=True)
class Database:
    """How a running database is reached."""

    kind: str
    """postgresql or mariadb."""
    port: int
    pid: int
    log: Path
    """The file with its output."""
    host: str = HOST
    user: str = USER
    password: str = PASSWORD
    database: str = NAME

    @property
    def url(self) -> str:
        """The URL for drivers: postgresql://user:password@host:port/database."""
        login = f"{self.user}:{self.password}"
        return f"{self.kind}://{login}@{self.host}:{self.port}/{self.database}"

    def connect_arguments(self) -> dict[str, Any]:
        """Return the arguments of `connect` in PyMySQL and drivers like it."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "database": self.database,
        }

    def client(self) -> tuple[list[str], dict[str, str]]:
        """Return the command of the database's own client, and environment for it."""
        return _CLIENTS[self.kind](self)

    def sql(self, text: str) -> str:
        """Run statements in the database's own client; return what it printed.

        A row is a line; tabs separate its fields.  The bodies of MariaDB's procedures need
        the client's DELIMITER.  Raises AssertionError with the client's message.
        """
        argv, environment = self.client()
        done = subprocess.run(
            argv,
            input=text,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=SQL_S,
            check=False,
        )
        assert done.returncode == 0, f"{text}: {done.stderr}"
        return done.stdout


def _psql(database: Database) -> tuple[list[str], dict[str, str]]:
    argv = ["psql", "-XAtq", "-F\t", "-vON_ERROR_STOP=1", database.url]
    return argv, {"PGOPTIONS": "-c client_min_messages=warning"}


def _mariadb(database: Database) -> tuple[list[str], dict[str, str]]:
    argv = [
        "mariadb",
        "--no-defaults",
        "--batch",
        "--skip-column-names",
        "--protocol=tcp",
        f"--host={database.host}",
        f"--port={database.port}",
        f"--user={database.user}",
        database.database,
    ]
    return argv, {"MYSQL_PWD": database.password}


_CLIENTS: dict[str, Callable[[Database], tuple[list[str], dict[str, str]]]] = {
    "postgresql": _psql,
    "mariadb": _mariadb,
}
