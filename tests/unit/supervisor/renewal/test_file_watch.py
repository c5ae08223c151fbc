"""The watch reports changes of files in real directories."""

from __future__ import annotations

import os
import selectors
from pathlib import Path

import pytest

from gapless.supervisor.renewal import file_watch
from gapless.supervisor.renewal.file_watch import Watch
from gapless.supervisor.renewal.ignored_paths import Ignored
from rig import wait


class Reported:
    """A watch, and the paths that it has reported."""

    def __init__(self, *roots: Path, ignored: Ignored | None = None) -> None:
        self.selector = selectors.DefaultSelector()
        self.paths: list[str] = []
        self.new: list[str] = []
        self.directories: list[str] = []
        self.watch = Watch(
            self.selector,
            tuple(map(str, roots)),
            ignored or Ignored(str(roots[0]), None),
            self,
        )

    def begin(self) -> None:
        """Take in that something happened."""

    def changed(self, path: str) -> None:
        """Take in a change."""
        self.paths.append(path)

    def made(self, path: str) -> None:
        """Take in a new file that will be closed."""
        self.new.append(path)

    def watches(self, directory: str) -> None:
        """Take in that a directory is watched."""
        self.directories.append(directory)

    def process_events(self) -> None:
        """Process the events that are there."""
        for key, _ in self.selector.select(0):
            key.data()

    def wait_for(self, path: Path) -> None:
        """Wait until a change is reported, then forget all reported paths."""

        def fact() -> bool:
            self.process_events()
            return str(path) in self.paths

        wait.until(fact, f"a change of {path}")
        self.paths.clear()

    def nothing_before(self, path: Path) -> None:
        """Change a file, and check that no other change was reported before."""
        path.write_text("now")

        def fact() -> bool:
            self.process_events()
            return bool(self.paths)

        wait.until(fact, "any change")
        assert set(self.paths) == {str(path)}
        self.paths.clear()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Return the directory of an app."""
    directory = tmp_path / "app"
    (directory / "src").mkdir(parents=True)
    (directory / "src" / "a.js").write_text("1")
    return directory


def test_a_tree_is_watched(top: Path) -> None:
    """Writes, new files, renames and removals are reported, also in new directories."""
    reported = Reported(top)
    (top / "src" / "a.js").write_text("2")
    reported.wait_for(top / "src" / "a.js")
    (top / "new" / "deep").mkdir(parents=True)
    reported.wait_for(top / "new")
    (top / "new" / "deep" / "b.js").write_text("1")
    reported.wait_for(top / "new" / "deep" / "b.js")
    (top / "src" / "a.js").rename(top / "src" / "c.js")
    reported.wait_for(top / "src" / "c.js")
    (top / "src" / "c.js").unlink()
    reported.wait_for(top / "src" / "c.js")
    reported.watch.close()


def test_new_files_and_directories_are_told(top: Path) -> None:
    """Who writes a file can be seen as long as it is open."""
    reported = Reported(top)
    assert set(reported.directories) == {str(d) for d in (top.parent, top, top / "src")}

    def told() -> bool:
        reported.process_events()
        return str(top / "new") in reported.new

    with (top / "new").open("w"):
        wait.until(told, "the new file")
        assert reported.paths == []
    reported.wait_for(top / "new")
    reported.watch.close()


def test_an_editor_that_saves_by_rename_is_seen(top: Path) -> None:
    """A watched file that an editor replaces by rename stays watched, each time."""
    file = top / "src" / "a.js"
    reported = Reported(file)
    for text in ("2", "3"):
        (top / "src" / ".a.js.swp").write_text(text)
        os.replace(top / "src" / ".a.js.swp", file)
        reported.wait_for(file)
    (top / "src" / "other.js").write_text("1")
    reported.nothing_before(file)
    reported.watch.close()


def test_what_is_ignored_is_not_told(top: Path) -> None:
    """By default, changes of dotfiles and in node_modules are not reported."""
    (top / "node_modules" / "x").mkdir(parents=True)
    reported = Reported(top)
    (top / "node_modules" / "x" / "y.js").write_text("1")
    (top / ".env").write_text("1")
    reported.nothing_before(top / "src" / "a.js")
    reported.watch.close()


def test_a_root_that_goes_and_comes_back_is_watched_again(top: Path) -> None:
    """A watched directory may be removed and made again, as a deployment does."""
    root = top / "src"
    reported = Reported(root)
    root.rename(top / "old")
    reported.wait_for(root)
    root.mkdir()
    reported.wait_for(root)
    (root / "b.js").write_text("1")
    reported.wait_for(root / "b.js")
    reported.watch.close()


def test_lost_events_count_as_a_change(top: Path) -> None:
    """The kernel's queue is finite; after an overflow the whole tree counts as changed."""
    reported = Reported(top)
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(limit // 2 + 10):  # two events each: created, removed
        path = top / "src" / f"{number}"
        path.mkdir()
        path.rmdir()

    def fact() -> bool:
        reported.process_events()
        return str(top) in reported.paths

    wait.until(fact, "the overflow")
    reported.paths.clear()
    reported.nothing_before(top / "src" / "a.js")
    reported.watch.close()


def test_too_much_to_watch_is_refused(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to change, and no file descriptor is left open."""
    monkeypatch.setattr(file_watch, "MOST_DIRECTORIES", 1)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="ignore_watch"):
        Reported(top)
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # the selector of the test


@pytest.mark.parametrize(
    ("entries", "path", "expected"),
    [
        (None, "/app/node_modules/a/b.js", True),
        (None, "/app/.git/HEAD", True),
        (None, "/app/src/a.js", False),
        (("logs",), "/app/logs/x.txt", True),
        (("logs",), "/app/catalogs/x.txt", False),
        (("*.tmp",), "/app/a/b.tmp", True),
        (("*.tmp",), "/app/node_modules/b.js", False),
        (("logs/*.txt",), "/app/logs/x.txt", True),
        (("logs/*.txt",), "/app/logs/deep/x.txt", False),
        (("src/**/*.snap",), "/app/src/a/b/c.snap", True),
        (("src/**/*.snap",), "/app/src/c.snap", True),
        (("./public/",), "/app/public/a", True),
        (("./public/",), "/app/x/public/a", False),
        (("/var/cache",), "/var/cache/a/b", True),
        (("/var/cache",), "/var/cached", False),
        ((), "/app/.env", False),
    ],
)
def test_ignored(entries: tuple[str, ...] | None, path: str, expected: bool) -> None:
    """An entry without a slash matches names, one with a slash matches paths."""
    assert (path in Ignored("/app", entries)) is expected
