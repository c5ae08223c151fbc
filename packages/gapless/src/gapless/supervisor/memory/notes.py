"""What the keeper remembers of each app, for the next supervisor."""

from __future__ import annotations

from gapless.base import codec
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection


class Notes:
    """Writes a note when an app has changed."""

    def __init__(self, keeper: KeeperConnection) -> None:
        self._keeper = keeper

    def write(self, app: AppRecord) -> None:
        """Let the keeper remember an app as it is now."""
        self._keeper.note(f"app/{app.name}", codec.encode(app))

    def remove(self, name: str) -> None:
        """Let the keeper forget an app."""
        self._keeper.note(f"app/{name}", None)
