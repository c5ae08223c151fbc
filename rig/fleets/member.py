"""One app server of a fleet, and the faults that can strike it.

Faults that need root and a network namespace fail with `REAL_ROOT` where there is none.
Processes are found by the host's namespace and its GAPLESS_HOME; each is signalled by its
pid.
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
from rig.background import BackgroundProcess
from rig.fleets.setup import REAL_ROOT, Setup
from rig.hosts import mounts, processes
from rig.hosts.host import Host
from rig.hosts.network import Network


class Member:
    """A host, its address, its agent, and its faults."""

    def __init__(
        self, host: Host, name: str, number: int, network: Network, port: int
    ) -> None:
        self.host, self.name, self.port = host, name, port
        self._number, self._network = number, network
        self.address = network.address(number)
        self.setup = Setup(host, network.command_prefix(number))
        self.health_port = 0
        """The port of its agent's health endpoint; 0: it has none."""
        self.listens = True
        """Whether its agent is told at which address balancers reach the app."""
        self._agent = BackgroundProcess(host.directory / "agent.log")

    def version(self) -> str:
        """Return the version that the app says it is, without a balancer; "" if none."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=5)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            release = answer.getheader("X-Release")
            if release is None:  # the article's own app names its directory
                return Path(json.loads(answer.read())["release"]).name
            return release.removeprefix("release ")
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return ""
        finally:
            connection.close()

    # --- the agent ----------------------------------------------------------------------

    def start_agent(self) -> None:
        """Start the agent."""
        # On loopback an agent does not report the addresses that it finds by itself.
        options = [f"--host={self.name}"]
        if self.listens:
            options.append(f"--address={self.address}:{self.port}")
        if self.health_port:
            options.append(f"--health={self.health}")
        self.host.start_in_background(self._agent, "agent", *options)

    @property
    def health(self) -> str:
        """The address of its agent's health endpoint."""
        return f"{self.address}:{self.health_port}"

    def agent_log(self) -> str:
        """Return what the agent has printed."""
        return self._agent.output()

    def signal_agent(self, number: int) -> None:
        """Send the agent a signal."""
        self._agent.send_signal(number)

    def pause_agent(self) -> None:
        """Stop the agent with SIGSTOP; all else of the host goes on."""
        self.signal_agent(signal.SIGSTOP)

    def resume_agent(self) -> None:
        """Let the agent go on."""
        self.signal_agent(signal.SIGCONT)

    def kill_agent(self) -> None:
        """End the agent at once."""
        self._agent.kill()

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
        if self._agent.is_running:
            found.add(self._agent.pid)
        return found

    def pause(self) -> None:
        """Stop every process of the host: its connections stay open, and are silent."""
        stopped: set[int] = set()
        while found := self.pids() - stopped:  # also what was forked in the meantime
            processes.signal_all(found, signal.SIGSTOP)
            stopped |= found

    def resume(self) -> None:
        """Let every process go on."""
        processes.signal_all(self.pids(), signal.SIGCONT)

    def kill(self) -> None:
        """Cut the power: no process reacts to another's death, and no peer gets a FIN.

        The host stays off the network, where it has one, until `boot`.
        """
        if self._network.is_real:
            self.disconnect()
        self.pause()
        processes.kill_all(self.pids())
        self.kill_agent()
        wait.until(lambda: not self.pids(), f"the end of {self.name}", 20)

    def boot(self) -> None:
        """Bring the host back, as after a loss of power: its network, then its agent."""
        if self._network.is_real:
            self.reconnect()
        self.start_agent()

    # --- network and files --------------------------------------------------------------

    def disconnect(self) -> None:
        """Take the host off the network; it still has the shared directory."""
        self._network.disconnect(self._number)

    def reconnect(self) -> None:
        """Bring the host back to the network."""
        self._network.reconnect(self._number)

    def see_old(self, directory: Path) -> None:
        """Let what runs on the host see a directory as it is now, whatever changes.

        Clients of NFS may do so for up to a minute.  The files are the same ones; links and
        names are old.  Commands that start later see the directory as it is.
        """
        assert self._network.is_real, REAL_ROOT
        old = self.host.directory / "old-view"
        shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(directory, old, symlinks=True, copy_function=os.link)
        bind = ("mount", "--bind", str(old), str(directory))
        mounts.run_in_each_namespace(self.pids(), *bind)

    def see_new(self, directory: Path) -> None:
        """Let what runs on the host see a directory as it is."""
        mounts.run_in_each_namespace(self.pids(), "umount", str(directory))

    # --- the end ------------------------------------------------------------------------

    def close(self) -> None:
        """End the agent, then everything else of the host."""
        disk = self.setup.disk
        try:
            if self._network.is_real:
                self.reconnect()
            self.resume()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._agent.terminate(30)
            self.kill_agent()
            if disk is not None:
                disk.free()
            self.host.close()
        finally:
            if disk is not None:
                disk.close()
