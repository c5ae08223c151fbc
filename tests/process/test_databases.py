"""The databases for other tests: real, empty at first, ended afterwards."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rig.databases.kinds import DATABASES
from rig.hosts.host import ROOT

PROCEDURES = {
    "postgresql": "CREATE PROCEDURE twice(x int) LANGUAGE SQL AS "
    "$$ INSERT INTO written VALUES (x), (x) $$;",
    "mariadb": "DELIMITER //\nCREATE PROCEDURE twice(x int) BEGIN "
    "INSERT INTO written VALUES (x); INSERT INTO written VALUES (x); END//\n"
    "DELIMITER ;",
}
VERSIONS = {"postgresql": "15.", "mariadb": "10.11."}


@pytest.mark.parametrize("kind", DATABASES)
def test_a_database_runs_stored_procedures(kind: str, tmp_path: Path) -> None:
    """The version is that of Debian 12, and no process is left afterwards."""
    with DATABASES[kind](tmp_path) as database:
        assert VERSIONS[kind] in database.sql("SELECT version();")
        database.sql("CREATE TABLE written (x int);")
        database.sql(PROCEDURES[kind])
        assert database.sql("CALL twice(7); SELECT x, x + 1 FROM written;") == (
            "7\t8\n7\t8\n"
        )
        with pytest.raises(AssertionError, match="no_such_table"):
            database.sql("SELECT * FROM no_such_table;")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", database.port), 5)
    assert not os.path.exists(f"/proc/{database.pid}")


@pytest.mark.parametrize("kind", DATABASES)
def test_other_languages_get_a_database_by_a_command(kind: str, tmp_path: Path) -> None:
    """The database runs until the standard input of the command closes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rig.databases", kind, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    credentials = json.loads(process.stdout.readline())
    assert set(credentials) == {"host", "port", "user", "password", "database"}
    socket.create_connection((credentials["host"], credentials["port"]), 5).close()
    rest, _ = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((credentials["host"], credentials["port"]), 5)
