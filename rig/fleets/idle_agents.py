"""Many real agents and one etcd, without apps: how often an idle fleet asks etcd."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gapless.agent.open_store import open_store
from gapless.config.toml import fleets
from rig import wait
from rig.background import BackgroundProcess
from rig.hosts.host import GAPLESS
from rig.programs.etcd import Etcd

APP = "example"
_COUNT = re.compile(r"^grpc_server_started_total\{(.*)\} (\S+)$", re.MULTILINE)
_METHOD = re.compile(r'grpc_method="(\w+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The calls of etcd, and the heartbeats of all hosts, so far."""

    questions: int
    """Reads and writes."""
    watches: int
    beats: int


class IdleAgents:
    """*count* agents, each with a GAPLESS_HOME of its own."""

    def __init__(self, directory: Path, etcd: Etcd, count: int, policy: str) -> None:
        self._etcd, self.count = etcd, count
        file = directory / "gapless.toml"
        file.write_text(
            f'[release.{APP}]\nbase = "{directory}/dfs"\n'
            f"[rollout.{APP}]\n{policy}\n"
            f'[coordinator]\netcd = ["{etcd.url}"]\n'
        )
        fleet = fleets.load(str(file), {})[APP]
        self.store = open_store(fleet, _refuse)
        self._agents = [self._start(directory, number) for number in range(count)]

    def _start(self, directory: Path, number: int) -> BackgroundProcess:
        agent = BackgroundProcess(directory / "agents.log")
        agent.start(
            [str(GAPLESS), "agent", "--host", f"h{number:03}"],
            cwd=directory,
            env=os.environ | {"GAPLESS_HOME": str(directory / f"home-{number}")},
        )
        return agent

    def pids(self) -> list[int]:
        """Return the pid of each agent."""
        return [agent.pid for agent in self._agents]

    def wait_for_all(self, timeout_s: float = 300.0) -> None:
        """Wait until every agent has reported."""
        wait.until(
            lambda: len(self.store.hosts.all()) == self.count, "every agent", timeout_s
        )

    def counts(self) -> Counts:
        """Return the counts; the calls are those that etcd itself has counted."""
        beats = sum(each.beat for each in self.store.hosts.all().values())
        calls = self._calls()
        questions = sum(calls.get(name, 0) for name in ("Range", "Txn", "Put"))
        return Counts(questions=questions, watches=calls.get("Watch", 0), beats=beats)

    def _calls(self) -> dict[str, int]:
        """Return how often each method of etcd was called."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._etcd.port, timeout=30
        )
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        found = {}
        for labels, number in _COUNT.findall(text):
            method = _METHOD.search(labels)
            assert method is not None, labels
            found[method[1]] = int(float(number))
        return found

    def close(self) -> None:
        """End every agent."""
        for agent in self._agents:
            agent.send_signal(signal.SIGTERM)
        for agent in self._agents:
            agent.wait(60)


@contextmanager
def idle_agents(directory: Path, count: int, policy: str = "") -> Iterator[IdleAgents]:
    """Run etcd and *count* agents until the block ends."""
    etcd = Etcd(directory / "etcd").start()
    try:
        agents = IdleAgents(directory, etcd, count, policy)
        try:
            agents.wait_for_all()
            yield agents
        finally:
            agents.close()
    finally:
        etcd.kill()


def _refuse(text: str) -> None:
    raise AssertionError(text)
