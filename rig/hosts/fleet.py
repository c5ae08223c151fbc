"""A fleet on one machine: a release server, app servers, a balancer, a shared directory."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rig import wait
from rig.hosts import balanced as balancers
from rig.hosts.host import GAPLESS, Host
from rig.hosts.member import Member
from rig.hosts.network import Network
from rig.programs import kinds
from rig.programs.etcd import Cluster, Place
from rig.programs.kinds import APP
from rig.programs.scripted import Scripted

__all__ = ["APP", "Fleet", "MakeFleet", "Member", "balanced"]


class Fleet:
    """Everything of a fleet; `close` leaves nothing."""

    def __init__(
        self,
        directory: Path,
        *,
        count: int = 4,
        kind: str = "node",
        policy: str = "",
        app: str = "",
        coordinator: str = "",
        release: str = "",
        answers: bool = False,
        etcd: int = 0,
        scripted: int = 0,
        copies: bool = False,
    ) -> None:
        """Make everything, and start nothing but etcd.

        *etcd* is how many members of it are to coordinate; 0: the directory does.
        *scripted* is how many hosts, the last ones, run the article's script and PM2.
        Agents *answer* balancers, and run *copies* of their own, if asked to.
        """
        self.copies = copies
        self.release, self.answers = release, answers
        self.directory, self.kind = directory, kind
        self.program = kinds.kind(kind)
        self.program.prepare(directory)
        self.base = directory / "dfs"
        self.base.mkdir()
        (directory / "www" / "log").mkdir(parents=True)
        self.ledger = directory / "ledger"
        self.ledger.touch()
        self.network = Network(count + etcd)
        self.policy, self.app = policy, app
        self.coordinator = coordinator.replace("@", self.network.own_address)
        self.etcd = self._cluster(count, etcd) if etcd else None
        self.publisher = Host(self._folder("release-server"))
        self.publisher.configure(self._release())
        self.members = [self._member(number) for number in range(count)]
        self.followers = self.members[: count - scripted]
        """The hosts that run gapless."""
        old = self.members[count - scripted :]
        self.scripted = [Scripted(member, self.link_on(member)) for member in old]
        self.watcher: subprocess.Popen[bytes] | None = None

    def _folder(self, name: str) -> Path:
        folder = self.directory / name
        folder.mkdir()
        return folder

    def _cluster(self, first: int, count: int) -> Cluster:
        numbers = range(first, first + count)
        network = self.network
        places = [Place(network.address(n), network.inside(n)) for n in numbers]
        cluster = Cluster(self.directory / "etcd", count, places=places)
        try:
            cluster.start()
        except AssertionError:
            cluster.close()
            self.network.close()
            raise
        self.coordinator = f"[coordinator]\netcd = {json.dumps(cluster.urls)}\n"
        return cluster

    def _member(self, number: int) -> Member:
        host = Host(self._folder(f"s{number}"))
        port = wait.free_port() if not self.network.is_real else 3000
        member = Member(host, f"s{number}", number, self.network, port)
        if self.answers:
            member.health_port = wait.free_port() if not self.network.is_real else 3001
        told = {
            "HOST": member.address,
            "PORT": str(port),
            "HOST_NAME": member.name,
            "LEDGER": str(self.ledger),
        }
        host.environment |= told
        if self.program.declared_by_release:
            member.own_directory(self.directory / "www")
            host.configure(self._release())
            return member
        command = json.dumps(self.program.command)
        command = command.replace("{host}", member.address)
        environment = ", ".join(f'{name} = "{value}"' for name, value in told.items())
        host.configure(
            f"[app.{APP}]\ncommand = {command.replace('{port}', str(port))}\n"
            f'directory = "{self.base_on(member)}/dist/{APP}"\n'
            f"environment = {{ {environment} }}\n"
            "min_healthy_s = 0.3\n"
            + ("" if "ready =" in self.app else 'ready = { http = "/health" }\n')
            + f"{self.app}\n{self._release()}"
        )
        return member

    def base_on(self, member: Member) -> Path:
        """Return the base of the releases that a host runs."""
        return member.host.home / "releases" if self.copies else self.base

    def _release(self) -> str:
        copy = "copy = true\n" if self.copies else ""
        return (
            f"{self._bare_release()}[rollout.{APP}]\n{copy}"
            f"min_healthy_s = 0.5\n{self.policy}\n{self.coordinator}"
        )

    def _bare_release(self) -> str:
        build = kinds.build_command(self.program.build)
        where = f'[release.{APP}]\nbase = "{self.base}"\nbuild = {build}\n'
        return f"{where}{self.release}\n"

    # --- releases -----------------------------------------------------------------------

    def tarball(self, version: str, build: str = "") -> Path:
        """Pack a release; see `rig.kinds` for what *version* can say beside its name.

        *build* is a script that its build runs: `sleep 3` is slow, `exit 1` fails.
        """
        files = {**self.program.files(version)}
        if build:
            files["build.sh"] = build.encode()
        return kinds.pack(self.directory / f"{APP}.tar.gz", files)

    def publish(self, version: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Publish a release, and wait for the end of its rollout."""
        return self.publisher.gapless("publish", self.tarball(version), *options)

    def put(self, version: str, build: str = "") -> Path:
        """Upload a release to the inbox."""
        inbox = self.base / "src"
        inbox.mkdir(exist_ok=True)
        path = inbox / f"{APP}.tar.gz"
        shutil.copyfile(self.tarball(version, build), f"{path}.part")
        return Path(f"{path}.part").rename(path)

    def upload(self, version: str) -> float:
        """Upload a release to the inbox; return after how many seconds it was recorded."""
        number = self.status().get("number", 0)
        began = time.monotonic()
        self.put(version)
        wait.until(lambda: self.status().get("number", 0) > number, "the rollout", 20)
        return time.monotonic() - began

    def begin(self, version: str) -> int:
        """Publish a release without waiting; return the number of its rollout."""
        done = self.publish(version, "--no-wait", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return int(json.loads(done.stdout)["number"])

    def watch(self) -> None:
        """Start the release server."""
        with (self.publisher.directory / "watch.log").open("ab") as log:
            self.watcher = subprocess.Popen(
                [str(GAPLESS), "watch"],
                cwd=self.publisher.directory,
                env=self.publisher.environment,
                stdout=log,
                stderr=log,
            )

    def kill_watch(self) -> None:
        """End the release server at once."""
        if self.watcher is not None:
            self.watcher.kill()
            self.watcher.wait(20)
            self.watcher = None

    def start(self, version: str = "1") -> None:
        """Bring up every member with a first release."""
        if self.program.declared_by_release:
            self.first_release(version)
            for each in self.scripted:
                each.start()
            for member in self.followers:
                self.start_by_hand(member)
        for member in self.followers:
            member.follow()
        count = len(self.followers)
        if count:
            wait.until(lambda: len(self.status()["hosts"]) == count, "every host", 30)
        if not self.program.declared_by_release:
            done = self.publish(version)
            assert done.returncode == 0, done.stdout + done.stderr + self.said()
        if count:
            self.watch()

    def first_release(self, version: str) -> None:
        """Make a release current before there is a fleet."""
        self.publisher.configure(self._bare_release())
        self.publisher.ok("publish", self.tarball(version))
        self.publisher.configure(self._release())

    def link_on(self, member: Member) -> Path:
        """Return the link that a host runs its app through: www/example."""
        own = member.host.directory if self.network.is_real else self.directory
        (own / "www" / "log").mkdir(parents=True, exist_ok=True)
        link = own / "www" / APP
        if not link.is_symlink():
            link.symlink_to(self.base / "dist" / APP)
        return self.directory / "www" / APP

    def start_by_hand(self, member: Member) -> None:
        """Start the app on a host as its app.json declares it, through the link."""
        target = self.link_on(member) / "app.json"
        member.host.ok("start", target, "--env", "production")

    def status(self) -> dict[str, Any]:
        """Return what `gapless rollout status --json` says."""
        found: dict[str, Any] = self.publisher.json("rollout", "status", APP)
        return found

    def until(self, *states: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait until the rollout is in one of some states; return its status."""

        def reached() -> dict[str, Any] | None:
            found = self.status()
            return found if found["state"] in states else None

        try:
            found = wait.until(reached, f"the rollout {states}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.status()}\n{self.said()}") from None
        assert found is not None
        return found

    def at_work(self, phase: str) -> Member:
        """Wait for a host to be in a phase; return it."""

        def found() -> list[Member]:
            phases = {h["host"]: h["phase"] for h in self.status()["hosts"]}
            return [m for m in self.members if phases.get(m.name) == phase]

        return wait.until(found, f"a host that is {phase}")[0]

    def is_addressed(self) -> bool:
        """Tell whether every host has told where its app is reached."""
        return all(each["addresses"] for each in self.status()["hosts"])

    def runs(self) -> dict[str, str]:
        """Return the version that each member's app says it is, asked directly."""
        return {member.name: member.version() for member in self.members}

    def said(self) -> str:
        """Return what all agents printed."""
        return "\n".join(
            f"--- {each.name}\n{each.said()}" for each in self.members if each.agent
        )

    def close(self) -> None:
        """End everything, then remove the network."""
        with contextlib.ExitStack() as ends:  # each of them, whatever the others do
            ends.callback(self.network.close)
            if self.etcd is not None:
                ends.callback(self.etcd.close)
            ends.callback(self.publisher.close)
            for member in self.members:
                ends.callback(member.close)
            for each in self.scripted:
                ends.callback(each.close)
            ends.callback(self.kill_watch)


MakeFleet = Callable[..., Fleet]
"""Makes fleets, which are gone after the test."""


@contextmanager
def balanced(fleet: Fleet, name: str) -> Iterator[int]:
    """Run nginx or HAProxy, as `gapless balancer` writes it, in front of a fleet."""
    port = wait.free_port()
    wait.until(fleet.is_addressed, "every host's address to be known", 60)
    written = fleet.publisher.ok("balancer", name, APP, f"--listen=127.0.0.1:{port}")
    with balancers.serving(fleet.directory, name, written, port):
        yield port
