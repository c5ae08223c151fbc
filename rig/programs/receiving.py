"""A release server for tests: a base directory, `gapless watch`, sshd in front of it."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from rig import wait
from rig.hosts.host import GAPLESS, Host
from rig.programs.ssh import Sshd


class Receiving:
    """Publishes what is pushed to it; who pushes is on the same machine."""

    def __init__(self, host: Host, release: str = "build = []") -> None:
        self.host, self.directory = host, host.directory
        self.base = host.directory / "dfs"
        self.base.mkdir()
        self.inbox = self.base / "src"
        self.sshd = Sshd(host.directory / "ssh")
        self.laptop = host.directory / "laptop"
        self.laptop.mkdir()
        self.configure(example=release)
        self._watch: subprocess.Popen[bytes] | None = None
        self.files("example", {"index.js": "console.log('1')\n"})

    def configure(self, **apps: str) -> None:
        """Write the configuration of the release server."""
        self.host.configure(
            "\n".join(
                f'[release.{name}]\nbase = "{self.base}"\n{text}'
                for name, text in apps.items()
            )
        )

    def files(self, name: str, contents: dict[str, str]) -> Path:
        """Write files into a directory on the laptop; return it."""
        directory = self.laptop / name
        for path, text in contents.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text)
        return directory

    # --- watch ------------------------------------------------------------------------

    def watch(self, *prefix: str) -> None:
        """Start `gapless watch`."""
        with (self.directory / "watch.log").open("ab") as log:
            self._watch = subprocess.Popen(
                [*prefix, str(GAPLESS), "watch"],
                cwd=self.directory,
                env=self.host.environment,
                stdout=log,
                stderr=log,
            )

    def tell_watch(self, number: int) -> None:
        """Send it a signal."""
        assert self._watch is not None
        self._watch.send_signal(number)

    def watch_ended(self, timeout_s: float = 30.0) -> int:
        """Wait for its end; return its exit code."""
        assert self._watch is not None
        code = self._watch.wait(timeout_s)
        self._watch = None
        return code

    def said(self) -> str:
        """Return what it printed."""
        return (self.directory / "watch.log").read_text(errors="replace")

    # --- push -------------------------------------------------------------------------

    def words(
        self, target: object, *options: object, by: str = "ssh", ssh: str = ""
    ) -> list[str]:
        """Return the words of `gapless push` by one of the ways."""
        to = self.sshd.to(self.base) if by == "ssh" else self.base
        given = ["--ssh", ssh or self.sshd.command, "--to", to, *options]
        return ["push", str(target), *map(str, given)]

    def push(
        self, target: object, *options: object, by: str = "ssh", ssh: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Push from the laptop."""
        words = self.words(target, *options, by=by, ssh=ssh)
        return self.host.gapless(*words, cwd=self.laptop)

    def wrapper(self, filtered: str) -> str:
        """Return an ssh command through which what is sent goes by a shell command."""
        path = self.directory / "wrapped-ssh"
        path.write_text(f'#!/bin/sh\n{filtered} | exec {self.sshd.command} "$@"\n')
        path.chmod(0o755)
        return str(path)

    def left(self) -> list[str]:
        """Return what lies in the inbox, hidden or not, but for what is told."""
        found = self.inbox.iterdir() if self.inbox.exists() else ()
        return sorted(each.name for each in found if each.name != ".outcomes")

    def tarballs(self) -> list[str]:
        """Return the uploads that nobody has taken."""
        return [name for name in self.left() if name.endswith(".tar.gz")]

    def releases(self) -> list[Path]:
        """Return the directories of releases, oldest first."""
        return sorted((self.base / "dist").glob("*-2*"))

    def close(self) -> None:
        """End what runs."""
        if self._watch is not None:
            self._watch.send_signal(signal.SIGKILL)
            self._watch.wait(20)
        self.sshd.close()

    def until_nothing_is_left(self) -> None:
        """Wait until the inbox is empty: who cleans it is on the other side."""
        wait.until(lambda: not self.left(), f"an empty inbox: {self.left()}")
