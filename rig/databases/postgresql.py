"""A real PostgreSQL on a free port, in a directory of its own."""

from __future__ import annotations

import glob
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rig import wait
from rig.databases import process
from rig.databases.database import HOST, NAME, USER, Database
from rig.hosts.host import NOBODY, ORDINARY_USER

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "16MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "jit": "off",
    "max_prepared_transactions": "4",
}


@contextmanager
def postgresql(directory: Path) -> Iterator[Database]:
    """Run PostgreSQL until the block ends; its files are below *directory*."""
    # PostgreSQL refuses to run as root.
    prefix = ORDINARY_USER if os.geteuid() == 0 else ()
    own, log = process.prepare(directory, "postgresql")

    def make(empty: Path) -> None:
        if prefix:
            os.chown(empty, NOBODY, NOBODY)
        process.run(
            [
                *prefix,
                _program("initdb"),
                *("-D", str(empty), "-U", USER, "-A", "trust", "-E", "UTF8"),
                *("--locale=C", "--no-sync", "--no-instructions"),
                "--wal-segsize=1",  # of 1 MB, not 16: each test copies one
            ],
            log,
        )

    process.install("postgresql", own, make)
    port = wait.free_port()
    settings = SETTINGS | {"port": str(port)}
    argv = [*prefix, _program("postgres"), "-D", str(own)]
    argv += [f"--{name}={value}" for name, value in settings.items()]
    is_ready = [_program("pg_isready"), "-q", f"-U{USER}", f"-h{HOST}"]
    is_ready += [f"-p{port}", "-dpostgres"]
    with process.running(argv, log, is_ready, stop=signal.SIGINT) as pid:
        found = Database(kind="postgresql", port=port, pid=pid, log=log)
        url = f"{found.url.removesuffix(NAME)}postgres"
        process.run(["psql", "-Xqc", f"CREATE DATABASE {NAME}", url], log)
        yield found


def _program(name: str) -> str:
    """Return the path of a program that Debian does not put into PATH."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return found[-1] if found else shutil.which(name) or name
