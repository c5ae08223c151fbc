"""How long a server may be silent behind a balancer that is written from a fleet."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from gapless.cli.verbs.machine import balancer
from gapless.coordinator.directory import DirectoryCoordinator
from gapless.rollout import records
from gapless.rollout.model import HostReport


@pytest.mark.parametrize(
    ("app", "options", "seconds"),
    [
        ("", [], 60),
        ('[app.shop]\ncommand = "true"\n', [], 60),
        ("[app.shop]\nstop = { drain_timeout_s = 30 }\n", [], 60),
        ("[app.shop]\nstop = { drain_timeout_s = 119.5 }\n", [], 120),
        ("[app.shop]\nstop = { drain_timeout_s = 120 }\n", ["--timeout=5"], 5),
    ],
)
def test_it_is_as_long_as_a_drain_of_the_app(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    app: str,
    options: list[str],
    seconds: int,
) -> None:
    """A minute at least, unless the option says less."""
    config = tmp_path / "gapless.toml"
    config.write_text(
        f'{app}[release.shop]\nbase = "base"\n[rollout.shop]\nslots = 1\n'
    )
    shared = DirectoryCoordinator(str(tmp_path / "base" / "fleet"), pytest.fail)
    for name in ("a", "b"):
        report = HostReport(host=name, addresses=(f"{name}:3000",))
        shared.write(f"hosts/shop/{name}", records.encode_host(report), expected=0)
    parser = argparse.ArgumentParser()
    balancer.add_arguments(parser)
    for kind, line in (("nginx", "proxy_read_timeout"), ("haproxy", "timeout server")):
        argv = [kind, "shop", "-c", str(config), *options]
        assert balancer.run(parser.parse_args(argv)) == 0
        assert f"    {line} {seconds}s" in capsys.readouterr().out
