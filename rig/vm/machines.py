"""The machines of a session of tests: of one image, and ended together."""

from __future__ import annotations

from pathlib import Path

from rig.vm import image, tree
from rig.vm.kernels import Kernel
from rig.vm.machine import Machine


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
