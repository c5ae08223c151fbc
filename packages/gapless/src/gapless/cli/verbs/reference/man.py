"""Print a page for man(1): `gapless man reload | man -l -`.

Without NAME it is gapless(1); `gapless.toml` is the page of the file. --write writes all of
them into a directory like /usr/local/share/man.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

import gapless
from gapless.base import files
from gapless.base.errors import DONE, MisuseError
from gapless.cli import output
from gapless.cli.shells import man
from gapless.cli.verbs import ALIASES, PACKAGES, catalogue

DATA = True
"""What it prints is the content of a file."""
FILE = "gapless.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `man`."""
    parser.add_argument(
        "name",
        nargs="?",
        default="",
        metavar="NAME",
        help=f"a verb, or {FILE}; default: the page of all verbs",
    )
    parser.add_argument(
        "--write",
        default="",
        metavar="DIR",
        help="write every page into man1 and man5 of this directory",
    )


def run(args: argparse.Namespace) -> int:
    """Print a page, or write all of them."""
    if args.write:
        count = 0
        for name, text in pages():
            section = name[-1]
            folder = os.path.join(args.write, f"man{section}")
            files.make_directories(folder, files.SHARED_DIRECTORY)
            path = os.path.join(folder, name)
            files.write_atomically(
                path, text.encode(), files.SHARED_FILE, durable=False
            )
            count += 1
        output.print_line(f"wrote {count} pages into {args.write}")
        return DONE
    print(_page(args.name), end="")
    return DONE


def _page(name: str) -> str:
    version = gapless.__version__
    if name == FILE:
        return man.file_page(version)
    if not name:
        return man.overview_page(catalogue.verbs(), version)
    verb = ALIASES.get(name, name)
    if verb not in PACKAGES:
        raise MisuseError(f"there is no verb {name!r}", hint="`gapless` lists them")
    return man.verb_page(catalogue.only(verb), version)


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name of each file, and its content."""
    verbs = catalogue.verbs()
    yield "gapless.1", man.overview_page(verbs, gapless.__version__)
    yield f"{FILE}.5", man.file_page(gapless.__version__)
    for verb in verbs:
        yield f"gapless-{verb.name}.1", man.verb_page(verb, gapless.__version__)
