"""Fixtures for the tests of configurations."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rig.fixtures.project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project that is the working directory."""
    directory, home = tmp_path / "project", tmp_path / "home"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("PWD", str(directory))
    monkeypatch.setenv("GAPLESS_HOME", str(home))
    for name in [name for name in os.environ if name.startswith("PM2_")]:
        monkeypatch.delenv(name)
    return Project(directory, home)
