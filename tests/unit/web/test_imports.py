"""What `gapless web` imports before it is known that its packages are there."""

from __future__ import annotations

import subprocess
import sys


def test_the_command_begins_without_the_packages_of_the_page() -> None:
    """They are an extra; and `gapless web --link` and `--help` are quick."""
    code = (
        "import sys, gapless.cli.verbs.inspect.web, gapless.web.address;"
        "print({'starlette', 'uvicorn', 'ssl', 'asyncio'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
