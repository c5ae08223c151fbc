"""A tarball to upload: its name in the inbox, its size and its checksum."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

_PIECE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An open tarball, and what the release server compares it with."""

    name: str
    """The name of the file in the inbox."""
    file: IO[bytes]
    size_bytes: int
    sha256: str
    signature: bytes = b""
    """What stands in NAME.sig; empty: it is not signed."""

    @classmethod
    def of(cls, name: str, file: IO[bytes]) -> Upload:
        """Return the upload of an open tarball, which is read once for its checksum."""
        file.seek(0)
        digest = hashlib.sha256()
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
        size_bytes = file.seek(0, os.SEEK_END)
        return cls(
            name=name, file=file, size_bytes=size_bytes, sha256=digest.hexdigest()
        )

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Yield the content in pieces, each with the number of bytes up to its end."""
        self.file.seek(0)
        sent_bytes = 0
        while piece := self.file.read(_PIECE_BYTES):
            sent_bytes += len(piece)
            yield sent_bytes, piece

    def checksum_line(self) -> bytes:
        """Return the line that `sha256sum --check` reads."""
        return f"{self.sha256}  {self.name}\n".encode()
