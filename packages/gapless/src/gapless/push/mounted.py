"""Upload to a mounted directory: a temporary name, a checksum, a rename.

The temporary file is locked (flock) while it is written, so that the next upload can tell
one that is under way from one whose pusher was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import select
from collections.abc import Callable, Generator

from gapless.base import files
from gapless.base.errors import GaplessError, NotFoundError
from gapless.push.follower import GONE, HERE
from gapless.push.outcome import FOLDER
from gapless.push.parcels import PIECE_BYTES, Parcel
from gapless.releases import inbox

LOOK_S = 0.2


class Mounted:
    """A base directory that is mounted here."""

    def __init__(self, base: str) -> None:
        self._base, self._inbox = base, f"{base}/src"

    def send(self, parcel: Parcel, hear: Callable[[int], None]) -> None:
        """Upload a parcel.  Raises NotFoundError, GaplessError; nothing is left then."""
        if not os.path.isdir(self._base):
            raise NotFoundError(
                f"could not push {parcel.name}: there is no directory {self._base}",
                hint="is the file system of the release server mounted here?",
            )
        try:
            os.makedirs(self._inbox, exist_ok=True)
            inbox.remove_abandoned(self._inbox)
            self._send(parcel, hear)
        except OSError as error:
            where = error.filename or self._inbox
            reason = (error.strerror or str(error)).lower()
            raise GaplessError(
                f"could not push {parcel.name} to {self._inbox}: {where}: {reason}",
                hint="nothing of it was left there",
            ) from error

    def _send(self, parcel: Parcel, hear: Callable[[int], None]) -> None:
        final = f"{self._inbox}/{parcel.name}"
        part = f"{self._inbox}/.{parcel.name}{inbox.LOCKED_PART}"
        checksum = f"{final}{inbox.CHECKSUM_ENDINGS[0]}"
        with open(part, "xb") as target:
            try:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for sent, piece in parcel.pieces():
                    target.write(piece)
                    hear(sent)
                target.flush()
                os.fsync(target.fileno())
                if hasattr(os, "posix_fadvise"):  # a laptop may run macOS
                    # What is read again is to come from the disk, not from memory.
                    os.posix_fadvise(target.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                _verify(part, parcel)
                files.write_atomically(checksum, parcel.checksum_line(), 0o644)
                os.rename(part, final)
            except BaseException:
                for path in (part, checksum):
                    with contextlib.suppress(OSError):
                        os.unlink(path)
                raise
        files.sync_directory(self._inbox)

    def lines(
        self, upload: str, remaining_s: Callable[[], float]
    ) -> Generator[bytes, None, None]:
        """Yield what is told of an upload, as `following.Follower` hears it."""
        path, last = f"{self._inbox}/{FOLDER}/{upload}.json", b""
        while remaining_s() > 0:
            try:
                with open(path, "rb") as file:
                    now = file.read()
            except FileNotFoundError:
                now = b""
            if now != last:
                last = now
                yield now
            yield HERE if os.path.exists(f"{self._inbox}/{upload}") else GONE
            select.select([], [], [], LOOK_S)


def _verify(path: str, parcel: Parcel) -> None:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    if digest.hexdigest() != parcel.sha256:
        raise GaplessError(
            f"could not push {parcel.name}: what stands in {os.path.dirname(path)} is not "
            "what was written",
            hint="nothing of it was left there; look at that file system",
        )
