"""The parser of a verb: for the command line, and for what is made from all of them."""

from __future__ import annotations

import argparse
import importlib
from types import ModuleType

from gapless.cli.verbs import module_of


def module(verb: str) -> ModuleType:
    """Return the module that implements a verb."""
    return importlib.import_module(module_of(verb))


def parser(verb: str, implementation: ModuleType) -> argparse.ArgumentParser | None:
    """Return the parser of a verb; None if it parses its words itself."""
    if hasattr(implementation, "RAW"):
        return None
    found = argparse.ArgumentParser(
        prog=f"gapless {verb}",
        description=implementation.__doc__,
        allow_abbrev=False,
    )
    vars(found)["color"] = False  # Python 3.14's control sequences would be escaped
    implementation.add_arguments(found)
    return found
