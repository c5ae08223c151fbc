"""The few things that the directory coordinator does with files; tests put faults there."""

from __future__ import annotations

import os


class Files:
    """Files of a file system that other hosts write to as well; all raise OSError."""

    def names(self, place: str) -> list[str]:
        """Return what is in a directory."""
        return os.listdir(place)

    def read(self, path: str, most_bytes: int) -> bytes:
        """Return the content of a file, or its beginning."""
        with open(path, "rb") as file:
            return file.read(most_bytes)

    def create(self, path: str, content: bytes) -> None:
        """Write a new file, and have it on disk."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def link(self, source: str, target: str) -> None:
        """Give a file a second name, which nobody else may have taken (link(2))."""
        os.link(source, target)

    def unlink(self, path: str) -> None:
        """Take a name away."""
        os.unlink(path)

    def modified(self, path: str) -> float:
        """Return when a file was written, on the clock of the file system."""
        return os.stat(path).st_mtime

    def make_directory(self, place: str) -> None:
        """Make a directory, with all above it."""
        os.makedirs(place, exist_ok=True)
