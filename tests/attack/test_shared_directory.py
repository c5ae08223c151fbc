"""A shared directory in which others write: no file there ends or blocks a reader."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gapless.base.errors import UnavailableError
from gapless.coordinator import files, version_files, version_record
from gapless.coordinator.decoding import MOST_VERSION
from gapless.coordinator.directory import DirectoryCoordinator
from gapless.coordinator.files import Files
from gapless.coordinator.model import Entry
from gapless.coordinator.version_files import KEPT_S, MOST_UNTRUSTED
from gapless.coordinator.version_record import VersionRecord
from gapless.rollout import records
from gapless.rollout.model import Rollout
from gapless.rollout.store import FleetStore

ROLLOUT = Rollout(app="shop", number=7, release="shop-20260101000002")
GOOD = records.encode_rollout(ROLLOUT)
LATE_S = 5.0
"""No look at the directory takes so long."""


class Shared:
    """A directory with the rollouts of two apps, and an agent of the good one."""

    def __init__(self, root: Path) -> None:
        self.root, self.complaints = root, list[str]()
        self.coordinator = self.host()
        self.coordinator.write("rollout/shop", GOOD, expected=0)
        self.coordinator.write("rollout/evil", GOOD, expected=0)
        self.evil = root / "=rollout" / "=evil"

    def host(self, own: Files | None = None) -> DirectoryCoordinator:
        """Return the coordinator as one more host sees it."""
        return DirectoryCoordinator(str(self.root), self.complaints.append, own)

    def versions(self, key: str = "rollout/evil") -> Entry | None:
        """Read a key."""
        return self.coordinator.read(key)


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    """Return a shared directory."""
    return Shared(tmp_path / "fleet")


def _fifo(at: Path) -> None:
    os.mkfifo(at / "2")


def _device(at: Path) -> None:
    os.mknod(at / "2", 0o020666, os.makedev(1, 5))  # /dev/zero: it never ends


def _socket_name(at: Path) -> None:
    os.mknod(at / "2", 0o140666)


def _link(at: Path) -> None:
    (at / "2").symlink_to("/etc/passwd")


def _loop(at: Path) -> None:
    (at / "2").symlink_to("2")


def _folder(at: Path) -> None:
    (at / "2").mkdir()


def _huge(at: Path) -> None:
    with open(at / "2", "wb") as file:
        file.truncate(1 << 40)


def _nested(at: Path) -> None:
    (at / "2").write_bytes(b"[" * 200_000)


def _nested_field(at: Path) -> None:
    (at / "2").write_bytes(b'{"format": 1, "x": ' + b'{"a":' * 100_000)


def _digits(at: Path) -> None:
    (at / "2").write_bytes(b'{"format": ' + b"9" * 5000 + b"}")


def _no_byte(at: Path) -> None:
    record = VersionRecord(nonce="ab", after="", value="€")
    (at / "2").write_bytes(version_record.encode(2, record))


def _types(at: Path) -> None:
    (at / "2").write_text(
        '{"format": 1, "sha256": [], "nonce": {}, "after": 1, "value": 7}'
    )


def _nines(at: Path) -> None:
    (at / ("9" * 255)).write_text("")


def _past_64_bits(at: Path) -> None:
    (at / str(2**63 - 1)).write_text("")


def _other_digits(at: Path) -> None:
    (at / "\u0663\u0664").write_text("")
    (at / "\u00b2").write_text("")


def _no_utf_8(at: Path) -> None:
    Path(os.fsdecode(os.fsencode(at) + b"/\xff\xfe")).write_text("")


def _escapes(at: Path) -> None:
    (at / "\x1b[2J\n9").write_text("")


PLANTED: list[Callable[[Path], None]] = [
    *(_fifo, _device, _socket_name, _link, _loop, _folder, _huge, _nested),
    *(_nested_field, _digits, _no_byte, _types, _nines, _past_64_bits),
    *(_other_digits, _no_utf_8, _escapes),
]


@pytest.mark.parametrize("plant", PLANTED)
def test_a_foreign_file_is_named_once_and_ignored(
    shared: Shared, plant: Callable[[Path], None]
) -> None:
    """The last good version counts, and the next one is written above it."""
    plant(shared.evil)
    began = time.monotonic()
    for host in (shared.coordinator, shared.host()):
        before = len(shared.complaints)
        for _ in range(2):
            assert set(host.read_all("rollout")) == {"rollout/shop", "rollout/evil"}
            assert host.read("rollout/evil") == Entry(1, GOOD)
        found = shared.complaints[before:]
        assert len(found) == len(set(found))
        assert found
        assert all(each.isprintable() for each in found)
    store = FleetStore(shared.coordinator, "shop", now=lambda: 0.0, complain=print)
    assert store.wait(0.0)
    assert store.rollout_after_wait()[0] == ROLLOUT
    written = shared.coordinator.write("rollout/evil", b"next", expected=1)
    assert written.version > 1
    assert shared.coordinator.read("rollout/evil") == written
    assert time.monotonic() - began < LATE_S


@pytest.mark.parametrize(
    "name",
    [
        *(b"=a%0Ab", b"=..", b"=%2E%2E", b"=a%2Fb", b"=", b"=%", b"=\xff", b"=a\nb"),
        *(b"=%61", b"=" + b"x" * 250, b"=a b\x1b", b"=%FF"),
    ],
)
def test_a_directory_that_no_key_has_is_left_out(shared: Shared, name: bytes) -> None:
    """Also where it has a version file that is right."""
    at = os.fsencode(shared.root / "=rollout") + b"/" + name
    os.mkdir(at)
    os.link(shared.evil / "1", at + b"/1")
    for _ in range(2):
        found = shared.coordinator.read_all("rollout")
        assert set(found) == {"rollout/shop", "rollout/evil"}
    (complaint,) = shared.complaints
    assert complaint.isprintable()
    assert "not the directory of a key" in complaint


def _is_file(at: Path, out: Path) -> None:
    at.write_text(str(out))


def _is_link_out(at: Path, out: Path) -> None:
    at.symlink_to(out)


def _is_loop(at: Path, out: Path) -> None:
    at.symlink_to(at.name if out else "")


def _is_fifo(at: Path, out: Path) -> None:
    assert out
    os.mkfifo(at)


@pytest.mark.parametrize("plant", [_is_file, _is_link_out, _is_loop, _is_fifo])
def test_a_key_that_is_no_directory_costs_the_others_nothing(
    shared: Shared, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    """Nothing is read, written or removed where a link leads."""
    out = tmp_path / "out"
    out.mkdir()
    for name in ("1", "2", "3", "4", "5", "6", "old.part"):
        (out / name).write_bytes((shared.evil / "1").read_bytes())
        os.utime(out / name, (0, 0))
    before = sorted(os.listdir(out))
    for name in os.listdir(shared.evil):
        (shared.evil / name).unlink()
    shared.evil.rmdir()
    plant(shared.evil, out)
    for _ in range(2):
        assert set(shared.coordinator.read_all("rollout")) == {"rollout/shop"}
    assert len(shared.complaints) == 1
    with pytest.raises(UnavailableError, match="shared directory cannot be used"):
        shared.coordinator.read("rollout/evil")
    for expected in (0, 6):
        with pytest.raises(UnavailableError):
            shared.coordinator.write("rollout/evil", b"x", expected=expected)
    below = "rollout/evil/deeper"
    with pytest.raises(UnavailableError):
        shared.coordinator.write(below, b"x", expected=0)
    assert sorted(os.listdir(out)) == before


def test_a_key_that_may_not_be_read_costs_the_others_nothing(shared: Shared) -> None:
    """It is not taken for absent: a slot there may be held."""

    class Forbidden(Files):
        def read(self, path: str, most_bytes: int) -> bytes:
            if "=evil" in path:
                raise PermissionError(errno.EACCES, "permission denied", path)
            return super().read(path, most_bytes)

    host = shared.host(Forbidden(str(shared.root)))
    assert set(host.read_all("rollout")) == {"rollout/shop"}
    with pytest.raises(UnavailableError, match="permission denied"):
        host.read("rollout/evil")
    with pytest.raises(UnavailableError, match="permission denied"):
        host.write("rollout/evil", b"x", expected=0)


def test_a_number_that_nothing_can_follow_delays_its_own_key(shared: Shared) -> None:
    """The error says which file to remove."""
    (shared.evil / str(MOST_VERSION)).write_text("")
    assert shared.versions() == Entry(1, GOOD)
    with pytest.raises(UnavailableError, match="no version can follow") as caught:
        shared.coordinator.write("rollout/evil", b"x", expected=1)
    assert "remove that file" in caught.value.hint
    shared.coordinator.write("rollout/shop", b"x", expected=1)
    (shared.evil / str(MOST_VERSION)).unlink()
    (shared.evil / str(MOST_VERSION - 9)).write_text("")
    found = shared.coordinator.write("rollout/evil", b"x", expected=1)
    assert found.version == MOST_VERSION - 8


def test_many_names_are_not_all_looked_at(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor are many versions that cannot be trusted: work and memory have a bound."""
    for number in range(2, MOST_UNTRUSTED + 9):
        (shared.evil / str(number)).write_text("rubbish")
    assert set(shared.coordinator.read_all("rollout")) == {"rollout/shop"}
    with pytest.raises(UnavailableError, match="can be trusted"):
        shared.coordinator.write("rollout/evil", b"x", expected=0)
    monkeypatch.setattr(files, "MOST_NAMES", 20)
    assert set(shared.coordinator.read_all("rollout")) == {"rollout/shop"}
    with pytest.raises(UnavailableError, match="more than 20 names"):
        shared.coordinator.read("rollout/evil")


def test_the_log_is_not_filled_with_names(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is the memory of what was named already."""
    monkeypatch.setattr(version_files, "MOST_REPORTS", 5)
    for number in range(50):
        (shared.evil / f"name-{number}").write_text("")
    assert shared.versions() == Entry(1, GOOD)
    assert len(shared.complaints) == 6
    assert "not named any more" in shared.complaints[-1]


def test_what_cannot_be_removed_does_not_end_the_removal(shared: Shared) -> None:
    """A directory in the place of an old version stays, the old versions go."""
    (shared.evil / "2").mkdir()
    (shared.evil / "a.part").mkdir()
    for expected in (1, 3, 4, 5, 6, 7):
        shared.coordinator.write("rollout/evil", b"x", expected=expected)
    for name in os.listdir(shared.evil):
        old = (shared.evil / name).stat().st_mtime - KEPT_S - 10
        os.utime(shared.evil / name, (old, old))
    shared.coordinator.write("rollout/evil", b"x", expected=8)
    left = set(os.listdir(shared.evil))
    assert left == {"2", "a.part", "6", "7", "8", "9"}
