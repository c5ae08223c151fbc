"""A fleet on one machine: a release server, app servers, a balancer, a shared directory."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gapless.agent.open_store import open_store
from gapless.cli.display import rollouts
from gapless.config.toml import fleets
from rig import wait
from rig.background import BackgroundProcess
from rig.fleets.app_kinds import APP, app_kind, pack
from rig.fleets.configuration import Configuration
from rig.fleets.construction import make_link, make_member, start_etcd
from rig.fleets.member import Member
from rig.fleets.script_host import ScriptHost
from rig.hosts.host import Host
from rig.hosts.network import Network
from rig.programs.etcd_cluster import EtcdCluster

__all__ = ["APP", "Fleet", "MakeFleet", "Member"]


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
        health_endpoints: bool = False,
        etcd: int = 0,
        script_hosts: int = 0,
        copies: bool = False,
    ) -> None:
        """Make everything, and start nothing but etcd.

        *etcd* is the number of members that coordinate; 0: the directory coordinates.
        *script_hosts* is how many hosts, the last ones, run the article's script and PM2.
        *policy*, *app*, *release* and *coordinator* are settings in TOML; an @ in
        *coordinator* is the address of this machine.
        """
        self.directory = directory
        self.program = app_kind(kind)
        self.program.prepare(directory)
        self.base = directory / "dfs"
        self.base.mkdir()
        (directory / "www" / "log").mkdir(parents=True)
        self.ledger = directory / "ledger"
        self.ledger.touch()
        self.network = Network(count + etcd)
        coordinator = coordinator.replace("@", self.network.own_address)
        self.etcd: EtcdCluster | None = None
        if etcd:
            self.etcd = start_etcd(directory / "etcd", self.network, count, etcd)
            coordinator = f"[coordinator]\netcd = {json.dumps(self.etcd.urls)}\n"
        self._configuration = Configuration(
            base=self.base,
            kind=self.program,
            app=app,
            release=release,
            policy=policy,
            coordinator=coordinator,
            copies=copies,
        )
        self.publisher = Host(self._folder("release-server"))
        self.publisher.configure(self._configuration.rolling_out())
        self._watch = BackgroundProcess(self.publisher.directory / "watch.log")
        self.members = [
            self._member(n, health_endpoint=health_endpoints) for n in range(count)
        ]
        self.gapless_members = self.members[: count - script_hosts]
        """The hosts that run gapless."""
        others = self.members[count - script_hosts :]
        self.script_hosts = [ScriptHost(each, self.link_on(each)) for each in others]

    def _folder(self, name: str) -> Path:
        folder = self.directory / name
        folder.mkdir()
        return folder

    def _member(self, number: int, *, health_endpoint: bool) -> Member:
        host = Host(self._folder(f"s{number}"))
        member = make_member(
            host, number, self.network, health_endpoint=health_endpoint
        )
        host.environment["LEDGER"] = str(self.ledger)
        if self.program.declared_by_release:
            member.setup.own_directory(self.directory / "www")
            host.configure(self._configuration.rolling_out())
        else:
            names = ("HOST", "PORT", "HOST_NAME", "LEDGER")
            environment = {name: host.environment[name] for name in names}
            host.configure(
                self._configuration.running(self.base_on(member), environment)
            )
        return member

    def base_on(self, member: Member) -> Path:
        """Return the base directory of the releases that a host runs."""
        copies = self._configuration.copies
        return member.host.home / "releases" if copies else self.base

    # --- releases -----------------------------------------------------------------------

    def tarball(self, version: str, build: str = "") -> Path:
        """Pack a release; `rig.fleets.app_kinds` says what *version* may be.

        *build* is a script that its build runs: `sleep 3` is slow, `exit 1` fails.
        """
        files = {**self.program.files(version)}
        if build:
            files["build.sh"] = build.encode()
        return pack(self.directory / f"{APP}.tar.gz", files)

    def publish(self, version: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Publish a release, and wait for the end of its rollout."""
        return self.publisher.gapless("publish", self.tarball(version), *options)

    def begin(self, version: str) -> int:
        """Publish a release and do not wait; return the number of its rollout."""
        done = self.publish(version, "--no-wait", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return int(json.loads(done.stdout)["number"])

    def put(self, version: str, build: str = "") -> Path:
        """Put a release into the inbox, and do not wait; return the path of the upload."""
        inbox = self.base / "src"
        inbox.mkdir(exist_ok=True)
        path = inbox / f"{APP}.tar.gz"
        shutil.copyfile(self.tarball(version, build), f"{path}.part")
        return Path(f"{path}.part").rename(path)

    def upload(self, version: str) -> float:
        """Put a release into the inbox; return the seconds until its rollout began."""
        number = self.status().get("number", 0)
        began = time.monotonic()
        self.put(version)
        wait.until(lambda: self.status().get("number", 0) > number, "the rollout", 20)
        return time.monotonic() - began

    def watch(self) -> None:
        """Start `gapless watch` on the release server."""
        self.publisher.start_in_background(self._watch, "watch")

    def watch_log(self) -> str:
        """Return what `gapless watch` has printed."""
        return self._watch.output()

    def kill_watch(self) -> None:
        """End `gapless watch` at once."""
        self._watch.kill()

    # --- start --------------------------------------------------------------------------

    def start(self, version: str = "1") -> None:
        """Bring up every member with a first release."""
        if self.program.declared_by_release:
            self._publish_without_fleet(version)
            for each in self.script_hosts:
                each.start()
            for member in self.gapless_members:
                target = self.link_on(member) / "app.json"
                member.host.ok("start", target, "--env", "production")
        for member in self.gapless_members:
            member.start_agent()
        count = len(self.gapless_members)
        if count:
            wait.until(lambda: len(self.status()["hosts"]) == count, "every host", 30)
        if not self.program.declared_by_release:
            done = self.publish(version)
            assert done.returncode == 0, done.stdout + done.stderr + self.agent_logs()
        if count:
            self.watch()

    def _publish_without_fleet(self, version: str) -> None:
        self.publisher.configure(self._configuration.publishing())
        self.publisher.ok("publish", self.tarball(version))
        self.publisher.configure(self._configuration.rolling_out())

    def link_on(self, member: Member) -> Path:
        """Make the link through which a host runs its app; return its path there."""
        own = member.host.directory if self.network.is_real else self.directory
        make_link(own / "www", self.base / "dist" / APP)
        return self.directory / "www" / APP

    # --- state --------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Return what `gapless rollout status --json` prints.

        Tests ask often while they wait, so no command is run for it.
        """
        file = self.publisher.directory / "gapless.toml"
        fleet = fleets.load(str(file), {})[APP]
        return rollouts.status_json(fleet, open_store(fleet, print))

    def until(self, *states: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait until the rollout is in one of some states; return its status."""

        def reached() -> dict[str, Any] | None:
            found = self.status()
            return found if found["state"] in states else None

        try:
            found = wait.until(reached, f"the rollout {states}", timeout_s)
        except AssertionError as error:
            details = f"{self.status()}\n{self.agent_logs()}"
            raise AssertionError(f"{error}\n{details}") from None
        assert found is not None
        return found

    def wait_for_host(self, phase: str) -> Member:
        """Wait until a host is in a phase; return the host."""

        def found() -> list[Member]:
            phases = {h["host"]: h["phase"] for h in self.status()["hosts"]}
            return [m for m in self.members if phases.get(m.name) == phase]

        return wait.until(found, f"a host that is {phase}")[0]

    def is_addressed(self) -> bool:
        """Return whether every host has reported the address of its app."""
        return all(each["addresses"] for each in self.status()["hosts"])

    def runs(self) -> dict[str, str]:
        """Return the version that each member's app says it is, without a balancer."""
        return {member.name: member.version() for member in self.members}

    def agent_logs(self) -> str:
        """Return what all agents have printed."""
        return "\n".join(
            f"--- {each.name}\n{log}"
            for each in self.members
            if (log := each.agent_log())
        )

    def close(self) -> None:
        """End everything, then remove the network."""
        with contextlib.ExitStack() as stack:  # it goes on where one of them fails
            stack.callback(self.network.close)
            if self.etcd is not None:
                stack.callback(self.etcd.close)
            stack.callback(self.publisher.close)
            for member in self.members:
                stack.callback(member.close)
            for each in self.script_hosts:
                stack.callback(each.close)
            stack.callback(self.kill_watch)


MakeFleet = Callable[..., Fleet]
"""Makes a fleet with the options of `Fleet`; it is closed after the test."""
