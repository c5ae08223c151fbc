"""Fixtures of the crash points: what a host looks like that nothing has happened to."""

from __future__ import annotations

import fcntl
import pickle
from collections.abc import Callable

import pytest

from rig.crash import point
from rig.crash.scenarios import Scenario

Undisturbed = Callable[[Scenario], point.Result]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Return a function that lets a scenario happen without a death, once in a session.

    Workers share what they found: each of them would need most scenarios.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    known: dict[str, point.Result] = {}

    def found(scenario: Scenario) -> point.Result:
        if scenario.name not in known:
            path = shared / f"undisturbed-{scenario.name}"
            with path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                if content := file.read():
                    known[scenario.name] = pickle.loads(content)
                else:
                    known[scenario.name] = point.run(scenario, (0,))
                    file.write(pickle.dumps(known[scenario.name]))
        return known[scenario.name]

    return found
