"""Play steps of a chaos, and check after each that what was said is true."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rig import wait
from rig.chaos import faults
from rig.chaos.apps import App
from rig.chaos.schedule import Change, Fault, Step
from rig.chaos.world import SETTLE_S, World

COMMAND_S = 120.0 * wait.SLOWER
BROKEN = (Change.EXITS, Change.SILENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    output: str


def play(world: World, step: Step) -> None:
    """Let a step happen.  Raises AssertionError if something is not true afterwards."""
    app = world.apps[step.app]
    world.ensure_all()
    with _begun(world, _declared(app, step)) as process:
        printed = _read_lines(process, step.after_lines)
        with faults.strikes(world, step):
            # What starts may wait for who is paused: gunicorn's processes call unlink.
            but = app.name if step.fault in faults.STOPS else ""
            world.wait_for_answers(step.answers, but)
        ended = _end(process, printed)
    world.ensure_all()
    _judge(world, app, step, ended)
    assert world.lost() <= world.cut, f"{step}: {world.reports()}\n{ended.output}"


@contextmanager
def _begun(
    world: World, words: tuple[str, ...]
) -> Iterator[subprocess.Popen[str] | None]:
    """Start a command, if there is one; it has ended at the end of the block."""
    if not words:
        yield None
        return
    with world.begin(*words) as process:
        try:
            yield process
        finally:
            process.kill()


def _declared(app: App, step: Step) -> tuple[str, ...]:
    """Write what the change needs; return its command."""
    if step.change is Change.NOTHING:
        return ()
    if step.change is Change.UPGRADE:
        return ("upgrade",)
    if step.change is Change.SCALE:
        return ("scale", app.name, str(step.instances))
    app.latest += 1
    app.declare(app.latest, step.change)
    return ("reload", f"{app.name}.toml")


def _read_lines(process: subprocess.Popen[str] | None, count: int) -> str:
    """Return up to *count* lines of a command, as soon as it has printed them."""
    if process is None:
        return ""
    assert process.stdout is not None
    return "".join(process.stdout.readline() for _ in range(count))


def _end(process: subprocess.Popen[str] | None, printed: str) -> Ended:
    if process is None:
        return Ended(code=0, output="")
    try:
        rest = process.communicate(timeout=COMMAND_S)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        rest = process.communicate()[0] + f"\nhung for {COMMAND_S:g} s"
    return Ended(code=process.returncode, output=printed + rest)


def _judge(world: World, app: App, step: Step, ended: Ended) -> None:
    """Check the exit code, and that it is true of the app."""
    said = f"{step}: exit code {ended.code}: {ended.output}"
    assert ended.code in _codes(step), said
    if ended.code == 0 and step.change is Change.RELOAD:
        app.release = app.latest
    if ended.code == 0 and step.change is Change.SCALE:
        app.instances = step.instances
    try:
        wait.until(lambda: not world.settled(), "all apps to be at rest", SETTLE_S)
    except AssertionError:
        raise AssertionError(f"{said}\n{world.settled()}") from None
    for load in app.loads:
        before = load.versions().get(str(app.release), 0)
        wait.until(
            lambda load=load, before=before: (  # type: ignore[misc]  # bound at once
                load.versions().get(str(app.release), 0) > before
            ),
            f"an answer of release {app.release} of {app.name} ({said})",
            SETTLE_S,
        )


def _codes(step: Step) -> set[int]:
    """Return which exit codes may be true."""
    if step.fault is Fault.DISK_FULL and step.change is not Change.NOTHING:
        return {0, 1}  # what was asked for may not have been written down
    if step.change in BROKEN:
        return {1}
    if step.change is Change.UPGRADE and step.fault is not Fault.NOTHING:
        return {0, 1}  # then what ran goes on
    return {0}
