"""Many real agents and one etcd, without apps: what a fleet at rest asks of it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gapless.agent.open_store import open_store
from gapless.config.toml import fleets
from gapless.rollout.store import FleetStore
from rig import wait
from rig.hosts.host import GAPLESS
from rig.programs.etcd import Etcd

APP = "example"
_COUNT = re.compile(r"^grpc_server_started_total\{(.*)\} (\S+)$", re.MULTILINE)
_METHOD = re.compile(r'grpc_method="(\w+)"')


@dataclass(frozen=True, slots=True)
class Asked:
    """What etcd was asked so far, and how often all hosts spoke."""

    questions: int
    watches: int
    beats: int


class Agents:
    """So many agents, each with a GAPLESS_HOME of its own."""

    def __init__(self, directory: Path, etcd: Etcd, count: int, policy: str) -> None:
        self._etcd, self.count = etcd, count
        file = directory / "gapless.toml"
        file.write_text(
            f'[release.{APP}]\nbase = "{directory}/dfs"\n'
            f"[rollout.{APP}]\n{policy}\n"
            f'[coordinator]\netcd = ["{etcd.url}"]\n'
        )
        fleet = fleets.load(str(file), {})[APP]
        self.store: FleetStore = open_store(fleet, _refuse)
        self.processes = [self._start(directory, number) for number in range(count)]

    def _start(self, directory: Path, number: int) -> subprocess.Popen[bytes]:
        with (directory / "agents.log").open("ab") as log:
            return subprocess.Popen(
                [str(GAPLESS), "agent", "--host", f"h{number:03}"],
                cwd=directory,
                env=os.environ | {"GAPLESS_HOME": str(directory / f"home-{number}")},
                stdout=log,
                stderr=log,
            )

    def wait_for_all(self, timeout_s: float = 300.0) -> None:
        """Wait until every agent has spoken."""
        wait.until(
            lambda: len(self.store.hosts.all()) == self.count, "every agent", timeout_s
        )

    def asked(self) -> Asked:
        """Ask etcd itself what it was asked."""
        beats = sum(each.beat for each in self.store.hosts.all().values())
        counts = self._counts()
        questions = sum(counts.get(name, 0) for name in ("Range", "Txn", "Put"))
        return Asked(questions, counts.get("Watch", 0), beats)

    def _counts(self) -> dict[str, int]:
        line = http.client.HTTPConnection("127.0.0.1", self._etcd.port, timeout=30)
        with contextlib.closing(line):
            line.request("GET", "/metrics")
            text = line.getresponse().read().decode()
        found = {}
        for labels, number in _COUNT.findall(text):
            method = _METHOD.search(labels)
            assert method is not None, labels
            found[method[1]] = int(float(number))
        return found

    def close(self) -> None:
        """End every agent."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60)


@contextmanager
def at_rest(directory: Path, count: int, policy: str = "") -> Iterator[Agents]:
    """Run etcd and so many agents, until the block ends."""
    etcd = Etcd(directory / "etcd").start()
    try:
        agents = Agents(directory, etcd, count, policy)
        try:
            agents.wait_for_all()
            yield agents
        finally:
            agents.close()
    finally:
        etcd.kill()


def _refuse(text: str) -> None:
    raise AssertionError(text)
