"""One PostgreSQL and one MariaDB for all tests of drivers, and drivers that import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from gapless_drain import Drain

from rig.databases import procedures
from rig.databases.database import Database
from rig.databases.kinds import DATABASES
from rig.drivers import by_name

by_name.add_to_path()


@pytest.fixture(scope="session")
def databases(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Database]]:
    """Return both databases, with their stored procedures."""
    with ExitStack() as stack:
        found = {
            kind: stack.enter_context(start(tmp_path_factory.mktemp(kind)))
            for kind, start in DATABASES.items()
        }
        for database in found.values():
            procedures.create(database)
        yield found


@pytest.fixture
def drain() -> Iterator[Drain]:
    """Return a drain without signals and without a supervisor."""
    found = Drain(on_signal=None, environ={})
    yield found
    found.close()
