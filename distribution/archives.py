"""Archives whose bytes depend on their content alone: sorted, one time, two modes."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_EARLIEST_OF_ZIP = 315532800
"""1980-01-01: no file in a zip archive is older."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of an archive."""

    content: bytes
    is_program: bool = False

    @property
    def mode(self) -> int:
        """Return its permissions."""
        return 0o755 if self.is_program else 0o644


Tree = Mapping[str, File]
"""Files by their path."""


def epoch() -> int:
    """Return the time of every file: SOURCE_DATE_EPOCH, or that of the last commit.

    In seconds since 1970.  Raises CalledProcessError without a history.
    """
    chosen = os.environ.get("SOURCE_DATE_EPOCH")
    if chosen:
        return int(chosen)
    command = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


def read(directory: Path) -> dict[str, File]:
    """Return every file below a directory; what Python has compiled is none."""
    return {
        str(path.relative_to(directory)): File(content=path.read_bytes())
        for path in sorted(directory.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def tarball(tree: Tree, at: int) -> bytes:
    """Return a tar.gz of files of root's."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, file in sorted(tree.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(file.content), file.mode, at
            archive.addfile(entry, io.BytesIO(file.content))
    return gzip.compress(plain.getvalue(), 9, mtime=at)


def zipped(tree: Tree, at: int) -> bytes:
    """Return a zip archive."""
    made = io.BytesIO()
    when = time.gmtime(max(at, _EARLIEST_OF_ZIP))[:6]
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, file in sorted(tree.items()):
            entry = zipfile.ZipInfo(name, when)
            entry.create_system, entry.external_attr = 3, (0o100000 | file.mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.content)
    return made.getvalue()


def unzipped(path: Path) -> dict[str, File]:
    """Return the files of a zip archive, such as a wheel."""
    with zipfile.ZipFile(path) as archive:
        return {
            name: File(content=archive.read(name))
            for name in archive.namelist()
            if not name.endswith("/")
        }
