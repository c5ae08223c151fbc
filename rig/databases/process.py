"""How a database is installed and run: in a directory of its own, with a log."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rig import wait

START_S, STOP_S = 60.0, 30.0


def prepare(directory: Path, name: str) -> tuple[Path, Path]:
    """Make the directory that a database owns; return it, and the path of its log."""
    own = directory / name
    own.mkdir(parents=True, mode=0o700)
    return own, directory / f"{name}.log"


def run(argv: list[str], log: Path) -> None:
    """Run a command that has to succeed.  Raises AssertionError with the log."""
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


_INSTALLED: dict[str, tuple[tempfile.TemporaryDirectory[str], Path]] = {}
"""By kind: an installed database that nobody runs.  It goes with this process."""


def install(kind: str, own: Path, make: Callable[[Path], None]) -> None:
    """Fill the directory of a database: the first time by *make*, later by a copy.

    *make* gets an empty directory.  Raises AssertionError with the log.
    """
    if kind not in _INSTALLED:
        kept = tempfile.TemporaryDirectory(prefix="rig-", ignore_cleanup_errors=True)
        folder = Path(kept.name)
        folder.chmod(0o755)
        (folder / kind).mkdir(mode=0o700)
        make(folder / kind)
        _INSTALLED[kind] = kept, folder / kind
    subprocess.run(["cp", "-a", f"{_INSTALLED[kind][1]}/.", own], check=True)


@contextmanager
def running(
    argv: list[str], log: Path, is_ready: list[str], stop: signal.Signals
) -> Iterator[int]:
    """Run a program until the block ends; yield its pid when it is ready.

    *is_ready* is a command that succeeds when it is, *stop* the signal that ends it.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C ends the tests, which end the program
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
