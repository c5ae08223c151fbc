"""bun and deno, whose servers are not those of Node, are released as they are."""

from __future__ import annotations

import pytest

from rig.hosts.host import ROOT, Host
from rig.load import engine
from rig.load.process import run_load
from rig.programs import npm
from rig.wait import free_port

SLOW = engine.Traffic(kind="slow", concurrency=2, path="/slow?s=0.4")
RELEASES = 5
COMMANDS = {
    "bun": ["run", "bun_serve.ts"],
    "deno": ["run", "--no-config", "--allow-net", "--allow-env", "deno_serve.ts"],
}


@pytest.mark.soak
@pytest.mark.parametrize("instances", [1, 2])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_runtime_loses_nothing(host: Host, name: str, instances: int) -> None:
    """No new connection, kept one, POST body or slow answer is lost."""
    programs = npm.node_modules(ROOT / "rig" / "programs" / "runtimes") / ".bin"
    port, how = free_port(), f"instances = {instances}\nmin_healthy_s = 0.3"
    variables = f"HOME={host.directory}", "DENO_NO_UPDATE_CHECK=1"
    argv = ["env", *variables, str(programs / name), *COMMANDS[name]]
    host.start(name, argv, port=port, more=how)
    traffics = engine.NEW, engine.POST, engine.KEEP_ALIVE, SLOW
    with run_load(port, *traffics) as under_load:
        under_load.wait_for_version("1")
        for release in map(str, range(2, RELEASES + 2)):
            host.declare(name, argv, port=port, release=release, more=how)
            report = host.json("reload", name)
            assert report["outcome"] == "done", report
            under_load.wait_for_version(release)
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert host.app(name)["generation"] == RELEASES + 1
