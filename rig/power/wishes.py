"""What users ask of a supervisor, and what its home must hold after a loss of power."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from gapless.base import events, files
from gapless.base.names import Home
from gapless.supervisor.memory.apps import Apps
from gapless.supervisor.memory.state import HostRecord, StateFile
from rig import wait
from rig.hosts import control, processes
from rig.hosts.host import APPS, COMMAND_S, GAPLESS, Host
from rig.power.recording import Moment, Recording

START = "from gapless.client import Client; Client().start()"
NAME = "app"
App = tuple[bool, str, int]
"""Whether it runs, its release, how many instances."""
Wishes = dict[str, App]
NONE: Wishes = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command, and what is asked for from then on."""

    words: tuple[str, ...]
    after: Wishes
    between: tuple[Wishes, ...] = ()
    """What may be asked for while it runs, too."""
    release: str = ""
    """The release that the file of the app names from here on, if it changes."""
    dies: str = ""
    code: int = 0


def _runs(release: str, instances: int = 1) -> Wishes:
    return {NAME: (True, release, instances)}


SHORT = (
    Step(words=("start", "app.toml"), after=_runs("1"), release="1"),
    Step(words=("reload", "app.toml"), after=_runs("2"), release="2"),
    Step(words=("stop", NAME), after={NAME: (False, "2", 1)}),
)
LONG = (
    *SHORT,
    Step(words=("start", NAME), after=_runs("2")),
    Step(words=("scale", NAME, "2"), after=_runs("2", 2)),
    Step(words=("save",), after=_runs("2", 2)),
    Step(words=("scale", NAME, "1"), after=_runs("2")),
    Step(
        words=("reload", "app.toml"),
        after=_runs("2"),
        between=(_runs("3"),),
        release="3",
        dies="start",
        code=1,
    ),
    Step(words=("restart", NAME), after=_runs("2")),
    Step(words=("delete", NAME), after=NONE),
    Step(words=("start", "app.toml"), after=_runs("4"), release="4"),
    Step(words=("shutdown",), after={NAME: (False, "4", 1)}, between=(_runs("4"),)),
)


class User:
    """A user whose home is below one directory, and who has done some of the steps."""

    def __init__(self, directory: Path, steps: tuple[Step, ...]) -> None:
        """Do all of them, under a recorder."""
        self.root, self.steps = directory / "disk", steps
        beside = directory / "beside"
        for each in (self.root, beside):
            each.mkdir()
        self.host = Host(directory)
        self.host.home = self.root / "home"
        self.host.environment["GAPLESS_HOME"] = str(self.host.home)
        port = wait.free_port()
        self.recording = Recording(self.root, beside, self.host.environment)
        try:
            for step in steps:
                if step.release:
                    self._declare(step, port)
                argv = [str(GAPLESS), *step.words]
                code, output = self.recording.run(argv, directory=directory)
                assert code == step.code, output
        finally:
            self.end_all()
            self.recording.end()

    def _declare(self, step: Step, port: int) -> None:
        command = json.dumps([sys.executable, "-I", "-S", str(APPS / "tiny.py")])
        self.host.configure(
            f"[app.{NAME}]\ncommand = {command}\nmin_healthy_s = 0.05\n"
            f'environment = {{ PORT = "{port}", RELEASE = "{step.release}", '
            f'DIES = "{step.dies}" }}\n',
            f"{NAME}.toml",
        )

    def end_all(self) -> None:
        """End every process of the home, as a loss of power does."""
        while left := self.host.processes():
            processes.kill_all(set(left) - {os.getpid()})
            time.sleep(wait.PAUSE_S)

    def possible(self, moment: Moment) -> list[Wishes]:
        """Return what may be asked for at a moment: one only, if no command runs."""
        told = [NONE, *(step.after for step in self.steps)]
        if moment.begun == moment.done:
            return [told[moment.done]]
        step = self.steps[moment.done]
        return [told[moment.done], step.after, *step.between]

    # --- what is there ----------------------------------------------------------------

    def asked(self) -> Wishes:
        """Return what the state on disk asks for, as the next supervisor reads it."""
        home = Home(str(self.host.home))
        state = StateFile(
            home.state, Apps(), HostRecord(), events.Log(home.own_log)
        ).load()
        return {
            name: (
                asked.running and not state.shut_down,
                asked.spec.environment["RELEASE"],
                asked.spec.instances,
            )
            for name, asked in state.apps.items()
        }

    def faults(self, moment: Moment) -> list[str]:
        """Return what is wrong with the files of the home."""
        found, possible = self.asked(), self.possible(moment)
        wrong = [] if found in possible else [f"{found} is asked for, not {possible}"]
        saves = [n for n, step in enumerate(self.steps, 1) if step.words == ("save",)]
        if saves and moment.done >= saves[0]:
            dump = files.read_own_json(str(self.host.home / "dump.json"))
            if [each["spec"]["name"] for each in dump["apps"]] != [NAME]:
                wrong.append(f"saved: {dump}")
        return wrong

    def restart(self, moment: Moment) -> list[str]:
        """Start a supervisor, as a machine does with power again; return what is wrong."""
        began = subprocess.run(
            [sys.executable, "-c", START],
            env=self.host.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        try:
            if began.returncode:
                return [f"no supervisor starts: {began.stderr}"]
            possible = self.possible(moment)
            try:
                wait.until(lambda: self._listed() in possible, "", 10)
            except AssertionError:
                return [f"{self._listed()} runs, not {possible}"]
            output = (self.host.home / "logs" / "supervisor.err").read_text()
            return [output] if "Traceback" in output else []
        finally:
            self.end_all()

    def _listed(self) -> Wishes:
        found: Wishes = {}
        for row in (control.ask(self.host.home, "list") or {"apps": []})["apps"]:
            described = control.ask(self.host.home, "describe", app=row["name"])
            release = described and described["spec"]["environment"]["RELEASE"]
            if release in [step.release for step in self.steps if step.dies]:
                # It was tried when the power was lost: it is tried on, and named.
                found[row["name"]] = (True, release, 1)
                continue
            if described is None or row["status"] not in ("online", "stopped"):
                return {"": (False, "nothing is known", 0)}
            spec = described["spec"]
            runs = row["instances"]["ready"] > 0
            ready = row["instances"]["ready"] if runs else spec["instances"]
            found[row["name"]] = (runs, spec["environment"]["RELEASE"], ready)
        return found
