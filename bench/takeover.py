"""What does a takeover save, and what does it cost?

`takeover.py [TABLE...]`: the tables are `lost`, `cost`, `idle` and `rate`; all unless said
otherwise.  What is compared was measured in one run, under the same clients.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from gapless.keeper.duplicate import duplicate
from gapless.supervisor.relay import holders, sockets
from rig.hosts.host import temporary_host
from rig.hosts.usage import resident_mb
from rig.load.fates import ANSWERED
from rig.load.process import run_load
from rig.load.traffic import Traffic
from rig.load.unresting import GET, UNRESTING
from rig.programs.numbered import SOURCES, Numbered, command
from rig.programs.released import (
    REST_S,
    Account,
    Run,
    Spent,
    Window,
    release,
    under_load,
)
from rig.sigterm import clean_up_at_sigterm
from rig.wait import free_port, until

LOST_OF = {"uvicorn": "", "node": "preload = false", "gunicorn-gthread": "", "go": ""}
"""Programs, and what else their configuration says."""
LOST_RELEASES = 5
DRAIN_S = 5
"""Without a takeover, clients that never pause keep the old process for so long."""

COST_OF = {"node": "preload = false", "uvicorn": ""}
QUIET = replace(GET, concurrency=8, pause_s=0.05)
NEVER_PAUSING = replace(GET, concurrency=8)
COST_RELEASES = 40
BEFORE = 10
"""So many direct exchanges of its client are compared with a relayed one."""

IDLE = 2_000
IDLE_OF = {"uvicorn": ("--timeout-keep-alive", "300"), "go": ()}
SILENT_S = 6.0
HELD_S = 3.0
LOOK_S = 0.01

RATE, RATE_CLIENTS = 1_500, 50
RATE_RELEASES = 10
AT_RATE = replace(GET, concurrency=RATE_CLIENTS, every_s=RATE_CLIENTS / RATE)


def old_for_s(report: dict[str, Any]) -> float:
    """Return how long the old processes lived after the switch."""
    at_s: dict[str, float] = {s["step"]: s["at_s"] for s in report["steps"]}
    return at_s["closed"] - at_s["switched"]


def percentile(values: list[float], part: float) -> float:
    """Return a percentile; 0 of nothing."""
    return sorted(values)[int(len(values) * part)] if values else 0.0


# --- what is lost ---------------------------------------------------------------------


def lost() -> None:
    """Print what is lost with takeovers, and without."""
    print(f"{LOST_RELEASES} releases under {len(UNRESTING)} kinds of clients")
    print(
        f"{'program':<20}{'takeover':>9}{'requests':>10}{'lost':>6}{'taken':>7}"
        f"{'back':>6}{'cut':>5}{'old for, median s':>19}{'longest':>9}"
    )
    for program, more in LOST_OF.items():
        for takeover in ('"auto"', "false"):
            text = (
                f"{more}\ntakeover = {takeover}\nmin_healthy_s = 0.5\n"
                f"stop = {{ drain_timeout_s = {DRAIN_S}, kill_timeout_s = 2 }}"
            )
            with under_load(program, text, UNRESTING) as (app, load, found):
                for number in range(2, LOST_RELEASES + 2):
                    release(app, number, found)
                    load.wait_for_version(str(number))
            took_s = sorted(map(old_for_s, found.reports))
            back, cut = (
                sum(each["connections"][name] for each in found.reports)
                for name in ("given_back", "cut")
            )
            print(
                f"{program:<20}{takeover:>9}{len(found.requests):>10}{found.lost:>6}"
                f"{found.taken:>7}{back:>6}{cut:>5}{took_s[len(took_s) // 2]:>19.2f}"
                f"{took_s[-1]:>9.2f}  {found.trouble}",
                flush=True,
            )


# --- what it costs --------------------------------------------------------------------


def exchanges(found: Run) -> tuple[dict[str, list[float]], list[float]]:
    """Return the milliseconds of exchanges of each kind, and what a relay added."""
    kinds: dict[str, list[float]] = {
        "direct, before the release": [],
        "direct, just before": [],
        "relayed, the last of its connection": [],
        "the first of the next connection": [],
    }
    at_rest, just_before, relayed, first = kinds.values()
    added = []
    of_client: dict[int, list[dict[str, Any]]] = {}
    for request in found.requests:
        of_client.setdefault(request["client"], []).append(request)
    for own in of_client.values():
        took_ms = [(each["ended"] - each["began"]) * 1e3 for each in own]
        for place, each in enumerate(own):
            if not (each["closes"] and each["fate"] == ANSWERED):
                continue
            begun = [w.began for w in found.releases if w.began <= each["began"]]
            if not begun or place < BEFORE:
                continue
            direct = [p for p in range(place) if not own[p]["closes"]]
            direct = [p for p in direct if own[p]["reused"]]
            ended = [p for p in direct if own[p]["ended"] <= begun[-1]]
            at_rest += [took_ms[p] for p in ended[-BEFORE:]]
            before = [took_ms[p] for p in direct[-BEFORE:]]
            just_before += before
            relayed.append(took_ms[place])
            added.append(took_ms[place] - statistics.median(before))
            first += took_ms[place + 1 : place + 2]
    return kinds, added


def cost() -> None:
    """Print the latency of relayed exchanges, and the processor time."""
    loads = {"pauses of 50 ms": QUIET, "no pauses": NEVER_PAUSING}
    for program, more in COST_OF.items():
        for name, traffic in loads.items():
            young: list[float] = []
            with under_load(program, more, (traffic,)) as (app, _, found):
                for number in range(2, COST_RELEASES + 2):
                    release(app, number, found)
                    asked = first_two(app, traffic, found.releases[-1].took_s)
                    young += [took_ms for took_ms, is_first in asked if is_first]
            print(
                f"\n{program}, {traffic.concurrency} clients, {name}: {COST_RELEASES} "
                f"releases, {found.taken} connections taken, {found.lost} requests "
                f"lost of {len(found.requests)} {found.trouble}"
            )
            print_cost(found, young)


def first_two(
    app: Numbered, traffic: Traffic, for_s: float
) -> list[tuple[float, bool]]:
    """Return what the first two exchanges of each client took at a process so young.

    It was started as a release starts it, and nothing of ours stands between: no relay
    can be faster than that.  Each comes with whether it is the first of its client.
    """
    with started(app, for_s) as port, tempfile.TemporaryDirectory() as directory:
        ledger = Path(directory) / "ledger"
        with run_load(port, traffic, ledger=ledger) as load:
            load.wait_for(2 * traffic.concurrency)
        seen: Counter[int] = Counter()
        asked = []
        for each in map(json.loads, ledger.read_text().splitlines()):
            seen[each["client"]] += 1
            if seen[each["client"]] <= 2:
                took_ms = (each["ended"] - each["began"]) * 1e3
                asked.append((took_ms, seen[each["client"]] == 1))
    return asked


def print_cost(found: Run, young: list[float]) -> None:
    """Print two tables of a run."""
    kinds, added = exchanges(found)
    kinds["a first one at a process so young"] = young
    print(f"{'exchange':<38}{'count':>8}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for name, took in (*kinds.items(), ("added to its client's median", added)):
        p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
        most = max(took, default=0.0)
        print(f"{name:<38}{len(took):>8}{p50:>9.2f}{p99:>9.2f}{most:>9.2f}")
    _, before, relayed, _, first = (percentile(each, 0.99) for each in kinds.values())
    print(
        f"p99 of relayed over that of direct ones: {relayed - before:+.2f} ms, over that "
        f"of first ones at a process so young: {relayed - first:+.2f} ms (goal 5 ms)"
    )
    print(f"{'processor time':<38}{'ms a release':>14}{'ms a connection':>17}")
    rows: dict[str, Callable[[Spent], float]] = {
        "relay": lambda s: s.relay,
        "supervisor": lambda s: s.supervisor,
        "keeper": lambda s: s.keeper,
        "the app itself, old and new": lambda s: s.app,
    }
    for name, of in rows.items():
        spent_ms = found.total(of) * 1e3
        each, one = spent_ms / len(found.releases), spent_ms / max(found.taken, 1)
        print(f"{name:<38}{each:>14.1f}{one:>17.2f}", flush=True)


# --- idle connections -----------------------------------------------------------------


class Idle:
    """Many connections of one client to an app."""

    def __init__(self, app: Numbered, count: int) -> None:
        self.app, self._number = app, 0
        address = ("127.0.0.1", app.port)
        self._socks = [socket.create_connection(address, 10) for _ in range(count)]

    def ask(self) -> int:
        """Ask one after the other; return how many were answered."""
        return sum(map(self._ask, self._socks))

    def _ask(self, sock: socket.socket) -> bool:
        self._number += 1
        request = f"GET /n?id={self._number} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        try:
            sock.sendall(request.encode())
            answer = b""
            while not answer.endswith(b" number %d\n" % self._number):
                piece = sock.recv(65_536)
                if not piece:
                    return False
                answer += piece
        except OSError:
            return False
        return answer.startswith(b"HTTP/1.1 200")

    def close(self) -> None:
        """Close them all."""
        for sock in self._socks:
            sock.close()


def duplicates_of(pid: int, port: int) -> list[socket.socket]:
    """Return duplicates of a process's connections at its port."""
    found = []
    for held_by in holders.sockets_of((pid,)).values():
        sock = holders.connection_of(duplicate(*held_by[0]))
        if sock is not None and sock.getsockname()[1] == port:
            found.append(sock)
    return found


def when_parked(socks: list[socket.socket], report: list[Any]) -> float:
    """Return when each connection was parked at least once; they are closed then."""
    while socks and not report:
        for sock in list(socks):
            if sockets.mark_of(sock) == sockets.PARKED:
                socks.remove(sock)
                sock.close()
        if socks:
            time.sleep(LOOK_S)
    return time.time()


def idle() -> None:
    """Print how long idle connections take, and what the relay uses meanwhile."""
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2
    )
    print(
        f"{IDLE} idle connections; seconds since the drain began; goal: parked in 1 s"
    )
    print(
        f"{'program':<10}{'silent for':>11}{'parked':>8}{'settled':>9}{'ended':>7}"
        f"{'taken':>7}{'relay MB':>10}{'its CPU s':>11}{'CPU held':>10}{'answered':>10}"
    )
    for program, arguments in IDLE_OF.items():
        for silent_s in (SILENT_S, 0.0):
            with temporary_host("gapless-bench-") as host:
                app = Numbered(host, program, arguments=arguments)
                app.start()
                print(f"{program:<10}" + idle_row(app, silent_s), flush=True)


def idle_row(app: Numbered, silent_s: float) -> str:
    """Return a line of the table."""
    (pid,) = app.host.app("app")["pids"]
    clients = Idle(app, IDLE)
    assert clients.ask() == IDLE
    asked = time.monotonic()
    socks = duplicates_of(pid, app.port)
    assert len(socks) == IDLE
    time.sleep(max(0.0, asked + silent_s - time.monotonic()))
    account = Account(app.host)
    silent_s = time.monotonic() - asked
    report: list[dict[str, Any]] = []
    released = threading.Thread(target=lambda: report.append(app.release(2)))
    released.start()
    parked_at = when_parked(socks, report)
    missed = len(socks)
    released.join()
    relay = account.relay()
    memory = resident_mb(relay) if relay else 0.0
    spent = account.spent()
    time.sleep(HELD_S)
    held = account.spent()
    answered = clients.ask()
    clients.close()
    at_s = {s["step"]: s["at_s"] for s in report[0]["steps"]}
    began_at = datetime.fromisoformat(report[0]["started_at"]).timestamp()
    parked_s = parked_at - began_at - at_s["draining"]
    parked = f"{parked_s:.2f}" if not missed else f"-{missed}"
    return (
        f"{silent_s:>9.1f} s{parked:>8}{at_s['stopping'] - at_s['draining']:>9.2f}"
        f"{at_s['closed'] - at_s['draining']:>7.2f}"
        f"{report[0]['connections']['taken_over']:>7}{memory:>10.1f}{spent.relay:>11.2f}"
        f"{held.relay / HELD_S:>10.0%}{answered:>10}"
    )


# --- a steady rate --------------------------------------------------------------------


@contextlib.contextmanager
def started(app: Numbered, for_s: float) -> Iterator[int]:
    """Start what a release starts, for so long or longer; give its port."""
    began = time.monotonic()
    app.host.ok("list")  # the command that is run for a release costs as well
    port = free_port()
    environment = os.environ | {"PORT": str(port), "NUMBERS": os.devnull}
    process = subprocess.Popen(
        command(app.program, port),
        cwd=SOURCES,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: listens(port), "the other process")
    yield port
    time.sleep(max(0.0, began + for_s - time.monotonic()))
    process.terminate()
    process.wait()


def listens(port: int) -> bool:
    """Return whether somebody accepts at a port; nothing is asked: that would warm it."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def start_only(app: Numbered, for_s: float) -> Window:
    """Let it serve nobody."""
    began = time.monotonic()
    with started(app, for_s):
        pass
    return Window(began=began, ended=time.monotonic())


def start_and_move(app: Numbered, for_s: float) -> tuple[Window, list[float]]:
    """Let so many clients come to it; return what their first two exchanges took."""
    began = time.monotonic()
    asked = first_two(app, AT_RATE, for_s)
    return Window(began=began, ended=time.monotonic()), [took for took, _ in asked]


def nothing(for_s: float) -> Window:
    """Let time pass."""
    began = time.monotonic()
    time.sleep(for_s)
    return Window(began=began, ended=time.monotonic())


def rate() -> None:
    """Print what clients at a steady rate notice of a release."""
    for program, more in COST_OF.items():
        text = f"{more}\nmin_healthy_s = 2"
        at_rest, starts, moves, moved_ms = [], [], [], []
        with under_load(program, text, (AT_RATE,)) as (app, _, found):
            for number in range(2, RATE_RELEASES + 2):
                release(app, number, found)
                for_s = found.releases[-1].took_s
                time.sleep(REST_S)
                at_rest.append(nothing(for_s))
                starts.append(start_only(app, for_s))
                time.sleep(REST_S)
                window, took_ms = start_and_move(app, for_s)
                moves.append(window)
                moved_ms.append(took_ms)
        print(
            f"\n{program}, {RATE} requests a second of {RATE_CLIENTS} clients, "
            f"{RATE_RELEASES} releases; lost {found.lost} {found.trouble}"
        )
        windows = {"rest": at_rest, "a start": starts, "a move": moves}
        print_rate({**windows, "release": found.releases}, found, moved_ms)


def print_rate(
    windows: dict[str, list[Window]], found: Run, moved_ms: list[list[float]]
) -> None:
    """Print the latencies in windows of each kind, from when a request was due.

    *moved_ms* are those of the clients that come to the other process, in each *move*.
    """
    print(
        f"{'during':<10}{'requests':>10}{'a second':>10}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'p99.9':>9}{'max ms':>9}{'median of p99s':>17}"
    )
    p99s = {}
    for name, those in windows.items():
        each_ms = [
            [
                (r["ended"] - r["due"]) * 1e3
                for r in found.requests
                if w.began <= r["due"] < w.ended
            ]
            for w in those
        ]
        if name == "a move":
            each_ms = [[*a, *b] for a, b in zip(each_ms, moved_ms, strict=True)]
        took = [ms for own in each_ms for ms in own]
        p99s[name] = percentile(took, 0.99)
        print(
            f"{name:<10}{len(took):>10}{len(took) / sum(w.took_s for w in those):>10.0f}"
            f"{percentile(took, 0.5):>9.2f}{p99s[name]:>9.2f}"
            f"{percentile(took, 0.999):>9.2f}{max(took):>9.1f}"
            f"{statistics.median(percentile(own, 0.99) for own in each_ms):>17.2f}"
        )
    ratios = {name: p99s["release"] / p99 for name, p99 in p99s.items()}
    print(
        f"p99 of a release to that of rest: {ratios['rest']:.2f} (goal 1.2), to that of a "
        f"start: {ratios['a start']:.2f}, of a start to which the same clients move: "
        f"{ratios['a move']:.2f}\n"
        f"{_last_ones(found):.1%} of the requests of a release are the last ones of "
        "their connections",
        flush=True,
    )


def _last_ones(found: Run) -> float:
    """Return the part of the requests in releases that a relay has passed on."""
    during = [
        r["closes"]
        for r in found.requests
        if any(w.began <= r["due"] < w.ended for w in found.releases)
    ]
    return float(sum(during) / len(during))


TABLES = {each.__name__: each for each in (lost, cost, idle, rate)}


def main(names: list[str]) -> None:
    """Print the tables."""
    for name in names or TABLES:
        TABLES[name]()
        print()


if __name__ == "__main__":
    clean_up_at_sigterm()
    main(sys.argv[1:])
