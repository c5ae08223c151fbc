"""Write a gapless.toml for what is in a directory.

It looks at the names of files and at how they begin, asks nothing and starts nothing. What
it could not see is a comment in the file. A file for PM2 is written in the keys of gapless:
Node runs it if it is code, and it is left as it is if its values depend on that run.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence

from gapless.base import files
from gapless.base.errors import DONE, MisuseError, NotFoundError
from gapless.base.outside import secrets
from gapless.cli import output
from gapless.config.detect import code, detect, foreign, look, text
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
        "--env",
        default="",
        metavar="NAME",
        help="of a file for PM2: lay env_NAME over env",
    )
    parser.add_argument(
        "--values",
        action="store_true",
        help="of a file for PM2 that is code: run it, and write the values of now",
    )
    parser.add_argument(
        "--print", action="store_true", help="print the file, and write nothing"
    )
    parser.add_argument(
        "--force", action="store_true", help="write over a gapless.toml that is there"
    )


def run(args: argparse.Namespace) -> int:
    """Write the file, and tell what was seen and what comes next."""
    facts = look.facts(args.directory, args.port)
    if file := declared.pm2(facts):
        return _of_pm2(args, file, code.computed(facts, file))
    found = detect.detect(facts)
    if found is None:
        said = [text.in_comment(each, 300) for each in foreign.commands(facts)]
        write = f'write [app.NAME] and command = ["PROGRAM", "ARGUMENT"] into {FILE}'
        raise NotFoundError(
            f"{args.directory}: nothing here tells how it is started; looked for "
            f"{detect.KNOWN}",
            hint="; ".join([*said, write]),
        )
    content = text.write(found, detect.others_seen(facts))
    path = os.path.join(args.directory, FILE)
    _write(args, content, files.SHARED_FILE, _told(path, found, args.directory))
    return DONE


def _write(
    args: argparse.Namespace, content: str, mode: int, told: Sequence[str]
) -> None:
    """Write the file, or print it.  Raises MisuseError."""
    path = os.path.join(args.directory, FILE)
    if args.print:
        print(content, end="")
        return
    if os.path.lexists(path) and not args.force:
        raise MisuseError(
            f"{path} is there already, and is left as it is",
            hint="--print shows what would be written, --force writes over it",
        )
    try:
        files.write_atomically(path, content.encode(), mode, durable=False)
    except UnicodeEncodeError as error:
        raise MisuseError(f"{path}: a text is not Unicode: {error.reason}") from None
    for line in told:
        output.print_line(line)


def _of_pm2(args: argparse.Namespace, file: str, computed: str) -> int:
    """Write what a file declares for PM2, or say why it is better read as it is."""
    if computed and not args.values:
        return _left(args, file, computed)
    from gapless.config import choice  # noqa: PLC0415 - few have such a file
    from gapless.config.detect import pm2  # noqa: PLC0415 - the same
    from gapless.config.pm2.pm2_file import Pm2File  # noqa: PLC0415 - the same

    directory = os.path.abspath(args.directory)
    source = Pm2File(os.path.normpath(os.path.join(args.directory, file)), str)
    # Whatever way of code to the variables of the shell was not seen.
    if not args.values and not source.is_same_in(_few_variables()):
        return _left(args, file, "the variables of this shell")
    environment = choice.inherited(os.environ)
    found = source.load(
        choice.Choice(environment=environment, profile=args.env, started_in=directory)
    )
    apps = [
        pm2.Declared(spec=each, declaration=source.declared[each.label or name])
        for name, each in found.apps.items()
    ]
    content = pm2.write(source.file, args.env, apps, found.warnings)
    # What only its owner may read is not written where others can.
    is_private = not os.stat(source.file).st_mode & 0o077
    mode = files.PRIVATE_FILE if is_private else files.SHARED_FILE
    path = os.path.join(args.directory, FILE)
    told = f"wrote {path}: what {file} declares for PM2: {', '.join(found.apps)}"
    _write(args, content, mode, [told, f"next: {_in(args.directory)}gapless start"])
    return DONE


def _left(args: argparse.Namespace, file: str, computed: str) -> int:
    """Say how a file for PM2 is used as it is."""
    output.print_line(
        f"{file} declares apps for PM2, by code whose values depend on its run "
        f"({computed}): gapless reads it as it is"
    )
    own = ["--env", args.env] if args.env else []
    here = _in(args.directory)
    output.print_line(f"next: {here}{shlex.join(['gapless', 'start', file, *own])}")
    output.print_line(
        f"or: {here}{shlex.join(['gapless', 'init', '--values', *own])}, which writes "
        f"its values of now to {FILE}"
    )
    return DONE


def _few_variables() -> dict[str, str]:
    """Return what Node needs to start, also where a version manager starts it."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def _told(path: str, found: Found, directory: str) -> list[str]:
    """Return what was seen, and what comes next: two lines."""
    listens = f"; it listens on {found.port}" if found.port else ""
    steps = [*found.first, "gapless start"]
    return [
        f"wrote {path}: {found.kind}, since {secrets.in_text(found.why)}{listens}",
        f"next: {_in(directory)}{' && '.join(steps)}",
    ]


def _in(directory: str) -> str:
    """Return the words that lead there, as a shell reads them."""
    if directory == ".":
        return ""
    place = f"./{directory}" if directory.startswith("-") else directory
    return f"{shlex.join(['cd', place])} && "


def _port(word: str) -> int:
    if word.isascii() and word.isdigit() and 0 < int(word[:6]) < 1 << 16:
        return int(word)
    raise argparse.ArgumentTypeError(f"{word!r} is no port: a number from 1 to 65535")
