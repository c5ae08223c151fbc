"""Environment files are read with the rights of the app's user, and in time."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.base import clock
from gapless.base.errors import GaplessError
from gapless.supervisor.kernel import processes
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.observe.variables import (
    environment_files,
    file_reader,
    file_variables,
)
from rig.wait import until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes others")


def read(*files: str, directory: Path, **who: str) -> dict[str, str]:
    """Read files of a directory."""
    return environment_files.read(files, str(directory), **who)


def failure(*files: str, directory: Path, **who: str) -> str:
    """Return why files cannot be read."""
    with pytest.raises(GaplessError) as raised:
        read(*files, directory=directory, **who)
    return raised.value.message


def test_later_files_come_before_earlier_ones(tmp_path: Path) -> None:
    """Paths are relative to the app's directory, or absolute."""
    (tmp_path / ".env").write_text("A=1\nB=1\n")
    (tmp_path / "more").write_text("B=2\n")
    files = (".env", f"{tmp_path}/more")
    assert read(*files, directory=tmp_path) == {"A": "1", "B": "2"}
    assert read(".env", directory=tmp_path) == {"A": "1", "B": "1"}


def test_only_a_file_with_a_minus_may_be_missing(tmp_path: Path) -> None:
    """As in systemd; one that is there and wrong is an error all the same."""
    assert read("-.env", "-no/such", directory=tmp_path) == {}
    assert "there is none; a - in front" in failure(".env", directory=tmp_path)
    (tmp_path / ".env").write_text("A=1\ntop secret\n")
    reason = failure("-.env", directory=tmp_path)
    assert f"{tmp_path}/.env: line 2 is not NAME=VALUE" in reason
    assert "secret" not in reason


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe, a device or a directory is neither waited for nor read."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "/dev/zero"):
        assert "no regular file" in failure(name, directory=tmp_path)
    (tmp_path / "large").write_bytes(b"A=" + b"x" * file_reader.MOST_BYTES)
    assert "more than" in failure("large", directory=tmp_path)


@as_root
def test_it_is_read_as_the_apps_user(tmp_path: Path) -> None:
    """A link to a file of root's shows nothing to a user who may not read it."""
    tmp = Path(tempfile.gettempdir())
    for directory in (tmp_path, *tmp_path.parents):
        if directory.is_relative_to(tmp) and directory != tmp:
            directory.chmod(0o755)
    secret = tmp_path / "secret"
    secret.write_text("A=1\n")
    secret.chmod(0o600)
    (tmp_path / ".env").symlink_to("secret")
    assert read(".env", directory=tmp_path) == {"A": "1"}
    reason = failure("-.env", directory=tmp_path, user="nobody")
    assert "nobody may not; it is read as the user of the app" in reason
    secret.chmod(0o644)
    assert read(".env", directory=tmp_path, user="nobody") == {"A": "1"}
    assert "no user or group" in failure(".env", directory=tmp_path, user="no-such")


def test_no_process_and_no_descriptor_is_left(tmp_path: Path) -> None:
    """After a success, and after a failure."""
    before = sorted(os.listdir("/proc/self/fd"))
    children = processes.snapshot().children(os.getpid())
    read("-.env", directory=tmp_path)
    failure(".env", directory=tmp_path)
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert set(processes.snapshot().children(os.getpid())) <= set(children)


def test_the_files_of_a_generation_are_read_once_where_they_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All seats ask in one turn; a while later it is tried again."""
    now, reads, real = clock.monotonic(), 0, environment_files.read_soon

    def counted(*arguments: Any, **who: Any) -> dict[str, str] | None:
        nonlocal reads
        reads += 1
        return real(*arguments, **who)

    monkeypatch.setattr(environment_files, "read_soon", counted)
    spec = AppSpec(
        name="app",
        command=("x",),
        directory=str(tmp_path),
        environment_files=(".env",),
    )
    generation = GenerationRecord(number=1, spec=spec, since=now)
    for _ in range(9):
        with pytest.raises(GaplessError, match=r"\.env: there is none"):
            file_variables.of_generation(generation)
    assert reads == 1
    (tmp_path / ".env").write_text("A=1\n")
    later = now + 2 * file_variables.AGAIN_S
    monkeypatch.setattr(clock, "monotonic", lambda: later)
    assert file_variables.of_generation(generation) == {"A": "1"}
    assert reads == 2


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a share that does not answer before somebody opens its `gate`."""
    os.mkfifo(tmp_path / "gate")
    real = file_reader._bytes_of

    def held(path: str) -> bytes:
        with open(tmp_path / "gate"):
            return real(path)

    monkeypatch.setattr(file_reader, "_bytes_of", held)
    monkeypatch.setattr(file_reader, "SOON_S", 0.3)
    monkeypatch.setattr(file_reader, "SHORTLY_S", 0.05)
    yield tmp_path
    file_reader._end_all()


def took_s(directory: Path, name: str) -> float:
    """Return how long it takes until it is known that a file is read slowly."""
    began = clock.monotonic()
    found = file_reader.soon(f"{directory}/{name}", "", "", again=True)
    assert found == (file_reader.LATE, b"")
    return clock.monotonic() - began


def test_a_share_that_does_not_answer_is_waited_for_once(share: Path) -> None:
    """Other files of it shortly; what it answers at last counts."""
    (share / ".env").write_text("A=1\n")
    assert took_s(share, ".env") >= 0.3
    readers = processes.snapshot().children(os.getpid())
    for _ in range(10):
        assert took_s(share, ".env") < 0.1
    assert 0.05 <= took_s(share, "other") < 0.3
    assert len(processes.snapshot().children(os.getpid())) == len(readers) + 1
    with open(share / "gate", "w"):
        pass
    path = f"{share}/.env"
    until(lambda: file_reader.soon(path, "", "", again=True) == (0, b"A=1\n"), "it")


def test_what_was_read_before_it_was_asked_for_is_not_what_one_gets(
    share: Path,
) -> None:
    """A file of the generation before has changed since."""
    file = share / ".env"
    file.write_text("A=1\n")
    took_s(share, ".env")
    with open(share / "gate", "w"):
        pass
    until(lambda: not any(r.is_late for r in file_reader._slow.values()), "its answer")
    file.write_text("A=2\n")
    assert file_reader.soon(str(file), "", "", again=False)[0] == file_reader.LATE
    with open(share / "gate", "w"):
        pass
    path = str(file)
    until(lambda: file_reader.soon(path, "", "", again=True) == (0, b"A=2\n"), "it")


def test_one_that_has_answered_shortens_nobodys_time(share: Path) -> None:
    """Also if nobody asks for it any more."""
    took_s(share, ".env")
    with open(share / "gate", "w"):
        pass
    until(lambda: not any(r.is_late for r in file_reader._slow.values()), "its answer")
    assert took_s(share, "other") >= 0.3


def reads(directory: Path, *files: str) -> GenerationRecord:
    """Return a generation with environment files."""
    spec = AppSpec(
        name="app", command=("x",), directory=str(directory), environment_files=files
    )
    return GenerationRecord(number=1, spec=spec, since=clock.monotonic())


def test_a_file_that_is_read_slowly_is_no_failure_and_counts_in_the_end(
    share: Path,
) -> None:
    """No seat starts meanwhile, and what was read of the others is not read again."""
    (share / ".env").write_text("A=1\n")
    (share / "more").write_text("B=2\n")
    generation = reads(share, ".env", "more")
    for _ in range(3):
        with pytest.raises(file_variables.StillReadsError):
            file_variables.of_generation(generation)
        assert generation.value().reads_files
        assert generation.value().held
    with open(share / "gate", "w"):
        pass

    def has_read() -> bool:
        with contextlib.suppress(file_variables.StillReadsError):
            file_variables.of_generation(generation)
        return bool(generation.file_answers.get(f"{share}/.env"))

    until(has_read, "the first file")
    begun = len(file_reader._slow)
    with pytest.raises(file_variables.StillReadsError):
        file_variables.of_generation(generation)
    assert len(file_reader._slow) == begun == 1
    with open(share / "gate", "w"):
        pass
    found: dict[str, str] = {}

    def has_all() -> bool:
        with contextlib.suppress(file_variables.StillReadsError):
            found.update(file_variables.of_generation(generation))
        return bool(found)

    until(has_all, "both files")
    assert found == {"A": "1", "B": "2"}
    assert not generation.value().reads_files
    assert generation.file_answers == {}


def test_a_file_that_is_never_read_is_a_failure_at_last(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then its seats may be tried, and fail."""
    generation = reads(share, ".env")
    with pytest.raises(file_variables.StillReadsError):
        file_variables.of_generation(generation)
    later = clock.monotonic() + file_reader.GIVE_UP_S
    monkeypatch.setattr(clock, "monotonic", lambda: later)
    for _ in range(2):
        with pytest.raises(GaplessError, match=r"\.env: it cannot be read within 30 s"):
            file_variables.of_generation(generation)
        assert not generation.value().reads_files


def test_who_reads_for_long_holds_nothing_and_ends(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the lock of a home nor the connection of a client; another one begins."""
    before = set(processes.snapshot().children(os.getpid()))
    took_s(share, ".env")
    (reader,) = set(processes.snapshot().children(os.getpid())) - before
    open_ones = dict(processes.descriptors(reader))
    assert sum(int(number) > 2 for number in open_ones) <= 2, open_ones
    later = clock.monotonic() + file_reader.GIVE_UP_S
    with monkeypatch.context() as patch:
        patch.setattr(clock, "monotonic", lambda: later)
        file_reader._give_up()

    def ended() -> bool:
        file_reader._reap()
        return reader not in processes.snapshot().children(os.getpid())

    until(ended, "the end of the reader")
