"""A small disk: a tmpfs that can be filled to its last byte."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

BLOCK_BYTES = 65536


class SmallDisk:
    """A tmpfs that is mounted on a directory until `close`; mount(8) needs root."""

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
        """Write until no byte is free."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (BLOCK_BYTES, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Free the space that `fill` took."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount the disk; its files are lost."""
        argv = ["umount", "--lazy", str(self.directory)]
        subprocess.run(argv, check=False, capture_output=True)
