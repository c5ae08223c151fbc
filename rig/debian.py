"""Debian's archive, as the apt of this machine has it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path


def archive() -> tuple[str, str]:
    """Return the site and the codename of the archive that apt uses here.

    Raises RuntimeError.
    """
    lines = subprocess.run(
        [
            *("apt-get", "indextargets", "--format", "$(SITE) $(CODENAME)"),
            *("Identifier: Packages", "Component: main"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    release = Path("/etc/os-release").read_text()
    codename = re.findall(r"^VERSION_CODENAME=(\w+)$", release, re.MULTILINE)[0]
    for line in lines:
        site, name = line.split()
        if name == codename:
            return site, codename
    raise RuntimeError(f"apt has no archive of {codename}")
