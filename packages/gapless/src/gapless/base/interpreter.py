"""How a gapless module is run in an interpreter of its own."""

from __future__ import annotations

import os
import sys

_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "import importlib; importlib.import_module(sys.argv[2]).main(sys.argv[3:])"
)


def python(module: str, arguments: list[str]) -> list[str]:
    """Return the command that runs `main` of a gapless module without `site`."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    return [sys.executable, "-I", "-S", "-c", _BOOT, package, module, *arguments]
