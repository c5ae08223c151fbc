"""Print the log files of apps as they are; `-f` follows them, across rotations too.

On a terminal control characters are escaped, but for colours; --raw escapes nothing.  A
line that is in a file already has no time of its own: --timestamp is for those that come.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

from gapless.base import clock
from gapless.base.errors import DONE
from gapless.cli import arguments, output, selection
from gapless.cli.followed_log import FollowedLog
from gapless.cli.terminal.log_lines import BOTH, COPY, Form, LogLines, Source
from gapless.client import Client
from gapless.keeper.logs.rendering import date

POLL_S = 0.1
LINES = 15
TIME = "YYYY-MM-DD-HH:mm:ss"
_STREAMS = {"output": "out", "error": "err", "combined": BOTH}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `logs`."""
    arguments.add_apps_or_all(parser)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="print new lines as they come"
    )
    parser.add_argument(
        "-n",
        "--lines",
        type=int,
        default=LINES,
        metavar="N",
        help=f"how many of the last lines to print first (default: {LINES})",
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="print every byte as it is, also what steers the terminal",
    )
    parser.add_argument(
        "--err", dest="only_error", action="store_true", help="only standard error"
    )
    parser.add_argument(
        "--out", dest="only_output", action="store_true", help="only standard output"
    )
    parser.add_argument(
        "--json",
        dest="as_objects",
        action="store_true",
        help="print each line as an object: message, timestamp, type, process_id, app_name",
    )
    parser.add_argument(
        "--highlight", default="", metavar="WORD", help="mark a word on a terminal"
    )
    parser.add_argument(
        "--timestamp",
        nargs="?",
        const=TIME,
        default="",
        metavar="FORMAT",
        help="print the time before each new line, in tokens of day.js; "
        f"default: {TIME}",
    )
    parser.set_defaults(as_pairs=False)


def run(args: argparse.Namespace) -> int:
    """Print logs."""
    client = Client(starts=False)
    apps = selection.names(client, args.app or ["all"])
    form = _form(args)
    sources: dict[str, Source] = {}
    for app in apps:
        for path, source in _sources(client.request("describe", app=app)):
            sources.setdefault(path, source)
    followed = [
        FollowedLog(
            path,
            is_raw=args.raw,
            lines=LogLines(source, form) if form.changes() else None,
        )
        for path, source in sources.items()
        if _is_wanted(source, args)
    ]
    for log in followed:
        if len(followed) > 1 and not (form.is_json or form.is_pairs):
            print(f"==> {log.path} <==", flush=True)
        log.print_last(args.lines)
        log.begin_live()
    while args.follow:
        grown = [log.print_new() for log in followed]
        if not any(grown):
            time.sleep(POLL_S)
    for log in followed:
        log.print_rest()
    return DONE


def _sources(described: dict[str, Any]) -> Iterator[tuple[str, Source]]:
    """Yield the logs of an app, and whose lines stand in each."""
    kept = {k for log in described["logs_by_instance"] for k in log if log[k]}
    for path in described["logs"]:
        streams, identity = set(), 0
        instances = zip(described["logs_by_instance"], described["ids"], strict=False)
        for log, of in reversed([*instances]):
            found = {k for k in _STREAMS if log[k] == path}
            streams |= found
            identity = of if found else identity
        if streams == {"combined"} and kept & {"output", "error"}:
            stream = COPY
        else:
            stream = _STREAMS[streams.pop()] if len(streams) == 1 else BOTH
        yield path, Source(app=described["name"], stream=stream, identity=identity)


def _is_wanted(source: Source, args: argparse.Namespace) -> bool:
    """Return whether a log is printed; of one with both streams, `LogLines` chooses."""
    if source.stream == COPY:
        return not (
            args.only_error or args.only_output or args.as_objects or args.as_pairs
        )
    hidden = "out" if args.only_error else "err" if args.only_output else ""
    return source.stream != hidden


def _form(args: argparse.Namespace) -> Form:
    stamp = None
    if args.timestamp:
        from gapless.config.pm2 import dates  # noqa: PLC0415 - few ask for times

        form = dates.strftime_format(TIME if args.timestamp is True else args.timestamp)

        def stamp() -> str:
            return date(form, clock.wall())

    return Form(
        only="err" if args.only_error else "out" if args.only_output else "",
        is_json=args.as_objects,
        is_pairs=args.as_pairs,
        highlight=str(args.highlight or "") if output.is_terminal() else "",
        stamp=stamp,
        now=lambda: clock.stamp(clock.wall()),
    )
