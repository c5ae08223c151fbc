"""An inbox that others may write: what they put there costs nobody but themselves."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gapless.base import clock
from gapless.base.errors import NotFoundError, ReleaseError
from gapless.cli.publisher.output import WatchOutput
from gapless.cli.publisher.uploads import UploadPublisher
from gapless.push import outcome, ssh_scripts
from gapless.push.mounted_transport import MountedTransport
from gapless.push.outcome import Outcome, Stage
from gapless.push.outcome_store import OutcomeStore
from gapless.releases import file_state, publish, publisher_lock
from gapless.releases.inbox import (
    claims,
    completeness,
    opened,
    partial_uploads,
    refused,
    taken,
)
from gapless.releases.inbox.opened import IncompleteError
from gapless.releases.model import Limits, Release, ReleaseSpec
from gapless.releases.publisher import journal

UPLOADER = 65534
PRIVATE = "the publisher's own words"
MOST = 1 << 20


def ignore(_step: str, _detail: str) -> None:
    """Report no step."""


def tarball(path: Path, text: str = "x") -> Path:
    """Write a tarball of one file, by a copy and a rename."""
    beside = path.parent.parent / "packed"
    with tarfile.open(beside, "w") as archive:
        member = tarfile.TarInfo("VERSION")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text.encode()))
    os.replace(beside, path)
    return path


def with_checksum(path: Path) -> Path:
    """Write the checksum file of an upload."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    Path(f"{path}.sha256").write_text(f"{digest}  {path.name}\n")
    return path


@pytest.fixture
def spec(tmp_path: Path) -> ReleaseSpec:
    """Return the releases of an app; everybody may write its inbox."""
    for name in ("src", "dist"):
        (tmp_path / name).mkdir()
    (tmp_path / "src").chmod(0o777)
    return ReleaseSpec(
        app="shop", base=str(tmp_path), build=(), limits=Limits(max_upload_bytes=MOST)
    )


@pytest.fixture
def inbox(spec: ReleaseSpec) -> Path:
    """Return the inbox."""
    return Path(spec.inbox)


def make(spec: ReleaseSpec, path: Path | str) -> Release:
    """Make a release of an upload."""
    with publisher_lock.hold(spec, ignore) as held:
        return publish.make_release(held, str(path), progress=ignore)


def released(spec: ReleaseSpec) -> list[str]:
    """Return what stands in each release."""
    found = Path(spec.dist).glob("*-2*/VERSION")
    return [path.read_text() for path in sorted(found)]


class Watch:
    """The part of `gapless watch` that checks the inbox of one app."""

    def __init__(self, spec: ReleaseSpec, *others: str) -> None:
        self.spec, self.lines = spec, list[str]()
        output = WatchOutput(as_json=False)
        output.line = self.lines.append  # type: ignore[method-assign]  # to be read
        output.host_step = lambda event: None  # type: ignore[method-assign]  # silent
        output.report = lambda report: 0  # type: ignore[method-assign]  # silent
        self.outcomes = OutcomeStore(spec.base, self.lines.append)
        self._publisher = UploadPublisher(
            spec,
            (spec.app, *others),
            self.outcomes,
            output,
            open_publisher=None,
            is_stopping=lambda: False,
        )

    def check(self) -> None:
        """Check the inbox as often as an upload without a checksum needs."""
        for _ in range(2):
            self._publisher.check()

    def outcome(self, name: str) -> Outcome:
        """Return what a pusher reads."""
        path = Path(self.spec.base, outcome.FOLDER, f"{name}.json")
        return outcome.decode(path.read_bytes())


@pytest.fixture
def watch(spec: ReleaseSpec, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Return a watch of a host on which the app does not run."""
    monkeypatch.setattr("gapless.deploy.running_app.describe", lambda *_: None)
    monkeypatch.setattr(
        "gapless.deploy.running_app.directories", lambda *_: frozenset()
    )
    return Watch(spec)


# --- links, names of others, and what is no file ---------------------------------------


def _link(at: Path, private: Path) -> None:
    at.symlink_to(private)


def _hard_link(at: Path, private: Path) -> None:
    os.link(private, at)


def _second_name_alone(at: Path, private: Path) -> None:
    os.link(private, at)
    private.unlink()


@pytest.mark.parametrize("way", [_link, _hard_link, _second_name_alone])
def test_a_private_file_of_the_publisher_is_never_published(
    spec: ReleaseSpec, inbox: Path, tmp_path: Path, way: Callable[[Path, Path], None]
) -> None:
    """Neither by a link, nor by a second name, nor by one whose first name is gone."""
    private = tarball(tmp_path / "src" / "private", PRIVATE)
    private = private.rename(tmp_path / "private.tar")
    private.chmod(0o600)
    way(inbox / "shop.tar", private)
    with pytest.raises(ReleaseError, match="is not taken: it"):
        make(spec, inbox / "shop.tar")
    assert released(spec) == []
    assert not Path(spec.refused).exists()
    assert os.path.lexists(inbox / "shop.tar")


def _stat(mode: int, *, uid: int = 0, gid: int = 0, links: int = 1) -> os.stat_result:
    return os.stat_result((mode, 1, 1, links, uid, gid, 10, 0, 0, 0))


@pytest.mark.parametrize(
    ("found", "folder", "is_taken"),
    [
        (_stat(0o100600, uid=5), _stat(0o040775, uid=7), True),
        (_stat(0o100600, uid=7), _stat(0o040755, uid=7), True),
        (_stat(0o100600, uid=7), _stat(0o040775, uid=7), False),
        (_stat(0o100640, uid=7, gid=3), _stat(0o040775, uid=7, gid=3), True),
        (_stat(0o100640, uid=7, gid=4), _stat(0o040775, uid=7, gid=3), False),
        (_stat(0o100640, uid=7, gid=3), _stat(0o040777, uid=7, gid=3), False),
        (_stat(0o100640, uid=0, gid=3), _stat(0o040755, uid=5, gid=3), False),
        (_stat(0o100644, uid=7), _stat(0o041777, uid=0), True),
        (_stat(0o100644, uid=7, links=2), _stat(0o040777, uid=7), False),
        (_stat(0o010644, uid=5), _stat(0o040777, uid=7), False),
        (_stat(0o020644, uid=5), _stat(0o040777, uid=7), False),
        (_stat(0o060644, uid=5), _stat(0o040777, uid=7), False),
    ],
)
def test_the_publisher_lends_nobody_its_right_to_read(
    found: os.stat_result, folder: os.stat_result, is_taken: bool
) -> None:
    """Its own file is taken where those who may write the inbox may read it anyway."""
    why = opened.why_not(found, folder, MOST, 7)
    assert (not why) is is_taken, why


def _fifo(at: Path) -> None:
    os.mkfifo(at)


def _loop(at: Path) -> None:
    at.symlink_to(at)


def _folder(at: Path) -> None:
    at.mkdir()


def _endless(at: Path) -> None:
    at.symlink_to("/dev/zero")


def _sparse(at: Path) -> None:
    with at.open("wb") as file:
        file.truncate(1 << 40)


KINDS = [_fifo, _loop, _folder, _endless, _sparse]


@pytest.mark.parametrize("put", KINDS)
@pytest.mark.timeout(20)
def test_what_is_no_upload_is_named_once_and_the_next_is_published(
    watch: Watch, inbox: Path, put: Callable[[Path], None]
) -> None:
    """It is not waited for; its pusher, if there is one, is told."""
    put(inbox / "shop-1.tar")
    tarball(inbox / "shop-2.tar", "two")
    for _ in range(3):
        watch.check()
    assert released(watch.spec) == ["two"]
    told = [line for line in watch.lines if "is not taken" in line]
    assert len(told) == 1, watch.lines
    assert watch.outcome("shop-1.tar").stage is Stage.REFUSED
    assert watch.outcome("shop-2.tar").stage is Stage.DONE


@pytest.mark.parametrize("put", KINDS)
@pytest.mark.timeout(20)
def test_a_checksum_file_of_any_kind_stops_nobody(
    watch: Watch, inbox: Path, put: Callable[[Path], None]
) -> None:
    """Its upload is not complete; the next one is published."""
    tarball(inbox / "shop-1.tar")
    put(inbox / "shop-1.tar.sha256")
    with_checksum(tarball(inbox / "shop-2.tar", "two"))
    for _ in range(3):
        watch.check()
    assert released(watch.spec) == ["two"]
    why = completeness.is_complete(str(inbox / "shop-1.tar"), None, MOST)[1]
    assert "checksum file cannot be read" in why
    assert os.listdir(inbox).count("shop-2.tar.sha256") == 0


@pytest.mark.parametrize("put", KINDS)
@pytest.mark.timeout(20)
def test_a_part_of_any_kind_stops_nobody(
    inbox: Path, put: Callable[[Path], None]
) -> None:
    """It is removed, or left alone: a part is never waited for."""
    victim = inbox.parent / "victim"
    victim.write_text("kept")
    for name in (".a.part", ".b.part-locked"):
        put(inbox / name)
        os.utime(inbox / name, (1, 1), follow_symlinks=False)
    (inbox / ".c.part").write_text("old")
    os.utime(inbox / ".c.part", (1, 1))
    partial_uploads.remove_abandoned(str(inbox))
    assert not (inbox / ".c.part").exists()
    assert victim.read_text() == "kept"


@pytest.mark.timeout(20)
def test_an_upload_that_its_owner_holds_a_lease_on_is_not_waited_for(
    spec: ReleaseSpec, inbox: Path
) -> None:
    """open(2) would wait for as long as /proc/sys/fs/lease-break-time says."""
    path = tarball(inbox / "shop.tar")
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl, os, signal, sys\n"
            "signal.signal(signal.SIGIO, signal.SIG_IGN)\n"
            "held = os.open(sys.argv[1], os.O_RDWR)\n"
            "fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n"
            "print(flush=True)\nsys.stdin.read()\n",
            str(path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline()
        began = clock.monotonic()
        complete, why = completeness.is_complete(str(path), None, MOST)
        assert not complete, why
        with pytest.raises(IncompleteError, match="lease"):
            make(spec, path)
        assert clock.monotonic() - began < 10
        holder.kill()
    make(spec, path)


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
    assert completeness.is_complete(str(path), None, MOST) == (True, "")
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

    def rename(*names: str, **folders: int) -> None:
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


# --- what the publisher writes ---------------------------------------------------------


def test_links_in_the_inbox_do_not_lead_the_publisher_elsewhere(
    watch: Watch, inbox: Path, tmp_path: Path
) -> None:
    """`src/refused` and `src/.outcomes` were its own once; nothing is written there."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for number in range(refused.KEPT + 5):
        (elsewhere / f"precious-{number}").write_text("kept")
    before = sorted(os.listdir(elsewhere))
    (inbox / "refused").symlink_to(elsewhere)
    (inbox / ".outcomes").symlink_to(elsewhere)
    (inbox / "shop-1.tar").write_bytes(b"no tarball")
    with_checksum(inbox / "shop-1.tar")
    watch.check()
    assert sorted(os.listdir(elsewhere)) == before
    assert watch.outcome("shop-1.tar").stage is Stage.REFUSED
    kept = Path(watch.spec.refused)
    assert (kept / "shop-1.tar").read_bytes() == b"no tarball"
    assert "shop-1.tar" in (kept / "shop-1.tar.reason.txt").read_text()
    for path in (kept.parent, kept, tmp_path / outcome.FOLDER, Path(watch.spec.work)):
        assert path.stat().st_mode & 0o777 == 0o755, path
    for path in (*kept.iterdir(), *(tmp_path / outcome.FOLDER).iterdir()):
        assert path.stat().st_mode & 0o777 == 0o644, path


def test_what_only_its_uploader_could_read_is_not_opened_to_all_when_refused(
    spec: ReleaseSpec, inbox: Path
) -> None:
    """A tarball may hold secrets."""
    (inbox / "shop.tar").write_bytes(b"no tarball")
    (inbox / "shop.tar").chmod(0o600)
    os.chown(inbox / "shop.tar", UPLOADER, UPLOADER)
    with pytest.raises(ReleaseError):
        make(spec, inbox / "shop.tar")
    assert Path(spec.refused, "shop.tar").stat().st_mode & 0o777 == 0o640


def test_the_right_of_others_to_write_is_taken_from_directories_of_the_publisher(
    spec: ReleaseSpec, inbox: Path
) -> None:
    """An earlier version made them as the umask said."""
    work = Path(spec.work)
    work.mkdir()
    work.chmod(0o777)
    make(spec, tarball(inbox / "shop.tar"))
    assert work.stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")
def test_another_user_cannot_write_what_the_publisher_writes(
    watch: Watch, inbox: Path, tmp_path: Path
) -> None:
    """Only the inbox; outcomes and reasons can be read."""
    for above in (tmp_path, *tmp_path.parents[:2]):
        above.chmod(0o755)
    (inbox / "shop-1.tar").write_bytes(b"no tarball")
    with_checksum(inbox / "shop-1.tar")
    watch.check()
    script = (
        "import os, sys\n"
        "for top, folders, names in os.walk(sys.argv[1]):\n"
        "    if os.access(top, os.W_OK): print(top)\n"
        "    for name in names:\n"
        "        path = os.path.join(top, name)\n"
        "        if os.access(path, os.W_OK): print(path)\n"
        "        if 'reason' in name or 'json' in name: open(path).read()\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(tmp_path)],
        user=UPLOADER,
        group=UPLOADER,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(inbox)]


# --- names -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        b"shop-\xff.tar",
        b"shop-\n.tar",
        b"shop-\x1b[2J.tar",
        "shop-\u202e.tar".encode(),
        b"shop-" + b"a" * 245 + b".tar",
    ],
)
def test_a_name_that_nobody_can_read_is_shown_and_not_taken(
    watch: Watch, inbox: Path, name: bytes
) -> None:
    """The upload stays; the next one is published; the line can be printed anywhere."""
    (inbox / os.fsdecode(name)).write_bytes(tarball(inbox / "packed.x").read_bytes())
    with_checksum(tarball(inbox / "shop-2.tar", "two"))
    for _ in range(2):
        watch.check()
    assert released(watch.spec) == ["two"]
    (told,) = [line for line in watch.lines if "is not taken" in line]
    assert told.isprintable()
    with pytest.raises(ReleaseError) as raised:
        make(watch.spec, inbox / os.fsdecode(name))
    assert raised.value.message.isprintable()


def test_a_reason_holds_nothing_that_a_terminal_acts_upon(
    spec: ReleaseSpec, inbox: Path
) -> None:
    """A member of a tarball has any name; whoever reads the reason has a terminal."""
    with tarfile.open(inbox / "shop.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../\x1b]0;evil\x07\u202e"))
    with pytest.raises(ReleaseError):
        make(spec, inbox / "shop.tar")
    written = Path(spec.refused, "shop.tar.reason.txt").read_text()
    assert all(line.isprintable() for line in written.splitlines())
    told = refused.reason_of(spec, "shop.tar")
    assert "climbs out" in told
    assert all(line.isprintable() for line in told.splitlines())


@pytest.mark.parametrize("app", ["copy", "upload", "claimed", "taken", "removed"])
def test_no_name_of_an_app_loses_a_refused_upload(
    tmp_path: Path, spec: ReleaseSpec, inbox: Path, app: str
) -> None:
    """Names in the work directory begin with what uploads may begin with, too."""
    spec = replace(spec, app=app)
    path = inbox / f"{app}-1.tar"
    path.write_bytes(b"no tarball")
    with pytest.raises(ReleaseError):
        make(spec, path)
    assert Path(spec.refused, path.name).read_bytes() == b"no tarball"
    for name in (f"claimed-{app}-2.tar", f"{claims.UPLOAD}{app}-3.tar"):
        (Path(spec.work) / name).write_bytes(b"of one that died")
    claims.clean_up(spec)
    assert os.listdir(inbox) == [f"{app}-2.tar"]
    good = make(spec, tarball(inbox / f"{app}-4.tar", "four"))
    change = journal.read(spec)
    assert change is not None
    assert claims.upload_of(spec, change) == f"{app}-4.tar"
    found = claims.unfinished_release(spec)
    assert found is not None
    assert found.name == good.name
    elsewhere = make(spec, tarball(tmp_path / "x" / ".." / f"{app}.tar", "five"))
    change = journal.read(spec)
    assert change is not None
    assert claims.upload_of(spec, change) == ""
    assert elsewhere.name != good.name


# --- outcomes and the old layout -------------------------------------------------------


def _record(name: str, *, app: str = "shop", stage: Stage = Stage.PUBLISHING) -> bytes:
    return outcome.encode(Outcome(upload=name, app=app, stage=stage))


@pytest.mark.timeout(20)
def test_outcomes_of_the_old_layout_are_read_with_distrust(
    watch: Watch, inbox: Path, tmp_path: Path
) -> None:
    """The publisher's own are gone on with; links, pipes and words of others are not."""
    old = inbox / ".outcomes"
    old.mkdir()
    (old / "shop-1.tar.json").write_bytes(_record("shop-1.tar"))
    (old / "shop-2.tar.json").write_bytes(_record("shop-2.tar"))
    os.chown(old / "shop-2.tar.json", UPLOADER, UPLOADER)
    (old / "shop-3.tar.json").write_bytes(_record("../../evil"))
    (tmp_path / "own").write_bytes(_record("shop-4.tar"))
    (old / "shop-4.tar.json").symlink_to(tmp_path / "own")
    os.link(tmp_path / "own", old / "shop-5.tar.json")
    os.mkfifo(old / "shop-6.tar.json")
    (old / "shop-7.tar.json").write_bytes(b"[" * 100_000)
    with (old / "shop-8.tar.json").open("wb") as file:
        file.truncate(1 << 40)
    watch.outcomes.load()
    found = [each.upload for each in watch.outcomes.unfinished("shop")]
    assert found == ["shop-1.tar"]
    watch.check()
    assert watch.outcome("shop-1.tar").stage is Stage.FAILED
    assert sorted(os.listdir(tmp_path / outcome.FOLDER)) == ["shop-1.tar.json"]


def test_a_reason_of_the_old_layout_is_read_with_distrust(
    spec: ReleaseSpec, inbox: Path, tmp_path: Path
) -> None:
    """It is not read by a link to a private file, nor from a folder that is a link."""
    old = inbox / "refused"
    old.mkdir()
    (old / "shop-1.tar").write_bytes(b"")
    (old / "shop-1.tar.reason.txt").write_text("2026-11-01T00:00:00 it was broken\n")
    assert refused.reason_of(spec, "shop-1.tar") == "it was broken"
    (tmp_path / "private").write_text(f"x {PRIVATE}")
    (old / "shop-2.tar").write_bytes(b"")
    (old / "shop-2.tar.reason.txt").symlink_to(tmp_path / "private")
    assert refused.reason_of(spec, "shop-2.tar") == "it was refused"
    assert refused.reason_of(spec, "../../private") == ""
    old.rename(tmp_path / "moved")
    old.symlink_to(tmp_path / "moved")
    assert refused.reason_of(spec, "shop-1.tar") == ""


def _lines(base: Path, name: str, by: str) -> list[bytes]:
    """Return what a pusher reads in about a second."""
    if by == "ssh":
        words = ["sh", "-c", ssh_scripts.FOLLOW, "gapless", str(base), name, "1"]
        done = subprocess.run(words, capture_output=True, check=True)
        return done.stdout.splitlines()
    left = iter([1.0, 0.0])
    return list(MountedTransport(str(base)).outcome_lines(name, lambda: next(left)))


@pytest.mark.parametrize("by", ["ssh", "mounted"])
@pytest.mark.timeout(20)
def test_an_uploader_cannot_say_what_became_of_an_upload(
    watch: Watch, inbox: Path, by: str
) -> None:
    """What lies in src/ counts only where the publisher is of an earlier version."""
    old = inbox / ".outcomes"
    old.mkdir()
    forged = _record("shop-1.tar", stage=Stage.DONE)
    (old / "shop-1.tar.json").write_bytes(forged)
    base = inbox.parent
    assert forged.strip() in [each.strip() for each in _lines(base, "shop-1.tar", by)]
    watch.outcomes.load()
    assert _lines(base, "shop-1.tar", by)[-1] == b"gone"
    assert not [each for each in _lines(base, "shop-1.tar", by) if b"{" in each]
    os.mkfifo(base / outcome.FOLDER / "shop-2.tar.json")
    assert b"gone" in _lines(base, "shop-2.tar", by)


@pytest.mark.parametrize("suffix", ["", ".sha256"])
def test_an_upload_by_ssh_is_not_written_through_a_link(
    inbox: Path, tmp_path: Path, suffix: str
) -> None:
    """Another uploader has seen the name of the part, and is quick."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (inbox / f".shop-1.tar.part{suffix}").symlink_to(victim)
    content = b"x" * 10
    words = [str(tmp_path), "shop-1.tar", "10", hashlib.sha256(content).hexdigest()]
    done = subprocess.run(
        ["sh", "-c", ssh_scripts.UPLOAD, "gapless", *words],
        input=content,
        capture_output=True,
        check=False,
    )
    assert victim.read_text() == "kept"
    assert done.returncode == ssh_scripts.NOT_WRITTEN
    assert not (inbox / "shop-1.tar").exists()


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
    journal.write(spec, replace(change, source_state=state, release="shop-0"))
    with open(f"{spec.work}/{publisher_lock.PUBLISHING}", "a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert claims.is_under_way(spec, str(path))
        watch.check()
        assert released(spec) == ["one"]
    watch.check()
    assert "two" in released(spec)
