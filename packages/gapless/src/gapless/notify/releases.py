"""What the coordinators and inboxes of a configuration have, read in a thread of its own.

A coordinator that hangs keeps no target from being told of the rest.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping

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
        self._rollouts: dict[str, Rollout] = {}
        self._outcomes: list[Outcome] = []
        self._is_read = False
        self._trouble = ""
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def events(self, memory: Memory) -> list[Event]:
        """Return what is news to a target; what was there before it asked first is none."""
        if not self._is_read:
            return []
        at = clock.stamp(clock.wall())
        found = rollout_events.of_rollouts(self._rollouts, memory, at)
        found += rollout_events.of_uploads(self._outcomes, memory)
        memory.knows_rollouts = True
        return found

    def _run(self) -> None:
        while not self._ends.wait(LOOK_S if self._is_read else 0.0):
            self._read()

    def _read(self) -> None:
        try:
            for app, store in self._stores.items():
                rollout, _ = store.rollout()
                if rollout is not None:
                    self._rollouts = {**self._rollouts, app: rollout}
            self._outcomes = [each for f in self._folders for each in _outcomes(f)]
            self._is_read, self._trouble = True, ""
        except (GaplessError, OSError) as error:
            text = str(error)
            if text != self._trouble:
                self._complain(text)
            self._trouble = text
            self._ends.wait(LOOK_S)


def _outcomes(folder: str) -> list[Outcome]:
    """Return the newest outcomes of an inbox, the oldest first; of none, if it has none."""
    try:
        with os.scandir(folder) as entries:
            names = [e for e in entries if e.name.endswith(".json")]
            names.sort(key=lambda each: each.stat(follow_symlinks=False).st_mtime_ns)
    except OSError:
        return []
    found = []
    for each in names[-MOST_OUTCOMES:]:
        try:
            content = files.read(each.path, outcome.MOST_BYTES)
            found.append(outcome.decode(content))
        except (OSError, ValueError):
            continue  # it is being replaced, or no outcome
    return found
