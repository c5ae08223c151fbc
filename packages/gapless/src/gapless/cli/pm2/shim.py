"""The commands `pm2` and `pm2-runtime` that run gapless: `gapless pm2 --install`."""

from __future__ import annotations

import os

from gapless.base import files
from gapless.base.errors import GaplessError, NotFoundError
from gapless.cli.command_path import command_path

MARK = "Written by `gapless pm2 --install`"
RUNTIME = "--runtime"
"""Begins a command line of pm2-runtime."""
_FIRST = {"pm2": "", "pm2-runtime": f"{RUNTIME} "}
"""The commands, and the words that each puts before its own."""
_SHIM = """\
#!/bin/sh
# {mark}; `gapless pm2 --remove` removes it.
# Where a real PM2 is in PATH, that one runs.
IFS=:
for directory in $PATH; do
  candidate="${{directory:-.}}/{name}"
  if [ -f "$candidate" ] && [ -x "$candidate" ] && ! grep -q '{mark_in_grep}' "$candidate"
  then
    exec "$candidate" "$@"
  fi
done
exec '{command}' pm2 {first}"$@"
"""


def install(directory: str) -> str:
    """Write the commands; return what was done.  Raises GaplessError."""
    paths = _paths(directory)
    for path in paths:
        if os.path.lexists(path) and not _is_ours(path):
            raise GaplessError(
                f"{path} exists, and gapless did not write it",
                hint="name another directory",
            )
    for path in paths:
        name = os.path.basename(path)
        text = _SHIM.format(
            mark=MARK,
            mark_in_grep=MARK.replace("`", "."),
            name=name,
            first=_FIRST[name],
            command=command_path().replace("'", "'\\''"),
        )
        files.write_over(path, text.encode(), 0o755)  # every user may run the command
    return (
        f"wrote {' and '.join(paths)}: they are gapless where no real PM2 is in PATH\n"
        "logs are in ~/.gapless/logs, not in ~/.pm2/logs, unless PM2_HOME names a home"
    )


def remove(directory: str) -> str:
    """Remove the commands; return what was done.  Raises GaplessError."""
    found = [path for path in _paths(directory) if os.path.lexists(path)]
    if not found:
        raise NotFoundError(f"there is no {_paths(directory)[0]}")
    for path in found:
        if not _is_ours(path):
            raise GaplessError(f"{path} is not removed: gapless did not write it")
    for path in found:
        os.unlink(path)
    return f"removed {' and '.join(found)}"


def _paths(directory: str) -> list[str]:
    return [os.path.join(os.path.abspath(directory), name) for name in _FIRST]


def _is_ours(path: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            return MARK in file.read(4096)
    except (OSError, UnicodeDecodeError):
        return False
