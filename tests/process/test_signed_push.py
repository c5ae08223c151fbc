"""Signed from the laptop to the hosts: real ssh, real keys, real rollouts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gapless.agent.open_store import open_store
from gapless.config.toml import fleets
from gapless.releases import file_list
from gapless.releases.model import Release
from gapless.rollout.model import State
from rig import wait
from rig.fixtures.push_target import PushTarget
from rig.fleets.fleet import APP, MakeFleet
from rig.hosts.host import Host
from rig.programs.ssh_keys import SshKeys


def test_a_release_server_with_signers_takes_what_they_signed(host: Host) -> None:
    """By ssh and by a mounted directory; the others are told what is missing."""
    keys = SshKeys(host.directory / "keys")
    signers = keys.signers("alice")
    at = PushTarget(host, f'build = []\nsigners = "{signers}"')
    try:
        at.sshd.start()
        at.watch()
        refused = at.push("example", "--wait", by="mounted")
        assert refused.returncode == 1
        assert "refused before it was opened: it is not signed" in refused.stdout
        strange = at.push("example", "--wait", f"--sign={keys.path('mallory')}")
        assert strange.returncode == 1
        assert f"not now, of one of the signers in {signers}" in strange.stdout
        for by in ("ssh", "mounted"):
            done = at.push("example", "--wait", "--sign", keys.path("alice"), by=by)
            assert done.returncode == 0, done.stdout + done.stderr + at.watch_log()
            assert f"signed with {keys.path('alice')}" in done.stdout
        listed = host.gapless("releases", "example", "--json")
        assert [each["signed_by"] for each in json.loads(listed.stdout)] == [
            *("alice@example", "alice@example")
        ]
        assert at.left() == []
    finally:
        at.close()


@pytest.mark.soak
def test_hosts_with_publishers_run_what_was_signed(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    """A forged rollout is held, the next signed one goes on, and an abort goes back."""
    keys = SshKeys(tmp_path / "keys")
    fleet = make_fleet(
        count=2,
        copies=True,
        release=f'signing_key = "{keys.path("server")}"',
        policy=f'slots = 1\npublishers = "{keys.signers("server")}"',
    )
    fleet.start()
    declared = fleets.load(str(fleet.publisher.directory / "gapless.toml"), {})[APP]
    store = open_store(declared, print)
    signed, version = store.rollout()
    assert signed is not None
    evil = Release(app=APP, stamp="2" * 14, path=declared.release.directory("2" * 14))
    shutil.copytree(declared.release.directory(signed.release[-14:]), evil.path)
    (Path(evil.path) / "VERSION").write_text("evil")
    digest = file_list.write(declared.release, evil)
    forged = replace(
        signed,
        number=signed.number + 1,
        release=evil.name,
        digest=digest,
        state=State.ROLLING,
        settled=False,
    )
    store.write_rollout(forged, expected=version)
    assert "its signature is not valid" in fleet.until("held")["reason"]
    assert set(fleet.runs().values()) == {"1"}
    done = fleet.publish("2")
    assert done.returncode == 0, done.stdout + done.stderr + fleet.agent_logs()
    shown = fleet.publisher.ok("rollout", "status", APP)
    assert "signed by the publisher" in shown
    release = fleet.status()["release"]
    reports = Path(declared.release.reports) / release
    for member in fleet.members:
        report = json.loads((reports / f"{member.name}.json").read_text())
        assert report["published_by"] == "server@example"
    fleet.begin("3 late 1")
    wait.until(lambda: "3" in " ".join(fleet.runs().values()), "one host to run it")
    fleet.publisher.ok("rollout", "abort", APP)
    fleet.until("reverted")
    assert set(fleet.runs().values()) == {"2"}
