"""When a note is on disk: at once if an instance is not found again without it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.base import clock, events, wire
from gapless.base.names import Home
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord, SeatRecord
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.memory.model import Phase, Role
from gapless.supervisor.memory.notes import DISK_PAUSE_S, Notes
from gapless.supervisor.memory.spec import AppSpec

SPEC = AppSpec(name="shop", command=("node",), directory="/srv")


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Notes]:
    """Return the notes of a home of their own, and a keeper that reads nothing."""
    ours, keepers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    log = events.Log(str(tmp_path / "gapless.log"))
    keeper = KeeperConnection(wire.Channel(ours))
    with ours, keepers:
        yield Notes(Home(str(tmp_path)), keeper, log, is_ours=lambda: True)


def an_app() -> tuple[AppRecord, InstanceRecord]:
    """Return an app with an instance that the keeper was asked to start."""
    instance = InstanceRecord(key="shop/1/0/1", ordinal=0, started=7.0)
    generation = GenerationRecord(1, SPEC, 5.0, instances=[instance])
    generation.seats = [SeatRecord(0)]
    return AppRecord(name="shop", spec=SPEC, generations=[generation]), instance


def turn(notes: Notes, app: AppRecord) -> AppRecord | None:
    """End a turn of the loop; return what is on disk then."""
    notes.write(app)
    notes.write_files(clock.monotonic())
    return notes.read_file(app.name)


def test_an_instance_is_on_disk_in_the_turn_in_which_it_is_known(notes: Notes) -> None:
    """Its process, that it listens, that it is ready, and that its generation serves."""
    app, instance = an_app()
    turn(notes, app)
    instance.pid = 4711
    assert turn(notes, app) == app
    instance.listens.add("tcp:127.0.0.1:80")
    assert turn(notes, app) == app
    instance.phase = Phase.READY
    assert turn(notes, app) == app
    app.generations[0].role = Role.SERVING
    assert turn(notes, app) == app
    assert notes.write_until() is None
    app.generations[0].role = Role.RETIRING
    assert turn(notes, app) != app


def test_what_can_be_seen_without_the_note_waits_for_more(notes: Notes) -> None:
    """That an instance is told to end, and has: no write for each of many ends."""
    app, instance = an_app()
    instance.pid = 4711
    before = turn(notes, app)
    instance.phase, instance.stop_sent_at = Phase.DRAINING, 8.0
    app.generations[0].seats[0].exited_at = 9.0
    began = clock.monotonic()
    assert turn(notes, app) == before != app
    at = notes.write_until()
    assert at is not None
    assert at >= began + DISK_PAUSE_S
    notes.write_files(at)
    assert notes.read_file("shop") == app


def test_one_that_cannot_wait_is_not_held_up_by_one_that_can(notes: Notes) -> None:
    """Each app has its own time."""
    app, instance = an_app()
    instance.pid = 4711
    turn(notes, app)
    instance.stop_sent_at = 8.0
    turn(notes, app)
    other, second = an_app()
    other.name, second.pid = "cart", 4712
    assert turn(notes, other) == other
    assert notes.read_file("shop") != app


def test_a_note_that_could_not_be_written_is_tried_again(
    notes: Notes, tmp_path: Path
) -> None:
    """A disk that is full has room later; nothing else has to change for that.

    That it fails is in the log once.
    """
    app, instance = an_app()
    instance.pid = 4711
    in_the_way = tmp_path / "notes"
    in_the_way.touch()
    assert turn(notes, app) is None
    at = notes.write_until()
    assert at is not None
    notes.write_files(at)
    in_the_way.unlink()
    assert (tmp_path / "gapless.log").read_text().count("write-failed") == 1
    at = notes.write_until()
    assert at is not None
    notes.write_files(at)
    assert notes.read_file("shop") == app
    assert notes.write_until() is None
