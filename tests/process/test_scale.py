"""The work of an event is that of what it touches, however many apps there are.

Work is counted, not time: what the supervisor reads, what it writes, when it wakes up.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial

from rig import wait
from rig.hosts.host import APPS, Host
from rig.hosts.usage import reads, wakeups

MANY = 12
AT_REST_S = 1.0


def _start(host: Host, names: list[str]) -> None:
    """Start small apps, all by one file."""
    command = json.dumps([sys.executable, str(APPS / "small.py")])
    text = "".join(
        f"[app.{name}]\ncommand = {command}\nmin_healthy_s = 0.2\n"
        f'environment = {{ PORT = "{wait.free_port()}" }}\n'
        for name in names
    )
    file = host.configure(text, f"{names[0]}.toml")
    host.ok("start", str(file))
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
    notes = host.home / "notes"
    written = {name: (notes / f"{name}.json").stat().st_mtime_ns for name in others}
    among = min(_reads_of_a_reload(host) for _ in range(2))
    # How often the end is looked for is the machine's; one look at /proc is hundreds.
    assert among <= alone * 3 + 60
    for name in others:
        assert (notes / f"{name}.json").stat().st_mtime_ns == written[name]


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
