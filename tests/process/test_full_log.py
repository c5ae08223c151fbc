"""A disk that takes no log: the app serves on, and lines are counted that were lost."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rig.hosts.host import Host
from rig.hosts.small_disk import SmallDisk
from rig.load import engine
from rig.load.process import run_load
from rig.matrix import matrix
from rig.wait import free_port, until

pytestmark = pytest.mark.skipif(
    os.getuid() != 0, reason="mounting a small disk needs root"
)
CHATTY = (
    "let n = 0; require('http').createServer((q, r) => {"
    " for (let i = 0; i < 100; i++) console.log('line', n++, 'x'.repeat(200));"
    " r.end('release ' + process.env.RELEASE + ' '); })"
    ".listen(process.env.PORT, '127.0.0.1')"
)

# What an app keeps in its memory because the keeper is slower would fill the disk again.
PACED = replace(engine.NEW, pause_s=0.05)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Return a disk of one megabyte."""
    small = SmallDisk(tmp_path / "disk", 1)
    try:
        yield small
    finally:
        small.close()


@pytest.mark.parametrize("form", matrix(["text", "json", "plain"], "text", "json"))
def test_a_full_log_disk_stops_no_app(host: Host, disk: SmallDisk, form: str) -> None:
    """No request waits; the loss is told in `list`, and in the log when there is room."""
    port, log = free_port(), disk.directory / "app.log"
    more = f'log = {{ output = "{log}", format = "{form}" }}'
    host.start("app", ["node", "-e", CHATTY], port=port, more=more)
    assert host.app("app")["log_lines_lost"] == 0
    disk.fill()
    with run_load(port, PACED) as under_load:
        until(lambda: host.row("app")["log_lines_lost"], "lines to be lost", 60)
        under_load.wait_for(300)
        found = host.app("app")
        assert found["log_trouble"] == "no space left on device"
        assert "its log cannot be written: no space left on device" in found["reason"]
        assert "its log cannot be written" in host.ok("list")
        assert "lines lost" in host.ok("describe", "app")
        (pid,) = found["pids"]
        os.kill(host.supervisor_pid(), 9)
        assert host.app("app")["log_lines_lost"] >= found["log_lines_lost"]
        assert host.app("app")["pids"] == [pid]
        report = under_load.stop()
        assert report.lost == 0, str(report)
    log.unlink()
    disk.free()
    until(lambda: host.app("app")["log_trouble"] is None, "room", 20)
    lost = host.app("app")["log_lines_lost"]
    text = log.read_text()
    told = [
        int(n) for n in re.findall(r"gapless: (\d+) lines? (?:was|were) lost", text)
    ]
    assert sum(told) == lost, (told, lost)
    assert "lines were lost: no space left on device" in text
    if form == "json":
        lines = text.splitlines()
        assert all("message" in json.loads(line) for line in lines)
