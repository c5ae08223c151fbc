"""Files and notes of earlier versions are still read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gapless.base import codec, events
from gapless.base.errors import DONE
from gapless.cli.display import reports
from gapless.cli.verbs.machine import save
from gapless.supervisor.memory.apps import AppRecord, Apps, read_note
from gapless.supervisor.memory.model import Mode, Permit, Probe, Role
from gapless.supervisor.memory.state import HostRecord, StateFile

SAMPLES = Path(__file__).parents[3] / "samples"


def test_a_note_from_before_fields_were_renamed() -> None:
    """Everything is kept except what a new supervisor must ask again."""
    app = read_note(json.loads((SAMPLES / "note-before-rooms.json").read_text()))
    retiring, recycling = app.generations
    seat, instance = retiring.seats[0], retiring.instances[0]
    assert (app.exit_code, app.pid_files) == (1, {"/run/shop-0.pid": 77})
    assert (seat.exited_at, seat.exit_code, seat.quick_exits) == (9.0, 1, 2)
    assert seat.exit_reason == "exited with code 1 after 0.20 s"
    assert (instance.stop_sent_at, instance.stop_reason) == (11.0, "idle")
    assert instance.orphans_signalled
    assert instance.notified_ready
    assert instance.refusal == "could not bind"
    assert (instance.process_count, instance.idle_checks) == (2, 0)
    assert (instance.requests_begun, instance.last_request_at) == (6, 10.7)
    assert (instance.mode, instance.pidfd) == (Mode.HANDOFF, -1)
    assert [call.to for call in instance.calls] == ["10.0.0.2:5432"]
    assert (retiring.active_connections, retiring.idle_checks) == (3, 0)
    assert (recycling.sockets_of, recycling.role) == (3, Role.RECYCLING)
    assert recycling.relayed
    assert (recycling.probe, recycling.probe_answer) == (
        Probe.NOT_ASKED,
        "it answered 500",
    )
    assert (recycling.permit, recycling.permit_refusal) == (Permit.NEEDED, "no")
    assert app.operation is not None
    assert (app.operation.token, app.operation.waiters) == ("t", [])


def test_a_state_from_before_fields_were_renamed(tmp_path: Path) -> None:
    """The apps, their specs and the host's drain are kept."""
    path = tmp_path / "state.json"
    path.write_bytes((SAMPLES / "state-before-rooms.json").read_bytes())
    log = events.Log(str(tmp_path / "log"))
    state = StateFile(str(path), Apps(), HostRecord(), log).load()
    assert (state.draining, state.lead_s, state.shut_down) == (True, 2.5, False)
    shop = state.apps["shop"]
    assert (shop.running, shop.last_generation, shop.ids) == (True, 4, [0, 1])
    assert shop.spec.environment == {"PORT": "8000"}


def test_every_value_that_the_plan_reads_is_in_the_records() -> None:
    """The records yield every value that the plan needs."""
    app = read_note(json.loads((SAMPLES / "note-before-rooms.json").read_text()))
    observed = app.observed(13.0)
    assert [g.number for g in observed.generations] == [3, 4]
    (instance,) = observed.generations[0].instances
    assert instance.owed == 1 + 1  # a request that it counts, and a long call
    assert observed.generations[0].watches_calls
    assert isinstance(instance.listens, frozenset)


def test_records_are_read_as_they_are_written() -> None:
    """An encoded note decodes to the same records."""
    app = read_note(json.loads((SAMPLES / "note-before-rooms.json").read_text()))
    again = codec.decode(AppRecord, json.loads(json.dumps(codec.encode(app))))
    assert again == app


# --- what today's version writes ----------------------------------------------------------


def test_a_note_on_disk_of_the_first_version() -> None:
    """It is read by this version, which writes the same fields."""
    plain = json.loads((SAMPLES / "note-on-disk-1.json").read_text())
    assert plain["version"] == 1
    app = read_note(plain["app"])
    instance = app.generations[0].instances[0]
    assert (app.last_serial, app.last_generation) == (9, 4)
    assert instance.incarnation == plain["incarnation"]
    assert instance.spawned
    written = {"version": 1, **codec.encode(app)}
    assert _fields(written) == _fields(plain["app"])


def test_a_state_with_what_was_under_way(tmp_path: Path) -> None:
    """Tokens and outcomes are kept, and this version writes the same fields."""
    path = tmp_path / "state.json"
    sample = (SAMPLES / "state-1.json").read_bytes()
    path.write_bytes(sample)
    log = events.Log(str(tmp_path / "log"))
    state = StateFile(str(path), Apps(), HostRecord(), log).load()
    asked = state.apps["shop"].operation
    assert asked is not None
    assert (asked.action, asked.token) == ("reload", "6fd1")
    assert [each["token"] for each in state.outcomes] == ["81c0"]
    assert _fields(codec.encode(state)) == _fields(json.loads(sample))


def test_a_welcome_of_an_older_keeper_has_no_incarnation() -> None:
    """What each version of the keeper says: the first had only its pid."""
    lines = (SAMPLES / "keeper-welcome.jsonl").read_text().splitlines()
    first, second, third = (json.loads(line) for line in lines)
    assert set(first) == {"event", "pid"}
    assert set(second) == {"event", "pid", "protocol", "incarnation"}
    assert set(third) - set(second) == {"version", "guardian"}


def _fields(plain: object) -> object:
    """Return the names of all fields, at every depth."""
    if isinstance(plain, dict):
        return {name: _fields(each) for name, each in plain.items()}
    if isinstance(plain, list):
        return [_fields(each) for each in plain]
    return None


# --- what the versions since then write ------------------------------------------------

VERSIONS = ("2026-11",)
_MAPS = ("apps", "environment", "pid_files", "log_marks")
"""Tables whose keys are names, not fields."""


def sample(version: str, name: str) -> Any:
    """Return what a version has written."""
    return json.loads((SAMPLES / version / f"{name}.json").read_text())


def with_more(plain: Any, is_map: bool = False) -> Any:
    """Return data with a field more in each object, as a newer version may write it."""
    if isinstance(plain, list):
        return [with_more(each) for each in plain]
    if not isinstance(plain, dict):
        return plain
    found = {name: with_more(each, name in _MAPS) for name, each in plain.items()}
    return found if is_map else found | {"added_later": {"by": ["a newer version"]}}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("change", [lambda plain: plain, with_more])
def test_samples_are_read(
    version: str, change: Callable[[Any], Any], tmp_path: Path
) -> None:
    """State, note and list of apps, as they are and with fields that are not known."""
    note = read_note(change(sample(version, "note")))
    assert [g.role for g in note.generations] == [Role.STANDBY, Role.PROVING]
    assert note.operation is not None
    assert note.operation.action == "reload"
    assert note.up_since() is not None
    path = tmp_path / "state.json"
    path.write_text(json.dumps(change(sample(version, "state"))))
    log = events.Log(str(tmp_path / "log"))
    state = StateFile(str(path), Apps(), HostRecord(), log).load()
    running = {name: app.running for name, app in state.apps.items()}
    assert running == {"shop": True, "idle": False}
    dump = codec.decode(save.Dump, change(sample(version, "dump")))
    assert [(each.spec.name, each.running) for each in dump.apps] == [
        ("shop", True),
        ("idle", False),
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_reports_are_printed(version: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A report of an earlier version is shown as one of this version is."""
    assert reports.print_report(with_more(sample(version, "report"))) == DONE
    assert "shop: reload done" in capsys.readouterr().out


def test_a_note_with_an_unreadable_number_is_refused_by_name() -> None:
    """Guessing could end an app that serves."""
    plain = sample(VERSIONS[-1], "note") | {"last_generation": "two"}
    with pytest.raises(codec.WrongTypeError, match="last_generation"):
        read_note(plain)
