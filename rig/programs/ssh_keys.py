"""Keys of ssh for tests of signatures: who may sign, in files as people have them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from gapless.push.signing import signatures
from gapless.push.signing.keys import SigningKey


class SshKeys:
    """A directory with one key for each name, and files of allowed signers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Return the private key of a name, made when it is first asked for."""
        path = self.directory / name
        if not path.exists():
            words = ("-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path))
            subprocess.run(("ssh-keygen", *words), check=True)
        return path

    def line(self, name: str, options: str = "") -> str:
        """Return the line of a name in a file of allowed signers."""
        kind, key, _ = Path(f"{self.path(name)}.pub").read_text().split()
        return " ".join(
            each for each in (f"{name}@example", options, kind, key) if each
        )

    def signers(self, *names: str, options: str = "", file: str = "allowed") -> Path:
        """Write a file of allowed signers; return it."""
        path = self.directory / file
        path.write_text("".join(f"{self.line(name, options)}\n" for name in names))
        path.chmod(0o644)
        return path

    def sign(self, app: str, sha256: str, name: str) -> bytes:
        """Return what stands in the `.sig` file of an upload."""
        return signatures.of_upload(app, sha256, SigningKey(path=str(self.path(name))))
