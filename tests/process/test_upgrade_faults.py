"""An upgrade that cannot succeed changes nothing, whatever it meets and whenever."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

import gapless
from rig.background import BackgroundProcess
from rig.hosts import control
from rig.hosts.host import Host
from rig.load.engine import Traffic
from rig.load.process import run_load
from rig.programs import versions
from rig.programs.versions import Change
from rig.wait import free_port, until

PACED = Traffic(kind="new", concurrency=1, pause_s=0.02)
TINY = ["python3", "tiny.py"]

BROKEN: dict[str, tuple[Change, str]] = {
    "syntax": (
        ("supervisor/decide/plan.py", "from __future__", "from from"),
        "SyntaxError",
    ),
    "an import of another version": (
        ("supervisor/renewal/liveness_round.py", "memory.spec", "memory.speck"),
        "liveness_round.py cannot be imported",
    ),
    "run itself": (
        ("supervisor/run.py", "from __future__", "from from"),
        "SyntaxError",
    ),
    "an end without a word": (
        (
            "supervisor/upgrade/trial.py",
            "import json\n",
            "import json\nimport os\n\nos._exit(0)\n",
        ),
        "it died, and printed nothing",
    ),
    "notes of another meaning": (
        ("supervisor/memory/apps.py", "last_serial: int", "last_serial: str"),
        "last_serial is",
    ),
}
"""What is wrong with the files of a version, and what is said of it."""

FAILS_LATE: dict[str, Change] = {
    "prepares": (
        "supervisor/upgrade/successor.py",
        "!= self._given.files",
        "== self._given.files",
    ),
    "takes over": (
        "supervisor/supervisor.py",
        "        watch_paths(selector, listeners)\n",
        "        raise OSError('no')\n",
    ),
    "dies": (
        "supervisor/supervisor.py",
        "        watch_paths(selector, listeners)\n",
        "        os._exit(7)\n",
    ),
}
"""Passes the trial, and fails at that point."""


def tiny(host: Host) -> int:
    """Start a small app; return its port."""
    port = free_port()
    host.start("app", TINY, port=port)
    return port


@pytest.mark.soak
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_install_changes_nothing(
    host: Host, tmp_path: Path, name: str
) -> None:
    """What is wrong is named, and the same processes go on."""
    change, said = BROKEN[name]
    tiny(host)
    before = control.ask(host.home, "ping")
    host.program = versions.make(tmp_path / "broken", "9.0.0", change).program
    done = host.gapless("upgrade")
    assert done.returncode == 1, done.stdout
    assert said in done.stderr
    assert control.ask(host.home, "ping") == before
    host.program = Host(tmp_path).program
    host.ok("reload", "app")


@pytest.mark.soak
@pytest.mark.parametrize("name", FAILS_LATE)
def test_a_version_that_fails_after_its_trial_is_taken_back(
    host: Host, tmp_path: Path, name: str
) -> None:
    """The one before goes on with another pid; no request is lost, and no app ends."""
    port = tiny(host)
    pids = host.app("app")["pids"]
    main = host.supervisor_pid()
    late = versions.make(tmp_path / "late", "9.0.0", FAILS_LATE[name])
    own = host.program
    with run_load(port, PACED) as load:
        load.wait_for(5)
        host.program = late.program
        done = host.gapless("upgrade")
        assert done.returncode == 1, done.stdout + done.stderr
        host.program = own
        found: Any = until(lambda: control.ask(host.home, "ping"), "a supervisor")
        assert (found["version"], found["pid"] == main) == (gapless.__version__, False)
        assert host.app("app")["pids"] == pids
        host.ok("reload", "app")
        load.wait_for(5)
        host.ok("upgrade")
        report = load.stop()
    assert report.lost == 0, str(report)
    if name == "dies":
        return
    assert main in host.processes()  # whoever started it waits for it
    host.ok("shutdown")
    until(lambda: not host.processes(), "the end of all, and of the one that stood in")


@pytest.mark.soak
def test_the_process_that_a_unit_knows_stays(host: Host, tmp_path: Path) -> None:
    """`gapless supervise` keeps its pid; a signal while it becomes the next one counts."""
    later = versions.make(tmp_path / "later", "9.0.0")
    unit = BackgroundProcess(tmp_path / "unit.log")
    host.environment["INVOCATION_ID"] = "0"
    host.start_in_background(unit, "supervise")
    until(lambda: control.ask(host.home, "ping"), "the supervisor")
    tiny(host)
    host.program = later.program
    host.ok("upgrade")
    found: Any = control.ask(host.home, "ping")
    assert (found["version"], found["started_by"]) == ("9.0.0", "supervise")
    assert found["pid"] == unit.pid
    host.ok("shutdown")
    assert unit.wait(30) == 10


@pytest.mark.soak
def test_a_second_upgrade_is_refused_while_one_is_under_way(
    host: Host, tmp_path: Path
) -> None:
    """It is told so; the first one ends as if it were alone."""
    tiny(host)
    slow: Change = (
        "supervisor/upgrade/trial.py",
        "    files = installed.fingerprint(directory)\n",
        f"    open({str(tmp_path / 'gate')!r}).read()\n"
        "    files = installed.fingerprint(directory)\n",
    )
    os.mkfifo(tmp_path / "gate")
    host.program = versions.make(tmp_path / "slow", "9.0.0", slow).program
    first = host.begin("upgrade")
    with (tmp_path / "gate").open("w"):
        second = host.gapless("upgrade")
    output = first.communicate(timeout=120)[0]
    assert second.returncode == 1
    assert "another upgrade is under way" in second.stderr
    assert first.returncode == 0, output


@pytest.mark.soak
def test_a_command_of_a_stranger_directory_is_refused(host: Host) -> None:
    """A request names a program by its absolute path, and one that is there."""
    host.start_supervisor()
    for argv, said in (
        ([], "is not the absolute path"),
        (["python3"], "is not the absolute path"),
        (["/nowhere/python3"], "no such file"),
    ):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(host.home / "supervisor.sock"))
            request = {"op": "upgrade", "token": "1", "argv": argv}
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile() as lines:
                answer = lines.read()
        assert said in answer


@pytest.mark.soak
def test_what_runs_is_told_of_beside_what_is_installed(
    host: Host, tmp_path: Path
) -> None:
    """`--version`, `doctor` and `list` name both, and say what to do."""
    tiny(host)
    pids = host.supervisor_pid(), host.keeper_pid()
    later = versions.make(tmp_path / "later", "9.0.0")
    own, host.program = host.program, later.program
    told = host.ok("--version").splitlines()
    assert told == [
        "gapless 9.0.0",
        f"supervisor {gapless.__version__} (pid {pids[0]})",
        f"keeper {gapless.__version__} (pid {pids[1]})",
    ]
    assert "`gapless upgrade` replaces what runs" in host.ok("list")
    assert f"the supervisor (pid {pids[0]}) is version" in host.gapless("doctor").stdout
    host.ok("upgrade")
    assert "is version" not in host.gapless("doctor").stdout
    host.program = own


@pytest.mark.soak
def test_a_signal_that_comes_meanwhile_is_acted_on(host: Host, tmp_path: Path) -> None:
    """SIGTERM to the process that becomes the next version: it takes over, and leaves."""
    tiny(host)
    pid = host.supervisor_pid()
    pids = host.app("app")["pids"]
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    waits: Change = (
        "supervisor/upgrade/successor.py",
        "        directory = installed.package_directory()\n",
        f"        os.path.exists({str(gate)!r}) and open({str(gate)!r}).read()\n"
        "        directory = installed.package_directory()\n",
    )
    own = host.program
    host.program = versions.make(tmp_path / "waits", "9.0.0", waits).program
    upgrade = host.begin("upgrade")
    with gate.open("w"):
        gate.unlink()  # the one that the command starts must not wait
        os.kill(pid, signal.SIGTERM)
    upgrade.communicate(timeout=120)
    host.program = own
    assert host.app("app")["pids"] == pids
