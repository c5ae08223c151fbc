"""Go on where the last supervisor was: apps of which the keeper has no note."""

from __future__ import annotations

from gapless.base import clock
from gapless.base.outside import faults
from gapless.supervisor.control.new_generations import NewGenerations
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.notes import Notes
from gapless.supervisor.memory.operations import Operation
from gapless.supervisor.memory.state import (
    AskedApp,
    AskedOperation,
    HostRecord,
    StateFile,
)


def resume(
    apps: Apps,
    host: HostRecord,
    state: StateFile,
    notes: Notes,
    new_generations: NewGenerations,
    *,
    resume_all: bool = False,
) -> None:
    """Take what was asked for from the disk, and start what is to run.

    After `gapless shutdown` nothing runs, and one that was interrupted goes on; with
    *resume_all* it is taken back.  What cannot be read of the state is set aside.  Raises
    OSError.
    """
    asked, trouble = state.load_or_set_aside()
    if trouble:
        faults.write(f"gapless: {trouble}")
    host.draining, host.lead_s = asked.draining, asked.lead_s
    host.outcomes = list(asked.outcomes)
    shut_down = asked.shut_down and not resume_all
    # A file that could not be written since may tell of another keeper's apps.
    same = bool(host.keeper) and asked.shut_down_keeper == host.keeper
    host.shutting_down = shut_down and same and bool(apps)
    resumed = []
    for name, wanted in asked.apps.items():
        if name in apps or name in apps.unread:
            continue  # the keeper's note is newer
        app = apps[name] = _app(name, wanted, notes)
        app.running = wanted.running and (host.shutting_down or not shut_down)
        apps.allot_ids(app, app.spec.instances)
        if app.running and not host.shutting_down:
            new_generations.resume(app)
            resumed.append(app)
        if wanted.operation is not None:
            app.operation = _operation(app, wanted.operation)
    for app in resumed:
        new_generations.put_in_order(app)
    if not trouble:  # what is not known of them now may be all that is left of some
        notes.remove_unknown({*apps, *apps.unread})
    state.save()


def _app(name: str, wanted: AskedApp, notes: Notes) -> AppRecord:
    app = wanted.record(name)
    hint = notes.read_file(name)
    if hint is not None:  # what bears these numbers may still live
        app.last_serial = hint.last_serial
        app.last_generation = max(app.last_generation, hint.last_generation)
    return app


def _operation(app: AppRecord, asked: AskedOperation) -> Operation:
    """Return an operation of which no note is left, for the client that asked for it."""
    return Operation(
        app=app.name,
        action=asked.action,
        asked_at=clock.monotonic(),
        started_at=asked.started_at,
        spec=app.spec,
        token=asked.token,
        generation=app.last_generation if app.running else None,
    )
