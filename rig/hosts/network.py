"""Hosts of a fleet as network namespaces behind a bridge.

Where that is not allowed all are on loopback, each with a port of its own.
ip-netns(8), veth(4).  Names and addresses are drawn, so that fleets do not collide.
"""

from __future__ import annotations

import os
import random
import subprocess


class Network:
    """A bridge with one namespace a host."""

    def __init__(self, count: int) -> None:
        draw = random.SystemRandom()
        self._mark = f"{draw.randrange(16**6):06x}"
        self._net = f"10.{draw.randrange(64, 250)}.{draw.randrange(1, 250)}"
        self._count = count
        self.is_real = os.geteuid() == 0 and self._make()

    def address(self, number: int) -> str:
        """Return where a host is reached, from here and from the others."""
        return f"{self._net}.{number + 2}" if self.is_real else "127.0.0.1"

    @property
    def own_address(self) -> str:
        """Where hosts reach what runs beside them: the coordinator."""
        return f"{self._net}.1" if self.is_real else "127.0.0.1"

    def inside(self, number: int) -> tuple[str, ...]:
        """Return what a command is started with to run on a host."""
        if not self.is_real:
            return ()
        return ("ip", "netns", "exec", self._space(number))

    def pids(self, number: int) -> set[int]:
        """Return every process on a host, if it has a namespace of its own."""
        if not self.is_real:
            return set()
        argv = ["ip", "netns", "pids", self._space(number)]
        done = subprocess.run(argv, capture_output=True, check=False, text=True)
        return {int(word) for word in done.stdout.split()}

    def part(self, number: int, *, away: bool) -> None:
        """Take a host off the network, or bring it back."""
        assert self.is_real, "only a namespace can be parted from the others"
        _ip("link", "set", self._line(number), "down" if away else "up")

    def close(self) -> None:
        """Remove every trace."""
        for number in range(self._count):
            _ip("netns", "del", self._space(number), must=False)
        _ip("link", "del", self._bridge, must=False)

    @property
    def _bridge(self) -> str:
        return f"gb{self._mark}"

    def _space(self, number: int) -> str:
        return f"gapless-{self._mark}-{number}"

    def _line(self, number: int) -> str:
        return f"gv{self._mark}-{number}"

    def _make(self) -> bool:
        if not _ip("link", "add", self._bridge, "type", "bridge", must=False):
            return False
        try:
            _ip("addr", "add", f"{self._net}.1/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            for number in range(self._count):
                space, line = self._space(number), self._line(number)
                _ip("netns", "add", space)
                _ip(*f"link add {line} type veth peer name eth0 netns {space}".split())
                _ip("link", "set", line, "master", self._bridge)
                _ip("link", "set", line, "up")
                inside = f"{self._net}.{number + 2}/24"
                _ip("-n", space, "addr", "add", inside, "dev", "eth0")
                _ip("-n", space, "link", "set", "eth0", "up")
                _ip("-n", space, "link", "set", "lo", "up")
        except (subprocess.CalledProcessError, OSError):
            self.close()
            return False
        return True


def _ip(*words: str, must: bool = True) -> bool:
    try:
        done = subprocess.run(["ip", *words], capture_output=True, check=must)
    except FileNotFoundError:
        return False
    return done.returncode == 0
