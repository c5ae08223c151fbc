"""Names: which an app may have, and which the files of gapless have."""

from __future__ import annotations

import re
from dataclasses import dataclass

_APP = re.compile(r"[A-Za-z0-9@_](?:[A-Za-z0-9 ._:@+-]{0,62}[A-Za-z0-9._:@+-])?")
RESERVED = ("all",)
LOGIN_VARIABLES = ("HOME", "USER", "LOGNAME", "SHELL")
"""What a login sets, and a program of another user would misread."""


def is_app_name(name: str) -> bool:
    """Return whether an app may have this name: it becomes part of file names."""
    return _APP.fullmatch(name) is not None and name not in RESERVED


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
