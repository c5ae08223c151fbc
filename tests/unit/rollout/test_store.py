"""The records of a fleet: which are trusted, and who may write them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gapless.base.errors import ConflictError
from gapless.coordinator.memory import MemoryCoordinator
from gapless.rollout import records
from gapless.rollout.model import Action, HostReport, Phase, Rollout
from gapless.rollout.store import FleetStore

OLD, NEW, NEWER = (f"app-2026010100000{number}" for number in (1, 2, 3))
ROLLOUT = Rollout(app="app", number=7, release=NEW, previous=OLD)
REPORT = HostReport(host="a", release=OLD, turn=(7, 2), phase=Phase.WATCHING)


def _changed(**changes: object) -> bytes:
    """Return a record with changes that its checksum does not know."""
    return json.dumps(json.loads(records.encode_rollout(ROLLOUT)) | changes).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no record"),
        (b"[]", "no record"),
        (b"\xff\xfe", "no record"),
        (b'{"format": 1}', "no record"),
        (_changed(format=2), "format is 2"),
        (_changed(sha256="0"), "checksum"),
        (_changed(value={"release": "evil"}), "checksum"),
        (records.encode_host(REPORT), "a record of 'host'"),
        (records.encode("rollout", {"app": "app"}), "no rollout"),
        (records.encode_rollout(ROLLOUT)[:-5], "no record"),
    ],
)
def test_what_cannot_be_trusted_is_reported_and_ignored(
    content: bytes, reason: str
) -> None:
    """One complaint gives the reason, and a publisher may write a good record."""
    complaints: list[str] = []
    coordinator = MemoryCoordinator()
    store = FleetStore(coordinator, "app", now=lambda: 0.0, complain=complaints.append)
    coordinator.write("rollout/app", content, expected=0)
    assert store.rollout()[0] is None
    store.rollout()
    assert len(complaints) == 1
    assert "rollout/app is ignored" in complaints[0]
    assert reason in complaints[0]
    store.begin(NEWER, lambda n, _: Rollout(app="app", number=n, release=NEWER), "")
    found = store.rollout()[0]
    assert found is not None
    assert found.release == NEWER


def test_a_record_in_another_format_is_reported_once() -> None:
    """One complaint, not one for each heartbeat of a newer agent."""
    complaints: list[str] = []
    coordinator = MemoryCoordinator()
    store = FleetStore(coordinator, "app", now=lambda: 0.0, complain=complaints.append)
    version = 0
    for beat in range(5):
        newer = (
            b'{"format": 2, "kind": "host", "sha256": "", "value": {"n": %d}}' % beat
        )
        version = coordinator.write("hosts/app/b", newer, expected=version).version
        assert store.hosts.all() == {}
    assert len(complaints) == 1
    coordinator.write("hosts/app/b", b"?", expected=version)
    store.hosts.all()
    assert len(complaints) == 2


def test_a_report_under_another_host_s_name_does_not_count() -> None:
    """The key and the report have to name the same host."""
    coordinator = MemoryCoordinator()
    store = FleetStore(coordinator, "app", now=lambda: 0.0, complain=print)
    coordinator.write("hosts/app/b", records.encode_host(REPORT), expected=0)
    assert store.hosts.all() == {}


def test_of_two_agents_with_one_host_name_the_second_is_refused() -> None:
    """Neither overwrites the other; a lost answer is not taken for a second agent."""
    coordinator = MemoryCoordinator()
    one, other = (
        FleetStore(coordinator, "app", now=lambda: 0.0, complain=print) for _ in "ab"
    )
    version = one.hosts.write(REPORT, 0)
    with pytest.raises(ConflictError, match="another agent uses the host name a"):
        other.hosts.write(REPORT, 0)
    later = one.hosts.write(REPORT, version)
    assert one.hosts.write(REPORT, version) > later
    assert one.slot_holders(one.slots("a", 10)) == ""
    assert one.slots("a", 10).take(1) is not None
    assert other.slots("a", 10).take(1) is None
    assert other.slot_holders(other.slots("a", 10)) == "a"


def test_a_rollback_that_failed_on_a_host_is_not_the_way_back() -> None:
    """The reports of hosts tell whether it failed, those of hosts that are gone, too."""
    for phase, back in ((Phase.WAITING, OLD), (Phase.FAILED, NEW)):
        store = FleetStore(MemoryCoordinator(), "app", now=lambda: 0.0, complain=print)
        rollback = replace(ROLLOUT, release=OLD, previous=NEW)
        store.write_rollout(rollback, expected=0)
        store.hosts.write(replace(REPORT, phase=phase), 0)
        begun = store.begin(
            NEWER, lambda n, old: replace(ROLLOUT, number=n, previous=old), NEW
        )
        assert begun is not None
        assert begun.previous == back


def test_a_verdict_on_an_attempt_that_is_over_changes_nothing() -> None:
    """An agent that computed it late does not move the rollout."""
    store = FleetStore(MemoryCoordinator(), "app", now=lambda: 0.0, complain=print)

    def build(number: int, previous: str) -> Rollout:
        return Rollout(app="app", number=number, release=NEW, previous=previous)

    first = store.begin(NEW, build, OLD)
    assert store.apply(Action.HOLD, "by hand", seen=first) is not None
    assert store.apply(Action.HOLD, "seen late", seen=first) is None
    assert store.apply(Action.RESUME, "") is not None
    assert store.apply(Action.FINISH, "seen late", seen=first) is None
