"""The machines of these tests, which `make vm` runs: they take many minutes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.vm import image, results, tree
from rig.vm.kernels import KERNELS, Kernel
from rig.vm.machine import Machine

collect_ignore_glob = [] if os.environ.get("RIG_VM") else ["test_*.py"]


@pytest.fixture(scope="session")
def new_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewMachine]:
    """Return what makes machines; they end with the tests."""
    made = NewMachine(tmp_path_factory.mktemp("vm"))
    try:
        yield made
    finally:
        made.end_all()


class NewMachine:
    """Makes machines."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._tree = tree.make()
        self._image = image.make(self._tree)
        self._machines: list[Machine] = []

    def __call__(self, kernel: Kernel, *cables: str) -> Machine:
        """Return a machine that does not run yet."""
        number = len(self._machines)
        machine = Machine(
            self._directory / f"{kernel.name}-{number}",
            self._image,
            tree.boot_files(self._tree, kernel),
            cables=cables,
        )
        self._machines.append(machine)
        return machine

    def end_all(self) -> None:
        """End every machine."""
        for machine in self._machines:
            machine.end()


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
