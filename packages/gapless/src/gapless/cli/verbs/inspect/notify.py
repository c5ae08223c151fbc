"""Tell people what happens, as the [notify.NAME] tables of a gapless.toml say.

Runs in the foreground, for systemd or as an app under gapless.  It follows the log of
gapless, and goes on where it was when it ended.  --test sends one message to each target.
With --releases it also tells of the rollouts and the refused uploads of the file: run that
once in a fleet, on the release server.
"""

from __future__ import annotations

import argparse
import select
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING

from gapless.base import clock, wakeup
from gapless.base.errors import DONE, FAILED, NotFoundError
from gapless.cli import configuration, output
from gapless.client import Client
from gapless.config.toml import notify as config_notify
from gapless.notify import ways
from gapless.notify.memory import Memory
from gapless.notify.model import Event, Kind, Target
from gapless.notify.targets import target_of
from gapless.notify.teller import Teller

if TYPE_CHECKING:
    from gapless.notify.releases import Releases

CHECK_THREADS_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `notify`."""
    parser.add_argument(
        "-c",
        "--config",
        default="gapless.toml",
        metavar="FILE",
        help="the gapless.toml with [notify.NAME]; default: %(default)s",
    )
    parser.add_argument(
        "--test", action="store_true", help="send one message to each target, and end"
    )
    parser.add_argument(
        "--releases",
        action="store_true",
        help="tell of the rollouts and the refused uploads of the file, too",
    )


def run(args: argparse.Namespace) -> int:
    """Tell until a signal."""
    targets = [target_of(each) for each in config_notify.load(args.config).values()]
    if not targets:
        raise NotFoundError(
            f"{args.config} has no [notify.NAME]",
            hint='it says who is told: webhook = "https://...", command = "...", or '
            'mail = "..."',
        )
    if args.test:
        return max(_test(each) for each in targets)
    client = Client(starts=False)
    releases = _releases(args.config) if args.releases else None
    others = releases.events if releases else _nothing
    signals = wakeup.on((SIGTERM, SIGINT))
    tellers = [
        Teller(client.home, each, others=others, complain=output.print_line)
        for each in targets
    ]
    threads = [each.thread for each in tellers]
    threads += [releases.thread] if releases else []
    for thread in threads:
        thread.start()
    output.print_line(f"telling {', '.join(each.name for each in targets)}")
    code = DONE
    while not select.select([signals], [], [], CHECK_THREADS_S)[0]:
        if not all(thread.is_alive() for thread in threads):
            code = FAILED  # whoever runs this starts it again
            break
    for each in tellers:
        each.ends.set()
    for each, target in zip(tellers, targets, strict=True):
        each.thread.join(target.timeout_s + 1)
    return code


def _test(target: Target) -> int:
    at = clock.stamp(clock.wall())
    text = f"a test of notify.{target.name}"
    event = Event(identity=f"test {at}", kind=Kind.TEST, app="", text=text, at=at)
    attempt = ways.tell(target, event, 0)
    how = "told" if attempt.told else f"could not be told: {attempt.reason}"
    output.print_line(f"notify.{target.name}: {how}")
    return DONE if attempt.told else FAILED


def _nothing(_: Memory) -> list[Event]:
    return []


def _releases(config: str) -> Releases:
    """Return what reads rollouts and uploads of a file.  Raises NotFoundError."""
    from gapless.notify.releases import Releases  # noqa: PLC0415 - loads TLS

    return Releases(
        configuration.fleets(config),
        configuration.releases(config).values(),
        output.print_error,
    )
