"""An upload that changes while it is published, and publishers that die meanwhile."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gapless.base.errors import NotFoundError, ReleaseError
from gapless.releases import file_state, publish, publisher_lock
from gapless.releases.inbox import (
    claims,
    completeness,
    opened,
    taken,
)
from gapless.releases.inbox.opened import IncompleteError
from gapless.releases.model import ReleaseSpec
from gapless.releases.publisher import journal
from rig import reachable
from rig.fixtures.inbox import (
    LIMITS,
    Watch,
    ignore,
    make,
    released,
    tarball,
    with_checksum,
)
from rig.fixtures.inbox import MOST_BYTES as MOST

PUBLISHER, UPLOADER = 4711, 65534


# --- an uploader who goes on writing ---------------------------------------------------


def test_what_is_written_after_the_copy_is_not_unpacked(
    spec: ReleaseSpec, inbox: Path
) -> None:
    """The copy is what its checksum was compared with."""
    path = with_checksum(tarball(inbox / "shop.tar", "good"))
    evil = tarball(inbox / "other", "evil").read_bytes()

    def rewrite(step: str, _detail: str) -> None:
        if step == "claimed":
            with path.open("r+b") as file:
                file.write(evil)

    with publisher_lock.hold(spec, ignore) as held:
        publish.make_release(held, str(path), progress=rewrite)
    assert released(spec) == ["good"]


def test_what_is_changed_after_the_look_ahead_is_not_published(
    spec: ReleaseSpec, inbox: Path
) -> None:
    """It was complete a moment ago; the copy does not match its checksum."""
    path = with_checksum(tarball(inbox / "shop.tar", "good"))
    assert completeness.is_complete(str(path), None, LIMITS) == (True, "")
    with path.open("r+b") as file:
        file.seek(512)
        file.write(b"evil")
    with pytest.raises(IncompleteError, match=r"not match shop\.tar\.sha256"):
        make(spec, path)
    assert released(spec) == []
    assert path.exists()
    assert journal.read(spec) is None


@pytest.mark.timeout(30)
def test_a_file_that_grows_for_ever_is_read_to_the_size_it_had(inbox: Path) -> None:
    """It is looked at again later."""
    path = inbox / "shop.tar"
    path.write_bytes(bytes(MOST))
    with path.open("ab") as writer, opened.upload(str(path), 4 * MOST) as descriptor:
        read = 0

        def follow() -> None:
            nonlocal read
            for piece in opened.pieces(descriptor):
                read += len(piece)
                writer.write(piece)
                writer.flush()

        with pytest.raises(IncompleteError, match="changing"):
            follow()
        assert read == MOST


def test_an_upload_that_is_never_the_same_twice_holds_no_other_up(
    watch: Watch, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its uploader changes it whenever it was found complete."""
    first = with_checksum(tarball(inbox / "shop-1.tar", "one"))
    with_checksum(tarball(inbox / "shop-2.tar", "two"))
    plain = claims.claim

    def claim(held: ReleaseSpec, source: claims.Source) -> object:
        if source.name == first.name:
            with first.open("r+b") as file:
                file.write(os.urandom(8))
        return plain(held, source)

    monkeypatch.setattr(claims, "claim", claim)
    watch.check()
    assert released(watch.spec) == ["two"]
    assert first.exists()


def test_a_newer_upload_of_that_name_is_not_lost(
    spec: ReleaseSpec, inbox: Path
) -> None:
    """It came by a rename, or over the same file, while the first was published."""
    for how in ("rename", "overwrite"):
        path = tarball(inbox / "shop.tar", f"old {how}")

        def replaced(
            step: str, _detail: str, how: str = how, path: Path = path
        ) -> None:
            if step != "sealed":
                return
            new = tarball(inbox / "new.tar", f"new {how}")
            if how == "rename":
                with_checksum(new)
                Path(f"{new}.sha256").rename(f"{path}.sha256")
                new.rename(path)
            else:
                path.write_bytes(new.read_bytes())

        with publisher_lock.hold(spec, ignore) as held:
            publish.make_release(held, str(path), progress=replaced)
        claims.finish(spec)
        assert Path(f"{path}.sha256").exists() == (how == "rename")
        make(spec, path)
        assert not path.exists()
        assert not Path(f"{path}.sha256").exists()
    assert released(spec)[1::2] == ["new rename", "new overwrite"]


def test_an_upload_that_came_between_look_and_rename_goes_back(
    spec: ReleaseSpec, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And stays if a third one has its name by then."""
    path = tarball(inbox / "shop.tar", "old")
    state = file_state.state_of(str(path))
    assert state is not None
    plain = os.rename
    Path(spec.work).mkdir()

    def rename(*names: str, **folders: Any) -> None:
        if names[0] == "shop.tar":
            tarball(path, "new")
        plain(*names, **folders)

    monkeypatch.setattr(os, "rename", rename)
    taken.take_out(spec, "shop.tar", state, "")
    monkeypatch.undo()
    assert b"new" in path.read_bytes()
    assert os.listdir(spec.work) == []
    os.rename(path, f"{spec.work}/{taken.TAKEN}shop.tar")
    tarball(path, "newest")
    claims.clean_up(spec)
    assert b"newest" in path.read_bytes()
    assert os.listdir(inbox) == ["shop.tar"]
    Path(spec.work, f"{taken.TAKEN}shop.tar", "deep").mkdir(parents=True)
    claims.clean_up(spec)  # somebody put a directory there in that very moment
    assert b"newest" in path.read_bytes()
    (aside,) = (name for name in os.listdir(inbox) if name != "shop.tar")
    assert aside.endswith("-no-upload")


def _as_user(user: int, act: Callable[[], object]) -> str:
    """Return what an error of *act* says, which runs in a process of a user."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            act()
        except BaseException as error:  # noqa: BLE001 - it is told to the parent
            os.write(writes, str(error).encode())
        finally:
            os._exit(0)
    os.close(writes)
    with open(reads, encoding="utf-8") as told:
        text = told.read()
    os.waitpid(pid, 0)
    return text


def _take(spec: ReleaseSpec, path: Path) -> None:
    """Copy an upload and take it out, without the interpreter that would unpack it.

    Other users may not reach that one on the machine of a developer.
    """
    with (
        publisher_lock.hold(spec, ignore) as held,
        claims.open_source(held, str(path)) as source,
    ):
        copy = claims.claim(held, source)
        assert Path(copy.path).stat().st_uid == PUBLISHER
        claims.take_out(held, source, copy)


@pytest.mark.skipif(os.geteuid() != 0, reason="other users are needed")
def test_a_publisher_that_is_not_root_takes_what_it_can_take_out(
    spec: ReleaseSpec, inbox: Path, tmp_path: Path
) -> None:
    """In a sticky inbox of another user it cannot: nothing is built for nothing."""
    reachable.for_others(tmp_path)
    path = with_checksum(tarball(inbox / "shop.tar", "one"))
    for name in (path, f"{path}.sha256"):
        os.chown(name, UPLOADER, UPLOADER)
    for folder in (tmp_path, Path(spec.dist)):
        os.chown(folder, PUBLISHER, PUBLISHER)
    inbox.chmod(0o1777)
    told = _as_user(PUBLISHER, lambda: make(spec, path))
    assert "it could not be taken out" in told
    assert released(spec) == []
    assert path.exists()
    os.chown(inbox, PUBLISHER, PUBLISHER)
    assert _as_user(PUBLISHER, lambda: _take(spec, path)) == ""
    assert os.listdir(inbox) == []


def test_an_upload_that_cannot_be_taken_out_is_no_release_again_and_again(
    watch: Watch, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and tried again when it changes."""
    tarball(inbox / "shop.tar", "one")

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(taken, "take_out", fail)
    for _ in range(3):
        watch.check()
    assert released(watch.spec) == ["one"]
    assert any("is not tried again" in line for line in watch.lines)


# --- a publisher that dies -------------------------------------------------------------


class _Died(BaseException):
    """Stands for SIGKILL: nothing catches it, nothing is tidied up."""


EFFECTS = ("rename", "replace", "unlink", "fsync", "fchmod", "mkdir")


@contextlib.contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, after: int) -> Iterator[list[str]]:
    """Let each effect after the first *after* fail as if the process were gone."""
    done: list[str] = []
    with monkeypatch.context() as patched:
        for name in EFFECTS:
            plain = getattr(os, name)

            def call(*words: object, _of: object = plain, **named: object) -> object:
                if len(done) >= after:
                    raise _Died
                done.append(str(words))
                return _of(*words, **named)  # type: ignore[operator]  # of os

            patched.setattr(os, name, call)
        yield done


@pytest.mark.parametrize("content", ["good", "no tarball"])
def test_every_step_may_be_the_last_and_comes_again(
    spec: ReleaseSpec, inbox: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One release or one refused upload comes of it, and nothing is left over."""
    for after in range(200):
        path = inbox / f"shop-{after}.tar"
        if content == "good":
            tarball(path, f"{after}")
        else:
            path.write_text(content)
        with_checksum(path)
        before = len(released(spec))
        with (
            dying(monkeypatch, after) as done,
            contextlib.suppress(_Died, ReleaseError),
        ):
            make(spec, path)
        died = len(done) == after
        if claims.unfinished_release(spec) is None and path.exists():
            with contextlib.suppress(ReleaseError):
                make(spec, path)
        claims.clean_up(spec)
        made = len(released(spec)) - before
        kept = Path(spec.refused, path.name).exists()
        assert (made, kept) == ((1, False) if content == "good" else (0, True)), done
        assert os.listdir(inbox) == [], (after, done[-1:])
        left = set(os.listdir(spec.work)) - {"lock", "settling", "reserve"}
        assert left == set(), (after, left)
        if not died:
            assert after > 5
            return
    pytest.fail("it never came to its end")


def test_many_publishers_at_once_make_one_release_of_an_upload(
    spec: ReleaseSpec, inbox: Path
) -> None:
    """The upload stays in the inbox meanwhile, where all of them see it."""
    path = tarball(inbox / "shop.tar", "one")
    ends: list[str] = []

    def run() -> None:
        try:
            with publisher_lock.hold(spec, ignore) as held:
                publish.make_release(held, str(path), progress=ignore)
                claims.finish(held)
                journal.drop(held)
            ends.append("made")
        except NotFoundError:
            ends.append("gone")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert sorted(ends) == ["gone", "gone", "gone", "made"]
    assert released(spec) == ["one"]


def test_an_upload_that_another_publisher_is_at_work_on_is_left_to_it(
    watch: Watch, inbox: Path
) -> None:
    """A watch on another host goes on with its other uploads, and can be ended."""
    path = tarball(inbox / "shop-1.tar", "one")
    spec = watch.spec
    make(spec, path)
    tarball(path, "two")
    change = journal.read(spec)
    assert change is not None
    state = file_state.state_of(str(path))
    journal.write(
        spec, replace(change, source_state=state, release="shop-20200102030405")
    )
    with open(f"{spec.work}/{publisher_lock.PUBLISHING}", "a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert claims.is_under_way(spec, str(path))
        watch.check()
        assert released(spec) == ["one"]
    watch.check()
    assert "two" in released(spec)
