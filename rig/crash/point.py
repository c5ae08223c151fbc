"""One crash point: a host of its own, a scenario, one death or two, and what is left."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from rig import wait
from rig.crash import invariants, seen
from rig.crash.address import Address
from rig.crash.scenarios import NAME, Outcome, Scenario, declare
from rig.crash.seen import Seen
from rig.hosts import control, processes
from rig.hosts.host import Host
from rig.load.engine import Engine
from rig.load.paths import PathLoad
from rig.load.traffic import Traffic

COMMAND = Path(__file__).parent / "command.py"
COMMAND_S = 40.0 * wait.SLOWER
"""A command that does not end in this time hangs."""
SETTLE_S = 20.0
"""How long everything may take to come to rest.  An idle machine needs a second or two."""
NEW = Traffic(kind="new", concurrency=2, pause_s=0.005)
KEPT = Traffic(kind="kept", concurrency=3, keep_alive=True, pause_s=0.002)


@dataclass(slots=True)
class Result:
    """What became of a host at one crash point."""

    effects: list[str] = field(default_factory=list)
    """The effects of the first supervisor; it died after the last of them, if it died."""
    deaths: int = 0
    last: list[str] = field(default_factory=list)
    """After which effect each of them died."""
    faults: dict[str, str] = field(default_factory=dict)
    """By the name of the invariant, what was wrong."""
    took_s: float = 0.0
    seen: Seen | None = None
    output: str = ""

    def take_traces(self, point: _Point, count: int) -> None:
        """Note the deaths, and the effects before the first."""
        traces = [point.trace(number) for number in range(count)]
        self.deaths = sum("dead" in trace for trace in traces)
        self.effects = [line for line in traces[0] if line != "dead"]
        self.last = [trace[-2] for trace in traces if "dead" in trace]

    def __str__(self) -> str:
        after = "; ".join(self.last) or "nothing"
        lines = [f"{self.deaths} deaths, after {after} ({len(self.effects)} effects)"]
        lines += [f"  {name}: {wrong}" for name, wrong in self.faults.items()]
        return "\n".join([*lines, f"the command printed: {self.output.strip()}"])


def run(
    scenario: Scenario,
    deaths: tuple[int, ...],
    *,
    undisturbed: Seen | None = None,
    waiting: bool = True,
    victim: str = "supervisor",
) -> Result:
    """Let a scenario happen; successive supervisors die after the effects *deaths*.

    Or the keeper after so many of its own, or both, or all three: the *victim*.

    A number beyond the last effect kills nothing, and 0 counts only.  Unless *waiting*,
    the command dies with the first supervisor, and somebody else starts the next one.
    """
    began, result = time.monotonic(), Result()
    with tempfile.TemporaryDirectory(prefix="gapless-") as directory:
        point = _Point(Host(Path(directory)), scenario, waiting=waiting)
        (point.plan / "victim").write_text(victim)
        point.may_fail = victim == "all"
        try:
            _run(point, deaths, undisturbed, result)
            if not result.faults:
                _shut_down(point, result)
        except AssertionError as error:
            result.faults["the_scenario_can_happen"] = str(error)
        finally:
            result.take_traces(point, len(deaths))
            # What hangs or is left was reported; none of it may outlive this.
            while left := point.host.processes():
                processes.kill_all(set(left))
                time.sleep(wait.PAUSE_S)
    result.took_s = time.monotonic() - began
    return result


class _Point:
    """A host, the plan of deaths, and what the scenario does there."""

    def __init__(self, host: Host, scenario: Scenario, *, waiting: bool) -> None:
        self.host, self.scenario, self.waiting = host, scenario, waiting
        path = host.directory / "run" / "app.sock" if scenario.on_path else None
        if path is not None:
            path.parent.mkdir()
        self.address = Address(wait.free_port(), wait.free_port(), path)
        self.plan = host.directory / "plan"
        self.plan.mkdir()
        self.may_fail = False
        """Whether a release may fail by the death: then the one before serves on."""
        self.before: Seen | None = None
        """What the host was like when the app had started."""

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start a command whose supervisors die by the plan."""
        return subprocess.Popen(
            [sys.executable, str(COMMAND), str(self.plan), *words],
            cwd=self.host.directory,
            env=self.host.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def command(self, *words: str) -> tuple[int, str]:
        """Run a command to its end; return its exit code, and what it printed."""
        with self.begin(*words) as process:
            try:
                output = process.communicate(timeout=COMMAND_S)[0]
            except subprocess.TimeoutExpired:
                process.kill()
                output = process.communicate()[0] + f"\nhung for {COMMAND_S:g} s"
        return process.returncode, output

    def act(self) -> tuple[int | None, str]:
        """Let the scenario happen; return the exit code of a command that waited."""
        if self.scenario.words != ("die",):
            code, output = self.command(*self.scenario.words)
            return (code if self.waiting else None), output
        _ask_to_die(self.address)
        dead = self.plan / "trace-0"
        with suppress(AssertionError):  # a number beyond the last effect
            wait.until(lambda: "dead" in dead.read_text() or self.restarted(), "", 5)
        return None, ""

    def restarted(self) -> bool:
        """Return whether an instance that ended was started again."""
        app = control.ask(self.host.home, "describe", app=NAME)
        return bool(app and app["restarts"] and app["instances"]["ready"] == 1)

    def ensure_supervisor(self) -> None:
        """Start a supervisor if none runs, as the next command or systemd does."""
        if control.ask(self.host.home, "ping"):
            return
        code, output = self.command("supervisor")
        if code:  # that one was to die while it started
            code, output = self.command("supervisor")
        assert code == 0, f"no supervisor starts: {output}"

    def trace(self, number: int = 0) -> list[str]:
        """Return the effects of the first supervisor, or of a later one."""
        path = self.plan / f"trace-{number}"
        return path.read_text().splitlines() if path.exists() else []


def _run(
    point: _Point, deaths: tuple[int, ...], undisturbed: Seen | None, result: Result
) -> None:
    host, scenario = point.host, point.scenario
    for number, last in enumerate(deaths):
        (point.plan / f"death-{number}").write_text(str(last))
    if scenario.starts:
        declare(host, scenario, point.address, release="1")
        started, output = point.command("start", "app.toml")
        assert started == 0, output
        if not point.waiting:
            usual = Outcome(instances=scenario.instances)
            point.before = seen.look(host, point.address, usual, None)
    declare(host, scenario, point.address, release=scenario.release, dies=scenario.dies)
    if not point.waiting:
        (point.plan / "alone").touch()
    with _load(point.address, scenario) as stop:
        (point.plan / "go").touch()
        code, result.output = point.act()
        (point.plan / "alone").unlink(missing_ok=True)
        outcome = _judge(point, code, undisturbed, result)
        if not result.faults:
            _release_again(point, outcome, result)
        lost = stop()
    if lost:
        result.faults["no_request_is_lost"] = lost


def _judge(
    point: _Point, code: int | None, undisturbed: Seen | None, result: Result
) -> Outcome:
    """Wait until every invariant holds; keep those that do not.

    Returns what became of the app.
    """
    scenario = point.scenario
    possible = [scenario.outcome, *([] if point.waiting else scenario.alone)]
    if point.may_fail and scenario.starts:
        possible.append(replace(scenario.outcome, code=1, release="1"))
    lives = scenario.outcome.status != "gone"
    if not point.waiting:
        point.ensure_supervisor()
    deadline = time.monotonic() + SETTLE_S
    while True:
        if lives:
            point.ensure_supervisor()  # it may die after the command has ended
        began = time.monotonic()
        for outcome in possible:
            found = seen.look(point.host, point.address, outcome, code)
            usual = undisturbed if outcome is scenario.outcome else point.before
            faults = invariants.broken(found, usual)
            if outcome is scenario.outcome or not faults:
                result.seen, result.faults = found, faults
            if not faults:
                return outcome
        if time.monotonic() > deadline:
            return scenario.outcome
        time.sleep(time.monotonic() - began)  # looking must not keep the host from it


def _release_again(point: _Point, before: Outcome, result: Result) -> None:
    """Release once more, as users do: it works as if nothing had happened."""
    scenario = point.scenario
    (point.plan / "go").unlink(missing_ok=True)
    declare(point.host, scenario, point.address, release="3")
    runs = before.status == "online"
    if scenario.shares and not runs:
        point.command("start", "--only", NAME, "app.toml")  # the other one runs
        runs = True
    code, output = point.command("reload" if runs else "start", "app.toml")
    if code:
        result.faults["the_next_release_works"] = f"exit code {code}: {output}"
        return
    again = Outcome(release="3", instances=scenario.instances)
    try:
        wait.until(
            lambda: (
                not invariants.broken(
                    seen.look(point.host, point.address, again, code), None
                )
            ),
            "",
            SETTLE_S,
        )
    except AssertionError:
        found = seen.look(point.host, point.address, again, code)
        wrong = invariants.broken(found, None)
        result.faults["the_next_release_works"] = str(wrong or "late")


def _shut_down(point: _Point, result: Result) -> None:
    """Shut down, as users do; nothing is left then."""
    code, output = point.command("shutdown")
    try:
        wait.until(lambda: not point.host.processes(), "", SETTLE_S)
    except AssertionError:
        left = point.host.processes()
        result.faults["a_shutdown_leaves_nothing"] = f"{code} {output} {left}"
        return
    sockets = [path.name for path in point.host.directory.rglob("*.sock*")]
    if code or sockets:
        result.faults["a_shutdown_leaves_nothing"] = f"{code} {output} {sockets}"


# --- load -----------------------------------------------------------------------------


class _Load:
    """Requests all the time, from a thread of this process."""

    def __init__(self, port: int, traffics: tuple[Traffic, ...]) -> None:
        self._engine = Engine("127.0.0.1", port, traffics, seconds=120.0)
        self._thread = threading.Thread(target=self._engine.run, daemon=True)
        self._thread.start()

    @property
    def answered(self) -> int:
        return len(self._engine.ledger.requests)

    def stop(self) -> str:
        """Stop; return what was lost."""
        self._engine.stopping = True
        self._thread.join(30)
        report = self._engine.report()
        return str(report) if report.lost else ""


class _PathLoad:
    """The same on a Unix-domain path."""

    def __init__(self, path: Path) -> None:
        self._load = PathLoad(str(path), NEW.concurrency)

    @property
    def answered(self) -> int:
        return self._load.answered

    def stop(self) -> str:
        """Stop; return what was lost."""
        lost = self._load.stop()
        return str(lost) if lost else ""


@contextmanager
def _load(address: Address, scenario: Scenario) -> Iterator[Callable[[], str]]:
    """Run a load; yield a function that ends it, and returns what was lost."""
    if not scenario.loaded:
        yield lambda: ""
        return
    load: _Load | _PathLoad
    if address.path is not None:
        load = _PathLoad(address.path)
    else:
        load = _Load(address.port, (NEW, KEPT) if scenario.kept else (NEW,))
    try:
        wait.until(lambda: load.answered > 4, "answers", 10)
        yield load.stop
    finally:
        load.stop()


def _ask_to_die(address: Address) -> None:
    with address.connect(5) as sock:
        sock.sendall(b"GET /die HTTP/1.1\r\nHost: app\r\n\r\n")
        while sock.recv(4096):
            pass
