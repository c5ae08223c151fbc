"""Whether two generations hold the same state on disk, so that they may not overlap.  Pure.

Rule 1: what both have open for writing is state, unless something says that it is not.
Rule 2: a lock that one holds and the other wants is a word of the program itself: only one
copy of it may run.

No conflict is:

- a log: a text by its name, or one of lines to which both only append;
- the session of a user: a request holds it, and no program;
- a file that the configuration names in `shared_files`, or one of the app's own logs;
- what two instances of the old generation, or two of its processes, opened each by itself:
  they share it by design, and a third one may as well;
- a database of SQLite: it is made for several processes, and its locks keep them apart
  for moments;
- a lock file that is empty, and that nobody has locked now.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

_LOG_ENDINGS = r"log|out|err|txt|trace|jsonl|ndjson"
_LOG_NAME = re.compile(
    # app.log, app.err.1, app.log-20261129, app-2026-11-29.log
    rf"(?P<stem>.*)\.(?:{_LOG_ENDINGS})(?:[.-]\d[\d.-]*)?"
    # access_log, error-log, stdout, log
    r"|(?:.*[_-])?(?:log|stdout|stderr)(?:[.-]\d[\d.-]*)?",
    re.IGNORECASE,
)
_NUMBER_OF_A_DATABASE = re.compile(r"\d{1,7}|\d{9,}")
"""LevelDB's `000003.log` is no text; `20261129.log` is."""
_DATA_NAME = re.compile(
    r".*\.(?:aof|rdb|wal|journal|db\d?|dat|data|idx|ldb|sst|bin|store)(?:[.-]\d+)*",
    re.IGNORECASE,
)
"""What a program that reads it again at its start calls its data."""
_LOCK_NAME = re.compile(r"(?:.*[._-])?(?:lock|lck|mutex|sem|pid)", re.IGNORECASE)
_SESSION_NAME = re.compile(r"sess_[A-Za-z0-9,-]{16,256}")
"""PHP's: the name is a credential, so it is in no message either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How the instances of a generation use a file."""

    generation: int
    named: str = ""
    """How a message names who uses it; empty: as the generation."""
    writes: bool = False
    appends: bool = False
    """Whether all that write it only append."""
    locks: bool = False
    """Whether one holds a lock on it."""
    excludes: bool = False
    """Whether that is an exclusive lock."""
    waits: bool = False
    """Whether one waits for a lock on it."""
    by_several: bool = False
    """Whether two instances or processes opened it, each by itself."""

    @property
    def who(self) -> str:
        """Who uses it, for messages."""
        return self.named or f"generation {self.generation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFile:
    """A file or a directory that a generation has open, and perhaps a new one too."""

    path: str
    old: Use
    new: Use | None = None
    is_regular: bool = True
    is_empty: bool = False
    """Whether nothing is in it, or the number of a process alone."""
    is_text: bool = False
    """Whether nothing is in it, or no NUL at its beginning or its end."""
    is_lines: bool = False
    """Whether it ends in lines of text; those of a protocol end in CR LF."""
    is_sqlite: bool = False
    is_of_process: bool = False
    """Whether it is named after the process that has it: each has its own."""
    is_allowed: bool = False
    """Whether the configuration says that this is meant."""


def conflict(files: Iterable[HeldFile]) -> tuple[str, str]:
    """Return which file two generations may not have both, and why; and its path.

    Two empty texts if there is none.  A lock comes first: it says most.
    """
    found = [(reason, each.path) for each in files if (reason := _reason(each))]
    found.sort(key=lambda pair: ("lock" not in pair[0], pair[1]))
    return found[0] if found else ("", "")


def that_lasts(
    files: Iterable[HeldFile], before: frozenset[str] | None
) -> tuple[list[HeldFile], frozenset[str]]:
    """Return the files that count, and the paths of what the old one held at every look.

    *before* is what it held at all looks until now.  What it holds for a request only is
    no state of the program, and a new generation that serves requests holds such, too.
    """
    found = list(files)
    paths = frozenset(each.path for each in found if is_state(each))
    kept = paths if before is None else before & paths
    return [each for each in found if each.path in kept], kept


def without_waits(files: Iterable[HeldFile]) -> list[HeldFile]:
    """Return files as if the new generation waited for no lock.

    One that serves requests may wait for that of another request; a program that wants to
    be the only one was seen to wait before the switch.
    """
    return [
        each if each.new is None else replace(each, new=replace(each.new, waits=False))
        for each in files
    ]


def hint(path: str) -> str:
    """Return what to write into the configuration for a file with a conflict."""
    return (
        "an app that holds state on disk or in memory is recycled: set overlap = false, "
        "and its old instances end before the new ones start; or, if both may use this "
        f'file at the same time: shared_files = ["{path}"]'
    )


def is_state(file: HeldFile) -> bool:
    """Return whether a new generation may not have a file too, as far as the old tells."""
    old = file.old
    if _is_exempt(file) or _is_log(file, old):
        return False
    if file.is_of_process:
        return False
    return old.locks or _is_written(file)


def _is_exempt(file: HeldFile) -> bool:
    if _SESSION_NAME.fullmatch(_name(file.path)):
        return True
    return file.is_allowed or file.is_sqlite or file.old.by_several


def _is_written(file: HeldFile) -> bool:
    empty_lock = file.is_empty and is_lock_name(file.path)
    return file.is_regular and file.old.writes and not empty_lock


def _reason(file: HeldFile) -> str:
    """Return why two generations may not have a file both; empty if they may."""
    old, new = file.old, file.new
    if new is None or _is_exempt(file):
        return ""
    if file.is_regular and _is_log(file, old, new):
        return ""
    if old.excludes or (old.locks and new.waits):
        wants = "waits for it" if new.waits else "has that open too"
        return f"{old.who} holds a lock on {file.path}, and {new.who} {wants}"
    if not (_is_written(file) and new.writes):
        return ""
    return f"{old.who} and {new.who} both have {file.path} open for writing"


def _is_log(file: HeldFile, *uses: Use) -> bool:
    """Return whether a file is a log, or another text that grows by whole lines.

    Many programs open their logs without O_APPEND: a few lines of both may be lost, and
    that is no reason to refuse a release.
    """
    appended = all(each.appends for each in uses)
    if is_log_name(file.path):
        return file.is_text or appended
    is_data = _DATA_NAME.fullmatch(_name(file.path)) is not None
    return appended and file.is_lines and not is_data


def is_log_name(path: str) -> bool:
    """Return whether a file is a log, a text, by its name."""
    found = _LOG_NAME.fullmatch(_name(path))
    if found is None:
        return False
    return not _NUMBER_OF_A_DATABASE.fullmatch(found["stem"] or "")


def is_lock_name(path: str) -> bool:
    """Return whether a file is there to be locked, by its name."""
    return _LOCK_NAME.fullmatch(_name(path)) is not None


def _name(path: str) -> str:
    return path.rpartition("/")[2]
