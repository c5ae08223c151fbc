"""Upload a release to the release server, from a laptop or CI.

TARGET is a tarball, or a directory that is packed.  DEST is the release server's base
directory, by ssh or mounted here: user@host:/mnt/dfs, ssh://user@host:2222/mnt/dfs, or
/mnt/dfs.  Without --to it is GAPLESS_PUSH_TO, or the key `push` of [release.NAME].  With
--wait the command ends as the release does: 0 done, 1 refused, failed, held or turned back,
4 no end in time.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from typing import IO, Any

from gapless.base import clock
from gapless.base.errors import (
    DONE,
    FAILED,
    MisuseError,
    NotFoundError,
    ReleaseError,
)
from gapless.base.names import is_app_name
from gapless.cli import output
from gapless.config.choice import inherited
from gapless.config.toml import tables
from gapless.push import destination, ignore_rules, packing
from gapless.push.mounted_transport import MountedTransport
from gapless.push.outcome import Outcome, Stage, upload_name
from gapless.push.outcome_follower import OutcomeFollower
from gapless.push.ssh_transport import SshTransport
from gapless.push.upload import Upload
from gapless.releases import tarballs
from gapless.releases.inbox import uploads
from gapless.releases.model import ReleaseSpec

SHOW_S = 0.2
SHOWN_NAMES = 20
INTERRUPTED = 130  # as shells say it of a command that SIGINT ended


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `push` understands."""
    parser.add_argument("target", metavar="TARGET", help="a directory or a tarball")
    parser.add_argument("--to", default="", metavar="DEST", help="see above")
    parser.add_argument("--app", default="", metavar="NAME", help="whose release it is")
    parser.add_argument(
        "--wait", action="store_true", help="wait for what becomes of it there"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=1800.0,
        metavar="SECONDS",
        help="with --wait: how long (1800); what was begun goes on",
    )
    parser.add_argument(
        "--include-everything",
        action="store_true",
        help=f"leave out nothing: neither {', '.join(ignore_rules.DEFAULT)} "
        f"nor what {ignore_rules.FILE} says",
    )
    parser.add_argument(
        "--ssh",
        default=os.environ.get("GAPLESS_SSH") or "ssh",
        metavar="COMMAND",
        help="for example 'ssh -p 2222 -i key'; default: GAPLESS_SSH, or ssh",
    )
    parser.add_argument(
        "-c",
        "--config",
        default="",
        metavar="FILE",
        help="default: ./gapless.toml or the directory's own, if there is one",
    )
    parser.add_argument("--json", action="store_true", help="the same for machines")


def run(asked: argparse.Namespace) -> int:
    """Upload; with --wait, follow."""
    say: Callable[[str], None] = (
        (lambda _: None) if asked.json else lambda text: print(text, flush=True)
    )
    if not os.path.exists(asked.target):
        raise NotFoundError(f"there is no tarball or directory {asked.target}")
    found = _releases(asked.config, asked.target)
    app = _app(asked.app, asked.target, found)
    to = destination.parse(_to(asked.to, found.get(app)))
    transport = (
        SshTransport(to, asked.ssh, say) if to.host else MountedTransport(to.path)
    )
    with tempfile.TemporaryFile() as packed:
        file, ending, left_out = _open(asked, app, packed, say)
        with file:
            name = upload_name(app, secrets.token_hex(6), ending)
            upload = Upload.of(name, file)
            began, tell = clock.monotonic(), _progress(upload, quiet=asked.json)
            try:
                transport.send(upload, tell)
            except KeyboardInterrupt:
                print("\ngapless: interrupted; nothing is left there", file=sys.stderr)
                return INTERRUPTED
    took_s = clock.monotonic() - began
    size = output.size(upload.size_bytes)
    say(f"{app}: {name} is in {to}/src ({size} in {took_s:.1f} s)")
    outcome: Outcome | None = None
    if asked.wait:
        follower = OutcomeFollower(name, say, asked.timeout)
        try:
            with closing(transport.outcome_lines(name, follower.remaining_s)) as lines:
                outcome = follower.follow(lines)
        except KeyboardInterrupt:
            print(
                f"\ngapless: interrupted; {name} is there, and what was begun goes on",
                file=sys.stderr,
            )
            return INTERRUPTED
        _end(outcome, say)
    if asked.json:
        output.as_json(_as_data(app, str(to), upload, left_out, outcome))
    return DONE if outcome is None or outcome.stage is Stage.DONE else FAILED


# --- what and where -------------------------------------------------------------------


def _releases(config: str, target: str) -> dict[str, ReleaseSpec]:
    """Return the releases of the configuration, if there is one: none is needed."""
    own = os.path.join(target, "gapless.toml")
    for path in (config, "gapless.toml", own):
        if path and (path == config or os.path.isfile(path)):
            return tables.load_releases(path, inherited(os.environ))
    return {}


def _app(said: str, target: str, found: dict[str, ReleaseSpec]) -> str:
    """Return whose release it is: as said, by its name, or the only one there is."""
    name = os.path.basename(os.path.abspath(target))
    if not os.path.isdir(target):
        name = name.removesuffix(tarballs.ending_of(name))
    owner = uploads.owner(found, f"{name}.tar")
    if not said and not owner and len(found) > 1:
        raise MisuseError(
            f"{target} could be of any of: {', '.join(found)}",
            hint="say which with --app",
        )
    app = said or owner or next(iter(found), name)
    if not is_app_name(app):
        raise MisuseError(f"{app!r} cannot name an app", hint="say which with --app")
    return app


def _to(said: str, found: ReleaseSpec | None) -> str:
    to = said or os.environ.get("GAPLESS_PUSH_TO", "") or (found.push if found else "")
    if not to:
        raise MisuseError(
            "push to where?",
            hint="--to user@host:/mnt/dfs, GAPLESS_PUSH_TO, or push = ... in "
            "[release.NAME]",
        )
    return to


def _open(
    asked: argparse.Namespace,
    app: str,
    packed: IO[bytes],
    say: Callable[[str], None],
) -> tuple[IO[bytes], str, list[str]]:
    """Return the tarball, the ending of its name, and what is not in it."""
    target = asked.target
    if os.path.isdir(target):
        ignored = packing.ignore_rules_of(target, everything=asked.include_everything)
        held = packing.pack(target, app, packed, ignored)
        size = output.size(held.size_bytes)
        say(f"{app}: packed {output.count(held.files, 'file')}, {size}")
        if held.left_out:
            names = held.left_out[:SHOWN_NAMES]
            more = len(held.left_out) - len(names)
            say(f"  left out: {', '.join(names)}" + (f" and {more} more" * bool(more)))
        return packed, ".tar.gz", held.left_out
    ending = tarballs.ending_of(target)
    if not ending:
        raise MisuseError(
            f"{target} is no tarball by its name",
            hint=f"it ends in one of {', '.join(tarballs.ENDINGS)}",
        )
    try:
        tarballs.read_to_end(target)
    except (OSError, *tarballs.BROKEN) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the file cannot be read; what it holds is not known
        raise ReleaseError(
            f"{target} cannot be read to its end: {error}", hint="nothing was sent"
        ) from error
    return open(target, "rb"), ending, []


# --- telling --------------------------------------------------------------------------


def _progress(upload: Upload, *, quiet: bool) -> Callable[[int], None]:
    """Return who tells how many bytes were sent: in one line of a terminal."""
    began = shown = clock.monotonic()
    is_shown = output.on_terminal() and not quiet

    def tell(sent_bytes: int) -> None:
        nonlocal shown
        now, is_last = clock.monotonic(), sent_bytes == upload.size_bytes
        if not is_shown or (now - shown < SHOW_S and not is_last):
            return
        shown = now
        rate = output.size(sent_bytes / max(now - began, 0.001))
        of = f"{output.size(sent_bytes)} of {output.size(upload.size_bytes)}"
        end = "\r\033[K" if is_last else ""
        sys.stdout.write(f"\r\033[K  {of}, {rate}/s{end}")
        sys.stdout.flush()

    return tell


def _end(outcome: Outcome, say: Callable[[str], None]) -> None:
    if outcome.report:
        say(f"  report on the release server: {outcome.report}")
    if outcome.stage in (Stage.HELD, Stage.STUCK):
        say(
            f"  there, `gapless rollout resume {outcome.app}` tries again, "
            f"`gapless rollout abort {outcome.app}` goes back"
        )


def _as_data(
    app: str,
    to: str,
    upload: Upload,
    left_out: list[str],
    outcome: Outcome | None,
) -> dict[str, Any]:
    told = None
    if outcome is not None:
        told = asdict(outcome) | {"stage": outcome.stage.value}
    return {
        "app": app,
        "to": to,
        "upload": upload.name,
        "size_bytes": upload.size_bytes,
        "sha256": upload.sha256,
        "left_out": left_out,
        "outcome": told,
    }
