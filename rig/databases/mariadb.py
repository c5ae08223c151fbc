"""A real MariaDB on a free port, in a directory of its own."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rig import wait
from rig.databases import process
from rig.databases.database import HOST, NAME, PASSWORD, USER, Database

SETTINGS = (
    f"--bind-address={HOST}",
    "--socket=mariadb.sock",  # in its own directory: an absolute path may be too long
    "--pid-file=mariadb.pid",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--skip-performance-schema",
    "--max-connections=100",
    "--innodb-buffer-pool-size=24M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--aria-pagecache-buffer-size=16M",
    "--key-buffer-size=1M",
)
FIRST_STATEMENTS = (
    f"CREATE DATABASE IF NOT EXISTS {NAME};\n"
    f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n"
    f"GRANT ALL ON *.* TO '{USER}'@'%';\n"
)


@contextmanager
def mariadb(directory: Path) -> Iterator[Database]:
    """Run MariaDB until the block ends; its files are below *directory*."""
    # It runs as root if root asks for it.  Another user could not read a directory that
    # is closed to others, since access(2) ignores capabilities.
    user = ("--user=root",) if os.geteuid() == 0 else ()
    own, log = process.prepare(directory, "mariadb")
    # At its start it removes the temporary tables of all others in the same directory.
    temporary = f"--tmpdir={process.prepare(directory, 'mariadb-tmp')[0]}"

    def make(empty: Path) -> None:
        process.run(
            [
                *("mariadb-install-db", "--no-defaults", f"--datadir={empty}"),
                *user,
                *("--skip-test-db", "--auth-root-authentication-method=normal"),
                temporary,
            ],
            log,
        )

    process.install("mariadb", own, make)
    first = directory / "first.sql"
    first.write_text(FIRST_STATEMENTS)
    port = wait.free_port()
    argv = [
        shutil.which("mariadbd") or "/usr/sbin/mariadbd",
        *("--no-defaults", f"--datadir={own}", f"--port={port}"),
        f"--init-file={first}",
        temporary,
        *user,
        *SETTINGS,
    ]
    found = Database(kind="mariadb", port=port, pid=0, log=log)
    client, secret = found.client()
    # It listens only when it has run the first statements.
    is_ready = ["env", *(f"{k}={v}" for k, v in secret.items()), *client, "-eSELECT 1"]
    with process.running(argv, log, is_ready, stop=signal.SIGTERM) as pid:
        yield replace(found, pid=pid)
