"""A fleet of two: a push rolls out, its outcome is reported, hooks run once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rig.fleets.fleet import APP, Fleet, MakeFleet
from rig.hosts.host import GAPLESS
from rig.matrix import matrix
from rig.programs.sshd import Sshd
from rig.wait import until

NOTE = """#!/bin/sh
echo "$1 $GAPLESS_RELEASE ${GAPLESS_UPLOAD-$GAPLESS_ROLLOUT/$GAPLESS_ATTEMPT}" >> @/hooks
if [ -p "@/gate-$1" ]; then cat "@/gate-$1" > /dev/null; fi
echo "end-$1 $GAPLESS_RELEASE" >> @/hooks
"""


@pytest.fixture
def make(make_fleet: MakeFleet, tmp_path: Path) -> MakeFleet:
    """Make a fleet of two whose hooks write down that they ran."""
    note = tmp_path / "note"
    note.write_text(NOTE.replace("@", str(tmp_path)))
    note.chmod(0o755)
    hooks = ", ".join(
        f'{name} = ["{note}", "{name}"]' for name in ("before_flip", "after", "failed")
    )

    def made(**how: Any) -> Fleet:
        fleet = make_fleet(count=2, release=f"hooks = {{ {hooks} }}", **how)
        fleet.start()
        until(lambda: "end-after" in "".join(ran(fleet)), "the first release's end")
        (tmp_path / "hooks").unlink()
        return fleet

    return made


def ran(fleet: Fleet) -> list[str]:
    """Return the lines that hooks wrote."""
    path = fleet.directory / "hooks"
    return path.read_text().splitlines() if path.exists() else []


def begun(fleet: Fleet) -> list[str]:
    """Return the names of hooks in the order in which they began."""
    return [line.split()[0] for line in ran(fleet) if not line.startswith("end-")]


def push(fleet: Fleet, version: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Push a release to the fleet's release server, and wait."""
    words = ("push", fleet.tarball(version), "--to", fleet.base, "--wait", *options)
    return fleet.publisher.gapless(*words)


def test_good_broken_and_rolled_back_releases_over_ssh(make: MakeFleet) -> None:
    """A push needs no coordinator; each hook runs once for each release."""
    fleet = make()
    sshd = Sshd(fleet.directory / "ssh").start()
    over_ssh = ("--to", sshd.to(fleet.base), "--ssh", sshd.command)
    try:
        good = push(fleet, "2", *over_ssh)
        assert good.returncode == 0, good.stdout + good.stderr
        assert "2 of 2 hosts" in good.stdout
        assert set(fleet.runs().values()) == {"2"}
        assert begun(fleet) == ["before_flip", "after"]

        broken = push(fleet, "3 broken", *over_ssh)
        assert broken.returncode == 1, broken.stdout + broken.stderr
        assert re.search(r"held: s[01] failed: instance 0", broken.stdout), (
            broken.stdout
        )
        assert "gapless rollout abort" in broken.stdout
        assert set(fleet.runs().values()) == {"2"}
        until(lambda: begun(fleet)[2:] == ["before_flip", "failed"], "the hooks of 3")

        told = json.loads(push(fleet, "4", "--json", *over_ssh).stdout)["outcome"]
        assert (told["stage"], told["hosts_done"], told["hosts"]) == ("done", 2, 2)
        assert begun(fleet)[4:] == ["before_flip", "after"]
    finally:
        sshd.close()
    back = fleet.publisher.gapless("rollback", APP)
    assert back.returncode == 0, back.stdout + back.stderr
    assert set(fleet.runs().values()) == {"2"}
    until(lambda: begun(fleet)[6:] == ["after"], "no migration, but the end of it")


@pytest.mark.soak
def test_a_release_that_is_turned_back_is_told_and_its_hook_runs_once(
    make: MakeFleet,
) -> None:
    """The canary changes, becomes unhealthy, and goes back."""
    fleet = make(policy='canary = ["s1"]\nbake_s = 4\nhealth = "/health"')
    sick = push(fleet, "2 sick 1")
    assert sick.returncode == 1, sick.stdout + sick.stderr
    assert "reverted" in sick.stdout
    assert begun(fleet) == ["before_flip", "failed"]
    assert set(fleet.runs().values()) == {"1"}


def test_what_another_took_the_place_of_is_told_so(make: MakeFleet) -> None:
    """The first push ends with exit code 1."""
    fleet = make()
    fleet.kill_watch()
    for member in fleet.members:
        member.signal_agent(signal.SIGSTOP)
    fleet.watch()
    number = fleet.status()["number"]
    words = ("push", fleet.tarball("2"), "--to", fleet.base, "--wait")
    with fleet.publisher.begin(*words) as first:
        try:
            until(lambda: fleet.status()["number"] > number, "the first rollout")
            second = fleet.begin("3")
            told, _ = first.communicate(timeout=30)
        finally:
            first.kill()
    assert first.returncode == 1
    assert f"superseded by {second}" in told
    for member in fleet.members:
        member.signal_agent(signal.SIGCONT)
    assert fleet.until("done")["number"] == second


# --- publishers that are killed -------------------------------------------------------


def gate(fleet: Fleet, hook: str) -> Path:
    """Let a hook wait until the gate is opened."""
    path = fleet.directory / f"gate-{hook}"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("hook", matrix(["before_flip", "after"], "after"))
def test_a_hook_of_a_publisher_that_was_killed_runs_again_after_its_end(
    make: MakeFleet, hook: str
) -> None:
    """At least once, never two at a time, and its environment shows that it is the same."""
    fleet = make()
    path = gate(fleet, hook)
    inbox = fleet.base / "src"
    inbox.mkdir(exist_ok=True)
    fleet.tarball("2").rename(inbox / f"{APP}.tar.gz")
    until(lambda: hook in begun(fleet), f"the hook {hook}")
    fleet.kill_watch()
    fleet.watch()
    log = fleet.publisher.directory / "watch.log"
    if hook == "after":
        until(lambda: "waiting" in log.read_text(), "the next to wait")
    assert begun(fleet).count(hook) == 1, "the second waits for the first"
    with path.open("w"):
        path.unlink()
    ended = f"end-{hook}"
    until(lambda: "".join(ran(fleet)).count(ended) == 2, "the second time", 180)
    until(lambda: ran(fleet)[-1].startswith("end-after"), "the end", 180)
    tries = [line for line in ran(fleet) if line.startswith(f"{hook} ")]
    assert len(tries) == 2
    assert len({line.split()[2] for line in tries}) == 1, tries
    ends = [line.split()[0] for line in ran(fleet) if hook in line]
    assert ends == [hook, f"end-{hook}"] * 2, "never two at a time"
    assert begun(fleet).count("after") == (2 if hook == "after" else 1)
    assert set(fleet.runs().values()) == {"2"}


KILL = """
import os, signal, sys
step = sys.argv.pop(1)
sys.argv[:1] = ["gapless"]
from gapless import __main__
from gapless.agent import publisher
plain = publisher.FleetPublisher.__init__
def killing(self, fleet, store, progress):
    def tell(name, detail):
        progress(name, detail)
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)
    plain(self, fleet, store, tell)
publisher.FleetPublisher.__init__ = killing
sys.exit(__main__.main())
"""


@pytest.mark.parametrize(
    "step", matrix(["claimed", "unpacked", "placed", "rollout"], "placed")
)
def test_a_publisher_that_is_killed_after_a_step_loses_no_upload(
    make: MakeFleet, step: str
) -> None:
    """The next publisher goes on: the release is built once and rolls out once."""
    fleet = make()
    fleet.kill_watch()
    number = fleet.status()["number"]
    python = Path(GAPLESS).parent / "python"
    inbox = fleet.base / "src"
    inbox.mkdir(exist_ok=True)
    fleet.tarball("2").rename(inbox / f"{APP}.tar.gz")
    killed = subprocess.run(
        [python, "-c", KILL, step, "watch"],
        cwd=fleet.publisher.directory,
        env=fleet.publisher.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    fleet.watch()
    until(lambda: ran(fleet)[-1:] and "end-after" in ran(fleet)[-1], "the end", 180)
    assert begun(fleet) == ["before_flip", "after"]
    assert fleet.status()["number"] == number + 1
    assert set(fleet.runs().values()) == {"2"}
    outcome = fleet.base / "outcomes" / f"{APP}.tar.gz.json"
    until(
        lambda: json.loads(outcome.read_text())["value"]["stage"] == "done",
        "the outcome that is told",
    )
