"""A real sshd for a test: a free port of loopback, keys of its own, one user: ours."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path

from rig import wait

CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
"""


class Sshd:
    """Runs from `start` to `close`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory, self.port = directory, wait.free_port()
        self.known_hosts = directory / "known_hosts"
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("host_key", "user_key"):
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "rig"]
            subprocess.run([*keygen, "-f", str(directory / name)], check=True)
        self.trust(directory / "host_key.pub")
        text = CONFIG.format(port=self.port, directory=directory)
        (directory / "sshd_config").write_text(text)

    def trust(self, key: Path) -> None:
        """Let the client take *key* for the host's."""
        kind, text = key.read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {text}\n")

    @property
    def command(self) -> str:
        """The ssh command that reaches it, with the user's key."""
        return (
            f"ssh -F none -p {self.port} -i {self.directory}/user_key "
            f"-o IdentitiesOnly=yes -o UserKnownHostsFile={self.known_hosts}"
        )

    def to(self, path: Path) -> str:
        """Return a directory as a destination of ssh."""
        return f"{getpass.getuser()}@127.0.0.1:{path}"

    def start(self, *prefix: str) -> Sshd:
        """Start it, by a command before its own perhaps; return when it answers."""
        if os.geteuid() == 0:
            # sshd asks for it, and the system's own makes it when that is started.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        program = shutil.which("sshd") or "/usr/sbin/sshd"
        with (self.directory / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *prefix,
                    program,
                    "-D",
                    "-e",
                    "-f",
                    str(self.directory / "sshd_config"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait.until(
            lambda: "Server listening" in self.said(), f"sshd on port {self.port}"
        )
        return self

    def said(self) -> str:
        """Return what it printed."""
        return (self.directory / "sshd.log").read_text(errors="replace")

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None
