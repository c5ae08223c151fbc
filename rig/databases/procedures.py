"""Stored procedures that write step by step, in PostgreSQL and in MariaDB, and a gate.

`close_month(job, steps, pause_s)` writes a row for each step and commits at the end;
MariaDB's `write_month` does the same, and leaves the commit to its client.
`keep_gate(job)` writes "begin", waits until the gate is open, and writes "end".
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from rig import wait
from rig.databases.database import Database

POSTGRESQL = """
CREATE TABLE written (job text NOT NULL, step text NOT NULL);
CREATE PROCEDURE close_month(job text, steps int, pause_s float8) LANGUAGE plpgsql AS $$
BEGIN
  FOR step IN 1..steps LOOP
    INSERT INTO written VALUES (job, step::text);
    PERFORM pg_sleep(pause_s);
  END LOOP;
END $$;
CREATE FUNCTION close_year(job text) RETURNS int LANGUAGE sql AS $$
  INSERT INTO written VALUES (job, 'year'); SELECT 12;
$$;
CREATE PROCEDURE keep_gate(job text) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO written VALUES (job, 'begin');
  PERFORM pg_advisory_xact_lock_shared(1);
  INSERT INTO written VALUES (job, 'end');
END $$;
CREATE PROCEDURE fail(job text) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO written VALUES (job, 'begin');
  RAISE 'it fails';
END $$;
"""
MARIADB = """
CREATE TABLE written (job varchar(99) NOT NULL, step varchar(9) NOT NULL) ENGINE=InnoDB;
DELIMITER //
CREATE PROCEDURE close_month(job varchar(99), steps int, pause_s double) BEGIN
  DECLARE step int DEFAULT 1;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
  START TRANSACTION;
  WHILE step <= steps DO
    INSERT INTO written VALUES (job, step);
    DO SLEEP(pause_s);
    SET step = step + 1;
  END WHILE;
  COMMIT;
END//
CREATE PROCEDURE write_month(job varchar(99), steps int, pause_s double) BEGIN
  DECLARE step int DEFAULT 1;
  WHILE step <= steps DO
    INSERT INTO written VALUES (job, step);
    DO SLEEP(pause_s);
    SET step = step + 1;
  END WHILE;
END//
CREATE FUNCTION close_year(job varchar(99)) RETURNS int BEGIN
  INSERT INTO written VALUES (job, 'year');
  RETURN 12;
END//
CREATE PROCEDURE keep_gate(job varchar(99)) BEGIN
  START TRANSACTION;
  INSERT INTO written VALUES (job, 'begin');
  DO GET_LOCK('gate', 60);
  DO RELEASE_LOCK('gate');
  INSERT INTO written VALUES (job, 'end');
  COMMIT;
END//
CREATE PROCEDURE gate_after_rows(job varchar(99)) BEGIN
  SELECT 'rows', 'come' UNION SELECT 'first', 'of all';
  CALL keep_gate(job);
END//
CREATE PROCEDURE fail(job varchar(99)) BEGIN
  START TRANSACTION;
  INSERT INTO written VALUES (job, 'begin');
  SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'it fails';
END//
DELIMITER ;
"""
TAKE = {
    "postgresql": "SELECT pg_advisory_lock(1) IS NULL;",
    "mariadb": "SELECT GET_LOCK('gate', 30);",
}
WAITING = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'"
    " AND query NOT LIKE '%pg_stat_activity%';",
    "mariadb": "SELECT count(*) FROM information_schema.processlist"
    " WHERE state = 'User lock';",
}
KILL = {
    "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE wait_event = 'advisory' AND pid <> pg_backend_pid();",
    "mariadb": "SELECT concat('KILL ', id, ';') FROM information_schema.processlist"
    " WHERE state = 'User lock';",
}


def create(database: Database) -> None:
    """Create the table and the procedures."""
    database.sql(POSTGRESQL if database.kind == "postgresql" else MARIADB)


def steps(database: Database, job: str) -> list[str]:
    """Return the steps that a job has written and committed."""
    return database.sql(f"SELECT step FROM written WHERE job = '{job}';").split()


class Gate:
    """A lock in the database: every call of keep_gate waits until it is opened."""

    def __init__(self, database: Database) -> None:
        self._database = database
        argv, environment = database.client()
        self._process = subprocess.Popen(
            [*argv, *(["--unbuffered"] if database.kind == "mariadb" else [])],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(TAKE[database.kind] + "\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    def wait_for(self, number: int) -> None:
        """Wait until *number* procedures wait at the gate."""
        sql = WAITING[self._database.kind]
        wait.until(
            lambda: self._database.sql(sql).split() == [str(number)],
            f"{number} procedures at the gate",
        )

    def kill(self) -> None:
        """End the connections of the procedures that wait at the gate."""
        printed = self._database.sql(KILL[self._database.kind])
        if self._database.kind == "mariadb":
            self._database.sql(printed)  # the statements that kill

    def open(self) -> None:
        """Let the waiting procedures go on; a second call changes nothing."""
        if self._process.poll() is None:
            self._process.communicate(timeout=30)


@contextmanager
def gate(database: Database) -> Iterator[Gate]:
    """Close the gate; open it when the block ends, if it is still closed."""
    closed = Gate(database)
    try:
        yield closed
    finally:
        closed.open()
