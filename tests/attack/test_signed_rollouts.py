"""With `publishers` who may write the coordinator, or the releases, makes no host run more.

The publisher is the real one, with a key; the host is what a turn asks for its release.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gapless.agent.finalizer import Finalizer
from gapless.agent.publisher import FleetPublisher
from gapless.agent.trust.memory import HOST, KEPT, Trusted, TrustMemory
from gapless.agent.turn.release_source import ReleaseSource
from gapless.base.errors import ReleaseError, UnavailableError
from gapless.config.toml.fleets import Fleet
from gapless.coordinator.memory import MemoryCoordinator
from gapless.releases import file_list
from gapless.releases.model import Hooks, Release, ReleaseSpec
from gapless.rollout.model import Action, Rollout, State
from gapless.rollout.policy import Policy
from gapless.rollout.store import FleetStore
from rig.programs.ssh_keys import SshKeys

APP = "example"
POLICY = Policy(fetch_timeout_s=20.0)
IMPATIENT = Policy(fetch_timeout_s=0.5)


class Place:
    """A release server that signs, and a host that verifies."""

    def __init__(self, directory: Path, *, copy: bool) -> None:
        self.directory = directory
        self.keys = SshKeys(directory / "keys")
        self.base = directory / "base"
        (self.base / "dist").mkdir(parents=True)
        self.spec = ReleaseSpec(
            app=APP,
            base=str(self.base),
            signing_key=str(self.keys.path("server")),
        )
        self.fleet = Fleet(
            release=self.spec,
            policy=POLICY,
            file="",
            directory="",
            etcd=None,
            copy=str(directory / "host" / "releases") if copy else "",
            publishers=str(self.keys.signers("server")),
        )
        self.new_coordinator()
        self.running = ""

    def new_coordinator(self) -> None:
        """Begin with an empty coordinator."""
        self.store = FleetStore(
            MemoryCoordinator(), APP, now=lambda: 0.0, complain=pytest.fail
        )

    def host(self) -> ReleaseSource:
        """Return what a turn of the host asks, as after a restart of its agent."""
        return ReleaseSource(self.fleet, str(self.directory / "host"))

    def release(self, number: int) -> Release:
        """Make a release that is not published yet."""
        stamp = f"2026112500000{number}"
        path = Path(self.spec.directory(stamp))
        (path / "lib").mkdir(parents=True)
        (path / "RELEASE").write_text(f"{stamp}\n")
        (path / "index.js").write_text(f"{number}")
        (path / "lib" / "run.sh").write_text("exit 0")
        (path / "lib" / "run.sh").chmod(0o755)
        (path / "link").symlink_to("index.js")
        return Release(app=APP, stamp=stamp, path=str(path))

    def publish(self, release: Release) -> Rollout:
        """Begin the rollout of a release."""
        publisher = FleetPublisher(self.fleet, self.store, lambda *_: None)
        return publisher._begin(release)

    def end(self, rollout: Rollout) -> None:
        """Let a rollout be done, and finalized."""
        _, version = self.store.rollout()
        done = replace(rollout, state=State.DONE, settled=True)
        self.store.write_rollout(done, expected=version)
        self.store.archive(done, "done")

    def take(self, rollout: Rollout) -> Release:
        """Let the host run the target of a rollout."""
        fetched = self.host().fetch(rollout, self.running)
        self.running = fetched.name
        return fetched

    def refusal(self, rollout: Rollout) -> str:
        """Return why the host does not run it."""
        before = self.running
        with pytest.raises((ReleaseError, OSError)) as raised:
            self.take(replace(rollout, policy=IMPATIENT))
        assert self.running == before
        return str(raised.value)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Make a release server, and a host with copies of its own."""
    monkeypatch.setenv("GAPLESS_HOME", str(tmp_path / "release-server"))
    return Place(tmp_path, copy=True)


@pytest.fixture(params=[True, False], ids=["copies", "shared"])
def either(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    """Make a release server and a host, with and without copies."""
    monkeypatch.setenv("GAPLESS_HOME", str(tmp_path / "release-server"))
    return Place(tmp_path, copy=request.param)


def reverting(rollout: Rollout) -> Rollout:
    """Return a rollout that goes back: whoever writes the record can say that."""
    return replace(rollout, state=State.REVERTING, attempt=rollout.attempt + 1)


def test_what_the_publisher_signed_is_run(either: Place) -> None:
    """Forward twice, and back; a resume of the same rollout as well."""
    first = either.publish(either.release(1))
    assert "SSH SIGNATURE" in first.signature
    either.take(first)
    either.end(first)
    second = either.publish(either.release(2))
    assert either.take(second).name == second.release
    assert either.take(replace(second, attempt=2)).name == second.release
    assert either.take(reverting(second)).name == first.release


@pytest.mark.parametrize(
    "forge",
    [
        lambda r: replace(r, signature=""),
        lambda r: replace(r, number=r.number + 1),
        lambda r: replace(r, number=1 << 80),
        lambda r: replace(r, release="example-20261125000002"),
        lambda r: replace(r, release="../../../../evil"),
        lambda r: replace(r, release="example-20261125000001\nnumber 9"),
        lambda r: replace(r, digest="0" * 64),
        lambda r: replace(r, digest=""),
        lambda r: replace(r, previous="example-20261125000002"),
        lambda r: replace(r, previous_digest="0" * 64),
        lambda r: replace(r, signed_by="alice@example"),
        lambda r: replace(r, app="another"),
        lambda r: replace(r, signature=r.signature * 2),
        lambda r: replace(r, signature="\udc80\0" + r.signature),
        lambda r: replace(r, signature="-Overify-time=1970"),
    ],
)
def test_a_record_that_was_changed_is_not_followed(
    place: Place, forge: Callable[[Rollout], Rollout]
) -> None:
    """Every field by which a host chooses what runs is signed."""
    rollout = place.publish(place.release(1))
    place.release(2)
    assert "not followed" in place.refusal(forge(rollout))


def test_a_record_of_another_key_is_not_followed(place: Place) -> None:
    """Also of one who may sign uploads."""
    place.fleet = replace(
        place.fleet,
        release=replace(place.spec, signing_key=str(place.keys.path("eve"))),
    )
    assert "is not, or not now, of one" in place.refusal(
        place.publish(place.release(1))
    )


def test_the_signature_of_another_app_is_worth_nothing(place: Place) -> None:
    """One publisher signs for many apps with one key."""
    rollout = place.publish(place.release(1))
    other = replace(place.spec, app="other")
    place.fleet = replace(place.fleet, release=other)
    assert "not followed" in place.refusal(replace(rollout, app="other"))


def test_an_older_rollout_is_no_newer_one(place: Place) -> None:
    """A record that was signed long ago is written anew, as it was."""
    old = place.publish(place.release(1))
    place.take(old)
    place.end(old)
    new = place.publish(place.release(2))
    place.take(new)
    assert "numbers only rise" in place.refusal(old)
    # Nor by a state that the publisher never gave it, where it leads elsewhere.
    assert "numbers only rise" in place.refusal(replace(old, attempt=9))


def test_a_way_back_that_never_ran_here_needs_a_signature(place: Place) -> None:
    """`previous` is the choice of who writes the record, unless it is signed."""
    old = place.publish(place.release(1))
    place.take(old)
    evil = place.release(7)
    digest = file_list.write(place.spec, evil)
    forged = replace(old, previous=evil.name, previous_digest=digest)
    assert "not followed" in place.refusal(reverting(forged))


def test_a_way_back_needs_no_signature_where_it_ran(either: Place) -> None:
    """An auto-revert works though the key is gone, or ssh-keygen is."""
    first = either.publish(either.release(1))
    either.take(first)
    either.end(first)
    second = either.publish(either.release(2))
    either.take(second)
    Path(either.fleet.publishers).unlink()
    back = either.take(reverting(replace(second, signature="", previous_digest="")))
    assert back.name == first.release


def test_a_host_that_came_late_goes_back_by_the_signature(either: Place) -> None:
    """It has run neither: the signature names the release before, and its tree."""
    first = either.publish(either.release(1))
    either.end(first)
    second = either.publish(either.release(2))
    assert second.previous_digest
    assert either.take(reverting(second)).name == first.release


def test_what_ran_before_anything_was_signed_is_a_way_back(either: Place) -> None:
    """The day on which a team begins to sign."""
    before = either.release(1)
    if either.fleet.copy:
        shutil.copytree(before.path, f"{either.fleet.copy}/dist/{before.name}")
    either.running = before.name
    rollout = replace(either.publish(either.release(2)), previous=before.name)
    assert "not followed" in either.refusal(rollout)  # `previous` was not signed
    either.new_coordinator()
    os.symlink(before.path, either.spec.link)
    rollout = either.publish(either.release(3))
    assert (rollout.previous, rollout.previous_digest) == (before.name, "")
    either.take(rollout)
    assert either.take(reverting(rollout)).name == before.name


CHANGES = (
    *("a file", "a mode", "a link", "a link for a file", "a file for a link"),
    *("a folder for a file", "a fifo for a file", "nothing"),
)
ADDITIONS = (
    *("another program", "another file", "another link", "another folder", "a fifo"),
    *("a RELEASE that runs", "a RELEASE that is a link"),
)


def change(at: Path, what: str) -> None:
    """Change the tree of a release."""
    if what.endswith("for a file") or what == "nothing":
        (at / "index.js").unlink()
    if what in ("a link", "a file for a link"):
        (at / "link").unlink()
    match what:
        case "a file":
            (at / "index.js").write_text("evil")
        case "a mode":
            (at / "index.js").chmod(0o777)
        case "a link":
            (at / "link").symlink_to("/etc")
        case "a link for a file":
            (at / "index.js").symlink_to("lib/run.sh")
        case "a file for a link":
            (at / "link").write_text("1")
        case "a folder for a file":
            (at / "index.js").mkdir()
        case "a fifo for a file":
            os.mkfifo(at / "index.js")
        case "another program":
            (at / "evil").touch(0o755)
        case "another file":
            (at / "index.json").touch()
        case "another link":
            (at / "evil").symlink_to("/etc")
        case "another folder":
            (at / "node_modules").mkdir()
        case "a fifo":
            os.mkfifo(at / "fifo")
        case "a RELEASE that runs":
            (at / "RELEASE").chmod(0o755)
        case "a RELEASE that is a link":
            (at / "RELEASE").unlink()
            (at / "RELEASE").symlink_to("index.js")
        case _:
            assert what == "nothing"


@pytest.mark.parametrize("what", [*CHANGES, *ADDITIONS])
def test_a_tree_that_was_changed_is_not_run(either: Place, what: str) -> None:
    """Files, links, folders, modes, what is missing, and what came in addition.

    A copy has nothing but what was published, so there what came in addition is harmless.
    """
    rollout = either.publish(either.release(1))
    at = Path(either.spec.dist) / rollout.release
    change(at, what)
    if either.fleet.copy and what in ADDITIONS:
        own = Path(either.take(rollout).path)
        assert sorted(each.name for each in own.iterdir()) == [
            *("RELEASE", "index.js", "lib", "link")
        ]
        return
    if either.fleet.copy and what == "a mode":
        assert not (Path(either.take(rollout).path) / "index.js").stat().st_mode & 0o022
        return
    if either.fleet.copy and what in ("a link", "a file for a link"):
        assert os.readlink(Path(either.take(rollout).path) / "link") == "index.js"
        return
    message = either.refusal(rollout)
    assert "is not what was" in message or "copied" in message


def test_a_copy_that_lies_there_already_is_verified(place: Place) -> None:
    """It may be of the time before `publishers`, or of somebody else."""
    rollout = place.publish(place.release(1))
    own = Path(place.fleet.copy) / "dist" / rollout.release
    shutil.copytree(f"{place.spec.dist}/{rollout.release}", own)
    (own / "index.js").write_text("evil")
    assert "is not what was signed" in place.refusal(rollout)


def test_what_ran_here_may_have_written_files(either: Place) -> None:
    """A way back is not lost for a cache; a changed file is seen."""
    first = either.publish(either.release(1))
    own = Path(either.take(first).path)
    either.end(first)
    second = either.publish(either.release(2))
    either.take(second)
    (own / "__pycache__").mkdir()
    (own / "__pycache__" / "x.pyc").write_text("x")
    assert either.take(reverting(second)).name == first.release
    either.take(second)
    if not either.fleet.copy:
        (own / "index.js").write_text("evil")
        assert "is not what was signed" in either.refusal(reverting(second))


def test_a_forged_record_does_not_choose_what_is_signed_next(place: Place) -> None:
    """It says where hosts go back to: no old release is signed for that."""
    old = place.publish(place.release(1))
    place.end(old)
    place.end(place.publish(place.release(2)))
    newest = place.publish(place.release(3))
    place.end(newest)
    _, version = place.store.rollout()
    forged = replace(newest, state=State.HELD, previous=old.release, settled=True)
    place.store.write_rollout(forged, expected=version)
    following = place.publish(place.release(4))
    assert "has not run here before" in place.refusal(reverting(following))


def test_a_forged_end_turns_no_link_and_runs_no_hook(place: Place) -> None:
    """A host that boots reads the link; a hook is told a reason of the record."""
    hook = Hooks(after=("touch", "ran"), failed=("touch", "ran"))
    place.spec = replace(place.spec, hooks=hook, environment=dict(os.environ))
    place.fleet = replace(place.fleet, release=place.spec)
    old = place.publish(place.release(1))
    place.end(old)
    signed = place.publish(place.release(2))
    finalizer = Finalizer(place.fleet, place.store, lambda *_: None)
    evil = place.release(7)
    for forged in (
        replace(old, state=State.DONE, settled=False),
        replace(signed, release=evil.name, state=State.DONE),
        replace(signed, number=signed.number + 1, release=evil.name, state=State.DONE),
        replace(signed, number=signed.number + 1, state=State.REVERTED),
    ):
        _, version = place.store.rollout()
        place.store.write_rollout(forged, expected=version)
        assert finalizer.finalize() == forged
        assert not os.path.lexists(place.spec.link)
        assert not [*Path(place.spec.dist).glob("*/ran")]
    _, version = place.store.rollout()
    place.store.write_rollout(replace(signed, state=State.DONE), expected=version)
    assert finalizer.finalize()
    assert Path(os.readlink(place.spec.link)).name == signed.release
    assert [*Path(place.spec.dist).glob("*/ran")]


def test_a_new_coordinator_does_not_begin_at_one_again(place: Place) -> None:
    """Hosts would take nothing any more, or what was signed long ago."""
    first = place.publish(place.release(1))
    place.take(first)
    place.new_coordinator()
    second = place.publish(place.release(2))
    assert second.number == first.number + 1
    place.take(second)


def test_the_publisher_signs_no_other_tree_of_a_release(place: Place) -> None:
    """A rollback to a release whose files were changed since."""
    first = place.release(1)
    place.end(place.publish(first))
    place.end(place.publish(place.release(2)))
    (Path(first.path) / "cache").write_text("an app may write")
    place.end(place.publish(first))
    (Path(first.path) / "index.js").write_text("evil")
    file_list.write(place.spec, first)
    with pytest.raises(ReleaseError, match="is not signed"):
        place.publish(first)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"number": "9"}', "[" * 100_000])
def test_a_broken_memory_is_no_new_beginning(place: Place, content: str) -> None:
    """Else an old rollout would be a new one after any crash."""
    rollout = place.publish(place.release(1))
    memory = TrustMemory(str(place.directory / "host"), APP, HOST)
    memory.save(Trusted())
    Path(memory.path).write_text(content)
    assert "which rollouts were taken here" in place.refusal(rollout)
    assert Path(memory.path).stat().st_mode & 0o777 == 0o600


def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    """The newest releases, in their order."""
    trusted = Trusted()
    for number in range(KEPT + 9):
        trusted = trusted.with_tree(f"{99 - number}", "")
    memory = TrustMemory(str(tmp_path), APP, HOST)
    memory.save(trusted)
    kept = [*memory.load().trees]
    assert kept == [f"{99 - number}" for number in range(9, KEPT + 9)]


def test_a_key_that_others_may_read_signs_nothing(place: Place) -> None:
    """The upload waits, and nothing is begun."""
    place.keys.path("server").chmod(0o640)
    with pytest.raises(UnavailableError, match="signing_key"):
        place.publish(place.release(1))
    assert place.store.rollout() == (None, 0)


def test_a_host_that_runs_the_release_already_remembers_the_number(
    place: Place,
) -> None:
    """A rollback: what it turned its back on does not come again."""
    first, one = place.release(1), place.publish(place.release(2))
    place.end(one)
    back = place.publish(first)
    place.running = back.release
    place.host().note(back)
    assert "numbers only rise" in place.refusal(one)


def test_states_and_actions_need_no_signature(place: Place) -> None:
    """Agents move a rollout on; they have no key."""
    rollout = place.publish(place.release(1))
    held = place.store.apply(Action.HOLD, "by hand")
    assert held is not None
    resumed = place.store.apply(Action.RESUME, "")
    assert resumed is not None
    assert resumed.signature == rollout.signature
    place.take(resumed)
