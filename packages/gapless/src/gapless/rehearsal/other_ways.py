"""The same change by other means, under the same load: stop and start, and `pm2 reload`."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace

from gapless.base import clock, files
from gapless.base.errors import GaplessError, TimedOutError
from gapless.rehearsal.load.client import Place
from gapless.rehearsal.load.load import Load
from gapless.rehearsal.load.model import Traffic
from gapless.rehearsal.model import OtherWay
from gapless.rehearsal.places import path_moved
from gapless.rehearsal.results import Window, results
from gapless.rehearsal.stage import confinement
from gapless.rehearsal.stage.stage import Stage
from gapless.supervisor.memory.spec import AppSpec

STOP_AND_START, PM2 = "stop and start", "pm2 reload"
REST_S = 1.0
PM2_S = 60.0
"""What one of its commands may take: a reload waits for instances, one after the other."""
ANSWERS_S = 20.0
_MARK, _SCRIPT_BYTES = b"Written by `gapless pm2 --install`", 4096
_NODE = ("node", "nodejs")


def compare(
    stage: Stage,
    current: AppSpec,
    candidate: AppSpec,
    place: Place,
    traffics: Sequence[Traffic],
) -> tuple[OtherWay, ...]:
    """Return what is lost by other means.

    The app runs; at the end PM2 has it.  The end of the stage ends both: `pm2 kill` may
    take long.
    """

    def stop_and_start() -> None:
        stage.request("stop", app=current.name)
        stage.change("start", candidate)

    # Its end is that of most scripts: the stop signal, and no wait for connections.
    at_once = replace(current, stop=replace(current.stop, drain_timeout_s=0.0))
    stage.request("stop", app=current.name)
    stage.change("start", at_once)
    _wait_for(place)
    found = [_under_load(STOP_AND_START, place, traffics, stop_and_start)]
    program = _real_pm2()
    if why := pm2_refused(program, current, candidate):
        none = OtherWay(way=PM2, requests=0, lost=0, refused_s=0.0, reason=why)
        return (*found, none)
    stage.request("stop", app=current.name)
    pm2 = _Pm2(stage, program, current, candidate)
    try:
        pm2.start()
        _wait_for(place)
        found.append(_under_load(PM2, place, traffics, pm2.reload))
    except (GaplessError, OSError, subprocess.SubprocessError) as error:
        found.append(
            OtherWay(way=PM2, requests=0, lost=0, refused_s=0.0, reason=str(error))
        )
    return tuple(found)


def pm2_refused(program: str, *specs: AppSpec) -> str:
    """Return why PM2 does not run an app; empty if it may.

    It would run the app as the user of the rehearsal, which may be root.
    """
    if not program:
        return "pm2 is not installed"
    if any(each.user or each.group for each in specs):
        return "the app runs as another user"
    return ""


def _real_pm2() -> str:
    """Return the first `pm2` in PATH that is not gapless itself; empty if none is."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        program = shutil.which("pm2", path=folder or ".")
        if program is not None and not _is_ours(program):
            return os.path.abspath(program)
    return ""


def _is_ours(program: str) -> bool:
    """Return whether a program is what `gapless pm2 --install` writes."""
    try:
        with open(program, "rb") as file:
            return _MARK in file.read(_SCRIPT_BYTES)
    except OSError:
        return False


def _under_load(
    way: str, place: Place, traffics: Sequence[Traffic], change: Callable[[], None]
) -> OtherWay:
    load = Load(place, traffics)
    load.start()
    began, reason = clock.monotonic(), ""
    try:
        _rest(REST_S)
        at_rest = clock.monotonic()
        try:
            change()
        except (GaplessError, OSError, subprocess.SubprocessError) as error:
            reason = str(error)
        _rest(REST_S)
        load.stop()
    except BaseException:
        load.abandon()
        raise
    windows = [
        Window(name="at rest", began=began, ended=at_rest),
        Window(name=way, began=at_rest, ended=clock.monotonic()),
    ]
    found = results(load.requests, windows)
    lost_at = [each.at_s for each in found.losses]
    return OtherWay(
        way=way,
        requests=len(load.requests),
        lost=found.lost,
        refused_s=round(max(lost_at) - min(lost_at), 2) if lost_at else 0.0,
        fates=found.windows[1].fates,
        reason=reason,
    )


def _rest(seconds: float) -> None:
    until = clock.monotonic() + seconds
    while (left := until - clock.monotonic()) > 0:
        select.select([], [], [], left)


def _wait_for(place: Place) -> None:
    """Wait until somebody listens.  Raises TimedOutError."""
    until = clock.monotonic() + ANSWERS_S
    while True:
        if clock.monotonic() > until:
            raise TimedOutError(f"nothing listens at {place.host} in {ANSWERS_S:g} s")
        with socket.socket(place.family, socket.SOCK_STREAM) as sock:
            if sock.connect_ex(place.address) == 0:
                return
        select.select([], [], [], 0.05)


class _Pm2:
    """A PM2 of the stage, with one app."""

    def __init__(
        self, stage: Stage, program: str, current: AppSpec, candidate: AppSpec
    ) -> None:
        self._stage, self._program = stage, program
        self._current, self._candidate = current, candidate
        self._link = stage.place("pm2-current")
        self._file = stage.place("pm2.json")

    def start(self) -> None:
        """Start the current release."""
        self._point_at(self._current)
        files.write_json(self._file, self._declaration())
        self._run("start", self._file)

    def reload(self) -> None:
        """Let it be the candidate."""
        self._point_at(self._candidate)
        self._run("reload", self._current.name)

    def _point_at(self, spec: AppSpec) -> None:
        beside = f"{self._link}.new"
        os.symlink(spec.directory, beside)
        files.rename(beside, self._link)

    def _declaration(self) -> dict[str, object]:
        """Return the app as PM2 wants it: in cluster mode if Node runs a script."""
        spec = self._current
        paths = {spec.directory: self._link}
        words = [path_moved(word, paths) for word in spec.command]
        is_node = (
            os.path.basename(words[0]) in _NODE
            and len(words) > 1
            and not words[1].startswith("-")
        )
        found: dict[str, object] = {
            "name": spec.name,
            "cwd": self._link,
            "env": spec.environment,
            "kill_timeout": int(1000 * spec.stop.kill_timeout_s),
        }
        if is_node:
            return found | {
                "script": os.path.join(self._link, words[1]),
                "args": words[2:],
                "exec_mode": "cluster",
                "instances": spec.instances,
            }
        return found | {
            "script": words[0],
            "args": words[1:],
            "interpreter": "none",
            "exec_mode": "fork",
        }

    def _run(self, *words: str) -> None:
        """Run a command of PM2, confined.  Raises GaplessError."""
        environment = os.environ | {
            "PM2_HOME": self._stage.place("pm2"),
            "PM2_DISCRETE_MODE": "true",
        }
        ended: list[subprocess.CompletedProcess[str]] = []

        def run() -> None:
            ended.append(
                subprocess.run(
                    [self._program, *words],
                    env=environment,
                    cwd=self._stage.directory,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=PM2_S,
                    check=False,
                )
            )

        confinement.run_confined(run, writable=[self._stage.directory], ports=None)
        if ended[0].returncode:
            said = (ended[0].stdout + ended[0].stderr).strip().splitlines()[-1:]
            raise GaplessError(f"pm2 {words[0]} failed: {' '.join(said)}")
