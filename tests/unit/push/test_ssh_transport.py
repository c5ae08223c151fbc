"""What `gapless push` says of a connection that ends while it waits."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from gapless.base import clock
from gapless.push.destination import Destination
from gapless.push.ssh_transport import SshTransport

CLOSED_FIRST = """#!/bin/sh
echo here
exec >&-
sleep 0.2
echo "client_loop: send disconnect: Broken pipe" >&2
exit 255
"""


def test_the_reason_of_ssh_is_waited_for(tmp_path: Path) -> None:
    """It closes its output before it says why it ends, and with which code."""
    program = tmp_path / "ssh"
    program.write_text(CLOSED_FIRST)
    program.chmod(0o755)
    printed: list[str] = []
    transport = SshTransport(
        Destination(path="/srv", host="host"), str(program), printed.append
    )
    until = clock.monotonic() + 3.0

    def left_s() -> float:
        return 0.0 if printed else until - clock.monotonic()

    with closing(transport.outcome_lines("shop-1.tar.gz", left_s)) as lines:
        assert list(lines) == [b"here"]
    assert printed == [
        "the connection broke (client_loop: send disconnect: Broken pipe); "
        "connecting again"
    ]
