"""An inbox that everybody may write."""

from __future__ import annotations

from pathlib import Path

import pytest

from gapless.releases.model import ReleaseSpec
from rig.fixtures.inbox import Watch, spec_in


@pytest.fixture
def spec(tmp_path: Path) -> ReleaseSpec:
    """Return the releases of an app."""
    return spec_in(tmp_path)


@pytest.fixture
def inbox(spec: ReleaseSpec) -> Path:
    """Return the inbox."""
    return Path(spec.inbox)


@pytest.fixture
def watch(spec: ReleaseSpec, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Return a watch of a host on which the app does not run."""
    monkeypatch.setattr("gapless.deploy.running_app.describe", lambda *_: None)
    monkeypatch.setattr(
        "gapless.deploy.running_app.directories", lambda *_: frozenset()
    )
    return Watch(spec)
