"""Rehearse a release: hand over to it and back under load; what runs is not touched.

TARGET is a tarball, a directory, a configuration file, or an app that runs here: then what
a reload of it would start is rehearsed.  Exit code 1 if a request was lost.
"""

from __future__ import annotations

import argparse
import os
import re

from gapless.base.errors import DONE, FAILED, MisuseError
from gapless.cli import arguments, configuration, output
from gapless.cli.display import rehearsals, steps
from gapless.client import Client
from gapless.rehearsal import model, record, subject
from gapless.rehearsal.model import Report, Settings, Subject
from gapless.rehearsal.rehearse import Rehearsal
from gapless.rehearsal.stage import stage
from gapless.releases.tarballs import ending_of

_PATH = re.compile(r"/[!-~]{0,2000}")
_HEADER = re.compile(
    r"(?P<name>[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}): ?(?P<value>[ -~\xa0-\xff]{0,8000})"
)
_OWN_HEADERS = (
    "connection",
    "content-length",
    "transfer-encoding",
    "expect",
    "upgrade",
)
"""Each client and request has its own."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MOST_RATE, MOST_DURATION_S = 5000.0, 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `rehearse`."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="a tarball, a directory, a gapless.toml or PM2 file, or an app of this host",
    )
    parser.add_argument(
        "--app", default="", metavar="NAME", help="the app, if there are several"
    )
    parser.add_argument(
        "--env", default=None, metavar="NAME", help="of a PM2 file: use its env_NAME"
    )
    parser.add_argument(
        "--path",
        action="append",
        default=[],
        metavar="PATH",
        help="what to ask for; may be repeated; default: the path of `ready`, else /",
    )
    parser.add_argument(
        "--post",
        default=None,
        metavar="PATH",
        help="where the slow POST goes; - for none; default: the first path",
    )
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="a header of each request, such as Host or Authorization; may be repeated",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=0,
        metavar="PORT",
        help="which of the app's ports is asked; default: the first",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=100.0,
        metavar="N",
        help="how many GETs a second are sent (default: 100)",
    )
    parser.add_argument(
        "--duration",
        type=float,
        default=3.0,
        metavar="SECONDS",
        help="how long each state at rest is measured (default: 3)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable of the app for the rehearsal: another database; may be repeated",
    )
    parser.add_argument(
        "--shared",
        choices=(model.COPY, model.EMPTY),
        default=model.COPY,
        help="what stands for shared directories: a copy (default), or nothing",
    )
    parser.add_argument(
        "--writable",
        action="append",
        default=[],
        metavar="DIR",
        help="let the app write there too; default: below its own directory only",
    )
    parser.add_argument(
        "--network",
        choices=(model.AUTO, model.ON_HOST, model.PRIVATE),
        default=model.AUTO,
        help="host: on a free port of this machine; private: in a network of its own; "
        "default: private where the app's port cannot be changed",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="also count what stop and start, and pm2 reload, would lose",
    )
    arguments.add_config(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Rehearse."""
    settings = _settings(args)
    progress = output.print_nothing if args.json else output.print_line
    try:
        with stage.opened() as own:
            found = _subject(args, own)
            subject.check(found)
            report = Rehearsal(own, found, settings, progress, steps.timed).run()
    except KeyboardInterrupt:
        return output.print_interrupted(
            "what the rehearsal had started has ended, and its files are removed"
        )
    shown = record.encoded(report)
    if trouble := record.write(found.keeps_at, shown):
        output.print_error(trouble)
    kept = "" if trouble else found.keeps_at
    if args.json:
        output.print_json(shown | {"report": kept or None})
    else:
        rehearsals.print_report(report, kept)
    return exit_code(report)


def exit_code(report: Report) -> int:
    """Return the exit code that a report means."""
    return DONE if report.outcome == model.PASSED else FAILED


def _subject(args: argparse.Namespace, own: stage.Stage) -> Subject:
    client = Client(starts=False)
    words = subject.Words(
        target=args.target,
        app=args.app,
        profile=args.env,
        config=args.config or "gapless.toml",
        shared=args.shared,
        writable=tuple(args.writable),
    )

    def of_release() -> Subject:
        releases = configuration.release_of_tarball(args.config, args.app, args.target)

        def told(step: str, detail: str) -> None:
            text = steps.line(releases.app, step, detail)
            if text and not args.json:
                output.print_line(text)

        return subject.of_tarball(client, words, releases, own, told)

    is_tarball = bool(ending_of(args.target)) and os.path.isfile(args.target)
    return subject.find(client, words, of_release=of_release, is_tarball=is_tarball)


def _settings(args: argparse.Namespace) -> Settings:
    """Return what the options say.  Raises MisuseError."""
    for path in [*args.path, *([args.post] if args.post not in (None, "-") else [])]:
        if not _PATH.fullmatch(path):
            raise MisuseError(
                f"{path!r} is no path to ask for",
                hint="it begins with / and has no space",
            )
    if not 0.1 <= args.rate <= MOST_RATE:
        raise MisuseError(
            f"--rate is between 0.1 and {MOST_RATE:g}; found {args.rate:g}"
        )
    if not 0.2 <= args.duration <= MOST_DURATION_S:
        raise MisuseError(
            f"--duration is between 0.2 and {MOST_DURATION_S:g} s; found {args.duration:g}"
        )
    if not 0 <= args.port < 1 << 16:
        raise MisuseError(f"--port {args.port}: a port is between 1 and 65535")
    headers = []
    for each in args.header:
        header = _HEADER.fullmatch(each)
        if header is None or header["name"].lower() in _OWN_HEADERS:
            raise MisuseError(
                f"--header {each!r}: write 'NAME: VALUE', of another header"
            )
        headers.append((header["name"], header["value"]))
    variables = {}
    for each in args.set:
        name, given, value = each.partition("=")
        if not given or not _VARIABLE.fullmatch(name):
            raise MisuseError(f"--set {each!r}: write NAME=VALUE")
        variables[name] = value
    for each in args.writable:
        if not os.path.isabs(each) or not os.path.exists(each):
            raise MisuseError(
                f"--writable {each}: this is no absolute path that exists"
            )
    return Settings(
        paths=tuple(args.path),
        post="" if args.post == "-" else args.post,
        headers=tuple(headers),
        rate=args.rate,
        duration_s=args.duration,
        network=args.network,
        writable=tuple(args.writable),
        variables=variables,
        port=args.port,
        compares=args.compare,
    )
