"""What the coordinators and inboxes of a configuration have, read in a thread of its own.

A coordinator that hangs keeps no target from being told of the rest.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

from gapless.agent.open_store import open_store
from gapless.base import clock
from gapless.base.errors import GaplessError
from gapless.base.outside import files
from gapless.config.toml.fleets import Fleet
from gapless.notify import rollout_events
from gapless.notify.memory import Memory
from gapless.notify.model import Event
from gapless.push import outcome
from gapless.push.outcome import Outcome
from gapless.releases.model import ReleaseSpec
from gapless.rollout.model import Rollout

LOOK_S = 1.0
MOST_OUTCOMES = 200
"""The newest of each inbox."""


class Releases:
    """Rollouts and uploads, as they were seen last."""

    def __init__(
        self,
        fleets: Mapping[str, Fleet],
        releases: Iterable[ReleaseSpec],
        complain: Callable[[str], None],
    ) -> None:
        self._stores = {
            app: open_store(fleet, complain) for app, fleet in fleets.items()
        }
        self._folders = sorted({f"{each.base}/{outcome.FOLDER}" for each in releases})
        self._complain = complain
        self._rollouts: dict[str, Rollout | None] = {}
        self._outcomes: dict[str, list[Outcome]] = {}
        """Both have what was read at least once; they are replaced, never changed."""
        self._troubles: dict[str, str] = {}
        self.ends = threading.Event()
        """Set to end it."""
        self.thread = threading.Thread(target=self._run, daemon=True)

    def events(self, memory: Memory) -> list[Event]:
        """Return what is news to a target; what was there before it asked first is none."""
        at = clock.stamp(clock.wall())
        found = rollout_events.of_rollouts(self._rollouts, memory, at)
        return found + rollout_events.of_uploads(self._outcomes, memory)

    def _run(self) -> None:
        self.read()
        while not self.ends.wait(LOOK_S):
            self.read()

    def read(self) -> None:
        """Read everything once; what cannot be read stays as it was."""
        for folder in self._folders:
            with self._complaining(folder):
                self._outcomes = {**self._outcomes, folder: _outcomes(folder)}
        for app, store in self._stores.items():
            with self._complaining(app):
                self._rollouts = {**self._rollouts, app: store.rollout()[0]}

    @contextlib.contextmanager
    def _complaining(self, source: str) -> Iterator[None]:
        """Say what is wrong with a source, once; the others are read none the less."""
        try:
            yield
        except (GaplessError, OSError) as error:
            text = str(error)
            if text != self._troubles.get(source):
                self._complain(text)
            self._troubles[source] = text
        else:
            self._troubles.pop(source, None)


def _outcomes(folder: str) -> list[Outcome]:
    """Return the newest outcomes of an inbox, the oldest first; of none, if it has none.

    Raises OSError.
    """
    try:
        with os.scandir(folder) as entries:
            names = [each for each in entries if each.name.endswith(".json")]
    except FileNotFoundError:
        return []
    names.sort(key=_changed_ns)
    found = []
    for each in names[-MOST_OUTCOMES:]:
        try:
            content = files.read(each.path, outcome.MOST_BYTES)
            found.append(outcome.decode(content))
        except (OSError, ValueError):
            continue  # it is being replaced, or no outcome
    return found


def _changed_ns(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0  # it has just been removed
