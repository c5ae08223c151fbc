"""Fixtures for the tests of configurations."""

from __future__ import annotations

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
    for name in ("PM2_KILL_TIMEOUT", "PM2_KILL_SIGNAL", "PM2_GRACEFUL_LISTEN_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    return Project(directory, home)
