"""What is sent: a file, its name there, its size and its checksum."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

PIECE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Parcel:
    """A tarball on its way."""

    name: str
    """What it is called in the inbox."""
    file: IO[bytes]
    size_bytes: int
    sha256: str

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Yield how many bytes there are up to here, and the bytes."""
        self.file.seek(0)
        sent = 0
        while piece := self.file.read(PIECE_BYTES):
            sent += len(piece)
            yield sent, piece

    def checksum_line(self) -> bytes:
        """Return what `sha256sum --check` reads."""
        return f"{self.sha256}  {self.name}\n".encode()


def parcel(name: str, file: IO[bytes]) -> Parcel:
    """Return a file as a parcel, read through once."""
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(PIECE_BYTES):
        digest.update(piece)
    return Parcel(name, file, file.seek(0, os.SEEK_END), digest.hexdigest())
