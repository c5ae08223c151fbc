"""Real PostgreSQL, MariaDB and Redis on free ports, in directories of their own.

    with postgresql(directory) as database:
        database.sql("SELECT 1")

    python -m rig.programs.databases postgresql DIRECTORY

prints one line of JSON with host, port, user, password and database, and stops what it
started when its standard input closes.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rig import wait
from rig.hosts.host import NOBODY, ORDINARY_USER

START_S, STOP_S, SQL_S = 60.0, 30.0, 120.0
HOST, USER, PASSWORD, NAME = "127.0.0.1", "app", "secret", "app"
POSTGRESQL_SETTINGS = {
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
MARIADB_SETTINGS = (
    f"--bind-address={HOST}",
    "--socket=mariadb.sock",  # within its directory: a longer path may be too long
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


@dataclass(frozen=True, kw_only=True)
class Database:
    """One that runs, and how it is reached."""

    kind: str
    port: int
    pid: int
    log: Path
    """What it says of itself."""
    host: str = HOST
    user: str = USER
    password: str = PASSWORD
    database: str = NAME

    @property
    def url(self) -> str:
        """How drivers are told: postgresql://user:password@host:port/database."""
        who = f"{self.user}:{self.password}@{self.host}:{self.port}"
        return f"{self.kind}://{who}/{self.database}"

    def client(self) -> tuple[list[str], dict[str, str]]:
        """Return the command of the database's own client, and what it needs to know."""
        return _CLIENTS[self.kind](self)

    def sql(self, text: str) -> str:
        """Run statements in the database's own client; return what it printed.

        A row is a line, its fields are parted by tabs.  The bodies of MariaDB's procedures
        need the client's DELIMITER.  Raises AssertionError with what the client said.
        """
        argv, secret = self.client()
        done = subprocess.run(
            argv,
            input=text,
            env=os.environ | secret,
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


@contextmanager
def postgresql(directory: Path) -> Iterator[Database]:
    """Run PostgreSQL until the block ends; what it stores is below *directory*."""
    # It refuses to run as root.
    become = ORDINARY_USER if os.geteuid() == 0 else ()
    place, log = _prepare(directory, "postgresql")
    if become:
        os.chown(place, NOBODY, NOBODY)
    _run(
        [
            *become,
            _postgresql_program("initdb"),
            *("-D", str(place), "-U", USER, "-A", "trust", "-E", "UTF8"),
            *("--locale=C", "--no-sync", "--no-instructions"),
        ],
        log,
    )
    port = wait.free_port()
    settings = POSTGRESQL_SETTINGS | {"port": str(port)}
    argv = [*become, _postgresql_program("postgres"), "-D", str(place)]
    argv += [f"--{name}={value}" for name, value in settings.items()]
    is_ready = [_postgresql_program("pg_isready"), "-q", f"-U{USER}", f"-h{HOST}"]
    is_ready += [f"-p{port}", "-dpostgres"]
    with _running(argv, log, is_ready, stop=signal.SIGINT) as pid:
        found = Database(kind="postgresql", port=port, pid=pid, log=log)
        url = f"{found.url.removesuffix(NAME)}postgres"
        _run(["psql", "-Xqc", f"CREATE DATABASE {NAME}", url], log)
        yield found


@contextmanager
def mariadb(directory: Path) -> Iterator[Database]:
    """Run MariaDB until the block ends; what it stores is below *directory*."""
    # It runs as root if told so; another user could not look into a closed directory, since
    # access(2) forgets capabilities.
    own = ("--user=root",) if os.geteuid() == 0 else ()
    place, log = _prepare(directory, "mariadb")
    # One that begins removes temporary tables of all others in the same directory.
    temporary = f"--tmpdir={_prepare(directory, 'mariadb-tmp')[0]}"
    _run(
        [
            *("mariadb-install-db", "--no-defaults", f"--datadir={place}"),
            *own,
            *("--skip-test-db", "--auth-root-authentication-method=normal"),
            temporary,
        ],
        log,
    )
    first = directory / "first.sql"
    first.write_text(
        f"CREATE DATABASE IF NOT EXISTS {NAME};\n"
        f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n"
        f"GRANT ALL ON *.* TO '{USER}'@'%';\n"
    )
    port = wait.free_port()
    argv = [
        shutil.which("mariadbd") or "/usr/sbin/mariadbd",
        *("--no-defaults", f"--datadir={place}", f"--port={port}"),
        f"--init-file={first}",
        temporary,
        *own,
        *MARIADB_SETTINGS,
    ]
    # It listens only when it is ready, after the first statements.
    found = Database(kind="mariadb", port=port, pid=0, log=log)
    client, secret = _mariadb(found)
    is_ready = ["env", *(f"{k}={v}" for k, v in secret.items()), *client, "-eSELECT 1"]
    with _running(argv, log, is_ready, stop=signal.SIGTERM) as pid:
        yield Database(kind="mariadb", port=port, pid=pid, log=log)


@contextmanager
def redis(directory: Path) -> Iterator[str]:
    """Run Redis until the block ends; yield its URL.  It keeps nothing on disk."""
    place, log = _prepare(directory, "redis")
    port = wait.free_port()
    argv = ["redis-server", "--bind", HOST, "--port", str(port), "--dir", str(place)]
    argv += ["--save", "", "--appendonly", "no"]
    is_ready = ["redis-cli", "-e", "-h", HOST, "-p", str(port), "ping"]
    with _running(argv, log, is_ready, stop=signal.SIGTERM):
        yield f"redis://{HOST}:{port}/0"


def _prepare(directory: Path, name: str) -> tuple[Path, Path]:
    """Make the directory that a database owns, and the file for what it says."""
    place = directory / name
    place.mkdir(parents=True, mode=0o700)
    return place, directory / f"{name}.log"


def _postgresql_program(name: str) -> str:
    """Return the path of a program that Debian keeps out of PATH."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return found[-1] if found else shutil.which(name) or name


def _run(argv: list[str], log: Path) -> None:
    with log.open("ab") as output:
        done = subprocess.run(
            argv,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=START_S,
            check=False,
        )
    assert done.returncode == 0, f"{argv[0]}: {log.read_text(errors='replace')}"


@contextmanager
def _running(
    argv: list[str], log: Path, is_ready: list[str], stop: signal.Signals
) -> Iterator[int]:
    """Run a program until the block ends; yield its pid as soon as it is ready."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # an interrupt is for the tests, not for it
        )

    def is_up() -> bool:
        assert process.poll() is None, f"{argv[0]}: {log.read_text(errors='replace')}"
        done = subprocess.run(is_ready, capture_output=True, timeout=10, check=False)
        return done.returncode == 0

    try:
        wait.until(is_up, f"{argv[0]} to be ready", START_S)
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(stop)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


DATABASES: dict[str, Callable[[Path], AbstractContextManager[Database]]] = {
    "postgresql": postgresql,
    "mariadb": mariadb,
}


def main() -> None:
    """Run one until standard input closes, or a signal asks to end."""
    _, kind, directory = sys.argv
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with DATABASES[kind](Path(directory)) as database:
        shown = asdict(database)
        names = ("host", "port", "user", "password", "database")
        print(json.dumps({name: shown[name] for name in names}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
