"""What programs of bench/ and of the rig do at SIGTERM: they end what they started."""

from __future__ import annotations

import signal
import sys


def clean_up_at_sigterm() -> None:
    """Let SIGTERM raise SystemExit in this process, as Ctrl-C raises KeyboardInterrupt.

    Every block is left then: temporary hosts shut down, loads end.  A second SIGTERM does
    not disturb that.
    """
    signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, _: object) -> None:
    signal.signal(number, lambda *_: None)  # not SIG_IGN, which programs inherit
    sys.exit(128 + number)
