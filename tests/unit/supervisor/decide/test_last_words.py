"""What the last words of real programs mean."""

from __future__ import annotations

import string

import pytest

from gapless.supervisor.decide.last_words import HELD, TABLE, hint

CRASH = "instance 0 of generation 2 exited with code 1 after 0.16 s"
WORDS = {
    "file watchers": [
        "Error: ENOSPC: System limit for number of file watchers reached, watch '/srv'"
    ],
    "low port": [
        "Error: listen EACCES: permission denied 0.0.0.0:80",
        "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)",
        "listen tcp :443: bind: permission denied",
        "[Errno 13] error while attempting to bind on ('::', 80): permission denied",
        'Permission denied - bind(2) for "0.0.0.0" port 80 (Errno::EACCES)',
    ],
    "address in use": [
        "Error: listen EADDRINUSE: address already in use 127.0.0.1:3000",
        "OSError: [Errno 98] Address already in use",
        "java.net.BindException: Address already in use",
        "Web server failed to start. Port 8080 was already in use.",
        "[ERROR] Connection in use: ('127.0.0.1', 8000)",
        "Could not create server TCP listening socket *:6379: bind: Address already in use",
        'Error: Os { code: 98, kind: AddrInUse, message: "Address already in use" }',
    ],
    "no such user": [
        "instance 0 could not be started: find the user ada: there is none after 0.04 s"
    ],
    "no such address": ["bind: Cannot assign requested address"],
    "lock": [
        'level=error err="opening storage failed: lock DB directory: resource '
        'temporarily unavailable"',
        'FATAL:  lock file "postmaster.pid" already exists',
        "IO error: lock /data/LOCK: Resource temporarily unavailable",
        "While lock file: /data/LOCK: Resource temporarily unavailable",
        'Cannot acquire directory lock on "/data".  Another process is using this Badger '
        "database.",
        "failed to obtain node locks, tried [[/data]]; maybe these are not writable",
        "lucene.store.LockObtainFailedException: Lock held by another program: /x",
        "DBPathInUse: Unable to lock the lock file: /data/db/mongod.lock (Resource "
        "temporarily unavailable). Another mongod instance is already running on the "
        "/data/db directory",
        "InnoDB: Unable to lock ./ibdata1 error: 11",
        "Failed to acquire lock on file .lock in /tmp/kafka-logs. A Kafka instance in "
        "another process or thread is using this directory.",
        "sqlite3.OperationalError: database is locked",
        "BlockingIOError: [Errno 11] Resource temporarily unavailable",
        "Error: Varnishd is already running (pid=7) (pidfile=/var/run/v.pid)",
        "System.IO.IOException: The process cannot access the file '/srv/x.dat' because it "
        "is being used by another process.",
        "Sorry, the cluster configuration file nodes.conf is already used by a different "
        "Redis Cluster node.",
        'another etcd process is using "/data/member/snap/db" and holds the file lock',
        "whoosh.index.LockError",
        "LOCK exists: another copy runs",
        "Error: Found another Vite dev process for this project at http://x/ (PID 16441).",
        "Another next dev server is already running and holds a lock on .next",
        'Database may be already in use: "Locked by another process"',
    ],
    "pid file": [
        "Error: Already running on PID 14132 (or pid file '/srv/pid' is stale)",
        "unicorn/http_server.rb:206:in `pid=': Already running on PID:14336 (or "
        "pid=/srv/pid is stale) (ArgumentError)",
        "A server is already running. Check /srv/tmp/pids/server.pid.",
        "A server is already running (pid: 7, file: /srv/tmp/pids/server.pid).",
        "ERROR: Pidfile (celerybeat.pid) already exists.",
        "httpd (pid 123) already running",
        "Another twistd server is running, PID 123",
        "Pid_file already exists for running process (27116)... aborting",
        "remove_stale_pid_file': /srv/t.pid already exists, seems like it's already "
        "running (process ID: 8158). (Thin::PidFileExist)",
        "rsyslogd: pidfile '/srv/r.pid' and pid 17155 already exist.",
        "FATAL: Squid is already running: Found fresh instance PID file (/srv/squid.pid) "
        "with PID 21660",
        "Starting hot deployment for Hypnotoad server 1798.",
        "This application is already running (Or delete /srv/RUNNING_PID file).",
    ],
    "missing module": [
        "Error: Cannot find module 'express'",
        "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'express' imported from /srv/x",
        "ModuleNotFoundError: No module named 'express'",
        "cannot load such file -- express (LoadError)",
        "Could not find express-2.2.4 in locally installed gems (Bundler::GemNotFound)",
        "Error: Could not find or load main class express.App",
        "java.lang.NoClassDefFoundError: express/App",
        "Error: Unable to access jarfile express.jar",
        "Can't locate express.pm in @INC (you may need to install the express module)",
        "bundler: command not found: express",
        "app: error while loading shared libraries: express.so.1: cannot open shared "
        "object file: No such file or directory",
    ],
    "interpreter": [
        "/usr/bin/env: 'node': No such file or directory",
        "sh: 1: exec: node: not found",
        "bash: line 1: node: command not found",
        "could not be started: run /srv/app: exec format error",
        "could not be started: run ./x: the interpreter that its first line names does not "
        "exist",
        "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by app)",
    ],
    "no memory": [
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        "java.lang.OutOfMemoryError: Java heap space",
        "MemoryError",
        "fatal error: runtime: out of memory",
        "OSError: [Errno 12] Cannot allocate memory",
        "terminate called after throwing an instance of 'std::bad_alloc'",
    ],
    "no space": [
        "Error: ENOSPC: no space left on device, write",
        "OSError: [Errno 28] No space left on device",
        "OSError: [Errno 122] Disk quota exceeded",
    ],
    "open files": [
        "Error: EMFILE: too many open files, open '/srv/x'",
        "OSError: [Errno 24] Too many open files",
    ],
    "permission": [
        "Error: EACCES: permission denied, open '/srv/private'",
        "PermissionError: [Errno 13] Permission denied: '/srv/private'",
        'nginx: [emerg] open() "/srv/private" failed (13: Permission denied)',
    ],
    "background": [
        "instance 0 of generation 2 exited with code 0 after 0.10 s",
        "Daemonizing...",
    ],
    "port asked for": [
        "Something is already running on port 12592",
        "instance 0 of generation 2 did not listen on [::]:29936 within 30 s",
    ],
    "killed": ["instance 0 of generation 2 was killed by SIGKILL after 3.10 s"],
}
NAMED = {"missing module": "express", "permission": "/srv/private"}


def test_every_row_is_shown_by_words_of_a_program() -> None:
    """A row that nothing fits would be a guess."""
    assert {row.kind for row in TABLE} == set(WORDS)


@pytest.mark.parametrize(
    ("kind", "line"), [(kind, line) for kind, lines in WORDS.items() for line in lines]
)
def test_the_row_of_a_line(kind: str, line: str) -> None:
    """The hint is that of its row, and names what the line names."""
    (row,) = (row for row in TABLE if row.kind == kind)
    found = hint(["starting", line, "    at node:net:1817:16"], CRASH)
    (first, *_) = string.Formatter().parse(row.hint)
    assert found.startswith(first[0]), found
    assert NAMED.get(kind, "") in found
    assert "{" not in found.replace("{fd}", "").replace("{ open_files", "").replace(
        "{ automatic", ""
    ).replace("{ timeout_s", "").replace("{GAPLESS_GENERATION}", "")


def test_the_last_line_that_a_row_fits_decides() -> None:
    """What was tried before, and went on, is not why it ended."""
    lines = ["Error: Cannot find module 'bufferutil'", "EADDRINUSE", "bye"]
    assert "another program has that address" in hint(lines, CRASH)


def test_what_it_wrote_says_more_than_how_it_ended() -> None:
    """A program may end with 0 after it has named its reason."""
    reason = "instance 0 of generation 2 exited with code 0 after 0.1 s"
    assert "pid file" in hint(["A server is already running."], reason)
    assert "foreground" in hint(["hello"], reason)


def test_nothing_is_said_of_what_is_not_known() -> None:
    """A guess would send somebody the wrong way."""
    assert hint(["TypeError: x is not a function", "{", "\0"], CRASH) == ""
    assert hint([], CRASH) == ""


def test_hostile_lines_take_no_time() -> None:
    """A log may hold anything."""
    lines = ["cannot lock " + "a " * 100_000, "could not find " + "x" * 100_000]
    hint([*lines, "another " * 5000, "lock" * 5000, "'" * 9000] * 4, CRASH)


def test_an_address_of_another_app_is_known_for_certain() -> None:
    """The supervisor refused it; what the program says of it names a stranger."""
    reason = f"{CRASH} (two: [::]:3000 belongs to the app one)"
    lines = ["Error: listen EADDRINUSE: address already in use :::3000"]
    assert 'share_ports = "web"' in hint(lines, reason)
    assert "another program" not in hint(lines, reason)


def test_who_holds_a_port_is_known_when_gapless_was_refused_it() -> None:
    """Nothing about old generations, which gapless tells from strangers itself."""
    reason = (
        "exited with code 1 (could not bind :80: the port is held by nginx (pid 7))"
    )
    lines = ["OSError: [Errno 98] Address already in use"]
    assert hint(lines, reason) == HELD
