"""Where PM2's files are looked for: the home, and its names of what is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gapless.cli.pm2 import home


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home directory of a user for whom gapless has run."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("GAPLESS_HOME", "PM2_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".gapless" / "logs").mkdir(parents=True)
    (tmp_path / ".gapless" / "dump.json").write_text("{}")
    return tmp_path


def test_what_looks_below_pm2s_home_finds_gaplesss(
    user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once it is said; what is not there has no name."""
    home.name_as_pm2()
    assert "~/.pm2 is a link" in capsys.readouterr().err
    home.name_as_pm2()
    assert capsys.readouterr().err == ""
    assert (user / ".pm2" / "dump.pm2").read_text() == "{}"
    assert (user / ".pm2" / "logs").is_dir()
    assert not os.path.lexists(user / ".gapless" / "pm2.pid")
    (user / ".gapless" / "dump.json").unlink()
    home.name_as_pm2()
    assert not os.path.lexists(user / ".pm2" / "dump.pm2")


def test_what_is_there_stays(user: Path) -> None:
    """PM2's own directory, and a file of such a name, also a link that leads nowhere."""
    (user / ".pm2").mkdir()
    (user / ".gapless" / "dump.pm2").symlink_to("nowhere")
    home.name_as_pm2()
    assert not (user / ".pm2").is_symlink()
    assert os.readlink(user / ".gapless" / "dump.pm2") == "nowhere"


def test_a_home_of_its_own_is_not_linked(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names one looks there, not below ~/.pm2; no home is made."""
    monkeypatch.setenv("GAPLESS_HOME", str(user / "other"))
    home.name_as_pm2()
    assert not (user / "other").exists()
    assert not os.path.lexists(user / ".pm2")
