"""What a command imports before it does anything: each user waits for that."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"msgspec", "json5", "ruamel.yaml", "gapless.supervisor.memory.model"}
"""The parsers of files, and the values of the supervisor's plan."""


@pytest.mark.parametrize("verb", ["reload", "restart", "scale", "start", "stop"])
def test_a_command_about_apps_begins_light(verb: str) -> None:
    """A file is parsed when one is read."""
    code = f"import sys, gapless.cli.verbs.apps.{verb}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert HEAVY.isdisjoint(done.stdout.split())
