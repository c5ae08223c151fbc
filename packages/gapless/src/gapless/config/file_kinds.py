"""Which kind of declarations a file holds, by its name.  Pure."""

from __future__ import annotations

import os

STDIN = "-"
TOML = ".toml"
JAVASCRIPT = (".config.js", ".config.cjs", ".config.mjs")
YAML = (".yml", ".yaml")


def is_configuration(target: str) -> bool:
    """Return whether a target is a file that declares apps."""
    name = os.path.basename(target)
    return (
        target == STDIN
        or ".json" in name
        or name.endswith((TOML, *YAML))
        or any(ending in name for ending in JAVASCRIPT)
    )
