"""Follow the rollouts of a fleet on this host.

Runs in the foreground, for systemd or as an app under gapless.  --once does what is this
host's to do now and ends, for cron.  A coordinator that cannot be asked changes nothing:
every app serves on.
"""

from __future__ import annotations

import argparse
import select
import threading
from signal import SIGINT, SIGTERM

from gapless.agent import opening
from gapless.agent.following import Follower
from gapless.base import wakeup
from gapless.base.errors import (
    DONE,
    FAILED,
    GaplessError,
    NotFoundError,
    UnavailableError,
)
from gapless.cli import fleet, source
from gapless.client import Client
from gapless.config.fleets import Fleet
from gapless.rollout.model import Phase

RETRY_S = 2.0
LAST_STEP_S = 60.0
"""How long a host's turn may go on after SIGTERM: a handoff is not left half-done."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `agent` understands."""
    parser.add_argument(
        "--once", action="store_true", help="one turn, then end: for cron"
    )
    parser.add_argument(
        "--host",
        default="",
        metavar="NAME",
        help="what this host is called; its own name",
    )
    parser.add_argument(
        "-c", "--config", default="", metavar="FILE", help="default: ./gapless.toml"
    )


def run(asked: argparse.Namespace) -> int:
    """Follow every fleet of the configuration."""
    fleets = source.fleets(asked.config)
    if not fleets:
        raise NotFoundError(
            f"{asked.config or 'gapless.toml'} has no [rollout.NAME]",
            hint="it says how a fleet changes: slots = 1",
        )
    host = opening.host_name(asked.host)
    followers = [_Following(each, host) for each in fleets.values()]
    if asked.once:
        return max(following.once() for following in followers)
    numbers = wakeup.on((SIGTERM, SIGINT))
    _say(f"{host} follows {', '.join(fleets)}")
    for following in followers:
        following.thread.start()
    select.select([numbers], [], [])
    for following in followers:
        following.follower.over.set()
    for following in followers:
        if following.at_work:
            following.thread.join(LAST_STEP_S)
    return DONE


class _Following:
    """One app, in a thread of its own."""

    def __init__(self, config: Fleet, host: str) -> None:
        self._board = opening.board(config, fleet.complain)
        self.follower = Follower(config, self._board, Client(), host, _say)
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.at_work = False
        self._trouble = ""

    def once(self) -> int:
        """Look until there is nothing to do at once; return the exit code."""
        while not self.follower.look():
            pass
        report = self.follower.report
        _say(fleet.host_line(report))
        return FAILED if report.phase is Phase.FAILED else DONE

    def _follow(self) -> None:
        while not self.follower.over.is_set():
            wait_s = self._look()
            if wait_s and not self._board.wait(wait_s):
                self.follower.over.wait(RETRY_S)

    def _look(self) -> float:
        """Look once; what cannot be asked is said once, and asked again."""
        self.at_work = True
        try:
            wait_s = self.follower.look()
        except (GaplessError, OSError) as error:
            if self.follower.over.is_set():
                return RETRY_S
            if str(error) != self._trouble:
                serves = isinstance(error, UnavailableError)
                _say(
                    f"{self._board.app}: {error}" + ("; it serves on" if serves else "")
                )
            self._trouble = str(error)
            self.follower.over.wait(RETRY_S)
            return 0.0
        finally:
            self.at_work = False
        if self._trouble:
            _say(f"{self._board.app}: goes on")
            self._trouble = ""
        return wait_s


def _say(text: str) -> None:
    print(text, flush=True)
