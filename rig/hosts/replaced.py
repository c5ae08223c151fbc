"""A supervisor with code of a test in it, in the place of the one that runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gapless.client import Client
from rig import wait
from rig.hosts import control
from rig.hosts.host import Host


@contextmanager
def replaced_supervisor(
    host: Host, code: str, *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *code*, which gets the home and *arguments*, and yield once it answers.

    The one that runs is killed first, if one does.
    """
    if control.ask(host.home, "ping"):
        os.kill(host.supervisor_pid(), signal.SIGKILL)
    Client(str(host.home)).make_home()
    argv = [sys.executable, "-c", code, str(host.home), *arguments]
    with subprocess.Popen(argv, env=host.environment, cwd="/") as process:

        def is_there() -> bool:
            found = control.ask(host.home, "ping")
            return bool(found) and found["pid"] == process.pid

        try:
            wait.until(is_there, "the supervisor with the test's code")
            yield process
        finally:
            process.kill()
