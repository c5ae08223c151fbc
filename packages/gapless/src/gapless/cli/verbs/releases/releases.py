"""List the releases of an app, oldest first."""

from __future__ import annotations

import argparse

from gapless.base.errors import DONE
from gapless.cli import arguments, configuration, output
from gapless.releases import current
from gapless.releases.inbox import refused
from gapless.releases.model import Release, ReleaseSpec
from gapless.releases.signing import records


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `releases`."""
    parser.add_argument("app", metavar="APP", help="the NAME of [release.NAME]")
    arguments.add_config(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """List releases."""
    spec = configuration.release(args.config, args.app)
    found = current.releases(spec)
    if args.json:
        output.print_json(
            [
                {
                    "release": r.name,
                    "path": r.path,
                    "current": r.is_current,
                    "failure": r.failure or None,
                    "proven": r.is_proven,
                    "signed_by": records.signer_of(spec, r.name) or None,
                }
                for r in found
            ]
        )
        return DONE
    if not found:
        print(f"{args.app} has no release yet; `gapless publish TARBALL` makes one")
        _print_refused(spec)
        return DONE
    signers = {r.name: records.signer_of(spec, r.name) for r in found}
    headings = ["release", "state", "directory"]
    rows = [[r.name, _state(r), r.path] for r in found]
    if any(signers.values()):
        headings.append("signed by")
        rows = [[*row, signers[row[0]] or "-"] for row in rows]
    output.print_table(headings, rows)
    for release in found:
        if release.failure:
            print(f"{release.name} failed: {release.failure.splitlines()[0]}")
    _print_refused(spec)
    return DONE


def _print_refused(spec: ReleaseSpec) -> None:
    """Print the uploads that became no release."""
    for name, reason in refused.kept(spec):
        print(f"{spec.refused}/{name} was refused: {reason.splitlines()[0]}")


def _state(release: Release) -> str:
    if release.is_current:
        return "current"
    if release.failure:
        return "failed"
    return "" if release.is_proven else "not proven"
