"""A host for a test: a GAPLESS_HOME of its own, the real command, and a clean end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rig import printed, wait
from rig.background import BackgroundProcess
from rig.hosts import commands, control, processes

APPS = Path(__file__).parent.parent / "apps"
ROOT = Path(__file__).parent.parent.parent
GAPLESS = Path(sys.executable).parent / "gapless"
SERVERS = ROOT / "build" / "servers" / "bin"
COMMAND_S = 120.0 * wait.SLOWER
NOBODY = 65534
ORDINARY_USER = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    # The checkout and the interpreter may be in directories that only root may read.
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
    "--bounding-set=-all,+dac_read_search",
)
"""A command prefix that makes root an ordinary user, who may read every file."""


class Host:
    """One GAPLESS_HOME, and everything that a user does there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.command_prefix: tuple[str, ...] = ()
        """What every command begins with: `ORDINARY_USER`, or a network namespace."""
        self.program = GAPLESS
        """The command; another one for another version of it."""
        self.home = directory / "home"
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("GAPLESS")
        } | {"GAPLESS_HOME": str(self.home), "PATH": _path()}

    # --- commands -----------------------------------------------------------------------

    def gapless(
        self,
        *arguments: object,
        environment: dict[str, str] | None = None,
        cwd: Path | None = None,
        standard_input: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, as a user does; return its output and exit code.

        *cwd* may contain symlinks, as a shell's PWD may.
        """
        directory = cwd or self.directory
        environment = self.environment | {"PWD": str(directory)} | (environment or {})
        if not self.command_prefix and self.program == GAPLESS:
            return commands.started().run(
                self._argv(*arguments),
                cwd=directory,
                environment=environment,
                standard_input=standard_input,
                timeout_s=COMMAND_S,
            )
        return subprocess.run(
            self._argv(*arguments),
            cwd=directory,
            env=environment,
            input=standard_input,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )

    def begin(self, *arguments: object) -> subprocess.Popen[str]:
        """Start a command and return at once; stdout has its stderr as well."""
        return subprocess.Popen(
            self._argv(*arguments),
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start_in_background(
        self,
        process: BackgroundProcess,
        *arguments: object,
        prefix: tuple[str, ...] = (),
    ) -> None:
        """Start a command as *process*; *prefix* comes before the host's own prefix."""
        process.start(
            [*prefix, *self._argv(*arguments)],
            cwd=self.directory,
            env=self.environment,
        )

    def _argv(self, *arguments: object) -> list[str]:
        return [*self.command_prefix, str(self.program), *map(str, arguments)]

    def ok(self, *arguments: object, **options: Any) -> str:
        """Run a command that has to succeed; return what it printed."""
        done = self.gapless(*arguments, **options)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments: object) -> Any:
        """Run a command with --json; return what it printed, decoded.

        The exit code is not checked.
        """
        done = self.gapless(*arguments, "--json")
        assert done.stdout, f"{arguments}: {done.stderr}"
        found = json.loads(done.stdout)
        if self.program == GAPLESS:  # else it is another version
            assert printed.mistakes(str(arguments[0]), found) == []
        return found

    # --- apps ---------------------------------------------------------------------------

    def app(self, name: str) -> dict[str, Any]:
        """Return what `gapless describe --json` prints of an app.

        The command is run where no supervisor answers: it starts one if the keeper lives,
        else it shows what is stored, or names the error.
        """
        found = control.ask(self.home, "describe", app=name)
        described: dict[str, Any] = found or self.json("describe", name)
        return described

    def row(self, name: str) -> dict[str, Any]:
        """Return what `gapless list --json` prints of an app.

        Who waits asks for this: `app` also lets the supervisor look at connections, for
        which the kernel walks through those of the whole machine.
        """
        listed = control.ask(self.home, "list") or {"apps": []}
        rows = {row["name"]: row for row in listed["apps"]}
        found: dict[str, Any] = rows.get(name) or self.app(name)
        return found

    def status(self, name: str) -> str:
        """Return the status of an app."""
        return str(self.row(name)["status"])

    def configure(self, text: str, name: str = "gapless.toml") -> Path:
        """Write a configuration file; return its path."""
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
        self.start_file(f"{name}.toml", name)

    def start_file(self, file: str, name: str) -> None:
        """Start the app of a file, and wait until it listens.

        A slow first start counts as an app without a port after min_uptime_s (LIMITS).
        """
        self.ok("start", file)
        wait.until(lambda: self.row(name)["addresses"], f"{name} to listen", 30)

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

    # --- processes ----------------------------------------------------------------------

    def start_supervisor(self) -> None:
        """Let a command start the supervisor, if none runs; one that looks does not."""
        self.ok("undrain")

    def supervisor_pid(self) -> int:
        """Return the pid of the supervisor."""
        return int(self._supervisor()["pid"])

    def keeper_pid(self) -> int:
        """Return the pid of the keeper."""
        return int(self._supervisor()["keeper_pid"])

    def guardian_pid(self) -> int:
        """Return the pid of the guardian, the process above the keeper."""
        return int(self._supervisor()["guardian_pid"])

    def own_pids(self) -> tuple[int, int, int]:
        """Return the pids of supervisor, keeper and guardian."""
        found = self._supervisor()
        return found["pid"], found["keeper_pid"], found["guardian_pid"]

    def _supervisor(self) -> dict[str, Any]:
        found = control.ask(self.home, "list") or self.json("list")
        supervisor: dict[str, Any] = found["supervisor"]
        return supervisor

    def processes(self) -> dict[int, str]:
        """Return the command line of every living process that this host started."""
        marker = f"GAPLESS_HOME={self.home}".encode()
        return {
            pid: process.command
            for pid, process in processes.living().items()
            if marker in process.environment or str(self.home) in process.command
        }

    def close(self) -> None:
        """Shut down.

        Raises AssertionError if a process is left, after it was killed by its pid, or if
        the supervisor wrote to its stderr.
        """
        if (self.home / "supervisor.sock").exists() or self.processes():
            self.gapless("shutdown")
        try:
            wait.until(lambda: not self.processes(), "every process ended", 10)
        except AssertionError:
            left = self.processes()
            processes.kill_all(set(left))
            raise AssertionError(f"left behind: {left}") from None
        stderr = self.home / "logs" / "supervisor.err"
        errors = stderr.read_text() if stderr.exists() else ""
        assert not errors, errors


@contextmanager
def temporary_host(prefix: str = "gapless-") -> Iterator[Host]:
    """Make a host in a temporary directory; when the block ends, remove both."""
    with tempfile.TemporaryDirectory(prefix=prefix) as directory:
        host = Host(Path(directory))
        try:
            yield host
        finally:
            host.close()


def _path() -> str:
    own = str(Path(sys.executable).parent)
    return ":".join(p for p in os.environ["PATH"].split(":") if p != own)
