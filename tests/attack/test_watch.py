"""`gapless watch` ends for nothing but its own stop; an upload costs no other upload."""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gapless.base.errors import DONE, FAILED, ReleaseError
from gapless.cli.publisher import faults
from gapless.cli.publisher.output import WatchOutput
from gapless.cli.publisher.uploads import UploadPublisher
from gapless.cli.publisher.watcher import Watcher
from gapless.push.outcome_store import OutcomeStore
from gapless.releases import paths, publish
from gapless.releases.inbox import claims, completeness
from gapless.releases.model import ReleaseSpec
from gapless.releases.publisher import journal
from gapless.releases.steps import unpack
from rig.background import BackgroundProcess
from rig.fixtures import archives
from rig.fixtures.archives import END, file, header, long_name, records
from rig.hosts.host import Host
from rig.wait import until

FAULTS = (
    MemoryError(),
    RecursionError("maximum recursion depth exceeded"),
    OverflowError("cannot convert float infinity to integer"),
    ValueError("embedded null byte"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    KeyError("\x1b]0;evil\x07"),
    AssertionError(),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_of_one_app_is_printed_once_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: Exception,
) -> None:
    """The app is tried again, the others go on, and `stop` ends them all."""
    monkeypatch.setattr(faults, "PAUSE_S", 0.01)
    monkeypatch.setattr(faults, "MOST_PAUSE_S", 0.01)
    watcher = Watcher({}, {}, WatchOutput(as_json=False))
    counts = {"bad": 0, "good": 0}

    def check(name: str) -> None:
        counts[name] += 1
        if name == "bad" and counts[name] < 5:
            raise fault

    monkeypatch.setattr("gapless.cli.publisher.watcher.POLL_S", 0.01)
    checks = {name: functools.partial(check, name) for name in counts}
    threads = [
        threading.Thread(target=watcher._repeat, args=(name, each, False))
        for name, each in checks.items()
    ]
    for thread in threads:
        thread.start()
    until(lambda: counts["bad"] > 7 and counts["good"] > 7, "both apps to go on")
    assert not watcher.is_stopping()
    watcher.stop()
    for thread in threads:
        thread.join(10)
    printed = capsys.readouterr().out
    assert printed.count("gapless: bad: gapless has a fault of its own") == 1
    assert type(fault).__name__ in printed
    assert "report it" in printed
    assert "\x1b" not in printed
    assert watcher.exit_code == FAILED


def test_with_once_a_fault_is_in_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """And without one it is 0."""
    monkeypatch.setattr("gapless.cli.publisher.watcher.POLL_S", 0.01)
    watcher = Watcher({}, {}, WatchOutput(as_json=False))
    watcher._repeat("app", lambda: None, once=True)
    assert watcher.exit_code == DONE
    watcher._repeat("app", lambda: [].clear(1), once=True)  # type: ignore[call-arg] # raises
    assert watcher.exit_code == FAILED


def test_a_reader_that_has_gone_ends_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What cannot be printed is not printed: a closed pipe, a full disk, a surrogate."""

    def fail(*_words: object, **_how: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("builtins.print", fail)
    output = WatchOutput(as_json=False)
    output.line("a line")
    output.trouble("app", "trouble", "details")
    output.error(ReleaseError("refused"))


@pytest.fixture
def spec(tmp_path: Path) -> ReleaseSpec:
    """Return an app whose inbox has two uploads: the first is poison."""
    made = ReleaseSpec(app="app", base=str(tmp_path), build=())
    for directory in (made.inbox, made.dist, made.work):
        Path(directory).mkdir(parents=True)
    archives.write(Path(made.inbox) / "app-1.tar", file(b"poison") + END)
    archives.write(Path(made.inbox) / "app-2.tar", file(b"good") + END)
    return made


@pytest.mark.parametrize("where", ["completeness", "unpacking"])
def test_a_fault_gives_up_one_upload_until_it_changes(
    spec: ReleaseSpec, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The next one is published in the same check, or the one after a pause."""
    tried: list[str] = []

    def poisoned(tarball: str, *rest: object, **how: object) -> object:
        if "app-1.tar" in tarball:
            tried.append(tarball)
            raise RecursionError("maximum recursion depth exceeded")
        return original(tarball, *rest, **how)

    original: Callable[..., object]
    if where == "completeness":
        original = completeness.is_complete
        monkeypatch.setattr(completeness, "is_complete", poisoned)
    else:
        original = unpack.unpack
        monkeypatch.setattr(unpack, "unpack", poisoned)
    monkeypatch.setattr(faults, "PAUSE_S", 0.0)
    output = WatchOutput(as_json=False)
    publisher = UploadPublisher(
        spec,
        ["app"],
        OutcomeStore(spec.inbox, output.line),
        output,
        open_publisher=None,
        is_stopping=lambda: False,
    )
    monkeypatch.setattr(publisher, "_publish_upload", lambda t: _make(spec, t))
    for _ in range(6):
        publisher.check()
    assert len(tried) == 1
    assert publisher.exit_code == FAILED
    assert (Path(spec.inbox) / "app-1.tar").exists()
    assert not (Path(spec.inbox) / "app-2.tar").exists()
    archives.write(Path(spec.inbox) / "app-1.tar", file(b"changed") + file(b"x") + END)
    for _ in range(3):
        publisher.check()
    assert len(tried) == 2


def _make(spec: ReleaseSpec, tarball: str) -> None:
    publish.make_release(spec, tarball, progress=lambda *_: None)
    claims.finish(spec)
    journal.drop(spec)


def test_a_directory_of_any_depth_can_be_removed(tmp_path: Path) -> None:
    """A build may make one: what it has left must not stay in the way of the next."""
    at = tmp_path / "tree"
    at.mkdir()
    (tmp_path / "beside").mkdir()
    top = at
    for number in range(3):
        (top / f".moved-up-{number}").mkdir()

    here = os.open(at, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.symlink("../../../beside", "link", dir_fd=below)
        os.close(here)
        here = below
    os.close(here)
    paths.remove(str(at))
    assert os.listdir(tmp_path) == ["beside"]


def test_a_link_put_in_the_place_of_a_directory_is_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tree of a build that was refused belongs to its user while it is removed."""
    victim, tree = tmp_path / "victim", tmp_path / "tree"
    victim.mkdir(mode=0o755)
    (tree / "below").mkdir(parents=True)
    let_in = paths._let_in

    def swap_first(name: str, directory: int) -> None:
        (tree / "below").rename(tree / "away")
        (tree / "below").symlink_to(victim)
        let_in(name, directory)

    monkeypatch.setattr(paths, "_let_in", swap_first)
    with pytest.raises(OSError, match="Not a directory"):
        paths.remove(str(tree))
    assert victim.stat().st_mode & 0o777 == 0o755


# --- the command ----------------------------------------------------------------------


@pytest.fixture
def watch(host: Host) -> Iterator[BackgroundProcess]:
    """Return `gapless watch` of two apps; it is not started yet."""
    base = host.directory / "dfs"
    (base / "src").mkdir(parents=True)
    text = "".join(
        f'[release.{app}]\nbase = "{base}"\nbuild = []\n' for app in ("bad", "good")
    )
    host.configure(text)
    process = BackgroundProcess(host.directory / "watch.log")
    yield process
    process.kill()


def test_poison_of_one_app_costs_the_other_nothing(
    host: Host, watch: BackgroundProcess
) -> None:
    """All of it lies there when watch starts; each is refused by name, and it goes on."""
    inbox = host.directory / "dfs" / "src"
    poison = {
        "bad-1.tar.gz": long_name(b"d/" * 1200) + header(b"x", b"5") + END,
        "bad-2.tar.gz": records(size=b"9223372036854775808") + header(b"x") + END,
        "bad-3.tar.gz": header(b"x", b"x", size=1 << 30) + bytes(1 << 22),
        "bad-4.tar.gz": records(mtime=b"-inf") + file(b"../\x1b[2J") + END,
    }
    for name, archive in poison.items():
        archives.write(inbox / name, archive)
    host.start_in_background(watch, "watch")
    archives.write(inbox / "good.part", file(b"app/index.js") + END)
    (inbox / "good.part").rename(inbox / "good-1.tar")
    link = host.directory / "dfs" / "dist" / "good"
    until(link.exists, "the good app")
    until(
        lambda: all(watch.output().count(name) for name in poison), "a word about each"
    )
    assert "\x1b" not in watch.output()
    assert "Traceback" not in watch.output()
    watch.send_signal(signal.SIGTERM)
    assert watch.wait(30) == DONE
