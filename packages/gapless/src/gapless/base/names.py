"""Names: which apps, hosts and releases may have, and which the files of gapless have.

Rule: a name from outside becomes part of a path, of a key or of a line of a configuration
only if it was checked here.  No name has a slash, a control character or an end of line, is
hidden or `..`, or is without a bound.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_APP = re.compile(r"[A-Za-z0-9@_](?:[A-Za-z0-9 ._:@+-]{0,62}[A-Za-z0-9._:@+-])?")
_HOST = re.compile(r"[A-Za-z0-9@_+](?:[A-Za-z0-9 ._:@+-]{0,126}[A-Za-z0-9._:@+-])?")
_ADDRESS = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._-]{1,16})?\]"
    r"|[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252}))?:(?P<port>[0-9]{1,5})"
)
STAMP_DIGITS = 14
_RELEASE = re.compile(rf"(?P<app>.{{1,64}})-(?P<stamp>[0-9]{{{STAMP_DIGITS}}})")
RESERVED = ("all",)
LOGIN_VARIABLES = ("HOME", "USER", "LOGNAME", "SHELL")
"""What a login sets, and a program of another user would misread."""


def is_app_name(name: str) -> bool:
    """Return whether an app may have this name: it becomes part of file names."""
    return _APP.fullmatch(name) is not None and name not in RESERVED


def is_host_name(name: str) -> bool:
    """Return whether a host of a fleet may have this name: it becomes part of a key."""
    return _HOST.fullmatch(name) is not None


def is_address(address: str, *, needs_host: bool = True) -> bool:
    """Return whether a text is `HOST:PORT` or `[HOST]:PORT` and nothing else."""
    found = _ADDRESS.fullmatch(address)
    return (
        found is not None
        and 0 < int(found["port"]) < 1 << 16
        and (found["host"] is not None or not needs_host)
    )


class ReleaseName(str):
    """The name of a release's directory, `APP-YYYYmmddHHMMSS`: there is no other kind.

    Making one checks it, so that what has this type can be joined to a path.  Raises
    ValueError.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check a text, and return it as a name."""
        found = _RELEASE.fullmatch(text)
        if found is None or not is_app_name(found["app"]):
            raise ValueError(f"{text[:80]!a} is no name of a release")
        return super().__new__(cls, text)

    @classmethod
    def of(cls, app: str, text: str) -> Self:
        """Check that a text names a release of an app.  Raises ValueError."""
        name = cls(text)
        if name.app != app:
            raise ValueError(f"{text!a} is no release of {app}")
        return name

    @property
    def app(self) -> str:
        """The app whose release it is."""
        return self[: -STAMP_DIGITS - 1]

    @property
    def stamp(self) -> str:
        """When it was made, in local time, YYYYmmddHHMMSS."""
        return self[-STAMP_DIGITS:]


@dataclass(frozen=True, slots=True)
class Home:
    """GAPLESS_HOME: the files of the supervisor of one user on one host."""

    path: str

    @property
    def control(self) -> str:
        """The control socket of the supervisor."""
        return f"{self.path}/supervisor.sock"

    @property
    def keeper(self) -> str:
        """The socket of the keeper."""
        return f"{self.path}/keeper.sock"

    @property
    def drain(self) -> str:
        """The socket of the drain protocol, for programs that need a path."""
        return f"{self.path}/drain.sock"

    @property
    def lock(self) -> str:
        """The file that a living supervisor holds a lock on."""
        return f"{self.path}/supervisor.lock"

    @property
    def keeper_lock(self) -> str:
        """The file that a living keeper holds a lock on."""
        return f"{self.path}/keeper.lock"

    @property
    def state(self) -> str:
        """What users asked for: the apps, and whether each runs."""
        return f"{self.path}/state.json"

    @property
    def notes(self) -> str:
        """The directory of what the supervisor remembers of each app."""
        return f"{self.path}/notes"

    @property
    def dump(self) -> str:
        """The list of apps that `gapless save` keeps."""
        return f"{self.path}/dump.json"

    @property
    def fleets(self) -> str:
        """The fleets that this host follows, and its name in each."""
        return f"{self.path}/fleets.json"

    @property
    def logs(self) -> str:
        """The directory of the apps' logs."""
        return f"{self.path}/logs"

    @property
    def own_log(self) -> str:
        """The log of gapless itself."""
        return f"{self.path}/logs/gapless.log"

    @property
    def reports(self) -> str:
        """The reports of handoffs of apps that have no release base."""
        return f"{self.path}/reports"

    def app_note(self, app: str) -> str:
        """Return the file of what the supervisor remembers of an app."""
        return f"{self.notes}/{app}.json"

    def app_log(self, app: str) -> str:
        """Return the log of an app, unless its configuration names another."""
        return f"{self.path}/logs/{app}.log"
