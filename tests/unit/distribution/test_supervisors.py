"""Whom the Debian package asks, and what a user can make it do."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distribution.debian import supervisors
from rig.wait import until

POSTINST = Path(supervisors.__file__).with_name("postinst")
SESSION = "import os, sys; print(os.getsid(0) == os.getpid(), repr(sys.stdin.read()))"


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that calls itself a supervisor."""
    home = f"{tmp_path}/hom\xe9\x1b[31m"
    process = subprocess.Popen(
        ["gapless supervise", "-c", "input()"],
        executable=sys.executable,
        stdin=subprocess.PIPE,
        env=os.environ | {"GAPLESS_HOME": home},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_who_does_not_answer_keeps_the_package_from_being_removed(
    impostor: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is named without what a terminal would act on, and nothing is done to it."""
    monkeypatch.setattr(os, "listdir", lambda _: [str(impostor.pid), "self"])
    monkeypatch.setattr(supervisors, "PLACE", str(Path(__file__).parent))
    until(lambda: list(supervisors.found()), "the impostor")
    assert supervisors.refuse() == 1
    assert supervisors.upgrade() == 0
    printed = capsys.readouterr()
    assert "and does not answer: it is not removed" in printed.err
    assert "it did not answer or another failed" in printed.out
    assert "\x1b" not in printed.out + printed.err
    assert impostor.poll() is None


def test_a_program_that_is_set_id_is_nobody(
    impostor: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """Its variables are those of who called it, and not of whom it runs as."""
    uids = ((b"1000\t0\t0\t0", None), (b"0\t0\t0\t0", 0), (b"7\t7\t7\t7", 7))
    for line, expected in uids:
        (tmp_path / "status").write_bytes(b"Name:\tx\nUid:\t" + line + b"\nGid:\t0\n")
        assert supervisors._uid(str(tmp_path)) == expected
    assert supervisors._uid(f"/proc/{impostor.pid}") == os.getuid()


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes others")
def test_what_runs_as_a_user_has_not_the_terminal_of_root() -> None:
    """A session of its own has no controlling terminal, and its input is empty."""
    asked = supervisors.Supervisor(os.getuid(), "/")
    done = asked.run([sys.executable, "-I", "-c", SESSION], supervisors.ASK_S)
    assert done.stdout == "True ''\n", done.stderr


def test_a_name_that_the_locale_cannot_print_stops_nothing(
    impostor: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the installing of the package nor the message why it is not removed."""
    monkeypatch.setattr(os, "listdir", lambda _: [str(impostor.pid)])
    monkeypatch.setattr(supervisors, "PLACE", str(Path(__file__).parent))
    until(lambda: list(supervisors.found()), "the impostor")
    for action, stream, code in (("upgrade", "stdout", 0), ("refuse", "stderr", 1)):
        printed = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
        monkeypatch.setattr(sys, stream, printed)
        assert supervisors.main(action) == code
        assert b"/hom?" in printed.buffer.getvalue()


@pytest.mark.parametrize("begin", ["", "exec >&-\n"])
def test_the_package_is_installed_although_nothing_could_be_upgraded(
    begin: str, tmp_path: Path
) -> None:
    """Even if nobody can read that it failed."""
    script = POSTINST.read_text().replace("/usr/bin/python3", "false")
    script = script.replace("/usr/lib/gapless", str(tmp_path))
    script = script.replace("/run/systemd/system", str(tmp_path / "none"))
    done = subprocess.run(
        ["sh", "-e", "-c", begin + script, "postinst", "configure"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ("gapless upgrade, as its user" in done.stdout) == (not begin)
