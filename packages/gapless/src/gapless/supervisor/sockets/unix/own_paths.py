"""Which paths a process has made up for itself: no client knows them but by hearsay.

Rule: what no other process will ever bind is not handed over, or the next release would be
missed there.
"""

from __future__ import annotations

import os
import re

from gapless.base import clock
from gapless.supervisor.kernel import births

_MADE_UP = re.compile(r"(tmp|pymp-)[a-z0-9_]{8}")
"""A directory or a file that Python's tempfile has made up a name for."""
_CONTROL = re.compile(
    r"\.ctl$|ctl\.sock$|(^|[._-])control([._-]|$)"
    r"|^S\.(gpg-agent|scdaemon|dirmngr|keyboxd|uiserver)"
)
_DRAWN_LETTERS = 6
"""mkdtemp(3) and Node draw so many, os.MkdirTemp of Go a number of up to 10 digits."""
_FIRST_PID = 300
"""In containers pids are small, and small numbers are in many names."""


def is_for_itself(path: str, pids: set[int]) -> bool:
    """Return whether a process has made up a path for itself alone.

    It has the number of the process, or a name of Python's tempfile: no other process is
    to bind it, and no client knows it but by hearsay.  Or it is where this very process is
    told what to do, as gunicorn.ctl.
    """
    numbers = {int(each) for each in re.findall(r"\d{1,9}", path)}
    made_up = any(_MADE_UP.fullmatch(each) for each in path.split("/"))
    tells_it = _CONTROL.search(os.path.basename(path)) is not None
    return bool(numbers & {e for e in pids if e >= _FIRST_PID}) or made_up or tells_it


def looks_drawn(name: str, *, private: bool = False) -> bool:
    """Return whether a name seems to end in letters and digits that were drawn for it.

    Six letters of one case are a word far more often (of mkdtemp's names one in 90), and a
    digit at the end of a word is a count.  But what draws a name for a directory lets
    nobody else in: if it is *private*, a name that ends in six of any kind is enough.
    """
    tail = name[-_DRAWN_LETTERS:]
    if len(tail) < _DRAWN_LETTERS or not (tail.isascii() and tail.isalnum()):
        return False
    if tail.isdigit():
        return True
    mixed = tail[1:].lower() != tail[1:] and tail.upper() != tail
    apart = name[:-_DRAWN_LETTERS].endswith((".", "-", "_"))
    return mixed or (apart and (private or any(each.isdigit() for each in tail)))


def is_in_drawn_directory(path: str, since: float) -> bool:
    """Return whether a path is in a directory that was made, under a drawn name, *since*.

    A directory that a program makes under a name it knows is where its clients look.
    """
    directory = os.path.dirname(path)
    while directory not in ("/", ""):
        drawn = looks_drawn(os.path.basename(directory), private=_is_private(directory))
        if drawn and _is_younger(directory, since):
            return True
        directory = os.path.dirname(directory)
    return False


def _is_private(directory: str) -> bool:
    try:
        return not os.stat(directory).st_mode & 0o077
    except OSError:
        return False


def _is_younger(directory: str, since: float) -> bool:
    """Return whether a directory was made after a moment of the monotonic clock."""
    made = births.birth_of(directory)
    if made is None:  # then no file system tells more than the last change
        try:
            made = os.stat(directory).st_ctime
        except OSError:
            return False
    # The birth is in seconds of the wall clock, so it is compared by its age.
    return clock.wall() - made < clock.monotonic() - since
