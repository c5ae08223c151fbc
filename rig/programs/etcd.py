"""A real etcd on free ports, in a directory of its own.

It may be killed and started again, and keeps what it holds.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig import wait
from rig.background import BackgroundProcess

START_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a member runs: its address, and what its command begins with."""

    address: str = "127.0.0.1"
    command_prefix: tuple[str, ...] = ()


LOOPBACK = Location()


class Etcd:
    """One member; by default it is a cluster of its own."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        scheme: str = "http",
        host: str = "",
        name: str = "default",
        location: Location = LOOPBACK,
    ) -> None:
        """*host* is where it listens, if that is not just its own address."""
        self._directory, self._options = directory, options
        self.name, self.location = name, location
        self.port, peer_port = wait.free_port(), wait.free_port()
        self.url = f"{scheme}://{location.address}:{self.port}"
        self.peer_url = f"http://{location.address}:{peer_port}"
        self._listens_on = f"{scheme}://{host or location.address}:{self.port}"
        self._members = f"{name}={self.peer_url}"
        self._process = BackgroundProcess(directory / "etcd.log")
        directory.mkdir(exist_ok=True)

    def join(self, members: Sequence[Etcd]) -> None:
        """Set the members of its cluster, before its first start."""
        self._members = ",".join(f"{each.name}={each.peer_url}" for each in members)

    def start(self) -> Etcd:
        """Start it; return when it answers."""
        self.begin()
        self.wait_until_up()
        return self

    def begin(self) -> None:
        """Start it.  A member of a cluster answers only when most members run."""
        assert not self.was_started, f"etcd {self.name} runs"
        self._process.start(
            [
                *self.location.command_prefix,
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
            ]
        )

    @property
    def was_started(self) -> bool:
        """Whether it was started, and not killed since."""
        return self._process.was_started

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_until_up(self) -> None:
        """Wait until it answers.  Raises AssertionError with the end of its log."""
        try:
            wait.until(self._is_up, f"etcd on {self.url}", START_S)
        except AssertionError as error:
            log = self._process.output()
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
        return http.client.HTTPConnection(self.location.address, self.port, timeout=2)

    def _listens(self) -> bool:
        return "ready to serve client requests" in self._process.output()

    def is_leader(self) -> bool:
        """Return whether this member knows that it is the leader (without TLS)."""
        connection = self._connect()
        try:
            connection.request("POST", "/v3/maintenance/status", "{}")
            status: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
        own_id = status.get("header", {}).get("member_id")
        return own_id is not None and own_id == status.get("leader")

    def send_signal(self, number: int) -> None:
        """Send it a signal: SIGSTOP lets it hang, SIGCONT lets it go on."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
