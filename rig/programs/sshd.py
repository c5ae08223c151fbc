"""A real sshd: a free port of loopback, keys of its own, and the user who runs the test."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path

from rig import wait
from rig.background import BackgroundProcess

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
        self._process = BackgroundProcess(directory / "sshd.log")
        for name in ("host_key", "user_key"):
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "rig"]
            subprocess.run([*keygen, "-f", str(directory / name)], check=True)
        self.trust(directory / "host_key.pub")
        text = CONFIG.format(port=self.port, directory=directory)
        (directory / "sshd_config").write_text(text)

    def trust(self, key: Path) -> None:
        """Let the client accept *key* as the host's key."""
        kind, text = key.read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {text}\n")

    @property
    def command(self) -> str:
        """The ssh command that connects to it with the user's key."""
        return (
            f"ssh -F none -p {self.port} -i {self.directory}/user_key "
            f"-o IdentitiesOnly=yes -o UserKnownHostsFile={self.known_hosts}"
        )

    def to(self, path: Path) -> str:
        """Return a directory as a destination of ssh."""
        return f"{getpass.getuser()}@127.0.0.1:{path}"

    def start(self, *prefix: str) -> Sshd:
        """Start it, with *prefix* before its command; return when it listens."""
        if os.geteuid() == 0:
            # sshd needs this directory, which the system's own sshd makes at its start.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        program = shutil.which("sshd") or "/usr/sbin/sshd"
        config = str(self.directory / "sshd_config")
        self._process.start(
            [*prefix, program, "-D", "-e", "-f", config], stdin=subprocess.DEVNULL
        )
        wait.until(
            lambda: "Server listening" in self.log(), f"sshd on port {self.port}"
        )
        return self

    def log(self) -> str:
        """Return what it has printed."""
        return self._process.output()

    def close(self) -> None:
        """End it."""
        self._process.terminate()
