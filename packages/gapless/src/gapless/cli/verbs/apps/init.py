"""Write a gapless.toml for what is in a directory.

It looks at the names of files and at how they begin, asks nothing and starts nothing. What
it could not see is a comment in the file.
"""

from __future__ import annotations

import argparse
import os

from gapless.base import files
from gapless.base.errors import DONE, MisuseError, NotFoundError
from gapless.cli import output
from gapless.config.detect import detect, look, text
from gapless.config.detect import files as declared
from gapless.config.detect.facts import Found

FILE = "gapless.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `init`."""
    parser.add_argument(
        "directory",
        nargs="?",
        default=".",
        metavar="DIRECTORY",
        help="where the app is; default: here",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=0,
        metavar="PORT",
        help="where it should listen; default: what such programs usually have",
    )
    parser.add_argument(
        "--print", action="store_true", help="print the file, and write nothing"
    )
    parser.add_argument(
        "--force", action="store_true", help="write over a gapless.toml that is there"
    )


def run(args: argparse.Namespace) -> int:
    """Write the file, and tell what was seen and what comes next."""
    path = os.path.join(args.directory, FILE)
    facts = look.facts(args.directory, args.port)
    if file := declared.pm2(facts):
        output.print_line(f"{file} declares apps for PM2: gapless reads it as it is")
        output.print_line(f"next: {_in(args.directory)}gapless start {file}")
        return DONE
    found = detect.detect(facts)
    if found is None:
        raise NotFoundError(
            f"{args.directory}: nothing here tells how it is started; looked for "
            f"{detect.KNOWN}",
            hint=f'write [app.NAME] and command = ["PROGRAM", "ARGUMENT"] into {FILE}',
        )
    content = text.write(found, detect.others_seen(facts))
    if args.print:
        print(content, end="")
        return DONE
    if os.path.lexists(path) and not args.force:
        raise MisuseError(
            f"{path} is there already, and is left as it is",
            hint="--print shows what would be written, --force writes over it",
        )
    files.write_atomically(path, content.encode(), files.SHARED_FILE, durable=False)
    for line in _told(path, found, args.directory):
        output.print_line(line)
    return DONE


def _told(path: str, found: Found, directory: str) -> list[str]:
    """Return what was seen, and what comes next: two lines."""
    listens = f"; it listens on {found.port}" if found.port else ""
    steps = [*found.first, "gapless start"]
    return [
        f"wrote {path}: {found.kind}, since {found.why}{listens}",
        f"next: {_in(directory)}{' && '.join(steps)}",
    ]


def _in(directory: str) -> str:
    return "" if directory == "." else f"cd {directory} && "


def _port(word: str) -> int:
    if word.isascii() and word.isdigit() and 0 < int(word[:6]) < 1 << 16:
        return int(word)
    raise argparse.ArgumentTypeError(f"{word!r} is no port: a number from 1 to 65535")
