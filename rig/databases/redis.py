"""A real Redis on a free port, in a directory of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rig import wait
from rig.databases import process
from rig.databases.database import HOST


@contextmanager
def redis(directory: Path) -> Iterator[str]:
    """Run Redis until the block ends; yield its URL.  It keeps nothing on disk."""
    own, log = process.prepare(directory, "redis")
    port = wait.free_port()
    argv = ["redis-server", "--bind", HOST, "--port", str(port), "--dir", str(own)]
    argv += ["--save", "", "--appendonly", "no"]
    is_ready = ["redis-cli", "-e", "-h", HOST, "-p", str(port), "ping"]
    with process.running(argv, log, is_ready, stop=signal.SIGTERM):
        yield f"redis://{HOST}:{port}/0"
