"""A real etcd of one to three members, on loopback or each in a network namespace."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from rig import wait
from rig.programs.etcd import LOOPBACK, Etcd, Location

ELECTION_S = 30.0


class EtcdCluster:
    """Members that hold the same keys; each may be killed and started again."""

    def __init__(
        self,
        directory: Path,
        count: int = 3,
        *options: str,
        locations: Sequence[Location] = (),
    ) -> None:
        """*locations* has one for each member; without it all are on loopback."""
        directory.mkdir(exist_ok=True)
        self.members = [
            Etcd(directory / f"e{number}", *options, name=f"e{number}", location=each)
            for number, each in enumerate(locations or [LOOPBACK] * count)
        ]
        for member in self.members:
            member.join(self.members)

    @property
    def urls(self) -> tuple[str, ...]:
        """The endpoints, one for each member."""
        return tuple(member.url for member in self.members)

    def start(self) -> EtcdCluster:
        """Start all members; return when all answer and one is the leader."""
        for member in self.members:
            member.begin()
        for member in self.members:
            member.wait_until_up()
        self.leader()
        return self

    def leader(self) -> int:
        """Return the number of the leader; wait for an election."""

        def found() -> list[int]:
            numbered = enumerate(self.members)
            return [n for n, each in numbered if each.was_started and each.is_leader()]

        return wait.until(found, "a leader of etcd", ELECTION_S)[0]

    def kill(self, number: int) -> None:
        """End a member at once."""
        self.members[number].kill()

    def begin(self, number: int) -> None:
        """Start a member again, and do not wait: most members may be missing."""
        self.members[number].begin()

    def restart(self, number: int) -> None:
        """Start a member again; return when it answers."""
        self.members[number].start()

    def pause(self, number: int) -> None:
        """Let a member hang: its connections stay open, and nothing is answered."""
        self.members[number].send_signal(signal.SIGSTOP)

    def resume(self, number: int) -> None:
        """Let a paused member go on."""
        self.members[number].send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End all members."""
        for member in self.members:
            member.kill()
