"""What every test may use, and what must hold after each."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.host import Host


@pytest.fixture
def host() -> Iterator[Host]:
    """Return a host of its own; after the test nothing of it may be left."""
    with tempfile.TemporaryDirectory(prefix="gapless-") as directory:
        found = Host(Path(directory))
        try:
            yield found
        finally:
            found.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Fail what is skipped, where CI=true: a missing component is a failure."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy's result
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} was skipped, and nothing may be: {report.longrepr}"
        )
