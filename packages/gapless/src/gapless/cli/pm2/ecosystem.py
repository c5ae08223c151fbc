"""Write a declaration to begin with: `pm2 init`."""

from __future__ import annotations

import os

from gapless.base.errors import DONE
from gapless.cli import output
from gapless.cli.pm2.words import Words

FILE = "ecosystem.config.js"
_TEXT = """\
module.exports = {
  apps: [
    {
      name: "app",
      script: "./index.js",
      instances: 1,
      env: { NODE_ENV: "development" },
      env_production: { NODE_ENV: "production" },
    },
  ],
};
"""


def write(words: Words) -> int:
    """Write the file into the working directory.  Raises GaplessError."""
    _ = words
    try:
        with open(FILE, "x", encoding="utf-8") as file:
            file.write(_TEXT)
    except FileExistsError:
        output.print_error(
            f"{os.path.abspath(FILE)} is there already, and is left as it is; "
            f"`pm2 start {FILE}` starts what it declares"
        )
        return DONE
    print(f"wrote {os.path.abspath(FILE)}; then: pm2 start {FILE} --env production")
    return DONE
