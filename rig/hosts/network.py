"""Hosts of a fleet as network namespaces behind a bridge.

Where namespaces are not allowed, all hosts are on loopback, each with a port of its own.
ip-netns(8), veth(4).  Names and addresses are random, so that fleets do not collide.
"""

from __future__ import annotations

import os
import random
import subprocess


class Network:
    """A bridge with one namespace for each host."""

    def __init__(self, count: int) -> None:
        draw = random.SystemRandom()
        self._mark = f"{draw.randrange(16**6):06x}"
        self._net = f"10.{draw.randrange(64, 250)}.{draw.randrange(1, 250)}"
        self._count = count
        self.is_real = os.geteuid() == 0 and self._make()

    def address(self, number: int) -> str:
        """Return the address of a host, for this machine and for the other hosts."""
        return f"{self._net}.{number + 2}" if self.is_real else "127.0.0.1"

    @property
    def own_address(self) -> str:
        """The address at which hosts reach this machine: the coordinator is there."""
        return f"{self._net}.1" if self.is_real else "127.0.0.1"

    def command_prefix(self, number: int) -> tuple[str, ...]:
        """Return what a command begins with to run on a host."""
        if not self.is_real:
            return ()
        return ("ip", "netns", "exec", self._namespace(number))

    def pids(self, number: int) -> set[int]:
        """Return every process on a host; none if hosts have no namespaces."""
        if not self.is_real:
            return set()
        argv = ["ip", "netns", "pids", self._namespace(number)]
        done = subprocess.run(argv, capture_output=True, check=False, text=True)
        return {int(word) for word in done.stdout.split()}

    def disconnect(self, number: int) -> None:
        """Take a host off the network."""
        self._set_link(number, "down")

    def reconnect(self, number: int) -> None:
        """Bring a host back to the network."""
        self._set_link(number, "up")

    def _set_link(self, number: int, state: str) -> None:
        assert self.is_real, "only a host with a namespace can leave the network"
        _ip("link", "set", self._link(number), state)

    def close(self) -> None:
        """Remove the namespaces and the bridge."""
        for number in range(self._count):
            _ip("netns", "del", self._namespace(number), must=False)
        _ip("link", "del", self._bridge, must=False)

    @property
    def _bridge(self) -> str:
        return f"gb{self._mark}"

    def _namespace(self, number: int) -> str:
        return f"gapless-{self._mark}-{number}"

    def _link(self, number: int) -> str:
        return f"gv{self._mark}-{number}"

    def _make(self) -> bool:
        if not _ip("link", "add", self._bridge, "type", "bridge", must=False):
            return False
        try:
            _ip("addr", "add", f"{self._net}.1/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            for number in range(self._count):
                self._add_host(self._namespace(number), self._link(number), number)
        except (subprocess.CalledProcessError, OSError):
            self.close()
            return False
        return True

    def _add_host(self, namespace: str, link: str, number: int) -> None:
        _ip("netns", "add", namespace)
        _ip(*f"link add {link} type veth peer name eth0 netns {namespace}".split())
        _ip("link", "set", link, "master", self._bridge)
        _ip("link", "set", link, "up")
        address = f"{self._net}.{number + 2}/24"
        _ip("-n", namespace, "addr", "add", address, "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        _ip("-n", namespace, "link", "set", "lo", "up")


def _ip(*words: str, must: bool = True) -> bool:
    try:
        done = subprocess.run(["ip", *words], capture_output=True, check=must)
    except FileNotFoundError:
        return False
    return done.returncode == 0
