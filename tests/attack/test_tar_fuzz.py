"""No bytes make the reader of tarballs raise anything but its two errors, hang or grow."""

from __future__ import annotations

import io
import os
import random
import resource
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gapless.base.errors import ReleaseError
from gapless.releases.model import Limits
from gapless.releases.steps.unpack import unpack
from gapless.releases.unpacking import filling, rules
from gapless.releases.unpacking.faults import BrokenError, RefusedError
from gapless.releases.unpacking.tree import Tree
from rig.fixtures import archives

LIMITS = Limits(max_unpacked_bytes=1 << 20, max_files=60, max_depth=20)
CASES_EACH = 250
LONGEST_S = 0.05
"""Of processor time, on average: most take less than a thousandth."""
CORPUS = [
    archives.ordinary(kind)
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    if kind != tarfile.USTAR_FORMAT
] + [
    archives.file(b"app/a", b"text") + archives.END,
    archives.header(b"d", b"5") + archives.header(b"d/l", b"2", target=b"..") * 2,
    archives.records(path=b"app/" + b"n" * 150, mtime=b"1.5", size=b"4", comment=b"x")
    + archives.file(b"short", b"text")
    + archives.header(b"same", b"1", target=b"app/" + b"n" * 80),
    archives.header(b"g", b"g", size=17) + archives.content(b"17 comment=abcde\n"),
    *(archives.ordinary(compression=each) for each in ("gz", "bz2", "xz")),
]
HOSTILE = (
    *(b"\xff" * 12, b"\x80" + b"\xff" * 11, b"77777777777\0", b"-0000000001\0"),
    *(b"00000000000\0", b"\0" * 12, b"..", b"../../x", b"/", b"\0", b"//", b"./"),
    *(b"inf", b"nan", b"9223372036854775808", b"9" * 40, b"=", b"\n", b"0 x=\n"),
    *(b"30 mtime=inf\n", b"20 size=-1\n", b"30 path=../../../../etc/x\n"),
    *(b"11 path=\0\n", b"\x1b[2J", b"\xe2\x80\xae", b"BZh", b"\x1f\x8b\x08"),
)
KINDS = b"0123456789\0xXgLKSDMV~"


def mutated(random_: random.Random) -> bytes:
    """Return an archive of the corpus in which a few bytes are others."""
    archive = bytearray(random_.choice(CORPUS))
    for _ in range(random_.randint(1, 6)):
        at = random_.randrange(len(archive) or 1)
        what = random_.randrange(7)
        if what == 0:
            archive[at : at + 1] = bytes([random_.randrange(256)])
        elif what == 1:
            text = random_.choice(HOSTILE)
            archive[at : at + len(text)] = text
        elif what == 2:
            del archive[at : at + random_.choice((1, 100, 512, 5000))]
        elif what == 3:
            block = at // 512 * 512
            archive[at:at] = archive[block : block + random_.choice((512, 1024))]
        elif what == 4:  # a field that starts where fields start
            field = at // 512 * 512 + random_.choice((0, 100, 124, 136, 157, 257, 345))
            text = random_.choice(HOSTILE)
            archive[field : field + len(text)] = text
        elif what == 5:
            archive[at // 512 * 512 + 156 : at // 512 * 512 + 157] = bytes(
                [random_.choice(KINDS)]
            )
        else:
            archive += random_.choice(CORPUS)[: random_.randrange(2000)]
    # With the checksum that it should have, most of what is read is not the checksum.
    for block in range(0, len(archive) - 511, 512):
        if (
            bytes(archive[block + 257 : block + 262]) == b"ustar"
            and random_.random() < 0.9
        ):
            archive[block : block + 512] = archives.sealed(
                bytes(archive[block : block + 512])
            )
    return bytes(archive)


def read_all(seed: int, count: int, directory: Path) -> set[str]:
    """Read mutated archives, and unpack some; return how they ended."""
    random_, ends = random.Random(seed), set()
    began = time.process_time()
    for number in range(count):
        archive = mutated(random_)
        try:
            if number % 5:
                filling.read(io.BytesIO(archive).read, LIMITS)
            else:
                _fill(archive, directory)
            ends.add("whole")
        except (BrokenError, RefusedError) as error:
            ends.add(type(error).__name__)
        except OSError:
            ends.add("a name that the file system refuses")  # as the child does then
        except BaseException as error:
            error.add_note(f"seed {seed}, case {number}: {archive!r}")
            raise
    assert time.process_time() - began < count * LONGEST_S, seed
    return ends


def _fill(archive: bytes, directory: Path) -> None:
    target = directory / "tree"
    target.mkdir()
    top = os.open(target, os.O_RDONLY)
    tree = Tree(top, 0o022)
    try:
        filling.fill(tree, io.BytesIO(archive).read, LIMITS)
        rules.check_links(tree.links)
        inside = str(target.resolve())
        for path in target.rglob("*"):
            assert str(path.resolve()).startswith(inside)
            assert path.is_symlink() or not path.stat().st_mode & 0o6022
    finally:
        tree.close()
        os.close(top)
        shutil.rmtree(target)
        assert os.listdir(directory) == ["beside"]


@pytest.fixture
def directory() -> Iterator[Path]:
    """Return a directory in memory, with something that must not change."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

    with tempfile.TemporaryDirectory(dir=base) as path:
        (Path(path) / "beside").write_text("kept")
        yield Path(path)
        assert (Path(path) / "beside").read_text() == "kept"


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**63))
def test_ten_thousand_archives(seed: int, directory: Path) -> None:
    """Forty seeds, each for 250 archives made from those that tar could have written."""
    assert read_all(seed, CASES_EACH, directory) >= {"BrokenError", "RefusedError"}


@pytest.mark.soak
def test_a_million_archives_take_no_more_memory(directory: Path) -> None:
    """What the process holds at the end it held after the first tenth."""
    held = 0
    for tenth in range(10):
        read_all(tenth + 1, 100_000, directory)
        now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        held = held or now
        assert now < held + 30_000  # KB


@pytest.mark.parametrize(
    "count", [6, pytest.param(3000, marks=pytest.mark.soak)], ids=["few", "many"]
)
def test_the_child_says_what_it_is_about_every_archive(
    directory: Path, count: int
) -> None:
    """By way of the process that `publish` starts: a release, or an error by name."""
    random_ = random.Random(count)
    for _ in range(count):
        tarball = directory / "app.tar"
        tarball.write_bytes(mutated(random_))
        try:
            unpack(str(tarball), str(directory / "tree"), LIMITS)
            message = "app.tar is whole"
        except ReleaseError as error:
            message = error.message
        assert "gapless could not" not in message, tarball.read_bytes()
        assert message.startswith("app.tar ")
        assert message.isprintable()
        shutil.rmtree(directory / "tree", ignore_errors=True)
        tarball.unlink()
        assert os.listdir(directory) == ["beside"]
