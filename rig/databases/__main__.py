"""Run a database for a program in another language.

    python -m rig.databases postgresql DIRECTORY

It prints one line of JSON with host, port, user, password and database.  It ends the
database when its standard input closes.
"""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from rig.databases.kinds import DATABASES

SHOWN = ("host", "port", "user", "password", "database")


def main() -> None:
    """Run one until standard input closes, or SIGTERM comes."""
    _, kind, directory = sys.argv
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with DATABASES[kind](Path(directory)) as database:
        fields = asdict(database)
        print(json.dumps({name: fields[name] for name in SHOWN}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
