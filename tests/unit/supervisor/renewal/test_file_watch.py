"""Changes of files, on real directories."""

from __future__ import annotations

import os
import selectors
from pathlib import Path

import pytest

from gapless.supervisor.renewal import file_watch
from gapless.supervisor.renewal.file_watch import Watch
from gapless.supervisor.renewal.ignored_paths import Ignored
from rig import wait


class Seen:
    """A watch, and what it told."""

    def __init__(self, *roots: Path, ignored: Ignored | None = None) -> None:
        self.selector = selectors.DefaultSelector()
        self.paths: list[str] = []
        self.watch = Watch(
            self.selector,
            tuple(map(str, roots)),
            ignored or Ignored(str(roots[0]), None),
            self.paths.append,
        )

    def turn(self) -> None:
        """Hear what there is to hear."""
        for key, _ in self.selector.select(0):
            key.data()

    def told(self, path: Path) -> None:
        """Wait until a change was told, and forget what was told so far."""

        def fact() -> bool:
            self.turn()
            return str(path) in self.paths

        wait.until(fact, f"a change of {path}")
        self.paths.clear()

    def told_nothing_until(self, path: Path) -> None:
        """Change a file; nothing else may have been told before it."""
        path.write_text("now")

        def fact() -> bool:
            self.turn()
            return bool(self.paths)

        wait.until(fact, "any change")
        assert set(self.paths) == {str(path)}
        self.paths.clear()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Return a directory of an app."""
    directory = tmp_path / "app"
    (directory / "src").mkdir(parents=True)
    (directory / "src" / "a.js").write_text("1")
    return directory


def test_a_tree_is_watched(top: Path) -> None:
    """Writing, making, renaming and removing, in directories that come later too."""
    seen = Seen(top)
    (top / "src" / "a.js").write_text("2")
    seen.told(top / "src" / "a.js")
    (top / "new" / "deep").mkdir(parents=True)
    seen.told(top / "new")
    (top / "new" / "deep" / "b.js").write_text("1")
    seen.told(top / "new" / "deep" / "b.js")
    (top / "src" / "a.js").rename(top / "src" / "c.js")
    seen.told(top / "src" / "c.js")
    (top / "src" / "c.js").unlink()
    seen.told(top / "src" / "c.js")
    seen.watch.close()


def test_an_editor_that_saves_by_rename_is_seen(top: Path) -> None:
    """A file that is watched by name is another one afterwards, again and again."""
    file = top / "src" / "a.js"
    seen = Seen(file)
    for text in ("2", "3"):
        (top / "src" / ".a.js.swp").write_text(text)
        os.replace(top / "src" / ".a.js.swp", file)
        seen.told(file)
    (top / "src" / "other.js").write_text("1")
    seen.told_nothing_until(file)
    seen.watch.close()


def test_what_is_ignored_is_not_told(top: Path) -> None:
    """Dotfiles and node_modules, unless the list says something else."""
    (top / "node_modules" / "x").mkdir(parents=True)
    seen = Seen(top)
    (top / "node_modules" / "x" / "y.js").write_text("1")
    (top / ".env").write_text("1")
    seen.told_nothing_until(top / "src" / "a.js")
    seen.watch.close()


def test_a_root_that_goes_and_comes_back_is_watched_again(top: Path) -> None:
    """As when a deployment replaces a directory."""
    root = top / "src"
    seen = Seen(root)
    root.rename(top / "old")
    seen.told(root)
    root.mkdir()
    seen.told(root)
    (root / "b.js").write_text("1")
    seen.told(root / "b.js")
    seen.watch.close()


def test_lost_events_count_as_a_change(top: Path) -> None:
    """The queue of the kernel is finite."""
    seen = Seen(top)
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(limit // 2 + 10):  # two events each: created, removed
        path = top / "src" / f"{number}"
        path.mkdir()
        path.rmdir()

    def fact() -> bool:
        seen.turn()
        return str(top) in seen.paths

    wait.until(fact, "the overflow")
    seen.paths.clear()
    seen.told_nothing_until(top / "src" / "a.js")
    seen.watch.close()


def test_too_much_to_watch_is_refused(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do about it; and no descriptor is left behind."""
    monkeypatch.setattr(file_watch, "MOST_DIRECTORIES", 1)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="ignore_watch"):
        Seen(top)
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
    """Names and patterns for names; paths and patterns for paths."""
    assert (path in Ignored("/app", entries)) is expected
