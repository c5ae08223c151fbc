"""The file calls of the directory coordinator; tests inject faults here."""

from __future__ import annotations

import os


class Files:
    """Files on a file system that other hosts write to as well.  Methods raise OSError."""

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory."""
        return os.listdir(directory)

    def read(self, path: str, most_bytes: int) -> bytes:
        """Return the first *most_bytes* of a file."""
        with open(path, "rb") as file:
            return file.read(most_bytes)

    def create(self, path: str, content: bytes) -> None:
        """Write a new file, and sync it to disk."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def link(self, source: str, target: str) -> None:
        """Give a file a second name, which must not exist yet (link(2))."""
        os.link(source, target)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        os.unlink(path)

    def modified_at(self, path: str) -> float:
        """Return when a file was written, in seconds on the clock of the file system."""
        return os.stat(path).st_mtime

    def make_directory(self, directory: str) -> None:
        """Make a directory, and the directories above it."""
        os.makedirs(directory, exist_ok=True)
