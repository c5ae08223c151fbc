"""What a fleet has written down, and what of that is there after a loss of power."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rig.hosts.host import Host
from rig.power import fleet_steps
from rig.power.recording import Moment, Recording


class FleetRecords:
    """The records of a fleet, written by one process under a recorder."""

    def __init__(self, directory: Path, *, syncs: bool = True) -> None:
        """Let it write them; unless it *syncs*, nothing of that is durable."""
        self._root, self._facts = directory / "disk", directory / "facts"
        beside = directory / "beside"
        for each in (self._root, self._facts, beside):
            each.mkdir()
        site = fleet_steps.Site(str(self._root))
        site.prepare()
        self._count = len(site.steps())
        self._told = [_plain(site.facts())]
        self.recording = Recording(self._root, beside, Host(directory).environment)
        try:
            argv = [sys.executable, fleet_steps.__file__, str(self._root)]
            argv += [str(beside / "marks"), str(self._facts)]
            code, output = self.recording.run(
                argv if syncs else [*argv, fleet_steps.FORGETS],
                directory=directory,
                is_marked=False,
            )
            assert code == 0, output
        finally:
            self.recording.end()
        for number in range(1, self._count + 1):
            path = self._facts / f"{number}.json"
            self._told.append(json.loads(path.read_text()))

    def faults(self, moment: Moment) -> list[str]:
        """Return which facts are neither those of before nor those of after."""
        found = _plain(fleet_steps.Site(str(self._root)).facts())
        possible = self._told[moment.done : moment.begun + 1]
        return [
            f"{name}: {value}, not {[each[name] for each in possible]}"
            for name, value in found.items()
            if value not in [each[name] for each in possible]
        ]


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain
