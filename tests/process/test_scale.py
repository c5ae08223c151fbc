"""The work of an event is that of what it touches, however many apps there are.

Work is counted, not time: what the supervisor reads, what it writes, when it wakes up.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from datetime import datetime
from functools import partial
from pathlib import Path

from gapless.supervisor.act.start_limit import HOLD_S, STARTS_PER_PROCESSOR
from rig import wait
from rig.hosts.host import APPS, Host
from rig.hosts.usage import reads, wakeups

MANY = 12
AT_REST_S = 1.0
CLOCKS_S = 0.05
"""What the time of a line in the log may be after that of the start."""


def _write(host: Host, names: list[str], more: str = "") -> Path:
    """Write a file of small apps."""
    command = json.dumps([sys.executable, str(APPS / "small.py")])
    text = "".join(
        f"[app.{name}]\ncommand = {command}\nmin_healthy_s = 0.2\n{more}"
        f'environment = {{ PORT = "{wait.free_port()}" }}\n'
        for name in names
    )
    return host.configure(text, f"{names[0]}.toml")


def _start(host: Host, names: list[str], more: str = "") -> None:
    """Start small apps, all by one file."""
    host.ok("start", str(_write(host, names, more)))
    for name in names:
        wait.until(partial(_is_online, host, name), f"{name} is online")


def _is_online(host: Host, name: str) -> bool:
    return host.status(name) == "online"


def _reads_of_a_reload(host: Host) -> int:
    pid = host.supervisor_pid()
    before = reads(pid)
    host.ok("reload", "first")
    return reads(pid) - before


def test_a_reload_reads_as_much_among_many_apps_as_alone(host: Host) -> None:
    """Nothing is read of the others, and nothing is written about them."""
    _start(host, ["first"])
    alone = min(_reads_of_a_reload(host) for _ in range(2))
    others = [f"other{number}" for number in range(MANY)]
    _start(host, others)
    notes = {name: host.home / "notes" / f"{name}.json" for name in others}
    for name, note in notes.items():
        wait.until(partial(_has_ready, note), f"the note of {name}")
    written = {name: note.stat().st_mtime_ns for name, note in notes.items()}
    among = min(_reads_of_a_reload(host) for _ in range(2))
    # How often the end is looked for is the machine's; one look at /proc is hundreds.
    assert among <= alone * 3 + 60
    for name, note in notes.items():
        assert note.stat().st_mtime_ns == written[name]


def _has_ready(note: Path) -> bool:
    """Return whether the note on disk has an instance that is ready."""
    generations = note.exists() and json.loads(note.read_text())["app"]["generations"]
    return generations and generations[0]["instances"][0]["phase"] == "ready"


def _most_at_once(log: Path) -> int:
    """Return how many instances started at the same time, by what the supervisor did.

    One that had taken `HOLD_S` does not count any more.
    """
    begun: dict[str, list[float]] = {}
    most = 0
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if event["event"] != "action":
            continue
        at = datetime.fromisoformat(event["time"]).timestamp()
        if event["action"].startswith("Start("):
            begun.setdefault(event["app"], []).append(at)
            young = [
                each
                for times in begun.values()
                for each in times
                if each > at - HOLD_S + CLOCKS_S
            ]
            most = max(most, len(young))
        elif event["action"].startswith("MarkReady("):
            begun[event["app"]].pop(0)
    return most


def test_so_many_start_at_once_and_no_more(host: Host) -> None:
    """Each start is quick, however many apps there are; those that wait are not lost."""
    limit = STARTS_PER_PROCESSOR * len(os.sched_getaffinity(0))
    names = [f"app{number}" for number in range(limit)]
    log = host.home / "logs" / "gapless.log"
    _start(host, names, "instances = 2\n")
    assert limit // 2 < _most_at_once(log) <= limit
    host.ok("reload", "all")
    assert _most_at_once(log) <= limit


def test_a_start_that_waits_outlives_the_supervisor(host: Host) -> None:
    """Killed while apps wait for their turn, it is followed by one that starts them."""
    limit = STARTS_PER_PROCESSOR * len(os.sched_getaffinity(0))
    names = [f"app{number}" for number in range(limit)]
    _write(host, names, "instances = 2\n")
    started = host.begin("start", f"{names[0]}.toml")
    log = host.home / "logs" / "gapless.log"
    wait.until(lambda: log.exists() and "Start(" in log.read_text(), "the first start")
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    printed, _ = started.communicate(timeout=60)
    assert started.returncode == 0, printed
    for name in names:
        assert host.status(name) == "online"


def test_a_list_reads_each_instance_once(host: Host) -> None:
    """It asks the groups of the instances, not every process of the machine."""
    _start(host, [f"app{number}" for number in range(MANY)])
    host.ok("list")
    pid = host.supervisor_pid()
    before = reads(pid)
    found = host.json("list")
    spent = reads(pid) - before
    if found["supervisor"]["mechanisms"]["cgroups"] is True:
        # The group and the process of each; and, beside it, what a request costs.
        assert spent <= 4 * MANY + 20


def test_nothing_wakes_up_while_nothing_happens(host: Host) -> None:
    """Neither of our processes wakes, whatever was started, reloaded and stopped."""
    _start(host, [f"app{number}" for number in range(4)])
    host.ok("reload", "all")
    host.ok("stop", "app0")
    pids = host.supervisor_pid(), host.keeper_pid()

    last, since = [0, 0], time.monotonic()

    def rests() -> bool:
        nonlocal last, since
        now = [wakeups(pid) for pid in pids]
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() >= since + AT_REST_S

    wait.until(rests, "both processes to sleep", 10)
