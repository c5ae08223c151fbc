"""Answer HTTP, and hold a file: what it does with it is in the environment.

Reads PORT, RELEASE, STATE (a path) and HOLDS: `write`, `late` (opens it a moment after it
listens), `append`, `lock` (waits for it before it listens) or `sqlite`.  At its stop signal
it writes its release over the file, as a database writes what it has in memory.
"""

from __future__ import annotations

import fcntl
import http.server
import os
import signal
import sqlite3
import time
from typing import Any

HOLDS, PATH = os.environ["HOLDS"], os.environ["STATE"]
RELEASE = os.environ["RELEASE"]
LOADS_S = 0.4


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers with the release."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        body = f"release {RELEASE} ".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Write nothing."""


def hold() -> Any:
    """Open the file, as HOLDS says."""
    if HOLDS == "sqlite":
        connection = sqlite3.connect(PATH)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS t (a)")
        connection.commit()
        return connection
    flags = os.O_RDWR | os.O_CREAT | (os.O_APPEND if HOLDS == "append" else 0)
    descriptor = os.open(PATH, flags, 0o600)
    if HOLDS == "lock":
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def stop(*_: Any) -> None:
    """Write once more, and end."""
    if HOLDS in ("write", "late"):
        with open(PATH, "w") as file:
            file.write(RELEASE)
    os._exit(0)


signal.signal(signal.SIGTERM, stop)
HELD = [hold()] if HOLDS != "late" else []
SERVER = http.server.ThreadingHTTPServer(
    ("127.0.0.1", int(os.environ["PORT"])), Answer
)
if HOLDS == "late":
    began = time.monotonic()
    while time.monotonic() < began + LOADS_S:
        pass  # it loads what it has to know before it opens the file
    HELD.append(hold())
SERVER.serve_forever()
