"""What do clients lose that keep their connections and never pause?  gapless and others.

`keep_alive.py [SECONDS] [PEER...]`: so long for each peer, 50 unless said otherwise.
Within that time each replaces its processes five times in its own way.  All run the same
small app, which notes each request; each client sends each request once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

sys.path.insert(0, str(Path(__file__).parent.parent))

from rig.hosts.host import ROOT, Host, temporary_host
from rig.hosts.usage import children, is_alive
from rig.load.executions import differences
from rig.load.fates import ANSWERED
from rig.load.process import run_load
from rig.load.report import Report
from rig.load.unresting import UNRESTING
from rig.programs.numbered import SOURCES, Numbered, command
from rig.sigterm import clean_up_at_sigterm
from rig.wait import answers, free_port, until

SECONDS = 50.0
RELEASES = 5
GONE_S = 90.0
"""So long the old processes are waited for."""
PM2 = ROOT / "node" / "gapless-drain" / "node_modules" / ".bin" / "pm2"


class Peer(Protocol):
    """What runs the app, and can replace its processes."""

    port: int

    def serving(self) -> set[int]:
        """Return the processes that serve now."""

    def replace(self) -> None:
        """Ask for new processes."""


class Gapless:
    """An app under gapless."""

    def __init__(self, host: Host, program: str, more: str) -> None:
        self._app = Numbered(host, program, f"{more}\nmin_healthy_s = 2")
        self.port, self._release = self._app.port, 1
        self._app.start()

    def serving(self) -> set[int]:
        """Return the processes of the generation that serves."""
        return set(self._app.host.app("app")["pids"])

    def replace(self) -> None:
        """Release again, and wait for the end of it."""
        self._release += 1
        self._app.release(self._release)


class Pm2:
    """The app under PM2, in cluster mode."""

    def __init__(self, directory: Path, instances: int) -> None:
        self.port, self._directory = free_port(), directory
        self._environment = os.environ | {"PM2_HOME": str(directory / "pm2")}
        app = {
            "name": "app",
            "script": str(SOURCES / "app.js"),
            "exec_mode": "cluster",
            "instances": instances,
            "env": {
                "PORT": str(self.port),
                "RELEASE": "1",
                "NUMBERS": str(directory / "numbers"),
            },
        }
        (directory / "app.json").write_text(json.dumps({"apps": [app]}))
        self.run("start", "app.json")
        until(lambda: answers(self.port), "PM2", 30)

    def run(self, *words: str) -> str:
        """Run a command of PM2; return what it printed."""
        done = subprocess.run(
            [str(PM2), *words],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout

    def serving(self) -> set[int]:
        """Return the processes that PM2 lists."""
        return {each["pid"] for each in json.loads(self.run("jlist"))}

    def replace(self) -> None:
        """Reload."""
        self.run("reload", "app")


class ByHangup:
    """A server that replaces its own processes when it gets SIGHUP."""

    def __init__(self, directory: Path, argv: Callable[[int], list[str]]) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            argv(self.port),
            cwd=SOURCES,
            env={**os.environ, "RELEASE": "1", "NUMBERS": str(directory / "numbers")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: answers(self.port), "the server", 30)

    def serving(self) -> set[int]:
        """Return its children, and theirs."""
        return below(self._process.pid)

    def replace(self) -> None:
        """Send the signal, and do not wait."""
        self._process.send_signal(signal.SIGHUP)

    def end(self) -> None:
        """End it."""
        left = self.serving()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def below(pid: int) -> set[int]:
    """Return the processes below one, but what Python starts to track resources."""
    found: set[int] = set()
    for child in children(pid):
        with suppress(OSError):
            if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes():
                found |= {child} | below(child)
    return found


@contextmanager
def under_gapless(host: Host, program: str, more: str = "") -> Iterator[Peer]:
    """Run a program under gapless."""
    yield Gapless(host, program, more)


@contextmanager
def under_pm2(host: Host, instances: int) -> Iterator[Peer]:
    """Run the app of Node under PM2."""
    peer = Pm2(host.directory, instances)
    try:
        yield peer
    finally:
        peer.run("kill")


@contextmanager
def by_hangup(host: Host, program: str, *more: str) -> Iterator[Peer]:
    """Run a server by itself."""
    peer = ByHangup(host.directory, lambda port: [*command(program, port), *more])
    try:
        yield peer
    finally:
        peer.end()


PEERS: dict[str, Callable[[Host], AbstractContextManager[Peer]]] = {
    "gapless, node, preload = false": lambda host: under_gapless(
        host, "node", "preload = false"
    ),
    "gapless, node": lambda host: under_gapless(host, "node"),
    "gapless, uvicorn": lambda host: under_gapless(host, "uvicorn"),
    "gapless, gunicorn gthread": lambda host: under_gapless(host, "gunicorn-gthread"),
    "PM2 reload, node": lambda host: under_pm2(host, 1),
    "PM2 reload, node, 2 instances": lambda host: under_pm2(host, 2),
    "gunicorn HUP, gthread": lambda host: by_hangup(host, "gunicorn-gthread"),
    "uvicorn HUP, 2 workers": lambda host: by_hangup(host, "uvicorn", "--workers", "2"),
    "granian HUP": lambda host: by_hangup(host, "granian"),
    "hypercorn HUP": lambda host: by_hangup(host, "hypercorn"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was measured of a peer."""

    load: Report
    doubled: int
    missing: int
    gone_s: list[float]
    """From each command until all processes that served before were gone."""
    late: int
    """Releases whose old processes were still there at the end."""


def measure(host: Host, peer: Peer, seconds: float) -> Found:
    """Run the load, and replace the processes from time to time."""
    ledger = host.directory / "ledger"
    gone_s: list[float] = []
    watching: list[threading.Thread] = []
    load = run_load(peer.port, *UNRESTING, seconds=seconds, ledger=ledger)
    with load as running:
        running.wait_for(50)
        began = time.monotonic()
        for number in range(RELEASES):
            due = began + (number + 0.5) * seconds / RELEASES
            time.sleep(max(0.0, due - time.monotonic()))
            old = peer.serving()
            asked = time.monotonic()
            watch = threading.Thread(
                target=lambda old=old, asked=asked: note_end(old, asked, gone_s),
            )
            watch.start()
            watching.append(watch)
            peer.replace()
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        report = running.stop()
    for watch in watching:
        watch.join()
    log = host.directory / "numbers"
    with ledger.open() as sent, log.open() as ran:
        different = differences(sent, ran, UNRESTING)
    return Found(
        load=report,
        doubled=len(different.doubled),
        missing=len(different.missing),
        gone_s=sorted(gone_s),
        late=RELEASES - len(gone_s),
    )


def note_end(pids: set[int], since: float, gone_s: list[float]) -> None:
    """Note how long processes lived, unless it is very long."""
    with suppress(AssertionError):
        until(lambda: not any(map(is_alive, pids)), "the old processes gone", GONE_S)
        gone_s.append(time.monotonic() - since)


def row(name: str, found: Found) -> str:
    """Return a line of the table."""
    load, gone_s = found.load, found.gone_s
    gone = f"{gone_s[len(gone_s) // 2]:.1f} s, {gone_s[-1]:.1f} s" if gone_s else "-"
    if found.late:
        gone += f", {found.late} never"
    fates = {fate: n for fate, n in load.fates.items() if fate != ANSWERED}
    why = ", ".join(f"{n} {fate}" for fate, n in sorted(fates.items()))
    lost = f"{load.lost} ({why})" if why else "0"
    if found.missing:
        lost += f", {found.missing} not run"
    p99 = load.kinds["get"]["p99_ms"]
    return (
        f"| {name} | {load.requests:,} | {lost} | {found.doubled} | {gone} "
        f"| {p99:.0f} ms |"
    )


def main(arguments: list[str]) -> None:
    """Print the table, as a page has it."""
    seconds = float(arguments.pop(0)) if arguments else SECONDS
    print(
        f"{RELEASES} releases in {seconds:g} s under clients that never pause\n\n"
        "| | requests | lost | run twice | old processes gone after: median, longest "
        "| p99 of GET |\n|---|---|---|---|---|---|"
    )
    for name, start in PEERS.items():
        if not arguments or any(each in name for each in arguments):
            with temporary_host("gapless-bench-") as host, start(host) as peer:
                print(row(name, measure(host, peer, seconds)), flush=True)


if __name__ == "__main__":
    clean_up_at_sigterm()
    main(sys.argv[1:])
