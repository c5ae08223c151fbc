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
from gapless.base.outside.text import printable
from gapless.coordinator import version_record
from gapless.coordinator.decoding import MOST_VERSION
from gapless.coordinator.files import Files
from gapless.coordinator.model import ABSENT, Entry
from gapless.coordinator.version_record import VersionRecord

KEPT_VERSIONS = 4
KEPT_S = 600.0
"""Younger versions stay, for hosts that still read an old listing."""
TRIES = 10
KEY_MARK = "="
"""Begins the name of a key's directory, so that no key looks like a file of ours."""
MOST_UNTRUSTED = 32
"""So many of the newest versions are looked at; if none can be trusted, the key cannot."""
MOST_REMOVED = 200
"""By one write."""
MOST_REPORTS = 1000
"""Whoever may write the directory cannot fill a log with names."""
_FOREIGN = frozenset(
    (errno.ELOOP, errno.EINVAL, errno.EISDIR, errno.EFBIG, errno.ENXIO, errno.ENODEV)
)
"""Met at what no version file of ours is: a link, a FIFO, a directory, a huge file."""
_BROKEN = _FOREIGN | {errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
"""Met where one key cannot be used, and the others can."""
_PART = ".part"
_HIDDEN = "."
"""NFS renames a file that was removed while a host had it open to `.nfs...`."""


class BrokenKeyError(UnavailableError):
    """One key of the shared directory cannot be used; the others can."""

    reason = ""
    """Why, without where."""


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
        """Return the names in a directory; none if it does not exist.

        Raises BrokenKeyError, UnavailableError.
        """
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
                for number in numbers[:MOST_UNTRUSTED]:
                    record = self._load(directory, number)
                    if record is None:
                        continue
                    nonce = record.nonce if number == highest else nonce
                    if record.value is not None:
                        entry = Entry(number, record.value.encode("latin-1"))
                    break
                else:
                    if len(numbers) > MOST_UNTRUSTED:
                        raise BrokenKeyError(
                            f"{directory}: none of the newest {MOST_UNTRUSTED} versions "
                            "can be trusted"
                        )
            except FileNotFoundError:
                continue  # another host removed it meanwhile
            return Newest(number=highest, nonce=nonce, entry=entry)
        raise BrokenKeyError(f"{directory} changes faster than it can be read")

    def add(self, directory: str, newest: Newest, value: str | None) -> int | None:
        """Write the version after *newest*; return its number.

        None: another writer was first.
        """
        number = newest.number + 1
        if number > MOST_VERSION:
            raise BrokenKeyError(
                f"{directory}/{newest.number}: no version can follow this one",
                hint="it was not written by gapless: remove that file",
            )
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
            number = _number(name)
            if number is not None:
                found.append(number)
            elif not name.startswith((KEY_MARK, _HIDDEN)) and not name.endswith(_PART):
                self.report(f"{directory}/{name}", "it is not a version of ours", name)
        return sorted(found, reverse=True)

    def _load(self, directory: str, number: int) -> VersionRecord | None:
        """Return a record; None if it cannot be trusted.  Raises FileNotFoundError."""
        path = f"{directory}/{number}"
        try:
            content = self._files.read(path, version_record.MOST_BYTES)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESTALE):
                raise FileNotFoundError(errno.ENOENT, "it is gone", path) from error
            if error.errno in _FOREIGN:
                self.report(path, (error.strerror or str(error)).lower())
                return None
            raise _unavailable(path, error) from error
        try:
            return version_record.decode(number, content)
        except ValueError as error:
            self.report(path, str(error))
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
            names = [
                *parts[:MOST_REMOVED],
                *map(str, reversed(numbers[KEPT_VERSIONS:])),
            ]
            for name in names[: 2 * MOST_REMOVED]:
                self._remove_old(f"{directory}/{name}", newest_at - KEPT_S)

    def _remove_old(self, path: str, before: float) -> None:
        with suppress(OSError):  # a directory in the place of a file stays
            if self._files.modified_at(path) < before:
                self._files.unlink(path)

    def report(self, path: str, why: str, which: str = "") -> None:
        """Say once what is ignored in a directory, and why."""
        known = os.path.dirname(path), which or why
        if known in self._reported or len(self._reported) > MOST_REPORTS:
            return
        self._reported.add(known)
        if len(self._reported) > MOST_REPORTS:
            self._complain("more files are ignored, and not named any more")
        else:
            self._complain(printable(f"{path} is ignored: {why}"))


def _number(name: str) -> int | None:
    """Return the version number that a name is; None if it is none."""
    is_plain = name.isascii() and name.isdigit() and name[0] != "0"
    if not is_plain or len(name) > len(str(MOST_VERSION)):
        return None
    number = int(name)
    return number if number <= MOST_VERSION else None


def _unavailable(path: str, error: OSError) -> UnavailableError:
    reason = (error.strerror or str(error)).lower()
    kind = BrokenKeyError if error.errno in _BROKEN else UnavailableError
    found = kind(
        f"the shared directory cannot be used: {path}: {reason}",
        hint="is it mounted, and may this user write there?",
    )
    if isinstance(found, BrokenKeyError):
        found.reason = reason
    return found
