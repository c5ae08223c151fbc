"""PM2_HOME: for PM2's words it is GAPLESS_HOME, so that it separates apps as in PM2."""

from __future__ import annotations

import os


def choose() -> None:
    """Let PM2_HOME name the home, unless it is PM2's own default.

    Who sets it means a place apart: what is done there must not touch what runs elsewhere,
    also where GAPLESS_HOME is set for the whole machine.
    """
    named = os.environ.get("PM2_HOME", "")
    if named and os.path.abspath(named) != os.path.expanduser("~/.pm2"):
        os.environ["GAPLESS_HOME"] = os.path.abspath(named)
