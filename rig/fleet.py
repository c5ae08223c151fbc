"""A fleet on one machine: a release server, app servers, a balancer, a shared directory."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rig import wait
from rig.host import APPS, GAPLESS, SERVERS, Host
from rig.network import Network

APP = "example"
KINDS = {
    "node": ("fleet_app.js", "index.js", '["node", "index.js"]'),
    "python": (
        "fleet_app.py",
        "app.py",
        json.dumps([str(SERVERS / "python"), "-m", "uvicorn", "--no-access-log"])[:-1]
        + ', "--host", "{host}", "--port", "{port}", "app:app"]',
    ),
}
NGINX = """
daemon off; user root; worker_processes 2; pid {directory}/nginx.pid; error_log stderr;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u;
  scgi_temp_path {directory}/s;
  include {directory}/pool.conf;
}}
"""


class Member:
    """One app member: a host, its address, and its agent."""

    def __init__(self, host: Host, name: str, address: str, port: int) -> None:
        self.host, self.name = host, name
        self.address, self.port = address, port
        self.agent: subprocess.Popen[bytes] | None = None
        self.health_port = 0
        """Where its agent answers balancers; 0: it does not."""

    @property
    def health(self) -> str:
        """Where its agent answers balancers."""
        return f"{self.address}:{self.health_port}"

    def follow(self) -> None:
        """Start the agent."""
        with (self.host.directory / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(
                [*self.host.become, str(GAPLESS), "agent", *self._options()],
                cwd=self.host.directory,
                env=self.host.environment,
                stdout=log,
                stderr=log,
            )

    def _options(self) -> list[str]:
        # Said by hand: on loopback, where hosts stand if there are no namespaces, it
        # would not be told to others.
        own = [f"--host={self.name}", f"--address={self.address}:{self.port}"]
        return own + [f"--health={self.health}"] * bool(self.health_port)

    def signal_agent(self, number: int) -> None:
        """Send the agent a signal."""
        assert self.agent is not None
        self.agent.send_signal(number)

    def kill_agent(self) -> None:
        """End the agent at once."""
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait(20)
            self.agent = None

    def said(self) -> str:
        """Return what the agent printed."""
        return (self.host.directory / "agent.log").read_text()

    def close(self) -> None:
        """End the agent, then everything of the host."""
        if self.agent is not None:
            self.agent.send_signal(signal.SIGCONT)
            self.agent.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.agent.wait(30)
        self.kill_agent()
        self.host.close()


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
    ) -> None:
        self.answers = answers
        self.directory, self.kind = directory, kind
        self.base = directory / "dfs"
        self.base.mkdir()
        self.ledger = directory / "ledger"
        self.ledger.touch()
        self.network = Network(count)
        self.policy, self.app, self.release = policy, app, release
        self.coordinator = coordinator.replace("@", self.network.own_address)
        self.publisher = Host(self._folder("release-server"))
        self.publisher.configure(self._release())
        self.members = [self._member(number) for number in range(count)]
        self.watcher: subprocess.Popen[bytes] | None = None

    def _folder(self, name: str) -> Path:
        folder = self.directory / name
        folder.mkdir()
        return folder

    def _member(self, number: int) -> Member:
        host = Host(self._folder(f"s{number}"))
        host.become = self.network.inside(number)
        host.environment["LEDGER"] = str(self.ledger)
        address = self.network.address(number)
        port = wait.free_port() if not self.network.is_real else 3000
        member = Member(host, f"s{number}", address, port)
        if self.answers:
            member.health_port = wait.free_port() if not self.network.is_real else 3001
        command = KINDS[self.kind][2].format(host=address, port=port)
        host.configure(
            f"[app.{APP}]\ncommand = {command}\n"
            f'directory = "{self.base}/dist/{APP}"\n'
            f'environment = {{ HOST = "{address}", PORT = {port} }}\n'
            "min_healthy_s = 0.3\n"
            + ("" if "ready =" in self.app else 'ready = { http = "/health" }\n')
            + f"{self.app}\n{self._release()}"
        )
        return member

    def _release(self) -> str:
        return (
            f'[release.{APP}]\nbase = "{self.base}"\nbuild = []\n'
            f"{self.release}\n"
            f"[rollout.{APP}]\nmin_healthy_s = 0.5\n{self.policy}\n{self.coordinator}"
        )

    # --- releases -----------------------------------------------------------------------

    def tarball(self, version: str) -> Path:
        """Pack a release that says *version*; see the apps for what else that can say."""
        source, name, _ = KINDS[self.kind]
        path = self.directory / f"{APP}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            archive.add(APPS / source, f"{APP}/{name}")
            content = version.encode()
            entry = tarfile.TarInfo(f"{APP}/VERSION")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        return path

    def publish(self, version: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Publish a release, and wait for the end of its rollout."""
        return self.publisher.gapless("publish", self.tarball(version), *options)

    def upload(self, version: str) -> float:
        """Upload a release to the inbox; return after how many seconds it was recorded."""
        number = self.status().get("number", 0)
        inbox = self.base / "src"
        inbox.mkdir(exist_ok=True)
        path = inbox / f"{APP}.tar.gz"
        shutil.copyfile(self.tarball(version), f"{path}.part")
        began = time.monotonic()
        Path(f"{path}.part").rename(path)
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
        for member in self.members:
            member.follow()
        count = len(self.members)
        wait.until(lambda: len(self.status()["hosts"]) == count, "every host", 30)
        done = self.publish(version)
        assert done.returncode == 0, done.stdout + done.stderr + self.said()
        self.watch()

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

    def is_addressed(self) -> bool:
        """Tell whether every host has told where its app is reached."""
        return all(each["addresses"] for each in self.status()["hosts"])

    def runs(self) -> dict[str, str]:
        """Return the version that each member's app says it is, asked directly."""
        return {member.name: _version(member) for member in self.members}

    def said(self) -> str:
        """Return what all agents printed."""
        return "\n".join(
            f"--- {each.name}\n{each.said()}" for each in self.members if each.agent
        )

    def close(self) -> None:
        """End everything, then remove the network."""
        try:
            self.kill_watch()
            for member in self.members:
                member.close()
            self.publisher.close()
        finally:
            self.network.close()


def _version(member: Member) -> str:
    import http.client

    line = http.client.HTTPConnection(member.address, member.port, timeout=5)
    try:
        line.request("GET", "/")
        return str(line.getresponse().getheader("X-Release")).removeprefix("release ")
    except OSError:
        return ""
    finally:
        line.close()


@contextmanager
def balanced(fleet: Fleet, name: str) -> Iterator[int]:
    """Run nginx or HAProxy, as `gapless balancer` writes it, in front of a fleet."""
    port, directory = wait.free_port(), fleet.directory
    wait.until(fleet.is_addressed, "every host's address to be known", 60)
    written = fleet.publisher.ok("balancer", name, APP, f"--listen=127.0.0.1:{port}")
    (directory / "pool.conf").write_text(written)
    (directory / "nginx.conf").write_text(NGINX.format(directory=directory))
    argv = {
        "nginx": ["nginx", "-p", str(directory), "-c", f"{directory}/nginx.conf"],
        "haproxy": ["haproxy", "-db", "-f", f"{directory}/pool.conf"],
    }[name]
    with (directory / "balancer.log").open("ab") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        wait.until(lambda: wait.answers(port), f"{name} to serve")
        yield port
    finally:
        process.terminate()
        process.wait(20)
