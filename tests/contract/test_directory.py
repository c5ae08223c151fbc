"""A shared directory with old listings, lost answers, and files of other programs."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from gapless.base.errors import ConflictError, UnavailableError
from gapless.coordinator.directory import DirectoryCoordinator
from gapless.coordinator.files import Files
from gapless.coordinator.model import ABSENT
from gapless.coordinator.version_files import KEPT_S, KEPT_VERSIONS


class FaultyFiles(Files):
    """Files with the faults of NFS."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.frozen: dict[str, list[str]] | None = None
        """The listings that are returned, as by a cache."""
        self.stale = 0
        """How many more listings meet ESTALE."""
        self.lose_links = False
        """Links are made, but the call raises an error."""

    def names(self, place: str) -> list[str]:
        """List, from the cache if there is one, or fail."""
        if self.stale > 0:
            self.stale -= 1
            raise OSError(errno.ESTALE, "stale file handle")
        if self.frozen is not None and place in self.frozen:
            return self.frozen[place]
        return super().names(place)

    def link(self, source: str, target: str) -> None:
        """Link; with a lost answer as if NFS had sent it again and met the first link."""
        super().link(source, target)
        if self.lose_links:
            raise FileExistsError(errno.EEXIST, "file exists")


class Shared:
    """A directory, two hosts, and their complaints."""

    def __init__(self, root: Path) -> None:
        self.root, self.files = root, FaultyFiles(root)
        self.complaints: list[str] = []
        self.good = DirectoryCoordinator(str(root), self.complaints.append)
        self.faulty = DirectoryCoordinator(
            str(root), self.complaints.append, self.files
        )

    @property
    def place(self) -> Path:
        """The directory of the key `a`."""
        return self.root / "=a"

    def freeze(self) -> None:
        """Let the faulty host read the present listing from now on."""
        self.files.frozen = {str(self.place): os.listdir(self.place)}

    def write(self, times: int) -> int:
        """Write the key some times; return its version."""
        for _ in range(times):
            entry = self.good.read("a")
            version = entry.version if entry else ABSENT
            self.good.write("a", b"x", expected=version)
        entry = self.good.read("a")
        assert entry is not None
        return entry.version


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    """Return a shared directory."""
    return Shared(tmp_path)


def test_an_old_view_only_loses(shared: Shared) -> None:
    """A host that reads an old listing expects an old version: its write fails."""
    version = shared.write(1)
    shared.freeze()
    shared.write(2)
    with pytest.raises(ConflictError):
        shared.faulty.write("a", b"late", expected=version)
    shared.files.frozen = None
    entry = shared.faulty.read("a")
    assert entry is not None
    assert (entry.version, entry.value) == (3, b"x")


@pytest.mark.parametrize("seen", [1, 2, 5])
def test_who_was_paused_for_an_hour_acts_on_nothing(shared: Shared, seen: int) -> None:
    """The number that it links is free again: it removes its version."""
    version = shared.write(seen)
    names = os.listdir(shared.place)
    shared.write(KEPT_VERSIONS + 3)
    hour_ago = os.stat(shared.place / f"{version}").st_mtime - KEPT_S - 3600
    for number in range(1, version + 3):
        os.utime(shared.place / f"{number}", (hour_ago, hour_ago))
    shared.write(1)  # which removes what is that old
    assert not (shared.place / f"{version + 1}").exists()
    names_now = shared.files.names

    def names_once(place: str) -> list[str]:
        assert place
        shared.files.names = names_now  # type: ignore[method-assign]  # later calls
        return names

    shared.files.names = names_once  # type: ignore[method-assign]  # one old listing
    (shared.place / f"{version}").write_bytes(_copy_of(shared, version))
    with pytest.raises(ConflictError):
        shared.faulty.write("a", b"late", expected=version)
    entry = shared.good.read("a")
    assert entry is not None
    assert entry.value == b"x"
    assert not (shared.place / f"{version + 1}").exists()


def _copy_of(shared: Shared, version: int) -> bytes:
    """Return the file of a version, as the paused host has it in its cache."""
    other = DirectoryCoordinator(str(shared.root / "copy"), pytest.fail)
    for expected in range(version):
        other.write("a", b"x", expected=expected)
    return (shared.root / "copy" / "=a" / f"{version}").read_bytes()


def test_a_link_whose_answer_is_lost_was_made(shared: Shared) -> None:
    """The writer recognizes its own record, and no conflict is raised."""
    shared.files.lose_links = True
    entry = shared.faulty.write("a", b"1", expected=ABSENT)
    assert shared.good.read("a") == entry
    with pytest.raises(ConflictError):
        shared.faulty.write("a", b"2", expected=ABSENT)


def test_stale_handles_are_looked_at_again(shared: Shared) -> None:
    """A few ESTALE are retried; without end they are an error."""
    shared.write(1)
    shared.files.stale = 3
    assert shared.faulty.read("a") is not None
    shared.files.stale = 1000
    with pytest.raises(UnavailableError, match="goes stale again and again"):
        shared.faulty.read("a")


def test_what_cannot_be_trusted_is_named_and_ignored(shared: Shared) -> None:
    """With a wrong checksum, another format or a foreign file, the last good one counts."""
    shared.write(2)
    (shared.place / "3").write_text('{"format": 99}')
    (shared.place / "4").write_text("rubbish")
    record = json.loads((shared.place / "2").read_text())
    (shared.place / "5").write_text(json.dumps(record | {"value": "evil"}))
    (shared.place / "notes.txt").write_text("by another program")
    entry = shared.good.read("a")
    assert entry is not None
    assert (entry.version, entry.value) == (2, b"x")
    complaints = "\n".join(shared.complaints)
    for what in ("its format is 99", "no record", "checksum is wrong", "not a version"):
        assert what in complaints
    count = len(shared.complaints)
    done = shared.good.write("a", b"new", expected=2)
    assert done.version == 6  # above every number in the directory
    assert shared.good.read("a") == done
    assert len(shared.complaints) == count  # each is reported once


def test_old_versions_go_when_no_view_can_be_that_old(shared: Shared) -> None:
    """A few stay, and all young ones."""
    shared.write(KEPT_VERSIONS + 6)
    assert len(os.listdir(shared.place)) == KEPT_VERSIONS + 6
    for name in os.listdir(shared.place):
        path = shared.place / name
        old = path.stat().st_mtime - KEPT_S - 10
        os.utime(path, (old, old))
    last = shared.write(1)
    left = sorted(int(name) for name in os.listdir(shared.place))
    assert left == list(range(last - KEPT_VERSIONS + 1, last + 1))


def test_what_a_writer_left_that_was_killed_goes_as_well(shared: Shared) -> None:
    """Killed before the link; a part that is being written now stays."""
    shared.write(1)
    for name in ("dead.part", "alive.part"):
        (shared.place / name).write_text("half")
    old = (shared.place / "dead.part").stat().st_mtime - KEPT_S - 10
    os.utime(shared.place / "dead.part", (old, old))
    shared.write(1)
    assert sorted(os.listdir(shared.place)) == ["1", "2", "alive.part"]


def test_what_nfs_leaves_is_no_stranger(shared: Shared) -> None:
    """A file that was removed while a host had it open is left without a complaint."""
    shared.write(1)
    (shared.place / ".nfs000000000012").write_text("")
    assert shared.good.read("a") is not None
    assert shared.complaints == []


def test_a_writer_of_another_format_is_named_once(shared: Shared) -> None:
    """One complaint, not one for each of its versions."""
    for number in (1, 2, 3):
        (shared.place).mkdir(exist_ok=True)
        (shared.place / str(number)).write_text('{"format": 99}')
        assert shared.good.read("a") is None
    assert len(shared.complaints) == 1


def test_a_directory_that_cannot_be_used_is_said(shared: Shared) -> None:
    """The error says that the directory cannot be used."""
    (shared.root / "=a").write_text("a file")
    with pytest.raises(UnavailableError, match="the shared directory cannot be used"):
        shared.good.write("a", b"", expected=ABSENT)
