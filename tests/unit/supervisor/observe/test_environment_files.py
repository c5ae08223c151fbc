"""Environment files are read with the rights of the app's user, and in time."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from gapless.base.errors import GaplessError
from gapless.supervisor.kernel import processes
from gapless.supervisor.observe import environment_files

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
    (tmp_path / "large").write_bytes(b"A=" + b"x" * environment_files.MOST_BYTES)
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
