"""The machines of these tests, which `make vm` runs: they take many minutes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from rig.vm import results
from rig.vm.kernels import KERNELS
from rig.vm.machine import Machine
from rig.vm.machines import NewMachine

collect_ignore_glob = [] if os.environ.get("RIG_VM") else ["test_*.py"]


@pytest.fixture(scope="session")
def new_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewMachine]:
    """Return what makes machines; they end with the tests."""
    made = NewMachine(tmp_path_factory.mktemp("vm"))
    try:
        yield made
    finally:
        made.end_all()


@pytest.fixture(scope="session", params=KERNELS, ids=lambda kernel: kernel.name)
def machine(
    request: pytest.FixtureRequest, new_machine: NewMachine
) -> Iterator[Machine]:
    """Return a machine that runs, with each kernel."""
    found = new_machine(request.param)
    found.start()
    try:
        yield found
    finally:
        found.end()


def pytest_sessionfinish() -> None:
    """Write the table."""
    if os.environ.get("RIG_VM"):
        results.write_table()
