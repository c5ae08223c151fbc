"""The host of a chaos: a small disk of its own, a clock of its own, four apps."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rig import wait
from rig.chaos import apps
from rig.chaos.apps import App
from rig.fleets.setup import FAKETIME
from rig.hosts import control
from rig.hosts.host import Host
from rig.hosts.small_disk import SmallDisk

DISK_MB = 24
SETTLE_S = 60.0
OURS = {"supervisor": "pid", "keeper": "keeper_pid", "guardian": "guardian_pid"}
"""What `list` calls the processes of gapless."""
OWN_SHM = 'mount -t tmpfs none /dev/shm; export LD_PRELOAD={}; exec "$@"'
"""libfaketime leaves a segment there for each process that is killed, or calls exec."""


class World:
    """What a chaos happens to."""

    def __init__(self, host: Host, disk: SmallDisk) -> None:
        self.host, self.disk = host, disk
        self.apps = apps.make(host)
        self.pids: dict[str, int] = {}
        """Of our processes, as they were last seen."""
        self.cut = 0
        """How many requests may be lost: what relays carried that were killed."""
        self._clock = host.directory / "clock"
        self.set_clock(0)
        library = next(Path("/usr/lib").glob(f"*/{FAKETIME}"), None)
        assert library is not None, "the Debian package faketime is missing"
        script = OWN_SHM.format(library)
        host.command_prefix = ("unshare", "--mount", "sh", "-c", script, "sh")
        host.environment |= {
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set_clock(self, offset_s: int) -> None:
        """Let the wall clock of gapless be off, from a second later on."""
        new = self._clock.with_suffix(".new")
        new.write_text(f"{offset_s:+d}\n")
        new.rename(self._clock)  # never half of it

    # --- our processes ------------------------------------------------------------------

    def look(self) -> dict[str, int]:
        """Return the pids of our processes; 0 for those that are not there."""
        found = control.ask(self.host.home, "list")
        known = (found or {}).get("supervisor") or {}
        self.pids = {name: int(known.get(at) or 0) for name, at in OURS.items()}
        return self.pids

    def all_there(self) -> bool:
        """Return whether supervisor, keeper and guardian live."""
        return all(self.look().values())

    def ensure_all(self) -> None:
        """Start a supervisor if there is none, as the next command does."""
        if control.ask(self.host.home, "ping") is None:
            self.host.start_supervisor()
        wait.until(self.all_there, "supervisor, keeper and guardian", SETTLE_S)

    def relays(self) -> list[int]:
        """Return the pids of the relays."""
        found = self.host.processes().items()
        return [pid for pid, text in found if text.startswith("gapless relay")]

    def strike(self, number: int, *pids: int) -> None:
        """Send a signal to processes that may have ended."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    # --- commands -----------------------------------------------------------------------

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start a command, as a user does."""
        return self.host.begin(*words)

    def wait_for_answers(self, count: int, but: str = "") -> None:
        """Wait until each load got *count* more answers, but for those of one app."""
        goals = [
            (load, load.answered() + count)
            for app in self.apps.values()
            for load in app.loads
            if app.name != but
        ]
        wait.until(
            lambda: all(load.answered() >= goal for load, goal in goals),
            f"{count} more answers of each load",
            SETTLE_S,
        )

    # --- what is so ---------------------------------------------------------------------

    def settled(self) -> dict[str, str]:
        """Return which apps are not as they were asked to be, and why."""
        return {
            app.name: wrong for app in self.apps.values() if (wrong := self._wrong(app))
        }

    def _wrong(self, app: App) -> str:
        row: Any = control.ask(self.host.home, "describe", app=app.name)
        if row is None:
            return "no supervisor tells"
        roles = [generation["role"] for generation in row["generations"]]
        if row["status"] != "online" or roles != ["serving"]:
            return f"{row['status']}, {roles}, {row['reason']}"
        ready = row["instances"]["ready"]
        if ready != app.instances or len(row["pids"]) != ready:
            return f"{ready} ready of {app.instances}, pids {row['pids']}"
        return ""

    def is_noted(self) -> bool:
        """Return whether what serves is in notes on disk: what outlives all of gapless."""
        for app in self.apps.values():
            path = self.host.home / "notes" / f"{app.name}.json"
            text = path.read_text() if path.exists() else ""
            pids = self.host.row(app.name)["pids"]
            if not all(f'"pid": {pid}' in text for pid in pids):
                return False
            if '"role": "serving"' not in text:
                return False
        return True

    def lost(self) -> int:
        """Return how many requests were lost so far."""
        return sum(load.lost() for app in self.apps.values() for load in app.loads)

    def reports(self) -> str:
        """End all loads; return what each of them has seen."""
        reports = (load.close() for app in self.apps.values() for load in app.loads)
        return "\n".join(text for _, text in reports)


@contextmanager
def chaotic_host() -> Iterator[World]:
    """Make a host on a small disk; start its apps, and a load on each."""
    with tempfile.TemporaryDirectory(prefix="gapless-") as directory:
        host = Host(Path(directory))
        disk = SmallDisk(host.home, DISK_MB)
        try:
            world = World(host, disk)
            try:
                for app in world.apps.values():
                    app.declare(1)
                    host.start_file(f"{app.name}.toml", app.name)
                with apps.under_load(world.apps):
                    yield world
            finally:
                disk.free()
                world.strike(signal.SIGCONT, *host.processes())
                host.close()
        finally:
            disk.close()
