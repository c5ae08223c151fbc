"""Upload to a mounted directory: a temporary name, a checksum, a rename.

The temporary file is locked (flock) while it is written.  The next upload can then tell an
upload under way from one whose `gapless push` was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
from collections.abc import Callable, Generator

from gapless.base import files
from gapless.base.errors import GaplessError, NotFoundError
from gapless.base.outside import files as outside_files
from gapless.push.outcome import FOLDER, MOST_BYTES, OLD_FOLDER
from gapless.push.outcome_follower import IN_INBOX, NOT_IN_INBOX
from gapless.push.upload import Upload
from gapless.releases.digests import sha256_of
from gapless.releases.inbox import checksums
from gapless.releases.inbox.partial_uploads import LOCKED_PART, remove_abandoned
from gapless.releases.signing.uploads import ENDING

POLL_S = 0.2


class MountedTransport:
    """Sends uploads to, and reads outcomes from, a base directory that is mounted here."""

    def __init__(self, base: str) -> None:
        self._base, self._inbox = base, f"{base}/src"

    def send(self, upload: Upload, on_sent: Callable[[int], None]) -> None:
        """Send an upload; *on_sent* is called with the number of bytes sent so far.

        Raises NotFoundError, GaplessError; nothing of the upload is left then.
        """
        if not os.path.isdir(self._base):
            raise NotFoundError(
                f"could not push {upload.name}: there is no directory {self._base}",
                hint="is the file system of the release server mounted here?",
            )
        try:
            if not os.path.isdir(self._inbox):
                os.makedirs(self._inbox, exist_ok=True)
                files.sync_directory(self._base)
            remove_abandoned(self._inbox)
            self._send(upload, on_sent)
        except OSError as error:
            where = error.filename or self._inbox
            reason = (error.strerror or str(error)).lower()
            raise GaplessError(
                f"could not push {upload.name} to {self._inbox}: {where}: {reason}",
                hint="nothing of it was left there",
            ) from error

    def _send(self, upload: Upload, on_sent: Callable[[int], None]) -> None:
        final = f"{self._inbox}/{upload.name}"
        part = f"{self._inbox}/.{upload.name}{LOCKED_PART}"
        checksum, signature = f"{final}{checksums.ENDINGS[0]}", f"{final}{ENDING}"
        with open(part, "xb") as target:
            try:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for sent_bytes, piece in upload.pieces():
                    target.write(piece)
                    on_sent(sent_bytes)
                target.flush()
                files.sync(target.fileno())
                if hasattr(os, "posix_fadvise"):  # macOS has none
                    # The check below is to read the disk, not the page cache.
                    os.posix_fadvise(target.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                _verify(part, upload)
                if upload.signature:
                    files.write_atomically(signature, upload.signature, 0o644)
                files.write_atomically(checksum, upload.checksum_line(), 0o644)
                os.rename(part, final)
            except BaseException:
                for path in (part, checksum, signature):
                    with contextlib.suppress(OSError):
                        os.unlink(path)
                raise
        files.sync_directory(self._inbox)

    def outcome_lines(
        self, name: str, remaining_s: Callable[[], float]
    ) -> Generator[bytes, None, None]:
        """Yield lines about an upload, as `OutcomeFollower.follow` reads them."""
        last = b""
        while remaining_s() > 0:
            now = self._record(name)
            if now != last:
                last = now
                yield now
            is_there = os.path.lexists(f"{self._inbox}/{name}")
            yield IN_INBOX if is_there else NOT_IN_INBOX
            select.select([], [], [], POLL_S)

    def _record(self, name: str) -> bytes:
        """Return the outcome of an upload; nothing if there is none that can be read."""
        folder = f"{self._base}/{FOLDER}"
        if not os.path.isdir(folder):  # of an earlier version
            folder = f"{self._inbox}/{OLD_FOLDER}"
        try:
            return outside_files.read(f"{folder}/{name}.json", MOST_BYTES)
        except OSError:
            return b""


def _verify(path: str, upload: Upload) -> None:
    if sha256_of(path) != upload.sha256:
        raise GaplessError(
            f"could not push {upload.name}: the file in {os.path.dirname(path)} is not "
            "what was written",
            hint="nothing of it was left there; check that file system",
        )
