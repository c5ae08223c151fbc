"""One app server of a fleet, and what may befall it.

The faults that need root and a network namespace say so; the others work everywhere.
Processes are found by what they are (the host's namespace, its GAPLESS_HOME), and each is
signalled by its pid.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from rig import wait
from rig.hosts.disk import SmallDisk
from rig.hosts.host import GAPLESS, Host
from rig.hosts.network import Network

FAKETIME = "faketime/libfaketimeMT.so.1"
REAL_ROOT = "only root may do this, and only to a host with a namespace of its own"


class Member:
    """A host, its address, its agent, and its faults."""

    def __init__(
        self, host: Host, name: str, number: int, network: Network, port: int
    ) -> None:
        self.host, self.name, self.port = host, name, port
        self._number, self._network = number, network
        self.address = network.address(number)
        self.agent: subprocess.Popen[bytes] | None = None
        self.disk: SmallDisk | None = None
        self.health_port = 0
        """Where its agent answers balancers; 0: it does not."""
        self._first: tuple[str, ...] = ()
        """What every command of the host is started with, inside its namespace."""
        self._before: list[str] = []
        """Lines of shell that every command of the host begins with."""
        self._dress()

    def _dress(self) -> None:
        self.host.become = (*self._network.inside(self._number), *self._first)
        if self._before:
            script = "\n".join(["set -e", *self._before, 'exec "$@"'])
            self.host.become += ("sh", "-c", script, "sh")

    # --- the agent ----------------------------------------------------------------------

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

    @property
    def health(self) -> str:
        """Where its agent answers balancers."""
        return f"{self.address}:{self.health_port}"

    def _options(self) -> list[str]:
        # Said by hand: on loopback, where hosts stand if there are no namespaces, it
        # would not be told to others.
        own = [f"--host={self.name}", f"--address={self.address}:{self.port}"]
        return own + [f"--health={self.health}"] * bool(self.health_port)

    def signal_agent(self, number: int) -> None:
        """Send the agent a signal."""
        assert self.agent is not None
        self.agent.send_signal(number)

    def pause_agent(self) -> None:
        """Stop the agent where it stands; all else of the host goes on."""
        self.signal_agent(signal.SIGSTOP)

    def resume_agent(self) -> None:
        """Let the agent go on, as if no time had passed for it."""
        self.signal_agent(signal.SIGCONT)

    def kill_agent(self) -> None:
        """End the agent at once."""
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait(20)
            self.agent = None

    def version(self) -> str:
        """Return the version that the app says it is, asked directly; "" if it does not."""
        line = http.client.HTTPConnection(self.address, self.port, timeout=5)
        try:
            line.request("GET", "/")
            answer = line.getresponse()
            said = answer.getheader("X-Release")
            if said is None:  # the article's own app names its directory
                return Path(json.loads(answer.read())["release"]).name
            return said.removeprefix("release ")
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return ""
        finally:
            line.close()

    def said(self) -> str:
        """Return what the agent printed."""
        path = self.host.directory / "agent.log"
        return path.read_text() if path.exists() else ""

    # --- death and sleep ----------------------------------------------------------------

    def kill_supervisor(self) -> None:
        """End the supervisor at once; the keeper holds what it held."""
        os.kill(self.host.supervisor_pid(), signal.SIGKILL)

    def kill_keeper(self) -> None:
        """End the keeper at once."""
        os.kill(self.host.keeper_pid(), signal.SIGKILL)

    def pids(self) -> set[int]:
        """Return every living process of the host."""
        found = set(self.host.processes()) | self._network.pids(self._number)
        if self.agent is not None and self.agent.poll() is None:
            found.add(self.agent.pid)
        return found

    def pause(self) -> None:
        """Stop every process of the host: it holds its connections, and says nothing."""
        stopped: set[int] = set()
        while found := self.pids() - stopped:  # what was forked meanwhile as well
            _send(found, signal.SIGSTOP)
            stopped |= found

    def resume(self) -> None:
        """Let every process go on."""
        _send(self.pids(), signal.SIGCONT)

    def kill(self) -> None:
        """Cut the power: no process acts on another's death, and no peer hears of it.

        The host stays off the network, where it has one, until `boot`.
        """
        if self._network.is_real:
            self.part()
        self.pause()
        _send(self.pids(), signal.SIGKILL)
        self.kill_agent()
        wait.until(lambda: not self.pids(), f"the end of {self.name}", 20)

    def boot(self) -> None:
        """Bring the host back, as after a loss of power: network and agent."""
        if self._network.is_real:
            self.rejoin()
        self.follow()

    # --- network ------------------------------------------------------------------------

    def part(self) -> None:
        """Take the host off the network; the shared directory stays with it."""
        self._network.part(self._number, away=True)

    def rejoin(self) -> None:
        """Bring the host back into the network."""
        self._network.part(self._number, away=False)

    # --- clocks: before the first command of the host -----------------------------------

    def set_clock(self, offset_s: float) -> None:
        """Let the host's wall clock be off; CLOCK_MONOTONIC and BOOTTIME stay true.

        The whole host believes it, its apps too.  Times of files stay those of the file
        system, as on a shared one.
        """
        assert self._network.is_real, REAL_ROOT
        library = next(Path("/usr/lib").glob(f"*/{FAKETIME}"), None)
        assert library is not None, "the Debian package faketime is missing"
        self._before += [
            # It leaves a segment behind for each process that is killed.
            "mount -t tmpfs none /dev/shm",
            "export NO_FAKE_STAT=1 FAKETIME_DONT_FAKE_MONOTONIC=1",
            f"export FAKETIME={offset_s:+g} LD_PRELOAD={library}",
        ]
        self._dress()

    def set_boot_clock(self, offset_s: int) -> None:
        """Let CLOCK_MONOTONIC and BOOTTIME be off; the wall clock is true."""
        assert self._network.is_real, REAL_ROOT
        offset = str(offset_s)
        clocks = ("--boottime", offset, "--monotonic", offset)
        self._first = ("unshare", "--time", *clocks)
        self._dress()

    # --- files --------------------------------------------------------------------------

    def small_disk(self, size_mb: int) -> SmallDisk:
        """Put GAPLESS_HOME, and copies of releases in it, on a small disk of its own.

        Before the first command of the host.
        """
        self.disk = SmallDisk(self.host.home, size_mb)
        return self.disk

    def own_directory(self, shared: Path) -> None:
        """Let a directory be another one on this host: /var/www, say."""
        own = self.host.directory / shared.name
        own.mkdir(exist_ok=True)
        if self._network.is_real:
            self._before.append(f"mount --bind '{own}' '{shared}'")
            self._dress()

    def see_old(self, directory: Path) -> None:
        """Let what runs on the host see a directory as it is now, whatever changes.

        So do clients of NFS, for up to a minute.  Files in it are the same, links and
        names are old.  Commands that are started later see what is new.
        """
        assert self._network.is_real, REAL_ROOT
        old = self.host.directory / "old-view"
        shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(directory, old, symlinks=True, copy_function=os.link)
        self._in_each_view("mount", "--bind", str(old), str(directory))

    def see_new(self, directory: Path) -> None:
        """Let what runs on the host see a directory as it is."""
        self._in_each_view("umount", str(directory))

    def _in_each_view(self, *command: str) -> None:
        views: dict[str, int] = {}
        for pid in self.pids():
            with contextlib.suppress(OSError):
                views.setdefault(os.readlink(f"/proc/{pid}/ns/mnt"), pid)
        for pid in views.values():
            argv = ["nsenter", "--mount", "--target", str(pid), *command]
            subprocess.run(argv, check=True, capture_output=True)

    # --- the end ------------------------------------------------------------------------

    def close(self) -> None:
        """End the agent, then everything of the host."""
        try:
            if self._network.is_real:
                self.rejoin()
            self.resume()
            if self.agent is not None:
                self.agent.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.agent.wait(30)
            self.kill_agent()
            if self.disk is not None:
                self.disk.free()
            self.host.close()
        finally:
            if self.disk is not None:
                self.disk.close()


def _send(pids: set[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
