"""Print a JSON Schema (2020-12), for editors and pipelines.

`config`, the default, is the one of a gapless.toml; a verb is what it prints with --json.
Editors with a TOML language server read a first line `#:schema ./gapless.schema.json`.
"""

from __future__ import annotations

import argparse
import json

from gapless.base.errors import DONE, MisuseError
from gapless.cli.verbs import ALIASES

CONFIG = "config"
DATA = True
"""What it prints is the content of a file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `schema`."""
    parser.add_argument(
        "what",
        nargs="?",
        default=CONFIG,
        metavar="VERB",
        help=f"{CONFIG}, or a verb that has --json; default: {CONFIG}",
    )


def run(args: argparse.Namespace) -> int:
    """Print a schema."""
    from gapless.config.reference import json_schema  # noqa: PLC0415 - slow
    from gapless.config.reference.printed import verbs  # noqa: PLC0415 - slow

    what = ALIASES.get(args.what, args.what)
    if what == CONFIG:
        found = json_schema.of_file()
    elif what in verbs.PRINTED:
        found = verbs.of_verb(what)
    else:
        raise MisuseError(
            f"there is no schema of {args.what!r}",
            hint=f"there is: {CONFIG}, {', '.join(sorted(verbs.PRINTED))}",
        )
    print(json.dumps(found, indent=2, ensure_ascii=False))
    return DONE
