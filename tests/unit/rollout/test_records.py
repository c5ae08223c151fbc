"""Records are read with suspicion."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gapless.base.errors import ConflictError
from gapless.coordinator.memory import MemoryCoordinator
from gapless.rollout import records
from gapless.rollout.board import Board
from gapless.rollout.model import Cue, HostReport, Phase, Rollout, State
from gapless.rollout.policy import Policy

ROLLOUT = Rollout(
    app="app",
    number=7,
    release="app-2",
    previous="app-1",
    state=State.HELD,
    policy=Policy(canary=("a",), waves=("10%",), freeze=("22:00 - 06:00",)),
)
REPORT = HostReport(host="a", release="app-1", turn=(7, 2), phase=Phase.WATCHING)
TOLD = replace(
    REPORT, addresses=("10.0.0.2:3000",), health="10.0.0.2:3001", drains=True
)


def test_records_come_back_as_they_were() -> None:
    """Records come back as they were."""
    assert records.decode_rollout(records.encode_rollout(ROLLOUT)) == ROLLOUT
    for report in (REPORT, TOLD):
        assert records.decode_host(records.encode_host(report)) == report


def test_reports_of_older_and_newer_agents_are_read() -> None:
    """What one does not say is empty, what we do not know is left out."""
    value = records.decode("host", records.encode_host(REPORT))
    for name in ("addresses", "health", "drains", "recycles"):
        del value[name]
    old = records.decode_host(records.encode("host", value))
    assert old == REPORT
    new = records.encode("host", value | {"weather": "fine"})
    assert records.decode_host(new) == REPORT


def _spoiled(**changes: object) -> bytes:
    return json.dumps(json.loads(records.encode_rollout(ROLLOUT)) | changes).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no record"),
        (b"[]", "no record"),
        (b"\xff\xfe", "no record"),
        (b'{"format": 1}', "no record"),
        (_spoiled(format=2), "format is 2"),
        (_spoiled(sha256="0"), "checksum"),
        (_spoiled(value={"release": "evil"}), "checksum"),
        (records.encode_host(REPORT), "a record of 'host'"),
        (records.encode("rollout", {"app": "app"}), "no rollout"),
        (records.encode_rollout(ROLLOUT)[:-5], "no record"),
    ],
)
def test_what_cannot_be_trusted_is_named_and_ignored(content: bytes, said: str) -> None:
    """What cannot be trusted is named and ignored."""
    complaints: list[str] = []
    coordinator = MemoryCoordinator()
    board = Board(coordinator, "app", now=lambda: 0.0, complain=complaints.append)
    coordinator.write("rollout/app", content, expected=0)
    assert board.rollout()[0] is None
    board.rollout()
    assert len(complaints) == 1
    assert "rollout/app is ignored" in complaints[0]
    assert said in complaints[0]
    # A publisher may put a right one in its place.
    board.begin("app-3", lambda n, _: Rollout(app="app", number=n, release="app-3"), "")
    found = board.rollout()[0]
    assert found is not None
    assert found.release == "app-3"


def test_a_report_under_another_host_s_name_does_not_count() -> None:
    """A report under another host's name does not count."""
    coordinator = MemoryCoordinator()
    board = Board(coordinator, "app", now=lambda: 0.0, complain=print)
    coordinator.write("hosts/app/b", records.encode_host(REPORT), expected=0)
    assert board.reports() == {}


def test_who_does_not_speak_is_gone_by_our_own_clock() -> None:
    """Who does not speak is gone by our own clock."""
    now = [100.0]
    coordinator = MemoryCoordinator()
    board = Board(coordinator, "app", now=lambda: now[0], complain=print)
    version = board.report(REPORT, 0)
    assert [each.host for each in board.there(10)] == ["a"]
    for _ in range(10):
        now[0] += 1
        board.rollout()
    assert board.there(10) == []
    board.report(REPORT, version)
    assert [each.host for each in board.there(10)] == ["a"]


def test_two_agents_that_call_themselves_alike_are_told() -> None:
    """Neither overwrites what the other says; a lost answer is no second agent."""
    coordinator = MemoryCoordinator()
    one, other = (
        Board(coordinator, "app", now=lambda: 0.0, complain=print) for _ in "ab"
    )
    version = one.report(REPORT, 0)
    with pytest.raises(ConflictError, match="another agent calls itself a"):
        other.report(REPORT, 0)
    later = one.report(REPORT, version)
    assert one.report(REPORT, version) > later
    assert one.at_work(one.slots("a", 10)) == ""
    assert one.slots("a", 10).take(1) is not None
    assert other.slots("a", 10).take(1) is None
    assert other.at_work(other.slots("a", 10)) == "a"


def test_what_a_newer_version_adds_is_left_out() -> None:
    """Fields that are not known here do not make a record worthless."""
    value = json.loads(records.encode_rollout(ROLLOUT))["value"]
    newer = value | {"mood": "good", "policy": value["policy"] | {"moon": "full"}}
    assert records.decode_rollout(records.encode("rollout", newer)) == ROLLOUT


def test_a_judgement_of_an_attempt_that_is_over_changes_nothing() -> None:
    """A judgement of an attempt that is over changes nothing."""
    board = Board(MemoryCoordinator(), "app", now=lambda: 0.0, complain=print)

    def build(number: int, previous: str) -> Rollout:
        return Rollout(app="app", number=number, release="app-2", previous=previous)

    first = board.begin("app-2", build, "app-1")
    assert board.cue(Cue.HOLD, "by hand", seen=first) is not None
    assert board.cue(Cue.HOLD, "seen late", seen=first) is None
    assert board.cue(Cue.RESUME, "") is not None
    assert board.cue(Cue.FINISH, "seen late", seen=first) is None


def test_history_tells_how_rollouts_ended() -> None:
    """History tells how rollouts ended."""
    board = Board(MemoryCoordinator(), "app", now=lambda: 0.0, complain=print)

    def build(number: int, previous: str) -> Rollout:
        name = f"app-{number + 1}"
        return Rollout(app="app", number=number, release=name, previous=previous)

    for name in ("app-2", "app-3"):
        board.begin(name, build, "app-1")
    board.cue(Cue.FINISH, "4 of 4 hosts")
    told = [(each["number"], each["outcome"]) for each in board.history()]
    assert told == [(1, "superseded by 2"), (2, "done")]
