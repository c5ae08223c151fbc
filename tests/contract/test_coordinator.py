"""The contract of coordinators: memory, a shared directory, a real etcd."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gapless.base.errors import ConflictError, MisuseError
from gapless.coordinator import model
from gapless.coordinator.directory import DirectoryCoordinator
from gapless.coordinator.etcd import EtcdCoordinator
from gapless.coordinator.etcd_settings import EtcdSettings
from gapless.coordinator.memory import MemoryCoordinator
from gapless.coordinator.model import ABSENT, Coordinator
from rig.hosts.remote_directory import RemoteDirectory
from rig.programs.etcd import Etcd

Make = Callable[[], Coordinator]
"""Returns another host's view of the same coordinator."""


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """Run one etcd for the tests of this file."""
    found = Etcd(tmp_path_factory.mktemp("etcd")).start()
    try:
        yield found
    finally:
        found.kill()


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteDirectory]:
    """Run a remote file system for the tests of this file."""
    found = RemoteDirectory(tmp_path_factory.mktemp("remote") / "fs")
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(params=["memory", "directory", "sshfs", "etcd"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Return a function that makes the view of one more host."""
    if request.param == "memory":
        shared = MemoryCoordinator()
        return lambda: shared
    if request.param == "directory":
        return lambda: DirectoryCoordinator(str(tmp_path), pytest.fail)
    if request.param == "sshfs":
        own: RemoteDirectory = request.getfixturevalue("remote")
        numbers, name = itertools.count(), tmp_path.name

        def mounted() -> DirectoryCoordinator:
            return DirectoryCoordinator(
                str(own.mount_of(next(numbers)) / name), pytest.fail
            )

        return mounted
    url = request.getfixturevalue("etcd").url
    settings = EtcdSettings(endpoints=(url,), prefix=tmp_path.name)
    return lambda: EtcdCoordinator(settings)


def test_what_was_written_is_read_by_others(make: Make) -> None:
    """Values are any bytes; a key that does not exist is None."""
    one, other = make(), make()
    assert one.read("releases/shop") is None
    entry = one.write("releases/shop", b"\x00\xff v1", expected=ABSENT)
    assert entry.version > ABSENT
    assert other.read("releases/shop") == entry
    assert other.read("releases") is None
    one.close()
    other.close()


def test_of_two_writers_one_is_too_late(make: Make) -> None:
    """Compare-and-set compares the version."""
    one, other = make(), make()
    first = one.write("a", b"1", expected=ABSENT)
    with pytest.raises(ConflictError, match="another writer was first"):
        other.write("a", b"2", expected=ABSENT)
    second = other.write("a", b"2", expected=first.version)
    assert second.version > first.version
    with pytest.raises(ConflictError):
        one.write("a", b"3", expected=first.version)
    with pytest.raises(ConflictError):
        one.remove("a", expected=first.version)
    assert one.read("a") == second


def test_a_version_is_never_used_twice(make: Make) -> None:
    """Not even after the key was removed, so that a late writer fails."""
    one = make()
    first = one.write("slot", b"held", expected=ABSENT)
    one.remove("slot", expected=first.version)
    assert one.read("slot") is None
    one.remove("slot", expected=ABSENT)
    again = one.write("slot", b"held", expected=ABSENT)
    assert again.version > first.version
    with pytest.raises(ConflictError):
        one.write("slot", b"late", expected=first.version)


def test_a_prefix_is_a_whole_name(make: Make) -> None:
    """Below `hosts` are neither `hosts2` nor `hosts` itself, but keys at any depth."""
    one = make()
    for key in ("hosts/a", "hosts/b/report", "hosts2/c", "hosts"):
        one.write(key, key.encode(), expected=ABSENT)
    gone = one.write("hosts/gone", b"", expected=ABSENT)
    one.remove("hosts/gone", expected=gone.version)
    found = one.read_all("hosts")
    assert {key: entry.value for key, entry in found.items()} == {
        "hosts/a": b"hosts/a",
        "hosts/b/report": b"hosts/b/report",
    }
    assert one.read_all("nothing") == {}


@pytest.mark.parametrize("key", ["a b", "x.part", "1", "@scope", "a/1/=", "UPPER:1+2"])
def test_odd_keys(make: Make, key: str) -> None:
    """Names of apps and of hosts can be keys."""
    one = make()
    if "=" in key:
        with pytest.raises(MisuseError):
            one.write(key, b"", expected=ABSENT)
        return
    one.write(key, b"x", expected=ABSENT)
    assert one.read(key) is not None


@pytest.mark.parametrize("key", ["", "/a", "a//b", "a/", "../a", "a/../b", "a\n", "é"])
def test_what_cannot_be_a_key(make: Make, key: str) -> None:
    """No key leads out of the directory."""
    with pytest.raises(MisuseError, match="cannot be a key"):
        make().write(key, b"", expected=ABSENT)


def test_a_value_that_is_too_large(make: Make) -> None:
    """A value has a size limit."""
    with pytest.raises(MisuseError, match="are more than"):
        make().write("a", b"x" * (model.LARGEST_VALUE_BYTES + 1), expected=ABSENT)
    make().write("a", b"x" * model.LARGEST_VALUE_BYTES, expected=ABSENT)


def test_wait_returns_when_another_host_writes(make: Make) -> None:
    """It returns at once if the versions already differ from those that were seen."""
    one, other = make(), make()
    first = one.write("desired/shop", b"1", expected=ABSENT)
    assert one.wait("desired", {}, 30)["desired/shop"] == first
    seen = model.versions(one.read_all("desired"))
    found: list[bytes] = []

    def wait() -> None:
        found.append(one.wait("desired", seen, 30)["desired/shop"].value)

    waiting = threading.Thread(target=wait)
    waiting.start()
    other.write("other/shop", b"no", expected=ABSENT)
    other.write("desired/shop", b"2", expected=first.version)
    waiting.join(30)
    assert found == [b"2"]


def test_wait_ends_when_nothing_happens(make: Make) -> None:
    """It returns the keys as they are."""
    one = make()
    one.write("desired/shop", b"1", expected=ABSENT)
    seen = model.versions(one.read_all("desired"))
    assert model.versions(one.wait("desired", seen, 0.3)) == seen


def test_no_increment_is_lost_between_many_writers(make: Make) -> None:
    """Eight writers add twenty each: every increment counts, every version is new."""
    key, count, writers = "counter", 20, 8
    make().write(key, b"0", expected=ABSENT)
    versions: list[int] = []

    def add() -> None:
        own = make()
        for _ in range(count):
            while True:
                entry = own.read(key)
                assert entry is not None
                value = str(int(entry.value) + 1).encode()
                try:
                    done = own.write(key, value, expected=entry.version)
                except ConflictError:
                    continue
                versions.append(done.version)
                break

    threads = [threading.Thread(target=add) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    last = make().read(key)
    assert last is not None
    assert int(last.value) == count * writers
    assert len(set(versions)) == count * writers
