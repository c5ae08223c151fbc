"""The names of things: what an app may be called, where its files are."""

from __future__ import annotations

import re
from dataclasses import dataclass

_APP = re.compile(r"[A-Za-z0-9@_](?:[A-Za-z0-9 ._:@+-]{0,62}[A-Za-z0-9._:@+-])?")
RESERVED = ("all",)


def is_app_name(name: str) -> bool:
    """Tell whether *name* may name an app: it becomes part of file names."""
    return _APP.fullmatch(name) is not None and name not in RESERVED


@dataclass(frozen=True, slots=True)
class Home:
    """GAPLESS_HOME: everything the supervisor of one user keeps on one host."""

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
    def lock(self) -> str:
        """Held by the supervisor that is alive."""
        return f"{self.path}/supervisor.lock"

    @property
    def state(self) -> str:
        """What was asked for."""
        return f"{self.path}/state.json"

    @property
    def dump(self) -> str:
        """The list of apps that `gapless save` keeps."""
        return f"{self.path}/dump.json"

    @property
    def fleets(self) -> str:
        """Which fleets this host follows, and as whom."""
        return f"{self.path}/fleets.json"

    @property
    def logs(self) -> str:
        """The directory of the apps' logs."""
        return f"{self.path}/logs"

    @property
    def own_log(self) -> str:
        """The supervisor's and the keeper's own events."""
        return f"{self.path}/logs/gapless.log"

    @property
    def reports(self) -> str:
        """The reports of handoffs of apps that have no release base."""
        return f"{self.path}/reports"

    def app_log(self, app: str) -> str:
        """Where both streams of an app go unless its configuration says otherwise."""
        return f"{self.path}/logs/{app}.log"
