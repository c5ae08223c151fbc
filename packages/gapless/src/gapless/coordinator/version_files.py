"""The version files of one key, in a directory that all hosts mount: `1`, `2`...

A version file never changes.  It is written under another name, synced, and linked to its
number.  Of two writers that link the same number one fails: that is the compare-and-set, on
every file system that has hard links, NFS among them (link(2)).  A removed key leaves a
version that says so, since its number must not be used again.

A host may read an old listing (NFS caches directories for a minute), and a host that was
paused acts on it.  The number that it links may then be free again, since old versions are
removed.  So each record names the one before it.  A version that has successors, of which
the first does not name it, was linked too late: its writer removes it.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from gapless.base.errors import UnavailableError
from gapless.coordinator import model, version_record
from gapless.coordinator.files import Files
from gapless.coordinator.model import ABSENT, Entry
from gapless.coordinator.version_record import VersionRecord

KEPT_VERSIONS = 4
KEPT_S = 600.0
"""Younger versions stay, for hosts that still read an old listing."""
TRIES = 10
KEY_MARK = "="
"""Begins the name of a key's directory, so that no key looks like a file of ours."""
_PART = ".part"
_HIDDEN = "."
"""NFS renames a file that was removed while a host had it open to `.nfs...`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """What one reading of a key's directory found."""

    number: int
    """The highest version number, trusted or not."""
    nonce: str
    """The nonce of the record with that number; empty if it cannot be trusted."""
    entry: Entry | None
    """The newest version that can be trusted."""


class VersionFiles:
    """Reads and writes the directories of keys.  Methods raise UnavailableError."""

    def __init__(self, files: Files, complain: Callable[[str], None]) -> None:
        self._files, self._complain = files, complain
        self._reported: set[tuple[str, str]] = set()
        """Directories, each with what is wrong there: reported once, not per version."""

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory; none if it does not exist."""
        for _ in range(TRIES):
            try:
                return self._files.names(directory)
            except FileNotFoundError:
                return []
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise _unavailable(directory, error) from error
        raise UnavailableError(f"{directory} goes stale again and again")

    def newest(self, directory: str) -> Newest:
        """Return the newest version of a key."""
        for _ in range(TRIES):
            numbers = self._numbers(directory)
            highest = numbers[0] if numbers else ABSENT
            nonce, entry = "", None
            try:
                for number in numbers:
                    record = self._load(directory, number)
                    if record is None:
                        continue
                    nonce = record.nonce if number == highest else nonce
                    if record.value is not None:
                        entry = Entry(number, record.value.encode("latin-1"))
                    break
            except FileNotFoundError:
                continue  # another host removed it meanwhile
            return Newest(number=highest, nonce=nonce, entry=entry)
        raise UnavailableError(f"{directory} changes faster than it can be read")

    def add(self, directory: str, newest: Newest, value: str | None) -> int | None:
        """Write the version after *newest*; return its number.

        None: another writer was first.
        """
        number = newest.number + 1
        nonce = secrets.token_hex(8)
        record = VersionRecord(nonce=nonce, after=newest.nonce, value=value)
        content = version_record.encode(number, record)
        try:
            self._files.make_directory(directory)
            is_ours = self._link(directory, number, content, nonce)
            if not is_ours or self._remove_late(directory, number, nonce):
                return None
        except UnavailableError:
            raise  # it is an OSError as well
        except OSError as error:
            raise _unavailable(directory, error) from error
        self._prune(directory)
        return number

    def _numbers(self, directory: str) -> list[int]:
        """Return the version numbers of a key, the highest first."""
        found = []
        for name in self.names(directory):
            if name.isascii() and name.isdigit() and name[0] != "0":
                found.append(int(name))
            elif not name.startswith((KEY_MARK, _HIDDEN)) and not name.endswith(_PART):
                self._report(f"{directory}/{name}", "it is not a version of ours", name)
        return sorted(found, reverse=True)

    def _load(self, directory: str, number: int) -> VersionRecord | None:
        """Return a record; None if it cannot be trusted.  Raises FileNotFoundError."""
        path = f"{directory}/{number}"
        try:
            content = self._files.read(path, 8 * model.LARGEST_VALUE_BYTES)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESTALE):
                raise FileNotFoundError(errno.ENOENT, "it is gone", path) from error
            raise _unavailable(path, error) from error
        try:
            return version_record.decode(number, content)
        except ValueError as error:
            self._report(path, str(error))
            return None

    def _link(self, directory: str, number: int, content: bytes, nonce: str) -> bool:
        """Give a record its number; return whether the number is ours."""
        part = f"{directory}/{nonce}{_PART}"
        self._files.create(part, content)
        try:
            self._files.link(part, f"{directory}/{number}")
        except OSError:
            # The link may exist although the answer was lost: compare the nonce.
            with suppress(FileNotFoundError):
                record = self._load(directory, number)
                return record is not None and record.nonce == nonce
            raise
        finally:
            with suppress(FileNotFoundError):  # this answer may have been lost, too
                self._files.unlink(part)
        return True

    def _remove_late(self, directory: str, number: int, nonce: str) -> bool:
        """Remove our version if it was linked too late; return whether it was."""
        later = [each for each in self._numbers(directory) if each > number]
        if not later:
            return False
        with suppress(FileNotFoundError):
            following = self._load(directory, number + 1)
            if following is not None and following.after == nonce:
                return False  # the next writer has read it
        with suppress(FileNotFoundError):
            self._files.unlink(f"{directory}/{number}")
        return True

    def _prune(self, directory: str) -> None:
        """Remove versions that no host's listing can still end in.

        Also the parts of writers that were killed before they linked them.  A failure does
        no harm.
        """
        numbers = self._numbers(directory)
        with suppress(OSError):
            newest_at = self._files.modified_at(f"{directory}/{numbers[0]}")
            parts = [name for name in self.names(directory) if name.endswith(_PART)]
            for name in [*map(str, numbers[KEPT_VERSIONS:]), *parts]:
                path = f"{directory}/{name}"
                if self._files.modified_at(path) < newest_at - KEPT_S:
                    self._files.unlink(path)

    def _report(self, path: str, why: str, which: str = "") -> None:
        known = os.path.dirname(path), which or why
        if known not in self._reported:
            self._reported.add(known)
            self._complain(f"{path} is ignored: {why}")


def _unavailable(path: str, error: OSError) -> UnavailableError:
    reason = (error.strerror or str(error)).lower()
    return UnavailableError(
        f"the shared directory cannot be used: {path}: {reason}",
        hint="is it mounted, and may this user write there?",
    )
