"""A real etcd of one to three members, on loopback or each in a network namespace.

`Etcd` is one member, on free ports, in a directory of its own; `Cluster` is several that
know each other.  Both may be killed and started again, and keep what they held.
"""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig import wait

START_S = 30.0
ELECTION_S = 30.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member runs: its address, and what its command is started with."""

    address: str = "127.0.0.1"
    inside: tuple[str, ...] = ()


LOOPBACK = Place()


class Etcd:
    """Runs until it is stopped; may be killed and started again."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        scheme: str = "http",
        host: str = "",
        name: str = "default",
        place: Place = LOOPBACK,
    ) -> None:
        """*host* is where it listens, if that is more than its own address."""
        self._directory, self._options = directory, options
        self.name, self.place = name, place
        self.port, peer = wait.free_port(), wait.free_port()
        self.url = f"{scheme}://{place.address}:{self.port}"
        self.peer_url = f"http://{place.address}:{peer}"
        self._listens_on = f"{scheme}://{host or place.address}:{self.port}"
        self._members = f"{name}={self.peer_url}"
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(exist_ok=True)

    def know(self, members: Sequence[Etcd]) -> None:
        """Learn who belongs to the cluster, before the first start."""
        self._members = ",".join(f"{each.name}={each.peer_url}" for each in members)

    def start(self) -> Etcd:
        """Start it; return when it answers."""
        self.begin()
        self.answers()
        return self

    def begin(self) -> None:
        """Start it.  One of several answers only when most of them run."""
        assert self.process is None, f"etcd {self.name} runs"
        with (self._directory / "etcd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.place.inside,
                    "etcd",
                    f"--name={self.name}",
                    f"--data-dir={self._directory}/data",
                    f"--listen-client-urls={self._listens_on}",
                    f"--advertise-client-urls={self.url}",
                    f"--listen-peer-urls={self.peer_url}",
                    f"--initial-advertise-peer-urls={self.peer_url}",
                    f"--initial-cluster={self._members}",
                    f"--initial-cluster-token={self._directory.parent}",
                    *self._options,
                ],
                stdout=log,
                stderr=log,
            )

    def answers(self) -> None:
        """Return when it answers."""
        try:
            wait.until(self._is_up, f"etcd on {self.url}", START_S)
        except AssertionError as error:
            log = (self._directory / "etcd.log").read_text(errors="replace")
            raise AssertionError(f"{error}\n{log[-2000:]}") from None

    def _is_up(self) -> bool:
        connection = self._connect()
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except http.client.HTTPException:
            return True  # it speaks TLS
        except OSError:
            return self.url.startswith("https:") and self._listens()
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.place.address, self.port, timeout=2)

    def _listens(self) -> bool:
        log = (self._directory / "etcd.log").read_text(errors="replace")
        return "ready to serve client requests" in log

    def leads(self) -> bool:
        """Tell whether this member is the leader, and knows it (without TLS)."""
        connection = self._connect()
        try:
            connection.request("POST", "/v3/maintenance/status", "{}")
            said: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
        own = said.get("header", {}).get("member_id")
        return own is not None and own == said.get("leader")

    def send(self, number: int) -> None:
        """Send it a signal: SIGSTOP makes it mute, SIGCONT lets it go on."""
        assert self.process is not None, f"etcd {self.name} does not run"
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None


class Cluster:
    """One to three members that hold the same."""

    def __init__(
        self,
        directory: Path,
        count: int = 3,
        *options: str,
        places: Sequence[Place] = (),
    ) -> None:
        """*places* has one for each member; without them all are on loopback."""
        directory.mkdir(exist_ok=True)
        where = places or [LOOPBACK] * count
        self.members = [
            Etcd(directory / f"e{number}", *options, name=f"e{number}", place=place)
            for number, place in enumerate(where)
        ]
        for member in self.members:
            member.know(self.members)

    @property
    def urls(self) -> tuple[str, ...]:
        """The endpoints, one for each member."""
        return tuple(member.url for member in self.members)

    def start(self) -> Cluster:
        """Start all members; return when all answer, and one leads."""
        for member in self.members:
            member.begin()
        for member in self.members:
            member.answers()
        self.leader()
        return self

    def leader(self) -> int:
        """Return the number of the leader; wait for an election."""

        def found() -> list[int]:
            numbered = enumerate(self.members)
            return [n for n, each in numbered if each.process and each.leads()]

        return wait.until(found, "a leader of etcd", ELECTION_S)[0]

    def kill(self, number: int) -> None:
        """End a member at once."""
        self.members[number].kill()

    def begin(self, number: int) -> None:
        """Start a member again, without waiting for its answer: it may lack the others."""
        self.members[number].begin()

    def restart(self, number: int) -> None:
        """Start a member again; return when it answers."""
        self.members[number].start()

    def pause(self, number: int) -> None:
        """Let a member hang: its connections stay open, and nothing is answered."""
        self.members[number].send(signal.SIGSTOP)

    def resume(self, number: int) -> None:
        """Let a paused member go on."""
        self.members[number].send(signal.SIGCONT)

    def close(self) -> None:
        """End all members."""
        for member in self.members:
            member.kill()
