"""Tests of this host again, inside the machines: other kernels, Yama, an ordinary user."""

from __future__ import annotations

import json
import shlex

import pytest

from rig.vm import results, settings
from rig.vm.load import SETTINGS
from rig.vm.machine import Machine
from rig.vm.tree import CHECKOUT, GAPLESS

PARTS = {
    "kernel": "tests/process/test_kernel.py tests/process/test_keeper_gone.py",
    "interception": "tests/process/test_interception.py",
    "handoff": "tests/process/test_handoff.py -k "
    "'(uvicorn or waitress or node or threads) and lose_nothing'",
    "membership": "tests/process/test_membership.py",
    "limits": "tests/process/test_shortages.py",
    "drain, rollback": "tests/process/test_drain.py tests/process/test_publish.py -k "
    "'host_drains or rollback_goes or broken_release_is_not or (spans and node)'",
    # Clients that never pause are not caught at a tenth of the speed.
    "takeover": "tests/process/test_takeover_relay.py "
    "-k 'last_connection or turned_off'",
    "unseen connections": "tests/process/test_unseen_connections.py",
    "keeper": "tests/process/test_keeper_dies.py "
    "tests/process/test_keeper_renewal.py tests/process/test_survivors.py",
    "hangs, upgrade": "tests/process/test_hung.py tests/process/test_upgrade.py",
    # On a slow machine the app of the last one binds after its supervisor's death, which
    # is a case of its own: it keeps its socket to itself until its next release.
    "crash points": "tests/crash/test_supervisor.py "
    "-k 'while_a_command_waits and not (first and start and 57)'",
}
"""What runs inside, with the arguments of pytest."""
USERS = ("root", settings.USER)
PART_S = 3000.0


@pytest.mark.timeout(PART_S + 300)
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part(machine: Machine, part: str, user: str) -> None:
    """No test of it fails; which were skipped, and why, is in the output."""
    storage = f"/tmp/hypothesis-{user}"
    command = (
        f".venv/bin/python -m pytest -q -p no:cacheprovider -m 'not soak' -rfEs "
        f"--durations=12 --timeout 1800 {PARTS[part]}"
    )
    done = machine.run(
        *("bash", "-c", command),
        user=user,
        directory=f"/{CHECKOUT}",
        environment=SETTINGS | {"HYPOTHESIS_STORAGE_DIRECTORY": storage},
        timeout_s=PART_S,
    )
    results.keep_part(machine, user, part, done)
    assert done.code == 0, f"{shlex.quote(part)} as {user}:\n{done.output[-12_000:]}"


@pytest.mark.parametrize("user", USERS)
def test_the_doctor_names_every_mechanism(machine: Machine, user: str) -> None:
    """Nothing but the control groups of an ordinary user outside a unit is missing."""
    done = machine.run(GAPLESS, "doctor", "--json", user=user)
    checks = json.loads(done.output)
    results.keep_doctor(machine, user, checks)
    missing = [check for check in checks if check["trouble"]]
    assert len(missing) == (user != "root"), missing
