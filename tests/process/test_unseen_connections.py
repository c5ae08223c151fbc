"""Where the kernel does not show connections: nothing is lost, or it is refused by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rig.fixtures import own_metrics
from rig.hosts.host import Host
from rig.hosts.without_sock_diag import PREFIX
from rig.load import engine
from rig.load.process import run_load
from rig.wait import SLOWER, free_port, until

NODE = ["node", "app.js"]
SLOW = engine.Traffic(kind="slow", concurrency=3, path="/slow?s=0.4")
DRAIN_S = 1.5
SHORT = (
    f"stop = {{ drain_timeout_s = {DRAIN_S} }}\nready = {{ timeout_s = {30 * SLOWER} }}"
)
UNSEEN = "connections cannot be seen here (sock_diag: protocol not supported)"


@pytest.fixture
def blind(host: Host) -> Host:
    """Return a host to which the kernel shows no connections."""
    host.command_prefix = PREFIX
    return host


def steps(report: dict[str, Any]) -> dict[str, float]:
    """Return when each step of an operation was taken."""
    return {step["step"]: step["at_s"] for step in report["steps"]}


def test_a_release_and_a_stop_lose_nothing_and_take_their_time(blind: Host) -> None:
    """Slow requests are finished; what cannot be counted is not reported as none."""
    port = free_port()
    blind.start("app", NODE, port=port, more=SHORT)
    with run_load(port, engine.NEW, engine.KEEP_ALIVE, engine.POST, SLOW) as load:
        load.wait_for(30)
        blind.declare(
            *("app", NODE),
            port=port,
            release="2",
            more=SHORT,
        )
        said = blind.ok("reload", "app.toml")
        load.wait_for(30)
        assert load.lost() == 0
        report = blind.app("app")["last_report"]
        (row,) = blind.app("app")["instances_detail"]
        blind.ok("stop", "app")
        fates = load.stop().fates
    # An idle connection may be closed as its client asks again (LIMITS).
    assert set(fates) <= {"answered", "refused", "closed"}, fates
    assert f"{UNSEEN}: generation 1 will drain for 1.5 s, idle or not" in said
    assert "its 1.5 s are over, and its connections cannot be seen" in said
    assert "connections in flight are not known" in said
    assert report["connections"] is None
    assert (row["connections"], row["busy"]) == (None, None)
    taken = steps(report)
    assert taken["stopping"] - taken["proven"] >= DRAIN_S
    mechanisms = blind.json("list")["supervisor"]["mechanisms"]
    assert mechanisms["evidence"] == "sock_diag: protocol not supported"


def test_a_crash_after_the_switch_takes_nothing_of_its_queue(blind: Host) -> None:
    """Handshakes cannot be seen, so a relay waits for those that may be under way."""
    port = free_port()
    more = f"{SHORT}\nmin_healthy_s = 30"
    blind.start("app", NODE, port=port, more=more)
    until(lambda: blind.status("app") == "online", "it to serve")
    with run_load(port, engine.NEW) as load:
        load.wait_for(30)
        blind.declare("app", NODE, port=port, release="2", more=more)
        reload = blind.begin("reload", "app.toml")
        load.wait_for_version("2")
        newest = max(
            blind.app("app")["instances_detail"], key=lambda each: each["generation"]
        )
        crash = ["kill", "-KILL", str(newest["pid"])]
        subprocess.run(crash, check=True)
        until(lambda: own_metrics.told(blind, "queue_relays"), "the metrics of it")
        said, _ = reload.communicate(timeout=60)
        load.wait_for(30)
        fates = load.stop().fates
    assert reload.returncode == 1, said
    # What the dead instance had accepted is lost with it (LIMITS); its queue is not.
    assert set(fates) <= {"answered", "closed", "cut", "reset"}, fates
    assert blind.status("app") == "online"


def test_what_would_cut_is_refused_and_nothing_changes(blind: Host) -> None:
    """A recycle, and waiting for calls to databases; by hand and by itself."""
    port = free_port()
    done = blind.gapless(
        *(
            "start",
            blind.declare("db", NODE, port=port, release="1", more="outgoing = [5432]"),
        )
    )
    assert done.returncode == 1
    assert f"db: {UNSEEN}, so nothing can wait for calls to databases" in done.stderr
    assert not blind.json("list")["apps"]

    watched = blind.directory / "watched"
    watched.mkdir()
    more = f'{SHORT}\noverlap = false\nrenew = {{ watch = ["{watched}"] }}'
    blind.start("one", NODE, port=port, more=more)
    pids = blind.app("one")["pids"]
    for command in (("reload", "one.toml"), ("restart", "one")):
        done = blind.gapless(*command)
        assert done.returncode == 1, done.stdout
        assert f"one: {UNSEEN}, so no instance is known to be idle" in done.stderr
    (watched / "file").touch()
    until(lambda: blind.app("one")["reason"], "the reason why it is not renewed")
    assert (
        "is not renewed: one: connections cannot be seen" in blind.app("one")["reason"]
    )
    assert blind.app("one")["pids"] == pids
    blind.ok("stop", "one")
    blind.ok("start", "one")


def test_a_recycle_is_refused_while_a_release_is_watched_too(blind: Host) -> None:
    """It would wait, and begin without anybody looking again."""
    more = f"{SHORT}\nmin_healthy_s = 30"
    port = free_port()
    blind.start("app", NODE, port=port, more=more)
    reload = blind.begin("reload", "app")
    until(lambda: len(blind.app("app")["generations"]) == 2, "the next generation")
    until(lambda: "proving" in roles(blind), "the switch")
    done = blind.gapless("reload", "app", "--recycle")
    assert done.returncode == 1, done.stdout
    assert "no instance is known to be idle" in done.stderr
    reload.kill()
    reload.communicate()


def roles(host: Host) -> list[str]:
    """Return the roles of the generations of the app."""
    return [each["role"] for each in host.app("app")["generations"]]


SHORTAGE = """
import os, resource, socket
from gapless.base import events
from gapless.supervisor.kernel.dumps import Dumps
log = events.Log(os.environ["LOG"])
log.write("begun", missing="")
dumps = Dumps(log)
with socket.socket() as known, socket.socket() as client:
    known.bind(("127.0.0.1", 0)); known.listen()
    port = known.getsockname()[1]
    client.connect(("127.0.0.1", port))
    ports = frozenset((port,))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
    dumps.begin_turn()
    assert dumps.incoming("app", ports) is None
    assert "too many open files" in dumps.unavailable, dumps.unavailable
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert dumps.incoming("app", ports) is None, "it is asked once in a turn"
    dumps.begin_turn()
    connections, _ = dumps.incoming("app", ports)
    assert [each.local[1] for each in connections] == [port]
    assert not dumps.unavailable
"""


def test_a_question_that_fails_is_asked_again(tmp_path: Path) -> None:
    """What is not seen now is seen when the kernel answers again; both are in the log."""
    log = tmp_path / "log"
    subprocess.run(
        [sys.executable, "-c", SHORTAGE], env={"LOG": str(log)}, check=True, timeout=60
    )
    missing = [json.loads(line)["missing"] for line in log.read_text().splitlines()]
    assert missing == ["", "sock_diag: too many open files", None]
