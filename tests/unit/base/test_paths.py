"""Paths, also where the working directory was removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.base import home, paths


@pytest.fixture(autouse=True)
def _elsewhere() -> Iterator[None]:
    """Go back to where the test began."""
    before = os.getcwd()
    yield
    os.chdir(before)


@pytest.mark.parametrize("named", [True, False])
def test_a_removed_directory_has_the_path_that_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, named: bool
) -> None:
    """With and without PWD; what is absolute needs no directory at all."""
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv("PWD", str(gone) if named else "")
    assert paths.is_gone()
    assert paths.working_directory() == str(gone)
    assert paths.absolute("a/../b") == f"{gone}/b"
    assert paths.absolute("/a/../b") == "/b"
    monkeypatch.setenv("GAPLESS_HOME", "home")
    assert home.path() == f"{gone}/home"


def test_a_directory_that_was_made_anew_is_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a deployment does that removes it and makes it again."""
    place = tmp_path / "release"
    place.mkdir()
    os.chdir(place)
    monkeypatch.setenv("PWD", str(place))
    place.rmdir()
    paths.reenter()
    assert paths.is_gone()
    place.mkdir()
    (place / "app.json").touch()
    paths.reenter()
    assert os.path.exists("app.json")
