"""The four apps of a chaos, each under a strict load that goes on all the time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rig.chaos.schedule import APPS, Change
from rig.hosts.host import APPS as PROGRAMS
from rig.hosts.host import SERVERS, Host
from rig.load.paths import PathLoad, load_on_path
from rig.load.process import Load, run_load
from rig.load.traffic import Traffic
from rig.programs import nginx
from rig.wait import free_port

PACED_S = 0.08
"""Each client rests so long after an answer: the point is what is lost, not how much fits.
"""
NEW = Traffic(kind="new", pause_s=PACED_S, timeout_s=40.0)
POST = Traffic(
    kind="post",
    method="POST",
    path="/echo",
    body_bytes=4_000,
    echoes=True,
    pause_s=PACED_S,
    timeout_s=40.0,
)
KEPT = Traffic(kind="kept", keep_alive=True, pause_s=PACED_S, timeout_s=40.0)
LOADS = (
    ("node", (NEW,)),
    ("node", (KEPT,)),
    ("uvicorn", (NEW, POST)),
    ("nginx", (NEW,)),
)
"""Each is counted by itself."""
LONGEST_S = 3600.0
SETTINGS = """
ready = { timeout_s = %g%s }
stop = { drain_timeout_s = 30 }
instances = %d
min_healthy_s = 0.3
"""
OWN_CLOCK = {"LD_PRELOAD": "", "FAKETIME": "", "FAKETIME_TIMESTAMP_FILE": ""}
"""The clock of gapless is off, that of its apps is not: the load measures those."""


@dataclass(slots=True)
class Watched:
    """What a load on an app has seen so far."""

    answered: Callable[[], int]
    lost: Callable[[], int]
    versions: Callable[[], dict[str, int]]
    close: Callable[[], tuple[int, str]]
    """Ends it; returns how many were lost, and all in words."""


@dataclass(slots=True)
class App:
    """An app, and what is asked of it now."""

    name: str
    host: Host
    port: int
    release: int = 1
    latest: int = 1
    """The number of the newest release, whether it was any good or not."""
    instances: int = 1
    loads: list[Watched] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """Where gunicorn serves."""
        return self.host.directory / "run.sock"

    def declare(self, release: int, change: Change = Change.RELOAD) -> None:
        """Write the configuration of a release, which may be a broken one."""
        command, ready_s, ready = self._command(release), 40.0, ""
        if change is Change.EXITS:
            command = ["sh", "-c", "exit 3"]
        elif change is Change.SILENT:
            command, ready_s = ["sleep", "1000"], 1.0
            ready = ', when = "listening"'
        variables = {"PORT": str(self.port), "RELEASE": str(release)} | OWN_CLOCK
        environment = ", ".join(f'{key} = "{v}"' for key, v in variables.items())
        self.host.configure(
            f"[app.{self.name}]\ncommand = {json.dumps(command)}\n"
            f"directory = {json.dumps(str(PROGRAMS))}\n"
            f"environment = {{ {environment} }}\n"
            + SETTINGS
            % (ready_s, ready, self.instances),
            f"{self.name}.toml",
        )

    def _command(self, release: int) -> list[str]:
        python, gunicorn = str(SERVERS / "python"), str(SERVERS / "gunicorn")
        match self.name:
            case "uvicorn":
                program = [python, "-m", "uvicorn", "asgi_app:app", "--no-access-log"]
                return [*program, "--port", str(self.port)]
            case "gunicorn":
                how = ["--threads", "4", "-b", f"unix:{self.path}"]
                return [gunicorn, *how, "wsgi_app:app"]
            case "nginx":
                return self._nginx(release)
            case _:
                return ["node", "app.js"]

    def _nginx(self, release: int) -> list[str]:
        """Return what runs it in the background: each release has a file of its own."""
        directory = self.host.directory / "nginx"
        directory.mkdir(exist_ok=True)
        text = nginx.answering(directory, self.port, release, main="")
        file = directory / f"{release}.conf"
        file.write_text(text)
        return ["/usr/sbin/nginx", "-p", str(directory), "-c", str(file)]


@contextmanager
def under_load(apps: dict[str, App]) -> Iterator[None]:
    """Start a load on each app; end them all."""
    path = str(apps["gunicorn"].path)
    with contextlib.ExitStack() as stack:
        for name, traffics in LOADS:
            load = run_load(apps[name].port, *traffics, seconds=LONGEST_S)
            apps[name].loads.append(_of_port(stack.enter_context(load)))
        on_path = stack.enter_context(load_on_path(path, 2, PACED_S))
        apps["gunicorn"].loads.append(_of_path(on_path))
        yield


def _of_port(load: Load) -> Watched:
    def close() -> tuple[int, str]:
        report = load.stop()
        return report.lost, str(report)

    return Watched(load.answered, load.lost, load.versions, close)


def _of_path(load: PathLoad) -> Watched:
    def close() -> tuple[int, str]:
        lost = load.stop()
        return sum(lost.values()), str(lost)

    return Watched(
        answered=lambda: load.answered,
        lost=lambda: load.fates.total() - load.answered,
        versions=load.versions,
        close=close,
    )


def make(host: Host) -> dict[str, App]:
    """Return the apps of a host, none of which runs yet."""
    return {name: App(name, host, free_port()) for name in APPS}
