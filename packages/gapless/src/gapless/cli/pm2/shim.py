"""The command `pm2` that runs gapless: written by `gapless pm2 --install`."""

from __future__ import annotations

import os

from gapless.base import files
from gapless.base.errors import GaplessError, NotFoundError
from gapless.cli.command_path import command_path

MARK = "Written by `gapless pm2 --install`"
_SHIM = """\
#!/bin/sh
# {mark}; `gapless pm2 --remove` removes it.
# Where a real PM2 is in PATH, that one runs.
IFS=:
for directory in $PATH; do
  candidate="${{directory:-.}}/pm2"
  if [ -f "$candidate" ] && [ -x "$candidate" ] && ! grep -q '{mark_in_grep}' "$candidate"
  then
    exec "$candidate" "$@"
  fi
done
exec '{command}' pm2 "$@"
"""


def install(directory: str) -> str:
    """Write the command; return what was done.  Raises GaplessError."""
    path = os.path.join(os.path.abspath(directory), "pm2")
    if os.path.lexists(path) and not _is_ours(path):
        raise GaplessError(
            f"{path} exists, and gapless did not write it",
            hint="name another directory",
        )
    text = _SHIM.format(
        mark=MARK,
        mark_in_grep=MARK.replace("`", "."),
        command=command_path().replace("'", "'\\''"),
    )
    files.write_over(path, text.encode(), 0o755)  # every user may run the command
    return f"wrote {path}: `pm2` is gapless where no real PM2 is in PATH"


def remove(directory: str) -> str:
    """Remove the command; return what was done.  Raises GaplessError."""
    path = os.path.join(os.path.abspath(directory), "pm2")
    if not os.path.lexists(path):
        raise NotFoundError(f"there is no {path}")
    if not _is_ours(path):
        raise GaplessError(f"{path} is not removed: gapless did not write it")
    os.unlink(path)
    return f"removed {path}"


def _is_ours(path: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            return MARK in file.read(4096)
    except (OSError, UnicodeDecodeError):
        return False
