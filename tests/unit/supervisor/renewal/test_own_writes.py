"""What an app writes itself is told from what others change, with real processes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.supervisor.renewal import own_writes
from gapless.supervisor.renewal.ignored_paths import Ignored
from gapless.supervisor.renewal.own_writes import OwnWrites, belongs_to
from gapless.supervisor.renewal.reasons import Reasons

needs_fanotify = pytest.mark.skipif(
    os.geteuid() != 0, reason="the kernel tells only root who wrote a file"
)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnWrites]:
    """Return what is known of this process, as if it were an app in a directory."""
    found = OwnWrites([str(tmp_path)], lambda: [os.getpid()])
    found.doers.add(str(tmp_path))
    yield found
    found.doers.close()


def write_by_another(path: Path) -> None:
    """Write a file, as an editor does."""
    subprocess.run(["sh", "-c", f"echo 1 > {path}"], check=True)


def look(own: OwnWrites) -> None:
    """Look at the descriptors now."""
    own._look_after = 0.0
    own.look()


def test_what_is_open_for_writing_is_own(own: OwnWrites, tmp_path: Path) -> None:
    """A log, and an upload that is under way; not what is only read."""
    write_by_another(tmp_path / "page.html")
    with (tmp_path / "app.log").open("a"), (tmp_path / "page.html").open():
        assert own.owns(str(tmp_path / "app.log"))
        assert not own.owns(str(tmp_path / "page.html"))
        assert own.owns(str(tmp_path / "app.log.1"))
    look(own)
    assert own.owns(str(tmp_path / "app.log")), "its end is its own doing too"


def test_a_database_is_own_with_its_journal(own: OwnWrites, tmp_path: Path) -> None:
    """Also through a link to the directory, and when the journal came and went."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    database = sqlite3.connect(tmp_path / "data.db")
    try:
        database.execute("create table t(x)")
        look(own)
        for name in ("data.db", "data.db-journal", "data.db-wal"):
            assert own.owns(str(link / name)), name
        assert not own.owns(str(tmp_path / "data.js"))
    finally:
        database.close()


@pytest.mark.parametrize(
    ("path", "held", "expected"),
    [
        ("/a/data.db-journal", "/a/data.db", True),
        ("/a/store-wal", "/a/store", True),
        ("/a/app.log.1.gz", "/a/app.log", True),
        ("/a/index.js", "/a/index", False),
        ("/a/index-page.js", "/a/index", False),
        ("/a/data.dbx", "/a/data.db", False),
        ("/a/data.db", "/a/data.db", False),
        ("/a/data.db.d/x", "/a/data.db", False),
        ("/a/.env.js", "/a/.env", False),
    ],
)
def test_what_goes_with_a_file(path: str, held: str, *, expected: bool) -> None:
    """By its name."""
    assert belongs_to(path, held) is expected


@needs_fanotify
def test_what_was_written_in_an_instant_is_own(own: OwnWrites, tmp_path: Path) -> None:
    """By the process that wrote it last; a rename takes that along."""
    file = tmp_path / "db.json"
    file.write_text("{}")
    assert own.owns(str(file))
    write_by_another(file)
    assert not own.owns(str(file))
    (tmp_path / "db.tmp").write_text("{}")
    os.replace(tmp_path / "db.tmp", file)
    assert own.owns(str(file))
    file.unlink()
    assert own.owns(str(file)), "its removal"
    write_by_another(tmp_path / "new")
    os.replace(tmp_path / "new", file)
    assert not own.owns(str(file))


@needs_fanotify
def test_directories_and_removals_are_own(own: OwnWrites, tmp_path: Path) -> None:
    """Who makes a directory is known, and so whose the files are that came with it."""
    made = tmp_path / "made"
    made.mkdir()
    (made / "upload").write_text("1")  # before anything is known of the directory
    assert own.owns(str(made))
    assert own.owns(str(made / "upload"))
    own.doers.add(str(made))
    write_by_another(made / "page.js")
    assert not own.owns(str(made / "page.js"))
    subprocess.run(["mkdir", str(tmp_path / "other")], check=True)
    assert not own.owns(str(tmp_path / "other"))
    for name in ("kept.js", "cache"):
        write_by_another(tmp_path / name)
    assert not own.owns(str(tmp_path / "cache"))
    (tmp_path / "cache").unlink()
    subprocess.run(["rm", str(tmp_path / "kept.js")], check=True)
    assert own.owns(str(tmp_path / "cache"))
    assert not own.owns(str(tmp_path / "kept.js"))


@needs_fanotify
def test_what_a_process_wrote_before_it_ended_is_own(tmp_path: Path) -> None:
    """An app may write its state at the end."""
    pids: list[int] = []
    own = OwnWrites([str(tmp_path)], lambda: pids)
    own.doers.add(str(tmp_path))
    try:
        code = f"input(); open({str(tmp_path / 'state')!r}, 'w').write('1')"
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, text=True
        ) as app:
            own.remember([app.pid])
            app.communicate("go\n")
        assert own.owns(str(tmp_path / "state"))
    finally:
        own.doers.close()


def test_without_the_right_to_ask_the_rest_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary user gets no fanotify of this kind; nothing is left open."""
    before = len(os.listdir("/proc/self/fd"))
    own = OwnWrites([str(tmp_path)], lambda: [os.getpid()])
    own.doers.close()
    assert len(os.listdir("/proc/self/fd")) == before
    own.doers.add(str(tmp_path))
    with (tmp_path / "a.log").open("w"):
        assert own.owns(str(tmp_path / "a.log"))
    monkeypatch.setattr(own_writes, "MOST_REMEMBERED", 2)
    own.remember(range(10_000, 10_010))
    assert len(own._known_pids) == 2


def test_the_number_of_a_process_is_another_one_s_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ended long ago is not the app's any more; what lives is, however old."""
    lives: list[int] = [10_001]
    own = OwnWrites([str(tmp_path)], lambda: lives)
    own.doers.close()
    monkeypatch.setattr(own_writes, "KNOWN_S", 0.0)
    own.remember([10_000])
    monkeypatch.undo()
    path = str(tmp_path / "a")
    Path(path).touch()
    own.named(path, 10_000)
    assert not own.owns(path)
    own.named(path, 10_001)
    assert own.owns(path)


def test_reasons(tmp_path: Path) -> None:
    """What came and went is none, nor an empty directory, nor what is own."""
    own = OwnWrites([str(tmp_path)], lambda: [os.getpid()])
    own.doers.close()
    reasons = Reasons(own, Ignored(str(tmp_path), None))
    gone, new, kept, deleted = (
        str(tmp_path / name) for name in ("gone", "new", "kept", "deleted")
    )
    os.mkdir(new)
    Path(kept).touch()
    reasons.made(gone)
    for path in (gone, new):
        assert reasons.add(path)
    with (tmp_path / "app.log").open("w"):
        look(own)
        assert not reasons.add(str(tmp_path / "app.log"))
    assert reasons
    assert reasons.take() == []
    assert not reasons
    (tmp_path / "new" / ".hidden").touch()
    for path in (kept, deleted, new):
        reasons.add(path)
    assert reasons.take() == [kept, deleted]
    (tmp_path / "new" / "page.js").touch()
    reasons.add(new)
    assert reasons.take() == [new]
