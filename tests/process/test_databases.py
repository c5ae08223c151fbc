"""The databases that other tests use: real, fresh, and gone afterwards."""

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
    """In the versions of Debian 12, and nothing of it runs afterwards."""
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
    """It lasts until the standard input of the command closes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rig.databases", kind, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert set(told) == {"host", "port", "user", "password", "database"}
    socket.create_connection((told["host"], told["port"]), 5).close()
    rest, _ = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((told["host"], told["port"]), 5)
