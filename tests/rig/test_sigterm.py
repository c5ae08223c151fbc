"""Programs of bench/ and of the rig that are told to end: nothing of theirs is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rig.hosts.host import ROOT
from rig.hosts.usage import is_alive
from rig.wait import until

PROGRAM = """
import signal
from rig.sigterm import clean_up_at_sigterm
clean_up_at_sigterm()
"""
BLOCK = """
import tempfile
with tempfile.TemporaryDirectory() as directory:
    print(directory, flush=True)
    signal.pause()
"""
RUNS_AN_APP = """
from rig.hosts.host import temporary_host
with temporary_host() as host:
    host.configure('[app.app]\\ncommand = ["sleep", "600"]\\nmin_healthy_s = 0.1\\n')
    host.ok("start", "gapless.toml")
    print(host.directory, *host.own_pids(), *host.app("app")["pids"], flush=True)
    signal.pause()
"""


@pytest.mark.parametrize(
    "rest", [BLOCK, pytest.param(RUNS_AN_APP, marks=pytest.mark.soak)]
)
def test_a_program_that_gets_sigterm_leaves_its_blocks(rest: str) -> None:
    """Also where all of its process group gets it, as by timeout(1)."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM + rest],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        assert program.stdout is not None
        directory, *pids = program.stdout.readline().split()
        os.killpg(program.pid, signal.SIGTERM)
        os.killpg(program.pid, signal.SIGTERM)
        assert program.wait(60) == 128 + signal.SIGTERM
    assert not Path(directory).exists()
    until(lambda: not any(is_alive(int(pid)) for pid in pids), "all to have ended")
