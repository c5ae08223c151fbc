"""An inbox that others may write: what they put there costs nobody but themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gapless.base import clock
from gapless.base.errors import ReleaseError
from gapless.push import outcome
from gapless.push.outcome import Stage
from gapless.releases import publisher_lock
from gapless.releases.inbox import (
    claims,
    completeness,
    opened,
    partial_uploads,
    refused,
)
from gapless.releases.inbox.opened import IncompleteError
from gapless.releases.model import ReleaseSpec
from gapless.releases.publisher import journal
from rig import reachable
from rig.fixtures.inbox import LIMITS, Watch, make, released, tarball, with_checksum
from rig.fixtures.inbox import MOST_BYTES as MOST

UPLOADER = 65534
PRIVATE = "the publisher's own words"


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
    why = completeness.is_complete(str(inbox / "shop-1.tar"), None, LIMITS)[1]
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
        complete, why = completeness.is_complete(str(path), None, LIMITS)
        assert not complete, why
        with pytest.raises(IncompleteError, match="lease"):
            make(spec, path)
        assert clock.monotonic() - began < 10
        holder.kill()
    make(spec, path)


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


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")
def test_another_user_cannot_hold_the_lock_of_the_publisher(
    spec: ReleaseSpec, inbox: Path, tmp_path: Path
) -> None:
    """flock(2) asks for no right to write, only for a descriptor."""
    reachable.for_others(tmp_path)
    lock = Path(spec.work, publisher_lock.PUBLISHING)
    lock.parent.mkdir()
    lock.touch(0o644)
    make(spec, tarball(inbox / "shop.tar"))
    assert lock.stat().st_mode & 0o777 == 0o600
    done = subprocess.run(
        ["sh", "-c", 'exec 3< "$1"', "sh", lock],
        user=UPLOADER,
        group=UPLOADER,
        extra_groups=[],
        capture_output=True,
        check=False,
    )
    assert b"ermission denied" in done.stderr


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
    reachable.for_others(tmp_path)
    (inbox / "shop-1.tar").write_bytes(b"no tarball")
    with_checksum(inbox / "shop-1.tar")
    watch.check()
    script = (
        'find "$1" -writable ! -type l; find "$1" -name "*.*" -type f -exec cat {} +'
    )
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(tmp_path)],
        user=UPLOADER,
        group=UPLOADER,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(inbox)
    assert str(tmp_path) not in done.stdout.partition("\n")[2]
    assert "is broken" in done.stdout


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
    (Path(spec.work) / claims.UPLOAD).mkdir()
    for name in (f"claimed-{app}-2.tar", f"{claims.UPLOAD}/{app}-3.tar"):
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
    (tmp_path / "elsewhere").mkdir()
    elsewhere = make(spec, tarball(tmp_path / "elsewhere" / f"{app}.tar", "five"))
    change = journal.read(spec)
    assert change is not None
    assert claims.upload_of(spec, change) == ""
    assert elsewhere.name != good.name


@pytest.mark.parametrize("shared", ["", "RELEASE/uploads"])
def test_names_that_do_not_fit_are_refused_and_not_tried_for_ever(
    spec: ReleaseSpec, inbox: Path, shared: str
) -> None:
    """A folder where gapless writes a file, a file where it makes a folder."""
    inside = tarfile.TarInfo("RELEASE" if shared else "RELEASE/below")
    with tarfile.open(inbox / "shop.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("index.js"))
        archive.addfile(inside)
    watch = Watch(replace(spec, shared=(shared,) if shared else ()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gapless.deploy.running_app.describe", lambda *_: None)
        watch.check()
    assert watch.outcome("shop.tar").stage is Stage.REFUSED
    assert not [*inbox.iterdir()]
    assert "RELEASE: " in refused.reason_of(spec, "shop.tar")


def test_an_upload_of_the_publisher_is_taken_when_others_may_read_it(
    watch: Watch, inbox: Path
) -> None:
    """A change of its mode alone is a change."""
    path = tarball(inbox / "shop.tar", "mine")
    path.chmod(0o600)
    watch.check()
    assert released(watch.spec) == []
    watch.check()
    path.chmod(0o644)
    watch.check()
    assert released(watch.spec) == ["mine"]
