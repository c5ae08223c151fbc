"""What a supervisor hands to the version that takes its place: one argument, as JSON.

Two versions exchange it, in both directions: fields that are not known are left alone,
missing ones have their default, and a descriptor is one only if it is open.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field

from gapless.base import codec
from gapless.base.errors import UnavailableError

LONGEST_BYTES = 64_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A process of ours, as a report of an upgrade names it."""

    version: str = ""
    """Empty: it is of a version that does not tell."""
    pid: int = 0
    package: str = ""
    """The directory in which its `gapless` was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inheritance:
    """What the successor begins with."""

    trial: bool = False
    """Look whether this version could take over, and change nothing."""
    notes: int = -1
    """A descriptor of the notes to be read in a trial: JSON, by app."""
    line: int = -1
    """The socket on which the two tell each other how far they are."""
    lock: int = -1
    """The descriptor that holds the lock of the home."""
    listener: int = -1
    """The control socket, which listens all the time."""
    listener_at: tuple[int, int] = (0, 0)
    """The device and inode of its name."""
    serving: int = 0
    """The pid of the process that supervises until this one takes over: a child of it."""
    token: str = ""
    """Of the request: by it the client finds its report."""
    before: Running = field(default_factory=Running)
    files: str = ""
    """The fingerprint of the installed files that the trial has tried."""
    started_by: str = ""
    failure: str = ""
    """Why the upgrade with that token failed: this process takes back what it had."""

    def kept(self) -> set[int]:
        """Return the descriptors that are handed on."""
        wanted = (self.notes, self.line, self.lock, self.listener)
        return {each for each in wanted if each >= 0}

    def argument(self) -> str:
        """Return it as the argument of a program."""
        return json.dumps(codec.encode(self))


NOTHING = Inheritance()
"""What a supervisor has that comes after none, or after one that died."""


def read(argument: str) -> Inheritance:
    """Return what an argument says.  Raises UnavailableError."""
    try:
        if len(argument) > LONGEST_BYTES:
            raise ValueError(f"it has more than {LONGEST_BYTES} characters")
        plain = json.loads(argument)
        codec.check_plain(plain, "inheritance")
        found = codec.decode(Inheritance, plain, "inheritance")
        for descriptor in found.kept():
            os.fstat(descriptor)
    except (ValueError, RecursionError, OSError) as error:
        raise UnavailableError(
            f"could not read what the running supervisor hands over: {error}"
        ) from error
    return found
