"""Upload a release to the release server, from a laptop or CI.

TARGET is a tarball, or a directory that is packed.  DEST is the release server's base
directory, by ssh or mounted here: user@host:/mnt/dfs, ssh://user@host:2222/mnt/dfs, or
/mnt/dfs.  Without --to it is GAPLESS_PUSH_TO, or the key `push` of [release.NAME].  With
--wait the exit code is that of the release: 0 done, 1 refused, failed, held or turned back,
4 no end in time.
"""

from __future__ import annotations

import argparse
import os
import secrets
import tempfile
from contextlib import closing
from dataclasses import replace

from gapless.base import clock
from gapless.base.errors import DONE, FAILED, NotFoundError
from gapless.cli import arguments, output
from gapless.cli.display import upload as upload_display
from gapless.cli.fleet import upload_source
from gapless.push import destination, ignore_rules
from gapless.push.mounted_transport import MountedTransport
from gapless.push.outcome import Outcome, Stage, upload_name
from gapless.push.outcome_follower import OutcomeFollower
from gapless.push.signing import keys, signatures
from gapless.push.ssh_transport import SshTransport
from gapless.push.upload import Upload

WAIT_TIMEOUT_S = 1800.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `push`."""
    parser.add_argument("target", metavar="TARGET", help="a directory or a tarball")
    parser.add_argument(
        "--to", default="", metavar="DEST", help="the release server, as said above"
    )
    arguments.add_release_app(parser)
    parser.add_argument(
        "--wait",
        action="store_true",
        help="wait until the release has ended: done, refused, failed, held...",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=WAIT_TIMEOUT_S,
        metavar="SECONDS",
        help="with --wait: how long to wait "
        f"(default: {WAIT_TIMEOUT_S:g}); what was begun goes on after that",
    )
    parser.add_argument(
        "--sign",
        nargs="?",
        const="",
        metavar="KEY",
        help="sign it with an ssh key, after TARGET or as --sign=KEY; default: "
        "the one with which git signs, ~/.ssh/id_ed25519, or the agent's first",
    )
    parser.add_argument(
        "--include-everything",
        action="store_true",
        help="pack also what is left out by default: "
        f"{', '.join(ignore_rules.DEFAULT)}, and what {ignore_rules.FILE} lists",
    )
    parser.add_argument(
        "--with-secrets",
        action="store_true",
        help="pack also files that look like secrets: .env, private keys, logins; "
        "without it they are refused by name",
    )
    parser.add_argument(
        "--ssh",
        default=os.environ.get("GAPLESS_SSH") or "ssh",
        metavar="COMMAND",
        help="for example 'ssh -p 2222 -i key'; default: GAPLESS_SSH, or ssh",
    )
    arguments.add_config(parser, otherwise=", else the one in TARGET; none is needed")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Upload; with --wait, wait for the outcome."""
    print_line = output.print_nothing if args.json else output.print_line
    if not os.path.exists(args.target):
        raise NotFoundError(f"there is no tarball or directory {args.target}")
    known = upload_source.releases(args.config, args.target)
    app = upload_source.app_name(args.app, args.target, known)
    to = destination.parse(upload_source.release_server(args.to, known.get(app)))
    transport = (
        SshTransport(to, args.ssh, print_line) if to.host else MountedTransport(to.path)
    )
    key = None
    if args.sign is not None:
        home = os.path.expanduser("~")
        key = keys.find(args.sign, home, keys.run_quietly)
    with tempfile.TemporaryFile() as packed:
        tarball = upload_source.open_tarball(
            args.target,
            app,
            packed,
            print_line,
            everything=args.include_everything,
            with_secrets=args.with_secrets,
        )
        with tarball.file as file:
            name = upload_name(app, secrets.token_hex(6), tarball.ending)
            upload = Upload.of(name, file)
            if key is not None:
                signed = signatures.of_upload(app, upload.sha256, key)
                upload = replace(upload, signature=signed)
                print_line(f"{app}: signed with {key.source}")
            began = clock.monotonic()
            show = upload_display.progress_line(upload.size_bytes, quiet=args.json)
            try:
                transport.send(upload, show)
            except KeyboardInterrupt:
                return output.print_interrupted("nothing is left on the release server")
    took_s = clock.monotonic() - began
    size = output.size(upload.size_bytes)
    print_line(f"{app}: {name} is in {to}/src ({size} in {took_s:.1f} s)")
    outcome: Outcome | None = None
    if args.wait:
        follower = OutcomeFollower(name, print_line, args.timeout)
        try:
            with closing(transport.outcome_lines(name, follower.remaining_s)) as lines:
                outcome = follower.follow(lines)
        except KeyboardInterrupt:
            return output.print_interrupted(
                f"{name} is on the release server, and what was begun goes on"
            )
        upload_display.print_end(outcome, print_line)
    if args.json:
        output.print_json(
            upload_display.upload_json(app, str(to), upload, tarball.left_out, outcome)
        )
    return DONE if outcome is None or outcome.stage is Stage.DONE else FAILED
