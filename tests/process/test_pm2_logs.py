"""Log files that a user names are his: their mode, their rotation, and what is in them."""

from __future__ import annotations

import stat
from functools import partial

import pytest

from rig.fixtures.declarations import Declarations
from rig.wait import until

PRINTS = """
process.stdout.write('name? ');
process.on('SIGUSR2', () => process.stdout.write('anna\\n' + 'x'.repeat(1000) + '\\n'));
process.send('ready'); setInterval(() => {}, 1000);
"""


@pytest.mark.parametrize("asked", [False, True])
def test_a_file_of_the_users_is_left_to_him(
    declared: Declarations, *, asked: bool
) -> None:
    """Unless he asks for it, it is not moved aside; and the prompt is there at once."""
    declared.write("prints.js", PRINTS)
    host = declared.host
    app = {"script": "prints.js", "wait_ready": True, "out_file": "own.log"}
    if asked:
        app["gapless"] = {"log": {"rotate_mb": 0.0005, "keep": 9}}
    declared.start(app)
    own = host.directory / "own.log"
    until(lambda: own.exists() and own.read_text() == "name? ", "the prompt", 5)
    assert stat.S_IMODE(own.stat().st_mode) == 0o644
    for count in (1, 2):
        host.ok("pm2", "sendSignal", "SIGUSR2", "prints")
        until(partial(_has_lines, declared, 2 * count), "its lines")
    assert (host.directory / "own.log.1").exists() == asked
    if asked:
        return
    assert own.read_text().startswith("name? anna\nx")
    own.rename(host.directory / "own.log-2026")
    host.ok("pm2", "reloadLogs")
    host.ok("pm2", "sendSignal", "SIGUSR2", "prints")
    until(lambda: own.exists() and own.read_text().startswith("anna\n"), "a new file")
    until(partial(_has_lines, declared, 6), "all of it")


def _has_lines(declared: Declarations, count: int) -> bool:
    found = declared.host.directory.glob("own.log*")
    return sum(path.read_text().count("\n") for path in found) == count
