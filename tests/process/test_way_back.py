"""A release that failed does not come back, whatever is asked for while it drains.

Each release has two instances.  One of the second release holds a client when the other one
crashes, so the release is reverted, and drains for as long as that client stays.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rig.hosts import control, processes
from rig.hosts.host import Host
from rig.wait import free_port, until

COMMAND = ["node", "app.js"]
MORE = "instances = 2\nmin_healthy_s = 30\nstop = { drain_timeout_s = 60 }"


@dataclass
class Broken:
    """A host on which the second release of an app serves, and is not proven yet."""

    host: Host
    port: int
    reload: subprocess.Popen[str]
    client: socket.socket

    def crash(self) -> None:
        """Let the instance crash that holds no client; wait until the first serves."""
        (idle,) = (i for i in _instances(self.host, 2) if not i["busy"])
        os.kill(idle["pid"], signal.SIGKILL)
        until(lambda: _roles(self.host)[:2] == ["serving", "retiring"], "the way back")

    def is_over(self) -> None:
        """Let the client go, and see that the command has failed."""
        self.client.close()
        said, _ = self.reload.communicate(timeout=60)
        assert self.reload.returncode == 1, said

    def serves(self) -> str:
        """Return the release that answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/", headers={"Connection": "close"})
        return connection.getresponse().headers["X-Release"]

    def check(self, instances: int = 2) -> None:
        """Check that the first release is what serves, and what is stored."""
        assert self.serves() == "release 1"
        spec = _stored(self.host)
        assert spec["environment"]["RELEASE"] == "1"
        assert spec["instances"] == instances
        described = self.host.app("app")
        assert described["spec"]["environment"]["RELEASE"] == "1"


@contextmanager
def broken(host: Host) -> Iterator[Broken]:
    """Let the second release take new connections, one of which is not answered."""
    port = free_port()
    host.start("app", COMMAND, port=port, more=MORE.replace("30", "0.3"))
    host.declare("app", COMMAND, port=port, release="2", more=MORE)
    reload = host.begin("reload", "app")
    until(lambda: _roles(host) == ["standby", "proving"], "the switch")
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /slow?s=50 HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: any(i["busy"] for i in _instances(host, 2)), "the client")
        try:
            yield Broken(host, port, reload, client)
        finally:
            reload.kill()
            reload.communicate()


def _instances(host: Host, generation: int) -> list[dict[str, Any]]:
    found = host.app("app")["instances_detail"]
    return [each for each in found if each["generation"] == generation]


def _roles(host: Host) -> list[str]:
    return [each["role"] for each in host.app("app")["generations"]]


def _stored(host: Host) -> dict[str, Any]:
    """Return the configuration that a boot would start."""
    state = json.loads((host.home / "state.json").read_text())
    spec: dict[str, Any] = state["apps"]["app"]["spec"]
    return spec


def test_what_is_asked_for_is_set_back_with_the_connections(host: Host) -> None:
    """While the release that failed drains, the one before is what is stored."""
    with broken(host) as found:
        found.crash()
        found.check()
        found.is_over()
        found.check()


def test_a_scale_that_waits_begins_with_what_serves_then(host: Host) -> None:
    """It was asked for while the release had not failed yet; only its count is kept."""
    with broken(host) as found:
        scaled = host.begin("scale", "app", 3)
        until(lambda: "waiting" in _next_line(scaled), "the scale to wait")
        found.crash()
        said, _ = scaled.communicate(timeout=60)
        assert scaled.returncode == 0, said
        found.is_over()
        found.check(instances=3)


def test_a_restart_that_waits_begins_with_what_serves_then(host: Host) -> None:
    """The command has read the configuration that had not failed yet."""
    with broken(host) as found:
        restarted = host.begin("restart", "app")
        until(lambda: "waiting" in _next_line(restarted), "the restart to wait")
        found.crash()
        said, _ = restarted.communicate(timeout=90)
        assert restarted.returncode == 0, said
        found.is_over()
        found.check()


def _next_line(command: subprocess.Popen[str]) -> str:
    assert command.stdout is not None
    return command.stdout.readline()


def test_a_restart_after_the_revert_restarts_what_serves(host: Host) -> None:
    """The operation that failed is ended by it, while its generation drains."""
    with broken(host) as found:
        found.crash()
        host.ok("restart", "app")
        found.is_over()
        found.check()


def test_a_scale_after_the_revert_scales_what_serves(host: Host) -> None:
    """The same with more instances, and then with fewer."""
    with broken(host) as found:
        found.crash()
        host.ok("scale", "app", 3)
        found.check(instances=3)
        host.ok("scale", "app", 1)
        found.is_over()
        found.check(instances=1)


def test_a_stop_after_the_revert_stops_what_served(host: Host) -> None:
    """What is started then by what is stored is the release before."""
    with broken(host) as found:
        found.crash()
        stopped = host.begin("stop", "app")
        until(lambda: host.row("app")["generation"] == 2, "both to end")
        assert _stored(host)["environment"]["RELEASE"] == "1"
        found.client.close()
        said, _ = stopped.communicate(timeout=60)
        assert stopped.returncode == 0, said
        spec = host.app("app")["spec"]
        control.ask(host.home, "start", spec=spec)
        found.check()


def test_a_stop_before_it_is_proven_goes_back_too(host: Host) -> None:
    """The reload is reported as failed, so what it began is not what starts next."""
    with broken(host) as found:
        stopped = host.begin("stop", "app")
        found.is_over()
        said, _ = stopped.communicate(timeout=60)
        assert stopped.returncode == 0, said
        assert _stored(host)["environment"]["RELEASE"] == "1"


def test_a_shutdown_before_it_is_proven_goes_back_too(host: Host) -> None:
    """After the boot that follows the release before serves."""
    with broken(host) as found:
        ended = host.begin("shutdown")
        found.is_over()
        said, _ = ended.communicate(timeout=60)
        assert ended.returncode == 0, said
        assert _stored(host)["environment"]["RELEASE"] == "1"


def test_a_power_cut_after_the_revert_boots_what_served(host: Host) -> None:
    """Nothing is left but what is on disk."""
    with broken(host) as found:
        found.crash()
        processes.kill_all(set(host.processes()))
        host.start_supervisor()
        until(lambda: host.status("app") == "online", "the app")
        found.check()


def test_a_first_start_that_failed_keeps_its_configuration(host: Host) -> None:
    """There is nothing before it; who starts it again means this one."""
    port = free_port()
    host.declare("app", ["node", "-e", "process.exit(3)"], port=port, release="7")
    assert host.gapless("start", "app.toml").returncode == 1
    assert _stored(host)["environment"]["RELEASE"] == "7"
