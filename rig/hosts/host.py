"""A host for a test: a GAPLESS_HOME of its own, the real command, and a clean end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from rig import wait

APPS = Path(__file__).parent.parent / "apps"
ROOT = Path(__file__).parent.parent.parent
GAPLESS = Path(sys.executable).parent / "gapless"
SERVERS = ROOT / "build" / "servers" / "bin"
COMMAND_S = 120.0
NOBODY = 65534
ORDINARY_USER = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    # The checkout and the interpreter may lie where only root may look.
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
    "--bounding-set=-all,+dac_read_search",
)
"""Makes root an ordinary user, who may read more than others, and no more than that."""


class Host:
    """One GAPLESS_HOME, and everything that a user does there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.become: tuple[str, ...] = ()
        """What every command is started with: see `ORDINARY_USER`."""
        self.home = directory / "home"
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GAPLESS")
        } | {"GAPLESS_HOME": str(self.home), "PATH": _path()}

    def gapless(
        self,
        *arguments: object,
        environment: dict[str, str] | None = None,
        cwd: Path | None = None,
        standard_input: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Run the command, as a user would; return what it printed and its code.

        *cwd* may lead through links, as a shell's PWD does.
        """
        place = cwd or self.directory
        return subprocess.run(
            [*self.become, str(GAPLESS), *map(str, arguments)],
            cwd=place,
            env=self.environment | {"PWD": str(place)} | (environment or {}),
            input=standard_input,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )

    def begin(self, *arguments: object) -> subprocess.Popen[str]:
        """Begin a command; all that it says can be read from stdout."""
        return subprocess.Popen(
            [*self.become, str(GAPLESS), *map(str, arguments)],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ok(self, *arguments: object, **where: Any) -> str:
        """Run a command that has to succeed; return what it printed."""
        done = self.gapless(*arguments, **where)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments: object) -> Any:
        """Run a command with --json; return what it said, whatever its code."""
        done = self.gapless(*arguments, "--json")
        assert done.stdout, f"{arguments}: {done.stderr}"
        return json.loads(done.stdout)

    def app(self, name: str) -> dict[str, Any]:
        """Return the description of an app."""
        found: dict[str, Any] = self.json("describe", name)
        return found

    def status(self, name: str) -> str:
        """Return the status of an app."""
        return str(self.app(name)["status"])

    def configure(self, text: str, name: str = "gapless.toml") -> Path:
        """Write a configuration; return its path."""
        path = self.directory / name
        path.write_text(text)
        return path

    def start(
        self,
        name: str,
        command: list[str],
        *,
        port: int,
        release: str = "1",
        directory: Path = APPS,
        more: str = "",
    ) -> None:
        """Configure and start an app that reads PORT and RELEASE."""
        self.declare(
            name, command, port=port, release=release, directory=directory, more=more
        )
        self.ok("start", f"{name}.toml")
        # A slow first start counts as an app without a port after min_uptime_s (LIMITS).
        wait.until(lambda: self.app(name)["addresses"], f"{name} to listen", 30)

    def declare(
        self,
        name: str,
        command: list[str],
        *,
        port: int,
        release: str,
        directory: Path = APPS,
        more: str = "",
    ) -> Path:
        """Write the configuration of an app that reads PORT and RELEASE."""
        lines = [
            f"[app.{name}]",
            f"command = {json.dumps(command)}",
            f"directory = {json.dumps(str(directory))}",
            f'environment = {{ PORT = "{port}", RELEASE = "{release}" }}',
        ]
        if "min_healthy_s" not in more:
            lines.append("min_healthy_s = 0.3")
        return self.configure("\n".join([*lines, more]) + "\n", f"{name}.toml")

    def supervisor_pid(self) -> int:
        """Return the pid of the supervisor."""
        return int(self.json("list")["supervisor"]["pid"])

    def keeper_pid(self) -> int:
        """Return the pid of the keeper."""
        return int(self.json("list")["supervisor"]["keeper_pid"])

    def processes(self) -> dict[int, str]:
        """Return every living process of this host: it, or its keeper, started them."""
        marker = f"GAPLESS_HOME={self.home}".encode()
        return {
            pid: command
            for pid, (environment, command) in _processes().items()
            if marker in environment or str(self.home) in command
        }

    def close(self) -> None:
        """Shut down; whatever is left then is ended by its pid, and is a failure."""
        if (self.home / "supervisor.sock").exists() or self.processes():
            self.gapless("shutdown")
        try:
            wait.until(lambda: not self.processes(), "every process ended", 10)
        except AssertionError:
            left = self.processes()
            for pid in left:
                _kill(pid)
            raise AssertionError(f"left behind: {left}") from None
        last_words = self.home / "logs" / "supervisor.err"
        surprises = last_words.read_text() if last_words.exists() else ""
        assert not surprises, surprises


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _processes() -> dict[int, tuple[bytes, str]]:
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            environment = Path(f"/proc/{name}/environ").read_bytes()
            command = Path(f"/proc/{name}/cmdline").read_bytes()
            state = Path(f"/proc/{name}/stat").read_text().rpartition(") ")[2][:1]
        except OSError:
            continue
        if state != "Z":
            shown = command.replace(b"\0", b" ").decode(errors="replace")
            found[int(name)] = (environment, shown)
    return found


def _path() -> str:
    own = str(Path(sys.executable).parent)
    return ":".join(p for p in os.environ["PATH"].split(":") if p != own)
