"""A small disk of its own: a tmpfs that can be filled to its last byte."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

BLOCK_BYTES = 65536


class SmallDisk:
    """Mounted on a directory from the start to `close`; mount(8) needs root."""

    def __init__(self, directory: Path, size_mb: int) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        options = f"size={size_mb}m,mode=0700"
        argv = ["mount", "-t", "tmpfs", "-o", options, "none", str(directory)]
        subprocess.run(argv, check=True, capture_output=True)

    @property
    def _ballast(self) -> Path:
        return self.directory / "ballast"

    def fill(self) -> None:
        """Leave no byte free."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (BLOCK_BYTES, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Take it away, and what is on it."""
        argv = ["umount", "--lazy", str(self.directory)]
        subprocess.run(argv, check=False, capture_output=True)
