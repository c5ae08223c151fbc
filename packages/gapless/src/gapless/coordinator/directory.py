"""A coordinator in a directory that all hosts mount: numbered versions and link(2).

Each key is a directory, each version a file in it that never changes: `1`, `2`...  A
version is written beside, synced, and linked to its number.  Of two who link the same
number one fails: that is the compare-and-set, on every file system that has hard links,
NFS among them (link(2)).  A removed key leaves a version that says so, since its number
must not be used again.

Who looks may see the past (NFS caches directories for a minute), and who was paused acts on
it.  Then the number that is linked may exist no more, since old versions are removed.  So
each record names the one before it: a version that has successors of which the first does
not name it was linked too late, and is taken back.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import select
import urllib.parse
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from gapless.base import clock
from gapless.base.errors import UnavailableError
from gapless.coordinator import model
from gapless.coordinator.files import Files
from gapless.coordinator.model import ABSENT, Entry

FORMAT = 1
KEPT = 4
KEPT_S = 600.0
"""Versions that are younger stay, for hosts whose view is old."""
LOOK_S = 0.5
"""Writes of other hosts raise no event here, so the directory is looked at."""
TRIES = 10
_PART = ".part"
_HIDDEN = "."
"""So NFS calls what was removed while somebody had it open (.nfs...)."""
_DATA = "="
"""In front of the name of a key's directory: no key can be taken for a file of ours."""


@dataclass(frozen=True, slots=True)
class _Record:
    """One version, as it stands in its file."""

    nonce: str
    after: str
    """The nonce of the version before."""
    value: str | None
    """None: the key was removed."""


@dataclass(frozen=True, slots=True)
class _View:
    """What a look at a key shows."""

    highest: int
    """The highest number there is, trusted or not."""
    nonce: str
    """Of the record with that number."""
    entry: Entry | None
    """The newest version that can be trusted."""


class DirectoryCoordinator:
    """Shared by hosts; see `model.Coordinator`."""

    def __init__(
        self, root: str, complain: Callable[[str], None], files: Files | None = None
    ) -> None:
        """*complain* is told of each file that cannot be trusted, once."""
        self._root, self._complain = os.path.abspath(root), complain
        self._files = files or Files()
        self._named: set[tuple[str, str]] = set()
        """Places, and what is wrong there: named once, not with each version."""

    def read(self, key: str) -> Entry | None:
        """Return what is there, None if nothing is."""
        return self._look(model.check_key(key)).entry

    def read_all(self, prefix: str) -> dict[str, Entry]:
        """Return every key below `prefix/`."""
        top = self._place(model.check_key(prefix))
        looks = ((key, self.read(key)) for key in sorted(self._keys(top, prefix)))
        return {key: entry for key, entry in looks if entry is not None}

    def write(self, key: str, value: bytes, *, expected: int) -> Entry:
        """Write if the version is still the expected one.  Raises ConflictError."""
        model.check_value(model.check_key(key), value)
        return Entry(self._put(key, value.decode("latin-1"), expected), value)

    def remove(self, key: str, *, expected: int) -> None:
        """Remove if the version is still the expected one.  Raises ConflictError."""
        if expected != ABSENT or self.read(key) is not None:
            self._put(model.check_key(key), None, expected)

    def wait(
        self, prefix: str, seen: Mapping[str, int], timeout_s: float
    ) -> dict[str, Entry]:
        """Return every key below `prefix/` once the versions are not as *seen*."""
        deadline = clock.monotonic() + timeout_s
        while True:
            found = self.read_all(prefix)
            left_s = deadline - clock.monotonic()
            if model.versions(found) != seen or left_s <= 0:
                return found
            select.select([], [], [], min(LOOK_S, left_s))

    def close(self) -> None:
        """Nothing is held open."""

    # --- reading --------------------------------------------------------------------

    def _place(self, key: str) -> str:
        pieces = [
            _DATA + urllib.parse.quote(piece, safe="") for piece in key.split("/")
        ]
        return os.path.join(self._root, *pieces)

    def _keys(self, top: str, prefix: str) -> list[str]:
        """Return the keys below a place, with or without a value."""
        found = []
        for name in self._names(top):
            if name.startswith(_DATA):
                key = f"{prefix}/{urllib.parse.unquote(name[len(_DATA) :])}"
                found += [key, *self._keys(os.path.join(top, name), key)]
        return found

    def _names(self, place: str) -> list[str]:
        for _ in range(TRIES):
            try:
                return self._files.names(place)
            except FileNotFoundError:
                return []
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise _unavailable(place, error) from error
        raise UnavailableError(f"{place} goes stale again and again")

    def _numbers(self, place: str) -> list[int]:
        """Return the numbers of the versions that are there, the newest first."""
        found = []
        for name in self._names(place):
            if name.isascii() and name.isdigit() and name[0] != "0":
                found.append(int(name))
            elif not name.startswith((_DATA, _HIDDEN)) and not name.endswith(_PART):
                self._name(f"{place}/{name}", "it is not a version of ours", name)
        return sorted(found, reverse=True)

    def _look(self, key: str) -> _View:
        place = self._place(key)
        for _ in range(TRIES):
            numbers = self._numbers(place)
            nonce = ""
            try:
                for number in numbers:
                    record = self._load(place, number)
                    if record is None:
                        continue
                    nonce = record.nonce if number == numbers[0] else nonce
                    if record.value is None:
                        return _View(numbers[0], nonce, None)
                    entry = Entry(number, record.value.encode("latin-1"))
                    return _View(numbers[0], nonce, entry)
            except FileNotFoundError:
                continue  # others went on meanwhile: look again
            return _View(numbers[0] if numbers else ABSENT, nonce, None)
        raise UnavailableError(f"{place} changes faster than it can be read")

    def _load(self, place: str, number: int) -> _Record | None:
        """Return a version, None if it cannot be trusted.  Raises FileNotFoundError."""
        path = f"{place}/{number}"
        try:
            text = self._files.read(path, 8 * model.LARGEST_VALUE_BYTES)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESTALE):
                raise FileNotFoundError(errno.ENOENT, "it is gone", path) from error
            raise _unavailable(path, error) from error
        try:
            plain = json.loads(text)
            if plain["format"] != FORMAT:
                self._name(path, f"its format is {plain['format']!r}, not {FORMAT}")
                return None
            record = _Record(plain["nonce"], plain["after"], plain["value"])
            if plain["sha256"] != _checksum(number, record):
                self._name(path, "its checksum is wrong")
                return None
        except (ValueError, KeyError, TypeError):
            self._name(path, "it is no record")
            return None
        return record

    # --- writing --------------------------------------------------------------------

    def _put(self, key: str, value: str | None, expected: int) -> int:
        place, view = self._place(key), self._look(key)
        found = view.entry.version if view.entry else ABSENT
        if found != expected:
            raise model.conflict(key, expected, found)
        number = view.highest + 1
        record = _Record(secrets.token_hex(8), view.nonce, value)
        plain = {
            "format": FORMAT,
            "sha256": _checksum(number, record),
            "nonce": record.nonce,
            "after": record.after,
            "value": record.value,
        }
        try:
            self._files.make_directory(place)
            is_ours = self._link(
                place, number, json.dumps(plain).encode(), record.nonce
            )
            if not is_ours or self._is_late(place, number, record.nonce):
                raise model.conflict(key, expected, number)
        except UnavailableError:
            raise  # which is an OSError as well
        except OSError as error:
            raise _unavailable(place, error) from error
        self._prune(place)
        return number

    def _link(self, place: str, number: int, content: bytes, nonce: str) -> bool:
        """Give a version its number; tell whether it is ours."""
        beside = f"{place}/{nonce}{_PART}"
        self._files.create(beside, content)
        try:
            self._files.link(beside, f"{place}/{number}")
        except OSError:
            # It may be there although the answer was lost: whose is it?
            with suppress(FileNotFoundError):
                record = self._load(place, number)
                return record is not None and record.nonce == nonce
            raise
        finally:
            with suppress(FileNotFoundError):  # its answer, too, may have been lost
                self._files.unlink(beside)
        return True

    def _is_late(self, place: str, number: int, nonce: str) -> bool:
        """Tell whether others were past this number long ago; then it is taken back."""
        later = [each for each in self._numbers(place) if each > number]
        if not later:
            return False
        with suppress(FileNotFoundError):
            following = self._load(place, number + 1)
            if following is not None and following.after == nonce:
                return False  # it was read, and built upon
        with suppress(FileNotFoundError):
            self._files.unlink(f"{place}/{number}")
        return True

    def _prune(self, place: str) -> None:
        """Remove versions that nobody's view can still end in; failing does no harm.

        Also what writers left that were killed before they had a number.
        """
        numbers = self._numbers(place)
        with suppress(OSError):
            newest = self._files.modified(f"{place}/{numbers[0]}")
            parts = [name for name in self._names(place) if name.endswith(_PART)]
            for name in [*map(str, numbers[KEPT:]), *parts]:
                path = f"{place}/{name}"
                if self._files.modified(path) < newest - KEPT_S:
                    self._files.unlink(path)

    def _name(self, path: str, why: str, which: str = "") -> None:
        known = os.path.dirname(path), which or why
        if known not in self._named:
            self._named.add(known)
            self._complain(f"{path} is ignored: {why}")


def _checksum(number: int, record: _Record) -> str:
    """Return what a record must say of its number and of what is in it."""
    plain = json.dumps([number, record.nonce, record.after, record.value])
    return hashlib.sha256(plain.encode()).hexdigest()


def _unavailable(place: str, error: OSError) -> UnavailableError:
    reason = (error.strerror or str(error)).lower()
    return UnavailableError(
        f"the shared directory cannot be used: {place}: {reason}",
        hint="is it mounted, and may this user write there?",
    )
