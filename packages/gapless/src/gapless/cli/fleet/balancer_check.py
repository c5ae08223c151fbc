"""Check a load balancer while a server behind it drains, and print what is wrong."""

from __future__ import annotations

import argparse
import select
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from gapless.balancer import probing
from gapless.balancer.findings import findings, findings_of_next
from gapless.balancer.request_kinds import RequestCounts
from gapless.base import clock
from gapless.base.errors import DONE, FAILED, GaplessError, MisuseError, TimedOutError
from gapless.cli import output

NEXT_TIMEOUT_S = 600.0
"""How long the check waits until the next server drains."""
NEXT_POLL_S = 0.02


def run(args: argparse.Namespace) -> int:
    """Send requests, and print the findings; exit code 1 if there are some.

    Raises GaplessError.
    """
    url = _url(args.target)
    if args.next and not args.draining:
        raise MisuseError("--next: name the server that drains first with --draining")
    if args.draining and not _is_draining(_url(args.draining)):
        raise GaplessError(
            f"{args.draining} does not refuse requests: nothing would be shown",
            hint="`gapless drain` on that server, and the drain library in its app",
        )
    print_line = output.print_nothing if args.json else output.print_line
    found = findings(_send_all(url, print_line))
    if args.next:
        _wait_for_next(args, print_line)
        found += findings_of_next(_send_all(url, print_line))
    if args.json:
        output.print_json({"right": not found, "findings": found})
    elif found:
        for each in found:
            print(output.paint(f"wrong: {each}", "red"))
    elif args.draining:
        print(output.paint("right: no refusal reached the client", "green"))
    else:
        print("no refusal reached the client")
        print(
            "hint: that shows something only while a server drains; name it: --draining"
        )
    return FAILED if found else DONE


def _send_all(
    url: SplitResult, print_line: Callable[[str], None]
) -> list[RequestCounts]:
    """Send requests of each kind, and print their counts."""
    found = []
    for counts in probing.send_all(url):
        found.append(counts)
        ends = f"{counts.refused} refused, {counts.failed} failed"
        print_line(f"{counts.kind.name:<22} {counts.sent} sent, {ends}")
    return found


def _wait_for_next(args: argparse.Namespace, print_line: Callable[[str], None]) -> None:
    """Wait until the second server drains in the place of the first."""
    print_line(
        f"now `gapless undrain` behind {args.draining}, and `gapless drain` behind "
        f"{args.next}, at once"
    )
    until = clock.monotonic() + NEXT_TIMEOUT_S
    while _is_draining(_url(args.draining)) or not _is_draining(_url(args.next)):
        if clock.monotonic() >= until:
            raise TimedOutError(
                f"{args.next} does not drain in its place after {NEXT_TIMEOUT_S:g} s"
            )
        select.select([], [], [], NEXT_POLL_S)


def _is_draining(url: SplitResult) -> bool:
    try:
        return probing.is_draining(url)
    except OSError as error:
        raise GaplessError(
            f"could not send a request to {url.geturl()}: {error}"
        ) from error


def _url(text: str) -> SplitResult:
    found = urlsplit(text)
    if found.scheme not in ("http", "https") or not found.netloc:
        raise MisuseError(f"{text!r} is no URL; write http://HOST:PORT/path")
    return found
