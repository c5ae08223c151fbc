"""How publishers begin and finalize rollouts, although they may die in between."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gapless.agent.publisher import FleetPublisher
from gapless.base.errors import MisuseError, NotFoundError, UnavailableError
from gapless.config.toml.fleets import Fleet
from gapless.coordinator.memory import MemoryCoordinator
from gapless.releases import copies, current, publisher_lock
from gapless.releases.inbox import claims
from gapless.releases.model import Hooks, Release, ReleaseSpec
from gapless.rollout.model import Action, Rollout, State
from gapless.rollout.policy import Policy
from gapless.rollout.store import FleetStore
from rig.hosts.small_disk import SmallDisk
from rig.wait import until

AFTER = ("sh", "-c", "echo $GAPLESS_RELEASE >> $LOG")


class Place:
    """A release server with some releases, and the store of its fleet."""

    def __init__(self, base: Path) -> None:
        self.base, self.log = base, base / "hooks.log"
        (base / "dist").mkdir()
        self.spec = ReleaseSpec(
            app="app",
            base=str(base),
            hooks=Hooks(after=AFTER),
            build_environment={"LOG": str(self.log)},
        )
        self.coordinator = MemoryCoordinator()
        self.steps: list[tuple[str, str]] = []
        self.store = FleetStore(
            self.coordinator, "app", now=lambda: 0.0, complain=pytest.fail
        )

    def release(self, number: int) -> Release:
        """Make a release that is not current."""
        stamp = f"2026112500000{number}"
        path = Path(self.spec.directory(stamp))
        path.mkdir()
        (path / "RELEASE").write_text(f"{stamp}\n")
        (path / "index.js").write_text("")
        return Release(app="app", stamp=stamp, path=str(path))

    def publisher(
        self, store: FleetStore | None = None, *, copy: str = ""
    ) -> FleetPublisher:
        """Return a publisher."""
        fleet = Fleet(
            release=self.spec,
            policy=Policy(),
            file="",
            directory="",
            etcd=None,
            copy=copy,
        )
        return FleetPublisher(
            fleet, store or self.store, lambda *step: self.steps.append(step)
        )

    def hooks(self) -> list[str]:
        """Return the releases for which the hook ran."""
        return self.log.read_text().split() if self.log.exists() else []

    def rollout(self) -> Rollout:
        """Return the current rollout."""
        found, _ = self.store.rollout()
        assert found is not None
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a release server."""
    return Place(tmp_path)


class _Late(FleetStore):
    """A store in which a rollout ends right before the next one begins."""

    ends = False

    def begin(
        self, release: str, build: Callable[[int, str], Rollout], previous: str
    ) -> Rollout | None:
        """Let the rollout before finish, then begin."""
        if self.ends:
            self.ends = False
            assert self.apply(Action.FINISH, "2 of 2 hosts") is not None
        return super().begin(release, build, previous)


def test_no_rollout_supersedes_one_that_was_not_finalized(
    place: Place,
) -> None:
    """It ends right before the next one begins: its hook runs all the same."""
    first, second, third = (place.release(n) for n in (1, 2, 3))
    current.flip(place.spec, first)
    store = _Late(place.coordinator, "app", now=lambda: 0.0, complain=pytest.fail)
    publisher = place.publisher(store)
    publisher.rollback(second.name)
    store.ends = True
    assert publisher.rollback(third.name).previous == second.name
    assert place.hooks() == [second.name]
    assert current.current_path(place.spec) == second.path


@contextlib.contextmanager
def waiting_rollback(place: Place) -> Iterator[list[str]]:
    """Let a rollback wait for another publisher; give why it is refused after that."""
    failed: list[str] = []

    def roll_back() -> None:
        with pytest.raises(MisuseError) as at:
            place.publisher().rollback("")
        failed.append(at.value.message)

    waits = threading.Thread(target=roll_back)
    with publisher_lock.hold(place.spec, lambda *_: None):
        waits.start()
        until(lambda: "waiting" in dict(place.steps), "the second to wait")
        yield failed
    waits.join(20)


def test_a_second_rollback_does_not_leave_the_first(place: Place) -> None:
    """It would go to the release again that both were asked to leave."""
    first, second = place.release(1), place.release(2)
    publisher = place.publisher()
    for release in (first, second):
        publisher.rollback(release.name)
        place.store.apply(Action.FINISH, "2 of 2 hosts")
    with waiting_rollback(place) as failed:
        # The first has the lock in another process.
        build = replace(
            place.rollout(), number=3, release=first.name, state=State.ROLLING
        )
        _, version = place.store.rollout()
        place.store.write_rollout(build, expected=version)
    assert failed == [
        "app: rollout 3 has begun since this rollback was asked for, after rollout 2"
    ]
    with pytest.raises(MisuseError, match="after rollout 2"):
        publisher.rollback("", seen=2)
    assert place.rollout().release == first.name


def test_a_rollback_is_of_the_time_when_it_was_asked_for(place: Place) -> None:
    """Hosts were on their way back then: that they are there now changes nothing."""
    first, second = place.release(1), place.release(2)
    for release in (first, second):
        place.publisher().rollback(release.name)
        place.store.apply(Action.FINISH, "2 of 2 hosts")
    place.publisher().rollback("")
    with waiting_rollback(place) as failed:
        place.store.apply(Action.FINISH, "2 of 2 hosts")
    assert failed == [f"app: rollout 3 is on its way back to {first.name} already"]


def test_nothing_is_finalized_where_no_release_is_seen(place: Place) -> None:
    """While the shared directory is not mounted, the link cannot be flipped."""
    place.release(1)
    publisher = place.publisher()
    publisher.rollback("20261125000001")
    place.store.apply(Action.FINISH, "2 of 2 hosts")
    os.rename(place.base / "dist", place.base / "away")
    with pytest.raises(UnavailableError, match="no release of app is seen"):
        publisher.finalize()
    assert not place.rollout().settled
    (place.base / "dist" / ".gapless-app" / "settling").unlink()
    (place.base / "dist" / ".gapless-app").rmdir()
    (place.base / "dist").rmdir()
    os.rename(place.base / "away", place.base / "dist")
    ended = publisher.finalize()
    assert ended is not None
    assert ended.state is State.DONE
    assert place.hooks() == ["app-20261125000001"]


def test_a_release_that_cannot_be_removed_keeps_no_rollout_open(place: Place) -> None:
    """A host has a file of it open (NFS), or files in it are another user's."""
    place.spec = ReleaseSpec(app="app", base=str(place.base), keep=1)
    *_, last = [place.release(number) for number in (1, 2, 3, 4)]
    stuck = place.base / "dist" / ".gapless-app" / "removed-app-20261124000000"
    stuck.mkdir(parents=True)
    publisher = place.publisher()
    publisher.rollback(last.name)
    place.store.apply(Action.FINISH, "2 of 2 hosts")
    disk = SmallDisk(stuck / "busy", 1)
    try:
        ended = publisher.finalize()
    finally:
        disk.close()
    assert ended is not None
    assert place.rollout().settled
    names = [each.stamp[-1] for each in current.releases(place.spec)]
    assert names == ["3", "4"]  # the others went all the same


def test_no_rollout_goes_to_a_release_that_is_removed_meanwhile(place: Place) -> None:
    """Old releases are removed before the next rollout begins, not after."""
    place.spec = ReleaseSpec(app="app", base=str(place.base), keep=1)
    first, *_, last = [place.release(number) for number in (1, 2, 3, 4)]
    publisher = place.publisher()
    publisher.rollback(last.name)
    place.store.apply(Action.FINISH, "2 of 2 hosts")
    with pytest.raises(NotFoundError, match=first.name):
        publisher.rollback(first.name)
    assert place.rollout().release == last.name


def test_a_host_that_came_late_can_go_back_by_a_copy(place: Place) -> None:
    """A host that joined with the new release has no copy of the one before."""
    first, second = place.release(1), place.release(2)
    publisher = place.publisher(copy=str(place.base / "own"))
    publisher.rollback(first.name)
    place.store.apply(Action.FINISH, "2 of 2 hosts")
    begun = publisher.rollback(second.name)
    assert begun.previous == first.name
    own = replace(place.spec, base=str(place.base / "own"))
    (place.base / "own" / "dist").mkdir(parents=True)
    for digest, release in (
        (begun.digest, second),
        (begun.previous_digest, first),
    ):
        copied = copies.copy(place.spec, own, release.name, digest, float("inf"))
        assert os.path.isfile(f"{copied.path}/index.js")


class _KilledError(BaseException):
    """The publisher was killed."""


def test_who_pushed_is_told_of_the_rollout_before_the_upload_is_forgotten(
    place: Place,
) -> None:
    """Otherwise a publisher that dies in between would report a failure that was none."""
    place.spec = replace(place.spec, build=())
    with tarfile.open(place.base / "app.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("index.js"), io.BytesIO())
    begun: list[Rollout] = []

    def die(rollout: Rollout) -> None:
        begun.append(rollout)
        raise _KilledError

    with pytest.raises(_KilledError):
        place.publisher().publish(str(place.base / "app.tar"), die)
    assert claims.unfinished_release(place.spec)
    assert place.publisher().resume(begun.append) is not None
    assert [each.number for each in begun] == [1, 1]
    assert claims.unfinished_release(place.spec) is None
