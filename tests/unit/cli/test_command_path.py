"""The path of `gapless` that units and scripts are given."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gapless.base.errors import MisuseError
from gapless.cli.command_path import command_path


@pytest.mark.parametrize("name", ["gapless", "gapless.pyz", "gapless-0.1.0.pyz"])
def test_a_command_that_can_be_called_is_what_it_was_called_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Also the one file, whatever it is named."""
    path = tmp_path / name
    path.touch(0o755)
    monkeypatch.setattr(sys, "argv", [str(path)])
    assert command_path() == str(path)


def test_one_file_that_is_not_executable_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit could not start it."""
    path = tmp_path / "gapless.pyz"
    path.touch(0o644)
    monkeypatch.setattr(sys, "argv", [str(path)])
    with pytest.raises(MisuseError, match="not executable") as caught:
        command_path()
    assert caught.value.hint == f"chmod +x {path}"


def test_otherwise_it_is_beside_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `python -m gapless` is called."""
    monkeypatch.setattr(sys, "argv", ["-m"])
    assert command_path() == os.path.join(os.path.dirname(sys.executable), "gapless")
